//! The admin API (`/admin/v1`): tenants, their settings, credentials, issuers, schemas, teams and users, OAuth clients, admin
//! tokens, signing keys, the audit. Behind the admin token, JSON, errors as RFC 9457. Routes and the OpenAPI document are one:
//! a handler is mounted by what it says of itself.
#![expect(unused_qualifications, reason = "utoipa's macros write out the path of every type")]

mod admins;
mod answer;
mod audit;
mod clients;
mod credentials;
mod export;
mod idempotency;
mod issuers;
mod keys;
mod log;
mod openapi;
mod provisioning;
mod request;
mod roles;
mod schemas;
mod settings;
mod suspended;
mod teams;
mod tenants;
mod users;
mod verify;

use ::scim::ErrorKind;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{self, Error, Problem};
use crate::{App, tenant};

pub(crate) fn routes(app: &App) -> Router<App> {
    let (router, document) = operations().split_for_parts();
    let document = Bytes::from(openapi::complete(&document).to_string());
    router
        .fallback(no_such_endpoint)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), idempotency::once))
        .layer(from_fn_with_state(app.clone(), tenant::require_admin))
        .route(
            openapi::PATH,
            get(async move || ([(CONTENT_TYPE, "application/vnd.oai.openapi+json;version=3.1")], document)),
        )
}

fn operations() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(tenants::get, settings::change, tenants::delete))
        .routes(routes!(provisioning::enable))
        .routes(routes!(provisioning::disable))
        .routes(routes!(credentials::list, credentials::create))
        .routes(routes!(credentials::revoke))
        .routes(routes!(credentials::start_rotation))
        .routes(routes!(credentials::complete_rotation))
        .routes(routes!(credentials::cancel_rotation))
        .routes(routes!(issuers::list, issuers::create))
        .routes(routes!(issuers::delete))
        .routes(routes!(schemas::list))
        .routes(routes!(schemas::get, schemas::put, schemas::delete))
        .routes(routes!(roles::put_extension))
        .routes(routes!(teams::list, teams::create))
        .routes(routes!(teams::get, teams::change, teams::delete))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::get, users::delete))
        .routes(routes!(roles::set))
        .routes(routes!(suspended::list))
        .routes(routes!(suspended::purge))
        .routes(routes!(suspended::restore))
        .routes(routes!(export::run))
        .routes(routes!(verify::run))
        .routes(routes!(audit::of_tenant))
        .routes(routes!(clients::list, clients::create))
        .routes(routes!(clients::change, clients::delete))
        .routes(routes!(clients::rotate_secret))
        .routes(routes!(admins::list, admins::create))
        .routes(routes!(admins::revoke))
        .routes(routes!(log::list))
        .routes(routes!(keys::rotate))
        .routes(routes!(audit::all))
}

async fn no_such_endpoint() -> Problem {
    let detail = "no such endpoint; /admin/v1/openapi.json describes those that there are";
    Error::new(ErrorKind::NotFound, detail).into()
}

async fn wrong_method(method: Method) -> Result<StatusCode, Problem> {
    Ok(error::wrong_method(method).await?)
}
