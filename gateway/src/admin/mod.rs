//! The admin API (`/admin/v1`): tenants, their settings, credentials and extension schemas, OAuth clients, admin tokens, signing keys. Behind
//! the admin token, JSON, errors as RFC 9457.

mod admins;
mod clients;
mod credentials;
mod keys;
mod request;
mod roles;
mod schemas;
mod settings;
mod teams;
mod tenants;

use ::scim::ErrorKind;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};
use http::{Method, StatusCode};

use crate::error::{self, Error, Problem};
use crate::{App, tenant};

pub(crate) fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/tenants", get(tenants::list).post(tenants::create))
        .route("/tenants/{tenant}", get(tenants::get).patch(settings::change).delete(tenants::delete))
        .route("/tenants/{tenant}/credentials", get(credentials::list).post(credentials::create))
        .route("/tenants/{tenant}/credentials/{id}", delete(credentials::revoke))
        .route("/tenants/{tenant}/schemas", get(schemas::list))
        .route("/tenants/{tenant}/schemas/{urn}", get(schemas::get).put(schemas::put).delete(schemas::delete))
        .route("/tenants/{tenant}/role-and-teams", put(roles::put_extension))
        .route("/tenants/{tenant}/teams", get(teams::list).post(teams::create))
        .route("/tenants/{tenant}/teams/{team}", get(teams::get).patch(teams::change).delete(teams::delete))
        .route("/tenants/{tenant}/users/{user}/role", put(roles::set))
        .route("/clients", get(clients::list).post(clients::create))
        .route("/clients/{id}", delete(clients::delete))
        .route("/admins", get(admins::list).post(admins::create))
        .route("/admins/{id}", delete(admins::revoke))
        .route("/signing-keys", post(keys::rotate))
        .fallback(no_such_endpoint)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), tenant::require_admin))
}

async fn no_such_endpoint() -> Problem {
    let detail = "no such endpoint; there are tenants, clients, admins and signing-keys under /admin/v1";
    Error::new(ErrorKind::NotFound, detail).into()
}

async fn wrong_method(method: Method) -> Result<StatusCode, Problem> {
    Ok(error::wrong_method(method).await?)
}
