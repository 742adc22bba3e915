//! `rollcall.membership.v1.Memberships`.

use futures::{StreamExt, TryStreamExt, stream};
use platform::auth::{Scope, caller};
use platform::{Error, Result};
use proto::membership::v1::memberships_server::Memberships;
use proto::membership::v1::{self as v1, group_ref, user_ref};
use scim::ErrorKind;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Answers, pieces};
use crate::Service;
use crate::domain::refs::{Depth, GroupRef, UserRef};
use crate::store::{GroupEntry, WalkedMember};

/// Users per message of ListGroupMembers.
const RUN: usize = 1000;
const DEFAULT_GROUPS: i32 = 100;
const MOST_GROUPS: i32 = 1000;

#[tonic::async_trait]
impl Memberships for Service {
    async fn check(&self, request: Request<v1::CheckRequest>) -> Result<Response<v1::CheckResponse>, Status> {
        let tenant = caller(&request)?.authorize(Scope::MembershipsRead, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let depth = depth(request.depth());
        // First, so that it is not newer than what is read.
        let revision = self.store.revision().await?;
        let user = self.store.find_user(tenant, &user_ref(request.user)?).await?;
        let group = self.store.find_group(tenant, &group_ref(request.group)?).await?;
        let member = (user.active || request.include_inactive)
            && self.store.is_member(tenant, user.id, group, depth).await?;
        Ok(Response::new(v1::CheckResponse { member, revision: revision.to_string() }))
    }

    async fn list_user_groups(
        &self,
        request: Request<v1::ListUserGroupsRequest>,
    ) -> Result<Response<v1::ListUserGroupsResponse>, Status> {
        let tenant = caller(&request)?.authorize(Scope::MembershipsRead, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let depth = depth(request.depth());
        let after = place("page_token", &request.page_token)?;
        let limit = match request.page_size {
            0 => DEFAULT_GROUPS,
            ..0 => return Err(Error::invalid_value("page_size must not be negative").into()),
            size => size.min(MOST_GROUPS),
        };
        let limit = usize::try_from(limit).unwrap_or_default();
        let user = self.store.find_user(tenant, &user_ref(request.user)?).await?;
        if !user.active && !request.include_inactive {
            return Ok(Response::new(v1::ListUserGroupsResponse::default()));
        }
        let mut groups = self.store.groups_of(tenant, user.id, depth, after, limit as u64 + 1).await?;
        let more = groups.len() > limit;
        groups.truncate(limit);
        let last = groups.last().filter(|_| more).map(|group| group.id.to_string());
        Ok(Response::new(v1::ListUserGroupsResponse {
            groups: groups.into_iter().map(group).collect(),
            next_page_token: last.unwrap_or_default(),
        }))
    }

    type ListGroupMembersStream = Answers<v1::ListGroupMembersResponse>;

    async fn list_group_members(
        &self,
        request: Request<v1::ListGroupMembersRequest>,
    ) -> Result<Response<Self::ListGroupMembersStream>, Status> {
        let tenant = caller(&request)?.authorize(Scope::MembershipsRead, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let depth = depth(request.depth());
        let after = place("after_cursor", &request.after_cursor)?;
        let group = self.store.find_group(tenant, &group_ref(request.group)?).await?;
        let walk = self.store.walk_members(tenant, group, depth, request.include_inactive, after).await?;
        let runs = stream::try_unfold(walk, |mut walk| async move {
            let Some((users, last)) = walk.next_run(RUN).await? else { return Ok::<_, Error>(None) };
            // A run may hold only users that do not count: then there is no message of it.
            let mut messages: Vec<Result<_>> = Vec::new();
            for members in pieces(users.into_iter().map(member), member_bytes) {
                let cursor = members.last().map(|member| member.user_id.clone()).unwrap_or_default();
                messages.push(Ok(v1::ListGroupMembersResponse { members, cursor }));
            }
            if let Some(Ok(run)) = messages.last_mut() {
                run.cursor = last.to_string();
            }
            Ok(Some((stream::iter(messages), walk)))
        });
        let runs = runs.try_flatten();
        Ok(Response::new(runs.err_into().boxed()))
    }
}

fn depth(asked: v1::Depth) -> Depth {
    match asked {
        v1::Depth::Direct => Depth::Direct,
        v1::Depth::Transitive | v1::Depth::Unspecified => Depth::Transitive,
    }
}

fn user_ref(named: Option<v1::UserRef>) -> Result<UserRef> {
    match named.and_then(|named| named.r#ref) {
        Some(user_ref::Ref::Id(id)) => UserRef::id(&id),
        Some(user_ref::Ref::ExternalId(id)) => Ok(UserRef::ExternalId(given(id, "user.external_id")?)),
        Some(user_ref::Ref::UserName(name)) => Ok(UserRef::UserName(given(name, "user.user_name")?)),
        None => Err(Error::invalid_value("user is missing: name it by id, external_id or user_name")
            .with_attribute("user")),
    }
}

fn group_ref(named: Option<v1::GroupRef>) -> Result<GroupRef> {
    match named.and_then(|named| named.r#ref) {
        Some(group_ref::Ref::Id(id)) => GroupRef::id(&id),
        Some(group_ref::Ref::ExternalId(id)) => Ok(GroupRef::ExternalId(given(id, "group.external_id")?)),
        Some(group_ref::Ref::DisplayName(name)) => {
            Ok(GroupRef::DisplayName(given(name, "group.display_name")?))
        }
        None => {
            let detail = "group is missing: name it by id, external_id or display_name";
            Err(Error::invalid_value(detail).with_attribute("group"))
        }
    }
}

/// A name that can be looked up: PostgreSQL knows no text with a NUL character.
fn given(text: String, field: &str) -> Result<String> {
    if text.is_empty() || text.contains('\0') {
        return Err(Error::invalid_value(format!("{field} must be a non-empty text")).with_attribute(field));
    }
    Ok(text)
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
