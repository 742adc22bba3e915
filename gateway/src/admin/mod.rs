//! The admin API (`/admin/v1`): tenants, their credentials, OAuth clients. Behind the admin token, JSON, errors as
//! RFC 9457.

mod clients;
mod credentials;
mod request;
mod tenants;

use ::scim::ErrorKind;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get};
use http::{Method, StatusCode};

use crate::error::{self, Error, Problem};
use crate::{App, tenant};

pub(crate) fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/tenants", get(tenants::list).post(tenants::create))
        .route("/tenants/{tenant}", get(tenants::get).delete(tenants::delete))
        .route("/tenants/{tenant}/credentials", get(credentials::list).post(credentials::create))
        .route("/tenants/{tenant}/credentials/{id}", delete(credentials::revoke))
        .route("/clients", get(clients::list).post(clients::create))
        .route("/clients/{id}", delete(clients::delete))
        .fallback(no_such_endpoint)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), tenant::require_admin))
}

async fn no_such_endpoint() -> Problem {
    Error::new(ErrorKind::NotFound, "no such endpoint; there are /admin/v1/tenants and /admin/v1/clients")
        .into()
}

async fn wrong_method(method: Method) -> Result<StatusCode, Problem> {
    Ok(error::wrong_method(method).await?)
}
