//! GetUserMembership and Explain: what a user is, and why. Always from the database.

use platform::auth::{Scope, caller};
use platform::{Error, Result};
use proto::membership::v1;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::refs::{consistency, group_ref, user_ref};
use super::teams;
use crate::Service;
use crate::domain::refs::Depth;
use crate::store::{Edge, GroupEntry};

/// The most groups that GetUserMembership lists.
const MOST_GROUPS: usize = 10_000;
const DEFAULT_PATHS: i32 = 10;
const MOST_PATHS: i32 = 100;

impl Service {
    pub(super) async fn membership_of(
        &self,
        request: Request<v1::GetUserMembershipRequest>,
    ) -> Result<Response<v1::GetUserMembershipResponse>, Status> {
        let tenant = caller(&request)?.authorize(Scope::MembershipsRead, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let revision = self.answers.database(consistency(request.consistency.as_ref())?).await?;
        let id = self.store.find_user(tenant, &user_ref(request.user)?).await?.id;
        let found = self.store.users_now(tenant, vec![id]).await?.pop();
        let user =
            found.ok_or_else(|| Error::not_found("this user was deleted just now").with_attribute("user"))?;
        let mut answer = v1::GetUserMembershipResponse {
            user_id: id.to_string(),
            teams: teams(&user),
            user_name: user.user_name,
            external_id: user.external_id.unwrap_or_default(),
            active: user.active,
            role: user.role.unwrap_or_default(),
            groups: Vec::new(),
            groups_truncated: false,
            revision: revision.to_string(),
        };
        if !user.active && !request.include_inactive {
            answer.role.clear();
            answer.teams.clear();
            return Ok(Response::new(answer));
        }
        let limit = MOST_GROUPS as u64 + 1;
        let mut groups = self.store.groups_of(tenant, id, Depth::Transitive, Uuid::nil(), limit).await?;
        answer.groups_truncated = groups.len() > MOST_GROUPS;
        groups.truncate(MOST_GROUPS);
        answer.groups = groups.into_iter().map(group).collect();
        Ok(Response::new(answer))
    }

    pub(super) async fn explain_membership(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let tenant = caller(&request)?.authorize(Scope::MembershipsRead, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let most = match request.max_paths {
            0 => DEFAULT_PATHS,
            ..0 => return Err(Error::invalid_value("max_paths must not be negative").into()),
            most => most.min(MOST_PATHS),
        };
        let most = usize::try_from(most).unwrap_or_default();
        let revision = self.store.revision().await?;
        let user = self.store.find_user(tenant, &user_ref(request.user)?).await?;
        let group = self.store.find_group(tenant, &group_ref(request.group)?).await?;
        let found = self.store.users_now(tenant, vec![user.id]).await?.pop();
        let user_name = found.map(|user| user.user_name).unwrap_or_default();
        let explained = self.store.explain(tenant, user.id, group, most).await?;
        // A search that was cut off may have found no path although there is one.
        let connected = match explained.paths.is_empty() && explained.truncated {
            true => self.store.is_member(tenant, user.id, group, Depth::Transitive).await?,
            false => !explained.paths.is_empty(),
        };
        let name = |id: &Uuid| explained.names.get(id).cloned();
        let edge = |edge: &Edge| v1::Edge {
            member_id: edge.member.to_string(),
            member_name: name(&edge.member).unwrap_or_else(|| user_name.clone()),
            group_id: edge.container.to_string(),
            group_name: name(&edge.container).unwrap_or_default(),
            added_at_us: edge.added_at,
            request_id: edge.request_id.clone().unwrap_or_default(),
        };
        let paths = explained.paths.iter().map(|path| v1::Path { edges: path.iter().map(edge).collect() });
        Ok(Response::new(v1::ExplainResponse {
            member: user.active && connected,
            active: user.active,
            paths: paths.collect(),
            truncated: explained.truncated,
            revision: revision.to_string(),
        }))
    }
}

fn group(entry: GroupEntry) -> v1::Group {
    let GroupEntry { id, display_name, external_id, direct } = entry;
    v1::Group { id: id.to_string(), display_name, external_id: external_id.unwrap_or_default(), direct }
}
