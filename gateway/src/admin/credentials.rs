//! The provisioning secrets of a tenant, and how one takes the place of another.

use axum::Json as JsonBody;
use axum::extract::State;
use http::StatusCode;
use platform::cache::Invalidation;
use platform::ids::CredentialId;
use proto::token::v1::{
    CancelRotationRequest, CompleteRotationRequest, CreateCredentialRequest, Credential,
    ListCredentialsRequest, RevokeCredentialRequest, StartRotationRequest,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, Secret, promised, secret, text_if_any, time, time_if_any};
use super::request::{self, Json, Named};
use crate::App;
use crate::tenant::Administrator;

/// A token to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCredential, example = json!({"label": "Entra, spring", "expires_at": "2027-11-30T00:00:00Z"}))]
pub(crate) struct New {
    /// For people. Left out in a rotation: that of the token to replace.
    #[serde(default)]
    #[schema(max_length = 100)]
    label: String,
    /// Left out for a token that does not expire.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Facts about a token.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
pub(crate) struct ShownCredential {
    #[schema(format = "uuid")]
    id: String,
    label: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Left out when it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Exact to a minute; left out when it was never used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// Left out while it is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    /// The id of the token that this one is to replace, while the rotation is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    replaces: Option<String>,
}

/// Facts about the tokens of a tenant.
#[derive(Serialize, ToSchema)]
pub(crate) struct Credentials {
    /// Newest first; bounded by the limit of live tokens per tenant and a year of revoked ones.
    credentials: Vec<ShownCredential>,
}

/// Facts about one token.
#[derive(Serialize, ToSchema)]
pub(crate) struct OneCredential {
    credential: ShownCredential,
}

/// A token, and facts about it.
#[derive(Serialize, ToSchema)]
pub(crate) struct CredentialWithToken {
    credential: ShownCredential,
    /// The token itself. It is shown this once.
    token: String,
}

/// Lists the tokens of a tenant, never the tokens themselves.
#[utoipa::path(
    get, path = "/tenants/{tenant}/credentials", operation_id = "listCredentials", tag = "Credentials",
    responses((status = 200, description = "The tokens.", body = Credentials)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
) -> Answer<JsonBody<Credentials>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(ListCredentialsRequest { tenant_id })?;
    let answer = app.clients.credentials.clone().list_credentials(request).await?.into_inner();
    let credentials = answer.credentials.into_iter().map(ShownCredential::of).collect();
    Ok(JsonBody(Credentials { credentials }))
}

/// Mints a further token for a tenant.
///
/// It is shown this once. The others go on working.
#[utoipa::path(
    post, path = "/tenants/{tenant}/credentials", operation_id = "createCredential", tag = "Credentials",
    request_body = New,
    responses(
        (status = 201, description = "The token.", body = CredentialWithToken),
        (status = 409, description = "Provisioning is off, or there are too many live tokens."),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
    Json(New { label, expires_at }): Json<New>,
) -> Answer<Secret<CredentialWithToken>> {
    let expires_at_us = request::micros_if_any("expires_at", expires_at.as_deref())?;
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(CreateCredentialRequest { tenant_id, label, expires_at_us })?;
    let answer = app.clients.credentials.clone().create_credential(request).await?.into_inner();
    let credential = promised(answer.credential, "CreateCredential answered without the credential")?;
    Ok(secret(CredentialWithToken { credential: ShownCredential::of(credential), token: answer.secret }))
}

/// Revokes a token at once.
///
/// Revoking it again is fine.
#[utoipa::path(
    delete, path = "/tenants/{tenant}/credentials/{credential}", operation_id = "revokeCredential",
    tag = "Credentials",
    responses((status = 204, description = "It is dead.")),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, credential_id)): Named<(String, String)>,
) -> Answer<StatusCode> {
    let credential: CredentialId = credential_id.parse()?;
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(RevokeCredentialRequest { tenant_id, credential_id })?;
    app.clients.credentials.clone().revoke_credential(request).await?;
    app.invalidations.publish(Invalidation::Credential(credential));
    Ok(StatusCode::NO_CONTENT)
}

/// Begins to replace a token: mints its successor, and both work.
///
/// Paste the successor into the identity provider, then complete the rotation, or cancel it, under the successor's id.
#[utoipa::path(
    post, path = "/tenants/{tenant}/credentials/{credential}/rotation", operation_id = "startRotation",
    tag = "Credentials",
    request_body = New,
    responses(
        (status = 201, description = "The successor; `replaces` names the token to replace.", body = CredentialWithToken),
        (status = 409, description = "The token is not live, or is being replaced already."),
    ),
)]
pub(crate) async fn start_rotation(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, credential_id)): Named<(String, String)>,
    Json(New { label, expires_at }): Json<New>,
) -> Answer<Secret<CredentialWithToken>> {
    let expires_at_us = request::micros_if_any("expires_at", expires_at.as_deref())?;
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let message = StartRotationRequest { tenant_id, credential_id, label, expires_at_us };
    let request = administrator.call(message)?;
    let answer = app.clients.credentials.clone().start_rotation(request).await?.into_inner();
    let credential = promised(answer.credential, "StartRotation answered without the credential")?;
    Ok(secret(CredentialWithToken { credential: ShownCredential::of(credential), token: answer.secret }))
}

/// Ends a rotation: the token that was to be replaced stops working at once.
///
/// `credential` is the successor. Completing it again is fine.
#[utoipa::path(
    post, path = "/tenants/{tenant}/credentials/{credential}/rotation/complete",
    operation_id = "completeRotation", tag = "Credentials",
    responses(
        (status = 200, description = "The successor.", body = OneCredential),
        (status = 409, description = "There is no such rotation, or it was cancelled."),
    ),
)]
pub(crate) async fn complete_rotation(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, credential_id)): Named<(String, String)>,
) -> Answer<JsonBody<OneCredential>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let message = CompleteRotationRequest { tenant_id: tenant_id.clone(), credential_id };
    let request = administrator.call(message)?;
    let answer = app.clients.credentials.clone().complete_rotation(request).await?.into_inner();
    request::forget_tenant(&app, &tenant_id);
    let credential = promised(answer.credential, "CompleteRotation answered without the credential")?;
    Ok(JsonBody(OneCredential { credential: ShownCredential::of(credential) }))
}

/// Takes a rotation back: the successor stops working at once.
///
/// `credential` is the successor. Cancelling it again is fine.
#[utoipa::path(
    post, path = "/tenants/{tenant}/credentials/{credential}/rotation/cancel", operation_id = "cancelRotation",
    tag = "Credentials",
    responses(
        (status = 200, description = "The successor, revoked.", body = OneCredential),
        (status = 409, description = "There is no such rotation, or it was completed."),
    ),
)]
pub(crate) async fn cancel_rotation(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, credential_id)): Named<(String, String)>,
) -> Answer<JsonBody<OneCredential>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let message = CancelRotationRequest { tenant_id: tenant_id.clone(), credential_id };
    let request = administrator.call(message)?;
    let answer = app.clients.credentials.clone().cancel_rotation(request).await?.into_inner();
    request::forget_tenant(&app, &tenant_id);
    let credential = promised(answer.credential, "CancelRotation answered without the credential")?;
    Ok(JsonBody(OneCredential { credential: ShownCredential::of(credential) }))
}

impl ShownCredential {
    pub(super) fn of(credential: Credential) -> Self {
        let Credential {
            id,
            tenant_id: _,
            label,
            created_at_us,
            expires_at_us,
            last_used_at_us,
            revoked_at_us,
            replaces,
        } = credential;
        Self {
            id,
            label,
            created_at: time(created_at_us),
            expires_at: time_if_any(expires_at_us),
            last_used_at: time_if_any(last_used_at_us),
            revoked_at: time_if_any(revoked_at_us),
            replaces: text_if_any(replaces),
        }
    }
}
