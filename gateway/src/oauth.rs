//! The OAuth 2.0 token endpoint (RFC 6749, client credentials), its metadata (RFC 8414) and keys (RFC 7517).
//!
//! Clients prove themselves with a secret (Basic or body) or with an assertion (RFC 7523). An assertion of their own names us
//! as its audience, by our issuer or the URL of the token endpoint. What we are called must then not come from the request:
//! else an assertion made for another server could be replayed here under that server's name. So `private_key_jwt` needs
//! `gateway.public_url`; where it is not set, only a client on the same machine can use it, which speaks to `localhost`.
//!
//! The issuer of the metadata is our URL. The access tokens themselves are opaque to clients: their `iss` is `rollcall`,
//! whatever URL they were got at, for the only ones to read them are our own services (docs/adr/0007).

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use platform::auth::Scope;
use proto::token::v1::{IssueTokenRequest, ListKeysRequest};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

use crate::config::Config;
use crate::error::{self, Error, Problem};
use crate::scim::request::{check_media_type, read};
use crate::{App, base_url};

const BODY_LIMIT: usize = 64 * 1024;
/// What a client made by an administrator may ask for.
const SCOPES: [Scope; 3] = [Scope::Scim, Scope::MembershipsRead, Scope::DirectoryRead];
/// What the token service verifies (its `domain/jwk.rs`; rollcall/tests/credentials.rs tries each).
const ASSERTION_ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
const FORM: &str = "application/x-www-form-urlencoded";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/oauth2/token", post(token))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .method_not_allowed_fallback(wrong_method)
}

async fn wrong_method(method: http::Method) -> Result<StatusCode, Problem> {
    Ok(error::wrong_method(method).await?)
}

/// An error of RFC 6749, section 5.2.
#[derive(Debug)]
struct Refusal {
    error: &'static str,
    description: String,
}

impl Refusal {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, description: description.into() }
    }

    fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    fn invalid_client() -> Self {
        Self::new("invalid_client", "the header Authorization must be `Basic <id and secret>`")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.error, "error_description": self.description}));
        if self.error == "invalid_client" {
            let challenge =
                [(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"rollcall\", charset=\"UTF-8\""))];
            return (StatusCode::UNAUTHORIZED, challenge, body).into_response();
        }
        (StatusCode::BAD_REQUEST, body).into_response()
    }
}

/// Secrets and tokens are kept by nobody on the way.
async fn token(State(app): State<App>, request: Request) -> Response {
    let mut response = match issue(&app, request).await {
        Ok(response) | Err(response) => response,
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

async fn issue(app: &App, request: Request) -> Result<Response, Response> {
    check_media_type(request.headers(), &[FORM])
        .map_err(|error| Refusal::invalid_request(error.detail()).into_response())?;
    let (parts, body) = request.into_parts();
    let origin =
        base_url::origin(&app.config, &parts).map_err(|error| Problem::from(error).into_response())?;
    let audiences = audiences(&app.config, &origin);
    let (headers, request) = (parts.headers.clone(), Request::from_parts(parts, body));
    let body = read(request, BODY_LIMIT).await.map_err(|error| Problem::from(error).into_response())?;
    let request = Fields::parse(&body)
        .and_then(|fields| grant(&headers, fields, audiences))
        .map_err(IntoResponse::into_response)?;
    match app.clients.oauth.clone().issue_token(request).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            let body = json!({
                "access_token": answer.access_token,
                "token_type": "Bearer",
                "expires_in": answer.expires_in_s,
                "scope": answer.scope,
            });
            Ok(Json(body).into_response())
        }
        Err(status) => Err(refused(status)),
    }
}

/// The parameters of a token request, each at most once (RFC 6749, section 3.2).
#[derive(Default)]
struct Fields {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    scope: Option<String>,
    client_assertion: Option<String>,
    client_assertion_type: Option<String>,
}

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            let field = match &*name {
                "grant_type" => &mut fields.grant_type,
                "client_id" => &mut fields.client_id,
                "client_secret" => &mut fields.client_secret,
                "scope" => &mut fields.scope,
                "client_assertion" => &mut fields.client_assertion,
                "client_assertion_type" => &mut fields.client_assertion_type,
                _ => continue,
            };
            // A parameter without a value is as if it were not there.
            if value.is_empty() {
                continue;
            }
            if field.replace(value.into_owned()).is_some() {
                return Err(Refusal::invalid_request(format!("{name} must not be sent twice")));
            }
        }
        Ok(fields)
    }
}

/// What an assertion may name as its audience; nothing where that would be for the request to say (see the module).
fn audiences(config: &Config, origin: &str) -> Vec<String> {
    let host = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    let host = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(host, _)| host);
    if config.public_url.is_empty() && !["localhost", "127.0.0.1", "[::1]"].contains(&host) {
        return Vec::new();
    }
    vec![origin.to_owned(), token_endpoint(origin)]
}

fn token_endpoint(origin: &str) -> String {
    format!("{origin}/oauth2/token")
}

/// What to ask the token service, from a complete and unambiguous request.
fn grant(headers: &HeaderMap, fields: Fields, audiences: Vec<String>) -> Result<IssueTokenRequest, Refusal> {
    match fields.grant_type.as_deref() {
        Some("client_credentials") => {}
        Some(_) => {
            return Err(Refusal::new(
                "unsupported_grant_type",
                "the one grant_type supported is client_credentials",
            ));
        }
        None => return Err(Refusal::invalid_request("grant_type is missing: it must be client_credentials")),
    }
    let request = IssueTokenRequest {
        client_id: fields.client_id.unwrap_or_default(),
        client_secret: fields.client_secret.unwrap_or_default(),
        scope: fields.scope.unwrap_or_default(),
        client_assertion: fields.client_assertion.unwrap_or_default(),
        client_assertion_type: fields.client_assertion_type.unwrap_or_default(),
        audiences,
    };
    let in_header = headers.get(AUTHORIZATION);
    let ways = [in_header.is_some(), !request.client_secret.is_empty(), !request.client_assertion.is_empty()];
    if ways.iter().filter(|way| **way).count() > 1 {
        return Err(Refusal::invalid_request(
            "authenticate in one way: by HTTP Basic, client_secret or client_assertion",
        ));
    }
    let Some(header) = in_header else {
        if request.client_assertion.is_empty()
            && (request.client_id.is_empty() || request.client_secret.is_empty())
        {
            return Err(Refusal::new(
                "invalid_client",
                "send client_id and client_secret, by HTTP Basic or in the body, or a client_assertion",
            ));
        }
        return Ok(request);
    };
    let (client_id, client_secret) = basic(header).ok_or_else(Refusal::invalid_client)?;
    if !request.client_id.is_empty() && request.client_id != client_id {
        return Err(Refusal::invalid_request("client_id in the body differs from the one of HTTP Basic"));
    }
    Ok(IssueTokenRequest { client_id, client_secret, ..request })
}

/// Id and secret of HTTP Basic, each form-encoded within (RFC 6749, section 2.3.1).
fn basic(header: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |part: &str| {
        // A client that did not encode: its `&` is part of the value.
        let pair = format!("part={}", part.replace('&', "%26"));
        form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}

fn refused(status: tonic::Status) -> Response {
    let named = status.get_details_error_info().and_then(|mut info| info.metadata.remove("oauth_error"));
    let description = status.message().to_owned();
    match (status.code(), named.as_deref()) {
        (Code::Unauthenticated, _) => Refusal::new("invalid_client", description).into_response(),
        (_, Some("invalid_scope")) => Refusal::new("invalid_scope", description).into_response(),
        (Code::InvalidArgument, _) => Refusal::invalid_request(description).into_response(),
        _ => Problem::from(Error::from(status)).into_response(),
    }
}

/// The keys that verify access tokens.
async fn jwks(State(app): State<App>) -> Result<Response, Problem> {
    let answer =
        app.clients.keys.clone().list_keys(ListKeysRequest {}).await.map_err(Error::from)?.into_inner();
    let headers = [(CONTENT_TYPE, "application/jwk-set+json"), (CACHE_CONTROL, "public, max-age=60")];
    Ok((headers, answer.jwks).into_response())
}

/// RFC 8414.
async fn metadata(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let origin = base_url::origin(&app.config, &parts)?;
    let mut methods = vec!["client_secret_basic", "client_secret_post"];
    if !audiences(&app.config, &origin).is_empty() {
        methods.push("private_key_jwt");
    }
    let body = json!({
        "issuer": origin,
        "token_endpoint": token_endpoint(&origin),
        "jwks_uri": format!("{origin}/.well-known/jwks.json"),
        "scopes_supported": SCOPES.map(|scope| scope.name()),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
    });
    Ok(Json(body).into_response())
}
