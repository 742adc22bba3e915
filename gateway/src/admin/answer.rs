//! What the answers of the admin API have in common.

use axum::Json;
use http::header::CACHE_CONTROL;
use http::{HeaderName, StatusCode};
use platform::clock::Timestamp;

use crate::error::{Error, Problem, Result};

/// What a handler gives.
pub(super) type Answer<T> = Result<T, Problem>;

/// An answer that holds a secret: nobody between us and the client may keep it.
pub(super) type Secret<T> = (StatusCode, [(HeaderName, &'static str); 1], Json<T>);

/// 201 with what was made and its secret.
pub(super) fn secret<T>(body: T) -> Secret<T> {
    (StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(body))
}

/// What an answer of a service must hold.
///
/// # Errors
/// `Internal` when it does not.
pub(super) fn promised<T>(part: Option<T>, or_else: &'static str) -> Result<T> {
    part.ok_or_else(|| Error::broken_contract(or_else))
}

/// RFC 3339, from microseconds since the Unix epoch, UTC.
pub(super) fn time(micros: i64) -> String {
    Timestamp::from_micros(micros).to_rfc3339()
}

/// As [`time`]; none for 0, which stands for never.
pub(super) fn time_if_any(micros: i64) -> Option<String> {
    (micros != 0).then(|| time(micros))
}

/// As [`Option`], for what services leave empty.
pub(super) fn text_if_any(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
