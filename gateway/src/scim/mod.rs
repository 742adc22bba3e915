//! SCIM 2.0 over HTTP (RFC 7644). What is mounted here is behind the tenant's token, unknown paths included.

mod accept;
mod bulk;
pub(crate) mod discovery;
mod etag;
mod groups;
mod render;
pub(crate) mod request;
mod root;
mod stream;
mod terms;
pub(crate) mod users;
pub(crate) mod write;

use ::scim::ErrorKind;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use axum::{Extension, Router};

use crate::App;
use crate::error::{self, Error};
use crate::{journal, rate_limit, tenant};

/// Where SCIM is mounted: the second for clients that expect the path of preset `ziflow`.
pub(crate) const MOUNTS: [&str; 2] = ["/scim/v2", "/v1/scim/v2"];

/// The path under which the request came in: part of every `location`.
#[derive(Clone, Copy)]
pub(crate) struct Mount(pub(crate) &'static str);

pub(crate) fn routes(app: &App, mount: &'static str) -> Router<App> {
    let one_user = get(users::get).put(users::replace).patch(users::patch).delete(users::delete);
    let one_group = get(groups::get).put(groups::replace).patch(groups::patch).delete(groups::delete);
    Router::new()
        .route("/Users", get(users::list).post(users::create))
        .route("/Users/.search", post(users::search))
        .route("/Users/{id}", one_user)
        .route("/Groups", get(groups::list).post(groups::create))
        .route("/Groups/.search", post(groups::search))
        .route("/Groups/{id}", one_group)
        .route("/ServiceProviderConfig", get(discovery::service_provider_config))
        .route("/ResourceTypes", get(discovery::resource_types))
        .route("/ResourceTypes/{name}", get(discovery::resource_type))
        .route("/Schemas", get(discovery::schemas))
        .route("/Schemas/{urn}", get(discovery::schema))
        .route("/.search", post(root::search))
        .route("/Bulk", post(bulk::run))
        .route("/Me", get(no_me).post(no_me).put(no_me).patch(no_me).delete(no_me))
        .fallback(no_such_resource)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(from_fn(accept::check))
        .layer(from_fn_with_state(app.clone(), rate_limit::within_limits))
        .layer(from_fn_with_state(app.clone(), tenant::require_tenant))
        .layer(from_fn_with_state(app.clone(), journal::watch))
        .layer(Extension(Mount(mount)))
}

async fn no_such_resource() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "no such endpoint; /ResourceTypes lists those that there are, names are case-sensitive",
    )
}

async fn no_me() -> Error {
    Error::new(ErrorKind::NotImplemented, "the token is a tenant's, not a user's: there is no /Me")
}
