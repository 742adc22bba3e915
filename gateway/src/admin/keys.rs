//! The keys that sign access tokens.

use axum::Json as JsonBody;
use axum::extract::State;
use http::StatusCode;
use proto::token::v1::RotateSigningKeyRequest;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, time_if_any};
use crate::App;
use crate::tenant::Administrator;

/// How a rotation of the signing key stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct SigningKeyRotation {
    /// `started`, or `under way` when it was already.
    rotation: &'static str,
    /// From when the new key signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    signs_from: Option<String>,
}

/// Lets the next signing key take its turn.
///
/// It is published at once, signs ten minutes later, and the one before it goes ten minutes after that.
#[utoipa::path(
    post, path = "/signing-keys", operation_id = "rotateSigningKey", tag = "Platform",
    responses(
        (status = 200, description = "A rotation is under way already.", body = SigningKeyRotation),
        (status = 201, description = "The rotation has begun.", body = SigningKeyRotation),
    ),
)]
pub(crate) async fn rotate(
    State(app): State<App>,
    administrator: Administrator,
) -> Answer<(StatusCode, JsonBody<SigningKeyRotation>)> {
    let request = administrator.call(RotateSigningKeyRequest {})?;
    let answer = app.clients.keys.clone().rotate_signing_key(request).await?.into_inner();
    let signs_from = time_if_any(answer.signs_from_us);
    let (status, rotation) = match signs_from {
        Some(_) => (StatusCode::CREATED, "started"),
        None => (StatusCode::OK, "under way"),
    };
    Ok((status, JsonBody(SigningKeyRotation { rotation, signs_from })))
}
