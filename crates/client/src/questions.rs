//! The questions with one answer, and what they share: token, deadline, retry.

use std::future::Future;
use std::time::Duration;

use proto::membership::v1::memberships_client::MembershipsClient;
use proto::membership::v1::{
    BatchCheckRequest, CheckItem, CheckRequest, CheckResult, ExplainRequest, ExplainResponse,
    GetUserMembershipRequest, GetUserMembershipResponse, Group, GroupRef, ListUserGroupsRequest, UserRef,
};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::{Client, Error, PAGE};

/// The pauses before asking again double from here.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// One question of [`Client::check_all`].
pub type Pair = (UserRef, GroupRef);

impl Client {
    /// Is the user a member of the group, directly or through nested groups?
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown user or group: that is not "no".
    pub async fn check(&self, user: UserRef, group: GroupRef) -> Result<bool, Error> {
        let question = CheckRequest {
            tenant_id: self.tenant.clone(),
            user: Some(user),
            group: Some(group),
            consistency: self.consistency.clone(),
            ..CheckRequest::default()
        };
        let ask = async |mut to: MembershipsClient<Channel>, question| to.check(question).await;
        Ok(self.ask(question, ask).await?.member)
    }

    /// Many checks at once, at most 10,000, answered from one state of the data, in the order asked.
    ///
    /// # Errors
    /// As for any question; an unknown user or group is the outcome of its own question.
    pub async fn check_all(&self, pairs: impl IntoIterator<Item = Pair>) -> Result<Vec<CheckResult>, Error> {
        let items = pairs.into_iter().map(|(user, group)| CheckItem { user: Some(user), group: Some(group) });
        let question = BatchCheckRequest {
            tenant_id: self.tenant.clone(),
            items: items.collect(),
            consistency: self.consistency.clone(),
            ..BatchCheckRequest::default()
        };
        let ask = async |mut to: MembershipsClient<Channel>, question| to.batch_check(question).await;
        Ok(self.ask(question, ask).await?.results)
    }

    /// All groups of the user, direct and through nesting, ordered by id.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown user.
    pub async fn groups_of(&self, user: UserRef) -> Result<Vec<Group>, Error> {
        let mut groups = Vec::new();
        let mut page_token = String::new();
        loop {
            let question = ListUserGroupsRequest {
                tenant_id: self.tenant.clone(),
                user: Some(user.clone()),
                page_size: PAGE,
                page_token,
                consistency: self.consistency.clone(),
                ..ListUserGroupsRequest::default()
            };
            let ask =
                async |mut to: MembershipsClient<Channel>, question| to.list_user_groups(question).await;
            let page = self.ask(question, ask).await?;
            groups.extend(page.groups);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(groups);
            }
        }
    }

    /// Role, teams and groups of the user.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown user.
    pub async fn membership_of(&self, user: UserRef) -> Result<GetUserMembershipResponse, Error> {
        let question = GetUserMembershipRequest {
            tenant_id: self.tenant.clone(),
            user: Some(user),
            consistency: self.consistency.clone(),
            ..GetUserMembershipRequest::default()
        };
        let ask = async |mut to: MembershipsClient<Channel>, question| to.get_user_membership(question).await;
        self.ask(question, ask).await
    }

    /// Why the user is a member of the group: the paths, shortest first, at most ten.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown user or group.
    pub async fn explain(&self, user: UserRef, group: GroupRef) -> Result<ExplainResponse, Error> {
        let question = ExplainRequest {
            tenant_id: self.tenant.clone(),
            user: Some(user),
            group: Some(group),
            ..ExplainRequest::default()
        };
        let ask = async |mut to: MembershipsClient<Channel>, question| to.explain(question).await;
        self.ask(question, ask).await
    }

    /// Asks within the deadline: again, after a pause that doubles, while Rollcall is unavailable, and once with a new
    /// token when the token was refused.
    async fn ask<Q: Clone, A, F>(
        &self,
        question: Q,
        ask: impl Fn(MembershipsClient<Channel>, Request<Q>) -> F,
    ) -> Result<A, Error>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let end = Instant::now() + self.deadline;
        let mut refused = None;
        let mut pause = FIRST_PAUSE;
        let mut last = Error::Unavailable("the deadline is too short".to_owned());
        loop {
            let attempt = async {
                let token = self.tokens.token(refused.as_ref()).await?;
                let mut request = Request::new(question.clone());
                request.metadata_mut().insert("authorization", token.bearer.clone());
                request.set_timeout(end.saturating_duration_since(Instant::now()));
                match ask(self.memberships.clone(), request).await {
                    Ok(answer) => Ok(answer.into_inner()),
                    Err(status) if status.code() == Code::Unauthenticated && refused.is_none() => {
                        refused = Some(token);
                        Err(Error::Unavailable(status.message().to_owned()))
                    }
                    Err(status) => Err(status.into()),
                }
            };
            match timeout_at(end, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Error::Unavailable(why))) => last = Error::Unavailable(why),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(last),
            }
            if Instant::now() + pause >= end {
                return Err(last);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}
