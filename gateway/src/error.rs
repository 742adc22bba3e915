//! What is wrong, over HTTP: the one place where a kind becomes a status and a body.
//!
//! SCIM endpoints answer with the error message of RFC 7644, section 3.12; the admin API with RFC 9457
//! (`application/problem+json`), in [`Problem`]; OAuth has its own form (RFC 6749, section 5.2) in `oauth.rs`.

use std::any::Any;
use std::sync::Arc;

use ::scim::ErrorKind;
use axum::Extension;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::headers::SCIM_JSON;
use crate::journal::Failure;

/// `Result` with the gateway's [`Error`].
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// An unavailable service is worth another try after this long, seconds.
const RETRY_AFTER_S: u64 = 2;

/// An error on its way out. As a response it is the SCIM message.
#[derive(Debug)]
pub(crate) struct Error {
    inner: platform::Error,
    retry_after_s: Option<u64>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        platform::Error::new(kind, detail).into()
    }

    pub(crate) fn rate_limited(retry_after_s: u64) -> Self {
        let detail = format!("too many requests of this tenant: try again in {retry_after_s} s");
        Self::new(ErrorKind::RateLimited, detail).retry_after(retry_after_s)
    }

    /// Worth another try after this long, which goes into the header.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// A service answered something its contract rules out.
    pub(crate) fn broken_contract(what: &'static str) -> Self {
        platform::Error::internal(what).into()
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    pub(crate) fn detail(&self) -> &str {
        &self.inner.detail
    }

    pub(crate) fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync)> {
        self.inner.cause.as_deref()
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.inner.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// For the provisioning log.
    pub(crate) fn failure(&self) -> Failure {
        Failure { kind: self.inner.kind, detail: self.inner.detail.clone() }
    }

    /// As the error of one operation of a bulk, which is part of the answer's body. Logs what the client is not told.
    pub(crate) fn into_operation(self) -> ::scim::Error {
        self.log();
        let platform::Error { kind, detail, attribute, cause: _ } = self.inner;
        ::scim::Error { kind, detail, attribute }
    }

    fn log(&self) {
        if let Some(cause) = self.cause() {
            let kind = self.inner.kind.name();
            tracing::error!(error.kind = kind, error.cause = %cause, "request failed: {}", self.inner.detail);
        }
    }

    /// Logs what the client is not told, and gives the headers that go with the status.
    fn log_and_headers(&self) -> HeaderMap {
        self.log();
        let mut headers = HeaderMap::new();
        if self.inner.kind == ErrorKind::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"rollcall\""));
        }
        let passes = matches!(self.inner.kind, ErrorKind::Unavailable | ErrorKind::RateLimited);
        let retry_after_s = self.retry_after_s.or(passes.then_some(RETRY_AFTER_S));
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers
    }
}

impl From<platform::Error> for Error {
    fn from(inner: platform::Error) -> Self {
        Self { inner, retry_after_s: None }
    }
}

impl From<::scim::Error> for Error {
    fn from(error: ::scim::Error) -> Self {
        platform::Error::from(error).into()
    }
}

/// The answer of a service to a call made with our own access token.
impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        let error = platform::Error::from(status);
        if error.kind != ErrorKind::Unauthenticated {
            return error.into();
        }
        // The client's credential is good, we checked; it is our access token that was refused (a key rolled over,
        // clocks that differ). To tell the client 401 would make it give up its credential.
        let refused = format!("a service refused the gateway's access token: {}", error.detail);
        platform::Error::unavailable("the request could not be authorized right now; try again shortly")
            .with_cause(refused)
            .into()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let headers = self.log_and_headers();
        let body = ::scim::Error::new(self.inner.kind, self.inner.detail.clone()).to_json();
        let content_type = [(CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON))];
        let failure = Extension(Arc::new(self.failure()));
        (self.status(), content_type, headers, failure, body.to_string()).into_response()
    }
}

/// An error of the admin API: RFC 9457, with `attribute` where one is concerned.
#[derive(Debug)]
pub(crate) struct Problem {
    error: Error,
    status: Option<StatusCode>,
}

impl Problem {
    /// 422, which SCIM has no kind for.
    pub(crate) fn unprocessable(detail: &str) -> Self {
        let error = Error::new(ErrorKind::InvalidValue, detail);
        Self { error, status: Some(StatusCode::UNPROCESSABLE_ENTITY) }
    }
}

impl<E: Into<Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self { error: error.into(), status: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { error, status } = self;
        let headers = error.log_and_headers();
        let status = status.unwrap_or_else(|| error.status());
        let mut body = json!({
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "kind": error.inner.kind.name(),
            "detail": error.inner.detail,
        });
        if let Some(attribute) = &error.inner.attribute {
            body["attribute"] = attribute.as_str().into();
        }
        let content_type = [(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        (status, content_type, headers, body.to_string()).into_response()
    }
}

/// Nothing is mounted under this path.
pub(crate) async fn no_such_endpoint() -> Error {
    Error::new(ErrorKind::NotFound, "no such endpoint; SCIM is at /scim/v2, the admin API at /admin/v1")
}

/// The path exists, the method does not. axum adds `Allow`; to OPTIONS that header is the answer.
pub(crate) async fn wrong_method(method: Method) -> Result<StatusCode> {
    if method == Method::OPTIONS {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Error::new(
        ErrorKind::MethodNotAllowed,
        format!("{method} is not for this endpoint; the header Allow lists what is"),
    ))
}

/// A handler panicked: a bug. The client learns nothing of it but the request id.
pub(crate) fn panicked(_: Box<dyn Any + Send>) -> Response {
    Error::from(platform::Error::internal("a handler panicked; the panic message is on standard error"))
        .into_response()
}
