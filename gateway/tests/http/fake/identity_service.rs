//! Identity.

use std::sync::atomic::Ordering;

use futures::StreamExt;
use futures::stream;
use futures::stream::BoxStream;
use proto::common::v1::Resource;
use proto::identity::v1 as identity;
use tonic::{Request, Response, Status};

use super::{Fake, GROUP, Reply, USER, audit_page, change, pass};

#[tonic::async_trait]
impl identity::users_server::Users for Fake {
    async fn create_user(
        &self,
        request: Request<identity::CreateUserRequest>,
    ) -> Reply<identity::CreateUserResponse> {
        self.take("CreateUser", request)?;
        let (resource, warnings) = (self.user(), self.warnings());
        let revision = "i.42".into();
        Ok(Response::new(identity::CreateUserResponse {
            resource,
            revision,
            warnings,
            change: change(1, false),
            changes: Vec::new(),
        }))
    }

    async fn get_user(&self, request: Request<identity::GetUserRequest>) -> Reply<identity::GetUserResponse> {
        let request = self.take("GetUser", request)?;
        assert!(!self.0.panicking.load(Ordering::SeqCst), "password=hunter2");
        if request.id != USER {
            return Err(platform::Error::not_found("no user has this id").into());
        }
        Ok(Response::new(identity::GetUserResponse { resource: self.user() }))
    }

    async fn list_users(
        &self,
        request: Request<identity::ListUsersRequest>,
    ) -> Reply<identity::ListUsersResponse> {
        let request = self.take("ListUsers", request)?;
        let tenant = request.context.as_ref().unwrap().tenant_id.clone();
        let gate = self.0.list_gates.lock().unwrap().get(&tenant).cloned();
        pass(gate).await;
        *self.0.list_filter.lock().unwrap() = request.filter.clone();
        let resources: Vec<Resource> =
            if request.filter.contains("nobody") { Vec::new() } else { self.user().into_iter().collect() };
        let total_results = i64::try_from(resources.len()).unwrap() * 7;
        let next_cursor =
            if request.page.unwrap().cursor.is_some() { "next".to_owned() } else { String::new() };
        Ok(Response::new(identity::ListUsersResponse { resources, total_results, next_cursor }))
    }

    async fn replace_user(
        &self,
        request: Request<identity::ReplaceUserRequest>,
    ) -> Reply<identity::ReplaceUserResponse> {
        self.take("ReplaceUser", request)?;
        let (resource, warnings) = (self.user(), self.warnings());
        let revision = "i.43".into();
        Ok(Response::new(identity::ReplaceUserResponse {
            resource,
            revision,
            warnings,
            change: change(2, false),
            changes: Vec::new(),
        }))
    }

    async fn patch_user(
        &self,
        request: Request<identity::PatchUserRequest>,
    ) -> Reply<identity::PatchUserResponse> {
        self.take("PatchUser", request)?;
        let (resource, warnings) = (self.user(), self.warnings());
        // Nothing changed, so there is no change to apply.
        Ok(Response::new(identity::PatchUserResponse {
            resource,
            revision: "i.43".into(),
            warnings,
            change: None,
            changes: Vec::new(),
        }))
    }

    async fn delete_user(
        &self,
        request: Request<identity::DeleteUserRequest>,
    ) -> Reply<identity::DeleteUserResponse> {
        self.take("DeleteUser", request)?;
        let (revision, change) = ("i.44".into(), change(4, true));
        Ok(Response::new(identity::DeleteUserResponse { revision, change, changes: Vec::new() }))
    }
}

#[tonic::async_trait]
impl identity::schemas_server::Schemas for Fake {
    async fn list_extensions(
        &self,
        request: Request<identity::ListExtensionsRequest>,
    ) -> Result<Response<identity::ListExtensionsResponse>, Status> {
        self.take("ListExtensions", request)?;
        let extensions = self.0.extensions.lock().unwrap().clone();
        Ok(Response::new(identity::ListExtensionsResponse { extensions }))
    }

    async fn get_extension(
        &self,
        request: Request<identity::GetExtensionRequest>,
    ) -> Result<Response<identity::GetExtensionResponse>, Status> {
        self.take("GetExtension", request)?;
        let extension = self.0.extensions.lock().unwrap().first().cloned();
        let extension =
            Some(extension.ok_or_else(|| platform::Error::not_found("no extension has this URN"))?);
        Ok(Response::new(identity::GetExtensionResponse { extension }))
    }

    async fn put_extension(
        &self,
        request: Request<identity::PutExtensionRequest>,
    ) -> Result<Response<identity::PutExtensionResponse>, Status> {
        let identity::PutExtensionRequest { document, required, .. } = self.take("PutExtension", request)?;
        let extension = identity::Extension { document, required, version: 1, ..Default::default() };
        *self.0.extensions.lock().unwrap() = vec![extension.clone()];
        let (extension, revision) = (Some(extension), "1".into());
        Ok(Response::new(identity::PutExtensionResponse { extension, revision }))
    }

    async fn delete_extension(
        &self,
        request: Request<identity::DeleteExtensionRequest>,
    ) -> Result<Response<identity::DeleteExtensionResponse>, Status> {
        self.take("DeleteExtension", request)?;
        self.0.extensions.lock().unwrap().clear();
        Ok(Response::new(identity::DeleteExtensionResponse { revision: "2".into() }))
    }
}

#[tonic::async_trait]
impl identity::tenant_data_server::TenantData for Fake {
    async fn purge_tenant(
        &self,
        request: Request<identity::PurgeTenantRequest>,
    ) -> Reply<identity::PurgeTenantResponse> {
        self.take("identity.PurgeTenant", request)?;
        Ok(Response::new(identity::PurgeTenantResponse {}))
    }

    type ExportTenantStream = BoxStream<'static, Result<identity::ExportTenantResponse, Status>>;

    async fn export_tenant(
        &self,
        request: Request<identity::ExportTenantRequest>,
    ) -> Reply<Self::ExportTenantStream> {
        self.take("identity.ExportTenant", request)?;
        let thing = |kind: &str, json: &str| {
            Ok(identity::ExportTenantResponse { kind: kind.to_owned(), json: json.to_owned().into() })
        };
        let mut things =
            vec![thing("team", r#"{"slug":"sales"}"#), thing("user", r#"{"id":"a","userName":"anna"}"#)];
        things.extend((0..2000).map(|index| thing("user", &format!(r#"{{"id":"{index}","userName":"u"}}"#))));
        if self.0.break_after.lock().unwrap().is_some() {
            things.push(Err(Status::unavailable("gone")));
        }
        Ok(Response::new(stream::iter(things).boxed()))
    }
}

#[tonic::async_trait]
impl identity::suspended_users_server::SuspendedUsers for Fake {
    async fn list_suspended_users(
        &self,
        request: Request<identity::ListSuspendedUsersRequest>,
    ) -> Reply<identity::ListSuspendedUsersResponse> {
        self.take("ListSuspendedUsers", request)?;
        let user = identity::SuspendedUser {
            user_id: USER.into(),
            user_name: "anna@contoso.com".into(),
            suspended_at_us: 1_600_000_000_000_000,
            purge_at_us: 1_600_086_400_000_000,
        };
        let next_page_token = "more".into();
        Ok(Response::new(identity::ListSuspendedUsersResponse { users: vec![user], next_page_token }))
    }

    async fn restore_user(
        &self,
        request: Request<identity::RestoreUserRequest>,
    ) -> Reply<identity::RestoreUserResponse> {
        self.take("RestoreUser", request)?;
        Ok(Response::new(identity::RestoreUserResponse { resource: self.user(), change: change(5, false) }))
    }

    async fn purge_suspended_user(
        &self,
        request: Request<identity::PurgeSuspendedUserRequest>,
    ) -> Reply<identity::PurgeSuspendedUserResponse> {
        self.take("PurgeSuspendedUser", request)?;
        Ok(Response::new(identity::PurgeSuspendedUserResponse {}))
    }
}

fn team(slug: &str) -> Option<identity::Team> {
    Some(identity::Team {
        id: GROUP.into(),
        slug: slug.into(),
        name: "Sales".into(),
        created_at_us: 1_600_000_000_000_000,
        updated_at_us: 1_600_000_000_000_000,
    })
}

#[tonic::async_trait]
impl identity::teams_server::Teams for Fake {
    async fn create_team(
        &self,
        request: Request<identity::CreateTeamRequest>,
    ) -> Reply<identity::CreateTeamResponse> {
        let request = self.take("CreateTeam", request)?;
        Ok(Response::new(identity::CreateTeamResponse { team: team(&request.slug) }))
    }

    async fn get_team(&self, request: Request<identity::GetTeamRequest>) -> Reply<identity::GetTeamResponse> {
        let request = self.take("GetTeam", request)?;
        Ok(Response::new(identity::GetTeamResponse { team: team(&request.team) }))
    }

    async fn list_teams(
        &self,
        request: Request<identity::ListTeamsRequest>,
    ) -> Reply<identity::ListTeamsResponse> {
        self.take("ListTeams", request)?;
        let teams = team("sales").into_iter().collect();
        Ok(Response::new(identity::ListTeamsResponse { teams, next_page_token: String::new() }))
    }

    async fn update_team(
        &self,
        request: Request<identity::UpdateTeamRequest>,
    ) -> Reply<identity::UpdateTeamResponse> {
        let request = self.take("UpdateTeam", request)?;
        Ok(Response::new(identity::UpdateTeamResponse { team: team(&request.team) }))
    }

    async fn delete_team(
        &self,
        request: Request<identity::DeleteTeamRequest>,
    ) -> Reply<identity::DeleteTeamResponse> {
        self.take("DeleteTeam", request)?;
        Ok(Response::new(identity::DeleteTeamResponse {}))
    }
}

#[tonic::async_trait]
impl identity::roles_server::Roles for Fake {
    async fn put_role_and_teams(
        &self,
        request: Request<identity::PutRoleAndTeamsRequest>,
    ) -> Reply<identity::PutRoleAndTeamsResponse> {
        let urn = self.take("PutRoleAndTeams", request)?.urn;
        let extension = Some(identity::Extension { urn, ..identity::Extension::default() });
        Ok(Response::new(identity::PutRoleAndTeamsResponse { extension }))
    }

    async fn set_role(&self, request: Request<identity::SetRoleRequest>) -> Reply<identity::SetRoleResponse> {
        let role = self.take("SetRole", request)?.role;
        Ok(Response::new(identity::SetRoleResponse { role, version: 4, change: change(4, false) }))
    }
}

#[tonic::async_trait]
impl identity::audit_server::Audit for Fake {
    async fn list_audit_events(
        &self,
        request: Request<identity::ListAuditEventsRequest>,
    ) -> Reply<identity::ListAuditEventsResponse> {
        let query = self.take("identity.ListAuditEvents", request)?.query;
        let (events, next_page_token) = audit_page(&self.0.identity_audit.lock().unwrap(), query);
        Ok(Response::new(identity::ListAuditEventsResponse { events, next_page_token }))
    }
}
