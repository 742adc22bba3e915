//! The keys that sign access tokens.

use axum::Json as JsonBody;
use axum::extract::State;
use http::StatusCode;
use platform::clock::Timestamp;
use proto::token::v1::RotateSigningKeyRequest;
use serde_json::{Value, json};

use crate::App;
use crate::error::{Error, Problem, Result};
use crate::tenant::Administrator;

/// Lets the next key take its turn: 201 with the time from which it signs, or 200 when a rotation is under way already.
pub(crate) async fn rotate(
    State(app): State<App>,
    administrator: Administrator,
) -> Result<(StatusCode, JsonBody<Value>), Problem> {
    let request = administrator.call(RotateSigningKeyRequest {})?;
    let answer =
        app.clients.keys.clone().rotate_signing_key(request).await.map_err(Error::from)?.into_inner();
    if answer.signs_from_us == 0 {
        return Ok((StatusCode::OK, JsonBody(json!({"rotation": "under way"}))));
    }
    let signs_from = Timestamp::from_micros(answer.signs_from_us).to_rfc3339();
    Ok((StatusCode::CREATED, JsonBody(json!({"rotation": "started", "signs_from": signs_from}))))
}
