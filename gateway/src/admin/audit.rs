//! Who changed what: the audits of token and identity as one, by time, latest first.

use ::scim::ErrorKind;
use axum::Json as JsonBody;
use axum::extract::{FromRequestParts, Query, State};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use proto::common::v1::{AuditEvent, AuditQuery};
use proto::{identity, token};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, text_if_any, time};
use super::request::{self, Named};
use crate::App;
use crate::error::{Error, Problem, Result};
use crate::tenant::Administrator;

const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// Which events.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Not before.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before.
    #[param(format = DateTime)]
    until: Option<String>,
    /// At most this many. 0: 100.
    #[param(minimum = 0, maximum = 1000, default = 100)]
    page_size: i32,
    /// `next_page_token` of the page before, together with the same `from` and `until`; left out for the first.
    #[param(required = false)]
    page_token: String,
}

/// Whose events.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Whose {
    /// Only of the tenant of this id or name; left out for all, and for what belongs to no tenant.
    tenant: Option<String>,
}

impl FromRequestParts<App> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Answer<Self> {
        let wanted = Query::<Self>::try_from_uri(&parts.uri);
        let wanted = wanted.map(|Query(wanted)| wanted).ok().filter(|wanted| wanted.page_size >= 0);
        Ok(wanted.ok_or_else(|| {
            Error::new(ErrorKind::InvalidValue, "page_size must be an integer from 1 to 1000")
        })?)
    }
}

/// One deed.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub(crate) struct ShownEvent {
    /// Unique within its service.
    id: String,
    /// Which service wrote it down: `identity` or `token`.
    service: &'static str,
    #[schema(format = DateTime)]
    at: String,
    /// Who: the id of an admin token or of an OAuth client; `system` for the platform itself.
    actor: String,
    /// What was done, e.g. `tenant.updated`.
    action: String,
    /// Left out for what belongs to no tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
    /// To which resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<String>,
    /// What was different before. Never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// What is different now. Never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
    /// Correlation id of the HTTP request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// A page of the audit, latest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditEvents {
    events: Vec<ShownEvent>,
    /// For the next page; left out on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// Lists what administrators changed, latest first, a page at a time.
#[utoipa::path(
    get, path = "/audit", operation_id = "listAuditEvents", tag = "Audit",
    params(Whose, Wanted),
    responses((status = 200, description = "A page of the audit.", body = AuditEvents)),
)]
pub(crate) async fn all(
    State(app): State<App>,
    administrator: Administrator,
    Query(Whose { tenant }): Query<Whose>,
    wanted: Wanted,
) -> Answer<JsonBody<AuditEvents>> {
    let tenant_id = match tenant {
        None => String::new(),
        Some(id_or_name) => request::tenant(&app, &administrator, &id_or_name).await?.id,
    };
    Ok(JsonBody(page(&app, &administrator, tenant_id, wanted).await?))
}

/// Lists what administrators changed of a tenant, latest first, a page at a time.
#[utoipa::path(
    get, path = "/tenants/{tenant}/audit", operation_id = "listAuditEventsOfTenant", tag = "Audit",
    params(Wanted),
    responses((status = 200, description = "A page of the audit.", body = AuditEvents)),
)]
pub(crate) async fn of_tenant(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
    wanted: Wanted,
) -> Answer<JsonBody<AuditEvents>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    Ok(JsonBody(page(&app, &administrator, tenant_id, wanted).await?))
}

/// Where a walk through the audits has got to.
#[derive(Serialize, Deserialize)]
struct Position {
    /// Events from here on came after the walk began, and are not part of it.
    until_us: i64,
    /// How far each service's audit was read; none when that is at its end.
    sources: [Option<String>; 2],
}

/// The services that keep an audit, in the order of [`Position::sources`].
#[derive(Clone, Copy)]
enum Source {
    Token,
    Identity,
}

const SOURCES: [Source; 2] = [Source::Token, Source::Identity];

async fn page(
    app: &App,
    administrator: &Administrator,
    tenant_id: String,
    wanted: Wanted,
) -> Result<AuditEvents> {
    let from_us = request::micros_if_any("from", wanted.from.as_deref())?;
    let until_us = request::micros_if_any("until", wanted.until.as_deref())?;
    let size = match usize::try_from(wanted.page_size) {
        Err(_) | Ok(0) => DEFAULT_PAGE,
        Ok(size) => size.min(LARGEST_PAGE),
    };
    let start = match wanted.page_token.as_str() {
        "" => Position { until_us, sources: [Some(String::new()), Some(String::new())] },
        token => Position::parse(token)?,
    };
    let read = Reading { app, administrator, tenant_id, from_us, until_us: start.until_us };
    let mut pages = [Page::default(), Page::default()];
    for (at, source) in SOURCES.into_iter().enumerate() {
        if let Some(token) = &start.sources[at] {
            pages[at] = read.page(source, token, size).await?;
        }
    }
    let taken = merge(&pages, size);

    let mut position = Position { until_us: start.until_us, sources: [None, None] };
    if position.until_us == 0 {
        // What comes from now on would move what is still to be read.
        let latest = pages.iter().filter_map(|page| page.events.first()).map(|event| event.at_us).max();
        position.until_us = latest.map_or(0, |latest| latest + 1);
    }
    for (at, source) in SOURCES.into_iter().enumerate() {
        let of_this = taken.iter().filter(|(from, _)| *from == at).count();
        let page = &pages[at];
        position.sources[at] = match of_this {
            all if all == page.events.len() => text_if_any(page.next.clone()),
            0 => start.sources[at].clone(),
            // It was not read to its end: where the part that was taken ends, only its service can tell.
            some => {
                let token = start.sources[at].as_deref().unwrap_or_default();
                text_if_any(read.page(source, token, some).await?.next)
            }
        };
    }
    let mut events = Vec::with_capacity(taken.len());
    for (at, index) in taken {
        events.push(ShownEvent::of(SOURCES[at], &pages[at].events[index])?);
    }
    Ok(AuditEvents { events, next_page_token: position.token()? })
}

/// The latest so many of both, each as source and index. Ends early where one of them has more to tell before.
fn merge(pages: &[Page; 2], size: usize) -> Vec<(usize, usize)> {
    let mut next = [0, 0];
    let mut taken = Vec::new();
    while taken.len() < size {
        let read_to_its_end = |at: usize| next[at] == pages[at].events.len() && !pages[at].next.is_empty();
        if read_to_its_end(0) || read_to_its_end(1) {
            break;
        }
        let at = match (pages[0].events.get(next[0]), pages[1].events.get(next[1])) {
            (None, None) => break,
            (Some(_), None) => 0,
            (None, Some(_)) => 1,
            (Some(one), Some(other)) => usize::from(one.at_us < other.at_us),
        };
        taken.push((at, next[at]));
        next[at] += 1;
    }
    taken
}

#[derive(Default)]
struct Page {
    events: Vec<AuditEvent>,
    next: String,
}

struct Reading<'a> {
    app: &'a App,
    administrator: &'a Administrator,
    tenant_id: String,
    from_us: i64,
    until_us: i64,
}

impl Reading<'_> {
    async fn page(&self, source: Source, page_token: &str, size: usize) -> Result<Page> {
        let query = Some(AuditQuery {
            tenant_id: self.tenant_id.clone(),
            from_us: self.from_us,
            until_us: self.until_us,
            page_size: i32::try_from(size).unwrap_or(i32::MAX),
            page_token: page_token.to_owned(),
        });
        Ok(match source {
            Source::Token => {
                let request = self.administrator.call(token::v1::ListAuditEventsRequest { query })?;
                let mut audit = self.app.clients.token_audit.clone();
                let answer = audit.list_audit_events(request).await?.into_inner();
                Page { events: answer.events, next: answer.next_page_token }
            }
            Source::Identity => {
                let request = self.administrator.call(identity::v1::ListAuditEventsRequest { query })?;
                let mut audit = self.app.clients.identity_audit.clone();
                let answer = audit.list_audit_events(request).await?.into_inner();
                Page { events: answer.events, next: answer.next_page_token }
            }
        })
    }
}

impl Position {
    fn parse(token: &str) -> Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        let position = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        position.ok_or_else(|| {
            let detail = "page_token must be the `next_page_token` of the page before";
            Error::new(ErrorKind::InvalidValue, detail)
        })
    }

    /// None at the end.
    fn token(&self) -> Result<Option<String>> {
        if self.sources.iter().all(Option::is_none) {
            return Ok(None);
        }
        let json = serde_json::to_vec(self).map_err(platform::Error::internal)?;
        Ok(Some(URL_SAFE_NO_PAD.encode(json)))
    }
}

impl ShownEvent {
    fn of(source: Source, event: &AuditEvent) -> Result<Self> {
        let AuditEvent { id, at_us, actor, tenant_id, action, resource_id, before, after, request_id } =
            event.clone();
        let json = |bytes: &[u8]| match bytes {
            b"" => Ok(None),
            bytes => serde_json::from_slice(bytes).map(Some).map_err(platform::Error::internal),
        };
        Ok(Self {
            id,
            service: match source {
                Source::Token => "token",
                Source::Identity => "identity",
            },
            at: time(at_us),
            actor,
            action,
            tenant_id: text_if_any(tenant_id),
            resource_id: text_if_any(resource_id),
            before: json(&before)?,
            after: json(&after)?,
            request_id: text_if_any(request_id),
        })
    }
}
