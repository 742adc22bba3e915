//! The provisioning secrets of a tenant.

use ::scim::ErrorKind;
use axum::Json as JsonBody;
use axum::extract::State;
use http::header::CACHE_CONTROL;
use http::{HeaderName, StatusCode};
use platform::cache::Invalidation;
use platform::clock::Timestamp;
use platform::ids::CredentialId;
use proto::token::v1::{
    CreateCredentialRequest, Credential, ListCredentialsRequest, RevokeCredentialRequest,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Json, Named};
use crate::App;
use crate::error::{Error, Problem, Result};
use crate::tenant::Administrator;

type Answer<T> = Result<T, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    #[serde(default)]
    label: String,
    /// RFC 3339; absent for a secret that does not expire.
    expires_at: Option<String>,
}

pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
) -> Answer<JsonBody<Value>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(ListCredentialsRequest { tenant_id })?;
    let answer =
        app.clients.credentials.clone().list_credentials(request).await.map_err(Error::from)?.into_inner();
    Ok(JsonBody(json!({"credentials": answer.credentials.iter().map(shown).collect::<Vec<_>>()})))
}

/// A further secret, shown this once.
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
    Json(New { label, expires_at }): Json<New>,
) -> Answer<(StatusCode, [(HeaderName, &'static str); 1], JsonBody<Value>)> {
    let expires_at_us = match expires_at {
        None => 0,
        Some(text) => micros(&text)?,
    };
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(CreateCredentialRequest { tenant_id, label, expires_at_us })?;
    let answer =
        app.clients.credentials.clone().create_credential(request).await.map_err(Error::from)?.into_inner();
    let credential = answer
        .credential
        .ok_or_else(|| Error::broken_contract("CreateCredential answered without the credential"))?;
    let body = json!({"credential": shown(&credential), "token": answer.secret});
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], JsonBody(body)))
}

/// Revokes a secret at once; revoking it again is fine.
pub(crate) async fn revoke(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, credential_id)): Named<(String, String)>,
) -> Answer<StatusCode> {
    let credential: CredentialId = credential_id.parse()?;
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(RevokeCredentialRequest { tenant_id, credential_id })?;
    app.clients.credentials.clone().revoke_credential(request).await.map_err(Error::from)?;
    app.invalidations.publish(Invalidation::Credential(credential));
    Ok(StatusCode::NO_CONTENT)
}

fn micros(text: &str) -> Result<i64> {
    let at = ::scim::date::parse(text).and_then(|at| i64::try_from(at.unix_timestamp_nanos() / 1000).ok());
    at.filter(|micros| *micros > 0).ok_or_else(|| {
        let detail =
            "expires_at must be a date and time like 2027-01-31T00:00:00Z; leave it out for no expiry";
        Error::new(ErrorKind::InvalidValue, detail)
    })
}

fn shown(credential: &Credential) -> Value {
    let mut shown = json!({"id": credential.id, "label": credential.label});
    let times = [
        ("created_at", credential.created_at_us),
        ("expires_at", credential.expires_at_us),
        ("last_used_at", credential.last_used_at_us),
        ("revoked_at", credential.revoked_at_us),
    ];
    for (name, micros) in times {
        if micros != 0 {
            shown[name] = Timestamp::from_micros(micros).to_rfc3339().into();
        }
    }
    shown
}
