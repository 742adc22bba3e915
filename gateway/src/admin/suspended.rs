//! Users that were deleted by provisioning and are kept for a while (setting `keep_deleted_days`).

use axum::Json as JsonBody;
use axum::extract::State;
use http::StatusCode;
use proto::identity::v1::{
    ListSuspendedUsersRequest, PurgeSuspendedUserRequest, RestoreUserRequest, SuspendedUser,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, promised, text_if_any, time};
use super::request::{self, Named, Page};
use super::tenants::Origin;
use super::users;
use crate::App;
use crate::headers::RequestId;
use crate::scim::write;
use crate::tenant::Administrator;

/// A suspended user.
#[derive(Serialize, ToSchema)]
#[schema(as = SuspendedUser)]
pub(crate) struct ShownSuspended {
    #[schema(format = "uuid")]
    id: String,
    user_name: String,
    #[schema(format = DateTime)]
    suspended_at: String,
    /// When it is removed for good.
    #[schema(format = DateTime)]
    purge_at: String,
}

/// A page of suspended users, latest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct SuspendedUsers {
    users: Vec<ShownSuspended>,
    /// For the next page; left out on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// A user that is back.
#[derive(Serialize, ToSchema)]
pub(crate) struct RestoredUser {
    #[schema(format = "uuid")]
    id: String,
    version: i64,
}

/// Lists the suspended users of a tenant, latest first, a page at a time.
#[utoipa::path(
    get, path = "/tenants/{tenant}/suspended-users", operation_id = "listSuspendedUsers", tag = "Users",
    params(Page),
    responses((status = 200, description = "A page of suspended users.", body = SuspendedUsers)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
    Page { page_size, page_token }: Page,
) -> Answer<JsonBody<SuspendedUsers>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(ListSuspendedUsersRequest { tenant_id, page_size, page_token })?;
    let answer = app.clients.suspended.clone().list_suspended_users(request).await?.into_inner();
    let users = answer.users.into_iter().map(ShownSuspended::of).collect();
    Ok(JsonBody(SuspendedUsers { users, next_page_token: text_if_any(answer.next_page_token) }))
}

/// Makes a suspended user a user again.
///
/// With its id, without group memberships.
#[utoipa::path(
    post, path = "/tenants/{tenant}/suspended-users/{user}/restore", operation_id = "restoreUser",
    tag = "Users",
    responses(
        (status = 200, description = "The user is back.", body = RestoredUser),
        (status = 409, description = "Its userName was taken meanwhile."),
    ),
)]
pub(crate) async fn restore(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    request_id: axum::Extension<RequestId>,
    Named((id_or_name, user_id)): Named<(String, String)>,
) -> Answer<JsonBody<RestoredUser>> {
    let tenant = request::tenant(&app, &administrator, &id_or_name).await?;
    let caller = users::caller(&administrator, &tenant, &origin, request_id.0.clone())?;
    let message = RestoreUserRequest { tenant_id: tenant.id, user_id, request_id: request_id.0.0 };
    let request = administrator.call(message)?;
    let answer = app.clients.suspended.clone().restore_user(request).await?.into_inner();
    write::apply(&app, &caller, answer.change).await;
    let user = promised(answer.resource, "RestoreUser answered without the user")?;
    Ok(JsonBody(RestoredUser { id: user.id, version: user.version }))
}

/// Removes a suspended user for good before its time.
///
/// Removing it again is fine.
#[utoipa::path(
    delete, path = "/tenants/{tenant}/suspended-users/{user}", operation_id = "purgeSuspendedUser",
    tag = "Users",
    responses((status = 204, description = "It is gone for good.")),
)]
pub(crate) async fn purge(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Named((id_or_name, user_id)): Named<(String, String)>,
) -> Answer<StatusCode> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let message = PurgeSuspendedUserRequest { tenant_id, user_id, request_id: request_id.0.0 };
    let request = administrator.call(message)?;
    app.clients.suspended.clone().purge_suspended_user(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl ShownSuspended {
    fn of(user: SuspendedUser) -> Self {
        let SuspendedUser { user_id, user_name, suspended_at_us, purge_at_us } = user;
        Self { id: user_id, user_name, suspended_at: time(suspended_at_us), purge_at: time(purge_at_us) }
    }
}
