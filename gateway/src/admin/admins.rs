//! Secrets that administer the platform.

use axum::Json as JsonBody;
use axum::extract::State;
use http::header::CACHE_CONTROL;
use http::{HeaderName, StatusCode};
use platform::cache::Invalidation;
use platform::clock::Timestamp;
use platform::ids::CredentialId;
use proto::token::v1::{Admin, CreateAdminRequest, ListAdminsRequest, RevokeAdminRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{Json, Named};
use crate::App;
use crate::error::{Error, Problem, Result};
use crate::tenant::Administrator;

type Answer<T> = Result<T, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    #[serde(default)]
    label: String,
}

pub(crate) async fn list(State(app): State<App>, administrator: Administrator) -> Answer<JsonBody<Value>> {
    let request = administrator.call(ListAdminsRequest {})?;
    let answer = app.clients.admins.clone().list_admins(request).await.map_err(Error::from)?.into_inner();
    Ok(JsonBody(json!({"admins": answer.admins.iter().map(shown).collect::<Vec<_>>()})))
}

/// A further admin token, shown this once.
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    Json(New { label }): Json<New>,
) -> Answer<(StatusCode, [(HeaderName, &'static str); 1], JsonBody<Value>)> {
    let request = administrator.call(CreateAdminRequest { label })?;
    let answer = app.clients.admins.clone().create_admin(request).await.map_err(Error::from)?.into_inner();
    let admin =
        answer.admin.ok_or_else(|| Error::broken_contract("CreateAdmin answered without its facts"))?;
    let body = json!({"admin": shown(&admin), "token": answer.secret});
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], JsonBody(body)))
}

/// Revokes an admin token at once; revoking it again is fine, revoking the last one is refused.
pub(crate) async fn revoke(
    State(app): State<App>,
    administrator: Administrator,
    Named(id): Named<String>,
) -> Answer<StatusCode> {
    let credential: CredentialId = id.parse()?;
    let request = administrator.call(RevokeAdminRequest { id })?;
    app.clients.admins.clone().revoke_admin(request).await.map_err(Error::from)?;
    app.invalidations.publish(Invalidation::Credential(credential));
    Ok(StatusCode::NO_CONTENT)
}

fn shown(admin: &Admin) -> Value {
    let Admin { id, label, created_at_us, last_used_at_us, revoked_at_us } = admin;
    let mut shown = json!({"id": id, "label": label});
    let times =
        [("created_at", created_at_us), ("last_used_at", last_used_at_us), ("revoked_at", revoked_at_us)];
    for (name, micros) in times {
        if *micros != 0 {
            shown[name] = Timestamp::from_micros(*micros).to_rfc3339().into();
        }
    }
    shown
}
