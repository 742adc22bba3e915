//! Membership.

use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use proto::membership::v1 as membership;
use tonic::{Request, Response, Status};

use super::{Fake, Reply, USER};

#[tonic::async_trait]
impl membership::groups_server::Groups for Fake {
    type GetGroupStream = BoxStream<'static, Result<membership::GetGroupResponse, Status>>;
    type ListGroupsStream = BoxStream<'static, Result<membership::ListGroupsResponse, Status>>;

    async fn create_group(
        &self,
        request: Request<membership::CreateGroupRequest>,
    ) -> Reply<membership::CreateGroupResponse> {
        self.take("CreateGroup", request)?;
        let (resource, warnings) = (self.group(), self.warnings());
        Ok(Response::new(membership::CreateGroupResponse {
            resource,
            revision: "m.7".into(),
            warnings,
            changes: Vec::new(),
            members: None,
        }))
    }

    async fn get_group(&self, request: Request<membership::GetGroupRequest>) -> Reply<Self::GetGroupStream> {
        use membership::get_group_response::Part;
        let request = self.take("GetGroup", request)?;
        let group = self.group().map(Part::Group);
        let head = stream::iter([Ok(membership::GetGroupResponse { part: group })]);
        let members =
            self.chunks().map(|chunk| Ok(membership::GetGroupResponse { part: Some(Part::Members(chunk?)) }));
        Ok(Response::new(if request.with_members { head.chain(members).boxed() } else { head.boxed() }))
    }

    async fn list_groups(
        &self,
        request: Request<membership::ListGroupsRequest>,
    ) -> Reply<Self::ListGroupsStream> {
        use membership::list_groups_response::Part;
        let request = self.take("ListGroups", request)?;
        let part = |part| Ok(membership::ListGroupsResponse { part: Some(part) });
        let head = membership::ListHead {
            total_results: 5,
            items: *self.0.announced.lock().unwrap(),
            next_cursor: String::new(),
        };
        let group = || part(Part::Group(self.group().unwrap()));
        if !request.with_members {
            return Ok(Response::new(stream::iter([part(Part::Head(head)), group(), group()]).boxed()));
        }
        let members = || self.chunks().map(move |chunk| part(Part::Members(chunk?)));
        let pieces = stream::iter([part(Part::Head(head)), group()]).chain(members());
        Ok(Response::new(pieces.chain(stream::iter([group()])).chain(members()).boxed()))
    }

    async fn replace_group(
        &self,
        request: Request<membership::ReplaceGroupRequest>,
    ) -> Reply<membership::ReplaceGroupResponse> {
        self.take("ReplaceGroup", request)?;
        let (resource, warnings) = (self.group(), self.warnings());
        Ok(Response::new(membership::ReplaceGroupResponse {
            resource,
            revision: "m.8".into(),
            warnings,
            changes: Vec::new(),
            members: None,
        }))
    }

    async fn patch_group(
        &self,
        request: Request<membership::PatchGroupRequest>,
    ) -> Reply<membership::PatchGroupResponse> {
        self.take("PatchGroup", request)?;
        let (resource, warnings) = (self.group(), self.warnings());
        Ok(Response::new(membership::PatchGroupResponse {
            resource,
            revision: "m.9".into(),
            warnings,
            changes: Vec::new(),
            members: None,
        }))
    }

    async fn delete_group(
        &self,
        request: Request<membership::DeleteGroupRequest>,
    ) -> Reply<membership::DeleteGroupResponse> {
        self.take("DeleteGroup", request)?;
        Ok(Response::new(membership::DeleteGroupResponse {
            revision: "m.10".into(),
            changes: Vec::new(),
            members: None,
        }))
    }

    async fn list_groups_of_users(
        &self,
        request: Request<membership::ListGroupsOfUsersRequest>,
    ) -> Reply<membership::ListGroupsOfUsersResponse> {
        let request = self.take("ListGroupsOfUsers", request)?;
        let groups = self.0.groups_of_users.lock().unwrap().clone();
        let users = request
            .user_ids
            .into_iter()
            .map(|user_id| membership::GroupsOfUser { user_id, groups: groups.clone() });
        Ok(Response::new(membership::ListGroupsOfUsersResponse { users: users.collect() }))
    }

    /// The one user there is is in every group.
    async fn list_user_ids_of_groups(
        &self,
        request: Request<membership::ListUserIdsOfGroupsRequest>,
    ) -> Reply<membership::ListUserIdsOfGroupsResponse> {
        let request = self.take("ListUserIdsOfGroups", request)?;
        let groups = request
            .group_ids
            .into_iter()
            .map(|group_id| membership::UserIdsOfGroup { group_id, user_ids: vec![USER.to_owned()] });
        Ok(Response::new(membership::ListUserIdsOfGroupsResponse { groups: groups.collect() }))
    }
}

#[tonic::async_trait]
impl membership::projection_server::Projection for Fake {
    async fn apply_user_change(
        &self,
        request: Request<membership::ApplyUserChangeRequest>,
    ) -> Reply<membership::ApplyUserChangeResponse> {
        self.take("ApplyUserChange", request)?;
        Ok(Response::new(membership::ApplyUserChangeResponse { revision: "m.11".into() }))
    }
}

#[tonic::async_trait]
impl membership::tenant_data_server::TenantData for Fake {
    async fn purge_tenant(
        &self,
        request: Request<membership::PurgeTenantRequest>,
    ) -> Reply<membership::PurgeTenantResponse> {
        self.take("membership.PurgeTenant", request)?;
        Ok(Response::new(membership::PurgeTenantResponse {}))
    }

    type ExportTenantStream = BoxStream<'static, Result<membership::ExportTenantResponse, Status>>;

    async fn export_tenant(
        &self,
        request: Request<membership::ExportTenantRequest>,
    ) -> Reply<Self::ExportTenantStream> {
        self.take("membership.ExportTenant", request)?;
        let thing = |kind: &str, json: &str| {
            Ok(membership::ExportTenantResponse { kind: kind.to_owned(), json: json.to_owned().into() })
        };
        let things = [thing("group", r#"{"displayName":"Sales"}"#), thing("member", r#"{"value":"u1"}"#)];
        Ok(Response::new(stream::iter(things).boxed()))
    }
}

#[tonic::async_trait]
impl membership::maintenance_server::Maintenance for Fake {
    /// One difference in each run.
    async fn verify_tenant(
        &self,
        request: Request<membership::VerifyTenantRequest>,
    ) -> Reply<membership::VerifyTenantResponse> {
        let is_last = request.get_ref().is_last;
        self.take("VerifyTenant", request)?;
        let difference = membership::Difference {
            what: "user.missing".into(),
            id: USER.into(),
            group_id: String::new(),
            detail: "the projection has no such user".into(),
        };
        Ok(Response::new(membership::VerifyTenantResponse {
            since: "7.7".into(),
            groups: i64::from(is_last),
            memberships: i64::from(is_last) * 2,
            index_compared: is_last,
            differences: vec![difference],
            truncated: false,
        }))
    }
}
