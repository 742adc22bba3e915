//! Users who are managed here rather than by an identity provider. They are written as SCIM writes them, in the dialect `rfc`, so
//! that membership follows, and stand in the provisioning log as the administrator's.

use ::scim::ErrorKind;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use proto::token::v1::Tenant;

use super::answer::Answer;
use super::request::{self, Named};
use super::tenants::Origin;
use crate::App;
use crate::error::{Error, Result};
use crate::headers::RequestId;
use crate::journal;
use crate::scim::request::{Body, Caller, Id, Params};
use crate::scim::users;
use crate::scim::write::{self, Kind, Write};
use crate::tenant::Administrator;

/// Creates a user.
///
/// The body is a SCIM User (RFC 7643, section 4.1). Refused while SCIM is on and the tenant's setting `lock_local_changes` is.
#[utoipa::path(
    post, path = "/tenants/{tenant}/users", operation_id = "createUser", tag = "Users",
    request_body(content = Object, content_type = "application/scim+json", description = "A SCIM User.",
        example = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "anna@contoso.com"})),
    responses(
        (status = 201, description = "The SCIM User.", body = Object, content_type = "application/scim+json"),
        (status = 409, description = "The userName is taken, or users are locked to the identity provider."),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    request_id: axum::Extension<RequestId>,
    Named(id_or_name): Named<String>,
    request: Request,
) -> Answer<Response> {
    let tenant = request::tenant(&app, &administrator, &id_or_name).await?;
    check_lock(&tenant)?;
    let caller = caller(&administrator, &tenant, &origin, request_id.0)?;
    let (mut parts, body) = request.into_parts();
    let params = Params::from_request_parts(&mut parts, &app).await?;
    let Body(body) = Body::from_request(Request::from_parts(parts, body), &app).await?;
    let of = app.schemas.user(&caller).await?;
    let projection = params.projection(&of)?;
    let run = async |caller: &Caller, write| write::run(&app, caller, Kind::User, write).await;
    let done = journal::operation(&app, &caller, Kind::User, Write::Create { body }, run).await?;
    Ok(users::written(&app, &caller, &of, &projection, done).await?)
}

/// Lists the users of a tenant, a page at a time.
///
/// With the parameters and in the form of SCIM (RFC 7644, section 3.4.2; RFC 9865).
#[utoipa::path(
    get, path = "/tenants/{tenant}/users", operation_id = "listUsers", tag = "Users",
    params(
        ("filter" = Option<String>, Query, description = "A SCIM filter, e.g. `userName eq \"anna@contoso.com\"`."),
        ("sortBy" = Option<String>, Query, description = "An attribute."),
        ("sortOrder" = Option<String>, Query, description = "`ascending` or `descending`."),
        ("startIndex" = Option<i64>, Query, description = "1-based index of the first result."),
        ("count" = Option<i64>, Query, description = "At most this many."),
        ("cursor" = Option<String>, Query,
            description = "Pages by cursor: empty for the first, then `nextCursor` of the page before."),
        ("attributes" = Option<String>, Query, description = "Only these attributes."),
        ("excludedAttributes" = Option<String>, Query, description = "All but these attributes."),
    ),
    responses((status = 200, description = "A SCIM ListResponse.", body = Object, content_type = "application/scim+json")),
)]
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    request_id: axum::Extension<RequestId>,
    Named(id_or_name): Named<String>,
    request: Request,
) -> Answer<Response> {
    let tenant = request::tenant(&app, &administrator, &id_or_name).await?;
    let caller = caller(&administrator, &tenant, &origin, request_id.0)?;
    let (mut parts, _) = request.into_parts();
    let params = Params::from_request_parts(&mut parts, &app).await?;
    Ok(users::page(&app, &caller, params).await?)
}

/// Shows a user.
#[utoipa::path(
    get, path = "/tenants/{tenant}/users/{user}", operation_id = "getUser", tag = "Users",
    responses((status = 200, description = "The SCIM User.", body = Object, content_type = "application/scim+json")),
)]
pub(crate) async fn get(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    request_id: axum::Extension<RequestId>,
    Named((id_or_name, id)): Named<(String, String)>,
) -> Answer<Response> {
    let tenant = request::tenant(&app, &administrator, &id_or_name).await?;
    let caller = caller(&administrator, &tenant, &origin, request_id.0)?;
    Ok(users::get(State(app), caller, Params::default(), HeaderMap::new(), Id(id)).await?)
}

/// Deletes a user.
///
/// As SCIM does: with the setting `keep_deleted_days` it is suspended. Refused while SCIM is on and the tenant's setting
/// `lock_local_changes` is.
#[utoipa::path(
    delete, path = "/tenants/{tenant}/users/{user}", operation_id = "deleteUser", tag = "Users",
    responses(
        (status = 204, description = "It is gone."),
        (status = 409, description = "Users are locked to the identity provider."),
    ),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    request_id: axum::Extension<RequestId>,
    Named((id_or_name, id)): Named<(String, String)>,
) -> Answer<StatusCode> {
    let tenant = request::tenant(&app, &administrator, &id_or_name).await?;
    check_lock(&tenant)?;
    let caller = caller(&administrator, &tenant, &origin, request_id.0)?;
    let run = async |caller: &Caller, write| write::run(&app, caller, Kind::User, write).await;
    let delete = Write::Delete { id, precondition: None };
    Ok(journal::operation(&app, &caller, Kind::User, delete, run).await?.status)
}

/// The administrator as somebody who provisions this tenant.
pub(super) fn caller(
    administrator: &Administrator,
    tenant: &Tenant,
    origin: &Origin,
    RequestId(request_id): RequestId,
) -> Result<Caller> {
    let (provisioner, note) = administrator.within(tenant)?;
    Ok(Caller::new(provisioner, request_id, note, origin.base_url(tenant)))
}

/// Who comes and goes is the identity provider's to say, where the tenant wants it so.
fn check_lock(tenant: &Tenant) -> Result<()> {
    let is_locked = tenant.settings.is_some_and(|settings| settings.lock_local_changes);
    if !tenant.scim_enabled || !is_locked {
        return Ok(());
    }
    let detail = "the users of this tenant come and go with its identity provider: SCIM is on and its setting \
                  `lock_local_changes` is. Make the change there, or switch the setting or SCIM off";
    Err(Error::new(ErrorKind::Conflict, detail))
}
