//! `rollcall.membership.v1.Memberships`.

use futures::{StreamExt, TryStreamExt, stream};
use platform::auth::{self, caller};
use platform::ids::TenantId;
use platform::{Error, Result};
use proto::membership::v1;
use proto::membership::v1::memberships_server::Memberships;
use scim::ErrorKind;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::refs::{consistency, group_ref, team_ref, user_ref};
use super::{Answers, pieces};
use crate::Service;
use crate::answers::Scope;
use crate::domain::refs::Depth;
use crate::store::{GroupEntry, Outcome, WalkedMember};

/// Users per message of ListGroupMembers.
const RUN: usize = 1000;
/// Questions in one BatchCheck.
const MOST_CHECKS: usize = 10_000;
const DEFAULT_GROUPS: i32 = 100;
const MOST_GROUPS: i32 = 1000;

#[tonic::async_trait]
impl Memberships for Service {
    async fn check(&self, request: Request<v1::CheckRequest>) -> Result<Response<v1::CheckResponse>, Status> {
        let tenant =
            caller(&request)?.authorize(auth::Scope::MembershipsRead, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let scope = scope(tenant, request.consistency.as_ref(), request.depth(), request.include_inactive)?;
        let user = user_ref(request.user)?;
        let (member, revision) = match (request.group, request.team) {
            (Some(_), Some(_)) => {
                return Err(
                    Error::invalid_value("group and team are both named: ask about one of them").into()
                );
            }
            (None, Some(team)) => self.answers.check_team(scope, &user, &team_ref(team)?).await?,
            (group, None) => self.answers.check(scope, &user, &group_ref(group)?).await?,
        };
        Ok(Response::new(v1::CheckResponse { member, revision: revision.to_string() }))
    }

    async fn list_user_groups(
        &self,
        request: Request<v1::ListUserGroupsRequest>,
    ) -> Result<Response<v1::ListUserGroupsResponse>, Status> {
        let tenant =
            caller(&request)?.authorize(auth::Scope::MembershipsRead, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let after = place("page_token", &request.page_token)?;
        let limit = match request.page_size {
            0 => DEFAULT_GROUPS,
            ..0 => return Err(Error::invalid_value("page_size must not be negative").into()),
            size => size.min(MOST_GROUPS),
        };
        let limit = usize::try_from(limit).unwrap_or_default();
        let scope = scope(tenant, request.consistency.as_ref(), request.depth(), request.include_inactive)?;
        let user = user_ref(request.user)?;
        let (page, revision) = self.answers.groups_of(scope, &user, after, limit).await?;
        Ok(Response::new(v1::ListUserGroupsResponse {
            groups: page.groups.into_iter().map(group).collect(),
            next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
            revision: revision.to_string(),
        }))
    }

    type ListGroupMembersStream = Answers<v1::ListGroupMembersResponse>;

    async fn list_group_members(
        &self,
        request: Request<v1::ListGroupMembersRequest>,
    ) -> Result<Response<Self::ListGroupMembersStream>, Status> {
        let tenant =
            caller(&request)?.authorize(auth::Scope::MembershipsRead, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let after = place("after_cursor", &request.after_cursor)?;
        let scope = scope(tenant, request.consistency.as_ref(), request.depth(), request.include_inactive)?;
        let (walk, revision) = self.answers.members_of(scope, &group_ref(request.group)?, after).await?;
        let revision = revision.to_string();
        let runs = stream::try_unfold((walk, revision), |(mut walk, revision)| async move {
            let Some((users, last)) = walk.next_run(RUN).await? else { return Ok::<_, Error>(None) };
            // A run may hold only users that do not count: then there is no message of it.
            let mut messages: Vec<Result<_>> = Vec::new();
            for members in pieces(users.into_iter().map(member), member_bytes) {
                let cursor = members.last().map(|member| member.user_id.clone()).unwrap_or_default();
                let revision = revision.clone();
                messages.push(Ok(v1::ListGroupMembersResponse { members, cursor, revision }));
            }
            if let Some(Ok(run)) = messages.last_mut() {
                run.cursor = last.to_string();
            }
            Ok(Some((stream::iter(messages), (walk, revision))))
        });
        let runs = runs.try_flatten();
        Ok(Response::new(runs.err_into().boxed()))
    }

    async fn batch_check(
        &self,
        request: Request<v1::BatchCheckRequest>,
    ) -> Result<Response<v1::BatchCheckResponse>, Status> {
        let tenant =
            caller(&request)?.authorize(auth::Scope::MembershipsRead, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        if request.items.len() > MOST_CHECKS {
            let detail = format!("{} questions: at most {MOST_CHECKS} in one call", request.items.len());
            return Err(Error::new(ErrorKind::TooMany, detail).with_attribute("items").into());
        }
        let scope = scope(tenant, request.consistency.as_ref(), request.depth(), request.include_inactive)?;
        let mut questions = Vec::with_capacity(request.items.len());
        for v1::CheckItem { user, group } in request.items {
            questions.push((known(user_ref(user))?, known(group_ref(group))?));
        }
        let (outcomes, revision) = self.answers.batch_check(scope, &questions).await?;
        let results = outcomes.into_iter().map(result).collect();
        Ok(Response::new(v1::BatchCheckResponse { results, revision: revision.to_string() }))
    }

    async fn get_user_membership(
        &self,
        request: Request<v1::GetUserMembershipRequest>,
    ) -> Result<Response<v1::GetUserMembershipResponse>, Status> {
        self.membership_of(request).await
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        self.explain_membership(request).await
    }

    type WatchStream = Answers<v1::WatchResponse>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.watch_tenant(request).await
    }
}

/// A name, or `None` for an id that can be nobody's: then that one question has no good answer, and the others do.
fn known<T>(named: Result<T>) -> Result<Option<T>> {
    match named {
        Ok(name) => Ok(Some(name)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn result(outcome: Outcome) -> v1::CheckResult {
    use v1::check_result::Outcome as Answer;

    let answer = match outcome {
        Outcome::Member => Answer::Member,
        Outcome::NotMember => Answer::NotMember,
        Outcome::UnknownUser => Answer::UnknownUser,
        Outcome::UnknownGroup => Answer::UnknownGroup,
        Outcome::Ambiguous => Answer::Ambiguous,
    };
    v1::CheckResult { outcome: answer.into() }
}

fn scope(
    tenant: TenantId,
    asked: Option<&v1::Consistency>,
    depth: v1::Depth,
    include_inactive: bool,
) -> Result<Scope> {
    let depth = match depth {
        v1::Depth::Direct => Depth::Direct,
        v1::Depth::Transitive | v1::Depth::Unspecified => Depth::Transitive,
    };
    Ok(Scope { tenant, consistency: consistency(asked)?, depth, include_inactive })
}

/// Where to go on; the beginning for empty text.
fn place(field: &str, text: &str) -> Result<Uuid> {
    if text.is_empty() {
        return Ok(Uuid::nil());
    }
    Uuid::try_parse(text).map_err(|_| {
        let detail = format!("{field} is not one of ours: pass back what an earlier answer gave, unchanged");
        Error::new(ErrorKind::InvalidCursor, detail).with_attribute(field)
    })
}

fn group(entry: GroupEntry) -> v1::Group {
    let GroupEntry { id, display_name, external_id, direct } = entry;
    v1::Group { id: id.to_string(), display_name, external_id: external_id.unwrap_or_default(), direct }
}

fn member(walked: WalkedMember) -> v1::GroupMember {
    let WalkedMember { user, direct } = walked;
    v1::GroupMember {
        user_id: user.user_id.to_string(),
        user_name: user.user_name,
        external_id: user.external_id.unwrap_or_default(),
        display_name: user.display_name.unwrap_or_default(),
        active: user.active,
        direct,
    }
}

fn member_bytes(member: &v1::GroupMember) -> usize {
    member.user_id.len() + member.user_name.len() + member.external_id.len() + member.display_name.len()
}
