//! Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a POST that is repeated is answered as the first time. The
//! token service keeps keys and answers, encrypted: there are secrets among them.
//!
//! Only an answer of success is kept. What was refused has changed nothing, so its key is free again ([`has_changed_nothing`]). Of
//! everything else nobody knows whether it was done: the key stays taken until the request counts as lost, after a minute.

use std::collections::BTreeMap;

use ::scim::ErrorKind;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use proto::token::v1::begin_request_response::State as Standing;
use proto::token::v1::{AbandonRequestRequest, BeginRequestRequest, FinishRequestRequest};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::Instrument;

use super::request::BODY_LIMIT;
use crate::App;
use crate::error::{Error, Problem, Result};
use crate::scim::request::read_behind_token;
use crate::tenant::Administrator;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is that of the first time.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The headers of an answer that are part of it.
const KEPT: [HeaderName; 4] =
    [CONTENT_TYPE, LOCATION, CACHE_CONTROL, HeaderName::from_static("rollcall-revision")];

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: BTreeMap<String, String>,
    /// Base64.
    body: String,
}

/// A key, and the attempt that has it.
struct Taken {
    key: String,
    attempt: String,
}

/// Around the handlers, behind the admin token.
pub(super) async fn once(
    State(app): State<App>,
    administrator: Administrator,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    match first_or_again(app, administrator, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn first_or_again(
    app: App,
    administrator: Administrator,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key = key(request.headers())?;
    let (request, fingerprint) = fingerprinted(&app, request).await?;
    let begin = administrator.call(BeginRequestRequest { key: key.clone(), fingerprint })?;
    let begun = app.clients.idempotency.clone().begin_request(begin).await?.into_inner();
    match begun.state() {
        Standing::New => {}
        Standing::Answered => return Ok(replay(&begun.answer)?),
        Standing::UnderWay => {
            let seconds = begun.retry_after_s.max(1);
            let detail = format!(
                "the request with this Idempotency-Key is under way, or it is not known what became of it: try again in {seconds} s"
            );
            return Err(Error::new(ErrorKind::Conflict, detail).retry_after(seconds.into()).into());
        }
        Standing::Misused => {
            let detail = "this Idempotency-Key was used for another request: use a new one";
            return Err(Problem::unprocessable(detail));
        }
        Standing::Unspecified => {
            return Err(Error::broken_contract("BeginRequest answered without the state").into());
        }
    }
    let taken = Taken { key, attempt: begun.attempt };
    // In a task of its own: a client that hangs up now and asks again must find the answer, not a deed done twice.
    let work = async move {
        let response = next.run(request).await;
        finish(&app, &administrator, taken, response).await
    };
    let done = tokio::spawn(work.in_current_span()).await;
    Ok(done.map_err(|_| {
        platform::Error::internal("a handler panicked; the panic message is on standard error")
    })?)
}

fn key(headers: &HeaderMap) -> Result<String> {
    let mut sent = headers.get_all(KEY).iter();
    let key = sent.next().and_then(|key| key.to_str().ok()).unwrap_or_default();
    let is_key = (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_key || sent.next().is_some() {
        let detail =
            "Idempotency-Key must be one value of 1 to 255 printable ASCII characters without spaces";
        return Err(Error::new(ErrorKind::InvalidValue, detail));
    }
    Ok(key.to_owned())
}

/// Reads the request, so that it can be told from others.
async fn fingerprinted(app: &App, request: Request) -> Result<(Request, Bytes)> {
    let (parts, body) = request.into_parts();
    let mut head = Request::new(body);
    *head.headers_mut() = parts.headers.clone();
    let body = read_behind_token(app, head, BODY_LIMIT).await?;
    let mut hash = Sha256::new();
    hash.update(parts.method.as_str());
    hash.update([0]);
    hash.update(parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str));
    hash.update([0]);
    hash.update(&body);
    let fingerprint = Bytes::copy_from_slice(&hash.finalize());
    Ok((Request::from_parts(parts, Body::from(body)), fingerprint))
}

/// Whether whoever gets this status can be certain that nothing was done. The draft leaves it to the server: an answer is to be
/// given again once the request has come to its end, "success or an error" (section 2.6), and of 4xx and 5xx the client shall
/// do what the server's documentation says (section 2.7).
///
/// A 4xx comes from before the write, or from a transaction that was rolled back: what is wrong is put right, and the same key may
/// be sent with it. (409 of a key that is under way does not get here.) Not 408, which says that somebody gave up
/// waiting; and not 5xx: an error of the connection, a time-out or a bug may come after the commit.
fn has_changed_nothing(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT
}

/// Keeps the answer, or gives the key free, or leaves it as it is. The deed is done either way, so the client is told so: if the
/// answer could not be kept, the request counts as lost after a minute.
async fn finish(app: &App, administrator: &Administrator, taken: Taken, response: Response) -> Response {
    let Taken { key, attempt } = taken;
    let mut idempotency = app.clients.idempotency.clone();
    let (parts, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Problem::from(platform::Error::internal(error)).into_response(),
    };
    let overtaken: Result<bool> = async {
        if parts.status.is_success() {
            let answer = kept(parts.status, &parts.headers, &body)?;
            let finish = administrator.call(FinishRequestRequest { key, answer, attempt })?;
            return Ok(idempotency.finish_request(finish).await?.into_inner().overtaken);
        }
        if has_changed_nothing(parts.status) {
            let abandon = administrator.call(AbandonRequestRequest { key, attempt })?;
            return Ok(idempotency.abandon_request(abandon).await?.into_inner().overtaken);
        }
        Ok(false)
    }
    .await;
    match overtaken {
        Ok(false) => {}
        Ok(true) => {
            let status = parts.status.as_u16();
            tracing::warn!(
                status,
                "a request took so long that another one with its Idempotency-Key was carried out meanwhile"
            );
        }
        Err(error) => {
            let kind = error.kind().name();
            tracing::warn!(error.kind = kind, "an Idempotency-Key could not be settled: {}", error.detail());
        }
    }
    Response::from_parts(parts, Body::from(body))
}

fn kept(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Bytes> {
    let named = |name: &HeaderName| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned()));
    let kept = Kept {
        status: status.as_u16(),
        headers: KEPT.iter().filter_map(named).collect(),
        body: STANDARD.encode(body),
    };
    Ok(serde_json::to_vec(&kept).map_err(platform::Error::internal)?.into())
}

fn replay(answer: &[u8]) -> Result<Response> {
    let Kept { status, headers, body } = serde_json::from_slice(answer).map_err(platform::Error::internal)?;
    let body = STANDARD.decode(body).map_err(platform::Error::internal)?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).map_err(platform::Error::internal)?;
    for (name, value) in headers {
        let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
