//! Everything there is of a tenant, as lines of JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use proto::token::v1::{ListClientsRequest, ListCredentialsRequest, ListIssuersRequest, Tenant};
use proto::{identity, membership};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::Instrument;
use utoipa::ToSchema;

use super::answer::Answer;
use super::clients::ShownClient;
use super::credentials::ShownCredential;
use super::issuers::ShownIssuer;
use super::request::{self, Named};
use super::tenants::ShownTenant;
use crate::App;
use crate::error::Result;
use crate::tenant::{self, Administrator};

/// A service may take this long to tell everything.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Lines are sent on in pieces of about this size.
const PIECE: usize = 32 * 1024;
/// So many pieces wait for a slow reader; then the services wait, too.
const PIECES_AHEAD: usize = 4;

/// A line of an export.
#[derive(ToSchema)]
#[schema(as = ExportLine)]
#[expect(dead_code, reason = "describes what `Lines` writes, for the document")]
pub(crate) struct Line {
    /// `tenant` (first), `credential`, `client`, `issuer`, `schema`, `team`, `user`, `suspended_user`, `group`, `member`,
    /// `end` (last).
    r#type: String,
    /// What it says. Of `end`: how many lines of each type came before.
    #[schema(value_type = Object)]
    data: Value,
}

/// Exports everything there is of a tenant, one JSON object a line.
///
/// Users and groups as they are stored, facts about tokens and clients without their secrets. An export that does not
/// end with a line of type `end` is not complete.
#[utoipa::path(
    get, path = "/tenants/{tenant}/export", operation_id = "exportTenant", tag = "Tenants",
    responses((status = 200, description = "Lines of JSON.", body = Line, content_type = "application/x-ndjson")),
)]
pub(crate) async fn run(
    State(app): State<App>,
    administrator: Administrator,
    headers: HeaderMap,
    Named(id_or_name): Named<String>,
) -> Answer<Response> {
    let tenant = request::tenant(&app, &administrator, &id_or_name).await?;
    let tenant_id = tenant.id.clone();
    // What can fail as a whole fails before the answer begins.
    let facts = Facts::gather(&app, &administrator, tenant).await?;
    let users = users(&app, &administrator, &tenant_id).await?;
    let (pieces, to_send) = mpsc::channel(PIECES_AHEAD);
    let name = format!("attachment; filename=\"rollcall-{tenant_id}.ndjson\"");
    let lines = Lines { pieces, piece: BytesMut::new(), counts: BTreeMap::new() };
    tokio::spawn(tell_all(app, headers, tenant_id, facts, users, lines).in_current_span());

    let body = stream::unfold(to_send, async |mut to_send| Some((to_send.recv().await?, to_send)));
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(HeaderValue::try_from(name).ok().map(|name| (CONTENT_DISPOSITION, name)));
    Ok(response)
}

/// What the token service knows of the tenant: little enough to have at hand.
struct Facts {
    tenant: ShownTenant,
    credentials: Vec<ShownCredential>,
    clients: Vec<ShownClient>,
    issuers: Vec<ShownIssuer>,
}

impl Facts {
    async fn gather(app: &App, administrator: &Administrator, tenant: Tenant) -> Result<Self> {
        let tenant_id = tenant.id.clone();
        let request = administrator.call(ListCredentialsRequest { tenant_id: tenant_id.clone() })?;
        let credentials = app.clients.credentials.clone().list_credentials(request).await?.into_inner();
        let request = administrator.call(ListIssuersRequest { tenant_id: tenant_id.clone() })?;
        let issuers = app.clients.issuers.clone().list_issuers(request).await?.into_inner();
        let mut clients = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = administrator.call(ListClientsRequest { page_size: 1000, page_token })?;
            let page = app.clients.clients.clone().list_clients(request).await?.into_inner();
            for client in page.clients {
                if client.tenant_id == tenant_id {
                    clients.push(ShownClient::of(client)?);
                }
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(Self {
            tenant: ShownTenant::of(tenant)?,
            credentials: credentials.credentials.into_iter().map(ShownCredential::of).collect(),
            clients,
            issuers: issuers.issuers.into_iter().map(ShownIssuer::of).collect(),
        })
    }
}

pub(super) async fn users(
    app: &App,
    administrator: &Administrator,
    tenant_id: &str,
) -> Result<tonic::Streaming<identity::v1::ExportTenantResponse>> {
    let message = identity::v1::ExportTenantRequest { tenant_id: tenant_id.to_owned() };
    let mut request = administrator.call(message)?;
    request.set_timeout(PATIENCE);
    Ok(app.clients.identity_data.clone().export_tenant(request).await?.into_inner())
}

async fn groups(
    app: &App,
    administrator: &Administrator,
    tenant_id: &str,
) -> Result<tonic::Streaming<membership::v1::ExportTenantResponse>> {
    let message = membership::v1::ExportTenantRequest { tenant_id: tenant_id.to_owned() };
    let mut request = administrator.call(message)?;
    request.set_timeout(PATIENCE);
    Ok(app.clients.membership_data.clone().export_tenant(request).await?.into_inner())
}

/// Writes all lines, until the client hangs up. What fails on the way breaks the answer off.
async fn tell_all(
    app: App,
    headers: HeaderMap,
    tenant_id: String,
    facts: Facts,
    mut users: tonic::Streaming<identity::v1::ExportTenantResponse>,
    mut lines: Lines,
) {
    let told: Result<()> = async {
        lines.add("tenant", &facts.tenant).await?;
        for credential in &facts.credentials {
            lines.add("credential", credential).await?;
        }
        for client in &facts.clients {
            lines.add("client", client).await?;
        }
        for issuer in &facts.issuers {
            lines.add("issuer", issuer).await?;
        }
        while let Some(thing) = users.next().await {
            let thing = thing?;
            lines.add_json(&thing.kind, &thing.json).await?;
        }
        // The access token of the beginning may have run out meanwhile, and the admin token may have been revoked.
        let administrator = tenant::administrator(&app, &headers).await?;
        let mut groups = groups(&app, &administrator, &tenant_id).await?;
        while let Some(thing) = groups.next().await {
            let thing = thing?;
            lines.add_json(&thing.kind, &thing.json).await?;
        }
        let counts = std::mem::take(&mut lines.counts);
        lines.add("end", &serde_json::json!({ "counts": counts })).await?;
        lines.send().await
    }
    .await;
    if let Err(error) = told {
        let kind = error.kind().name();
        tracing::warn!(error.kind = kind, "the export of tenant {tenant_id} broke off: {}", error.detail());
        // If nobody listens any more, that is why.
        let _ = lines.pieces.send(Err("the export broke off")).await;
    }
}

/// The lines on their way to the client.
struct Lines {
    pieces: mpsc::Sender<Result<Bytes, &'static str>>,
    piece: BytesMut,
    counts: BTreeMap<String, u64>,
}

impl Lines {
    async fn add(&mut self, kind: &str, data: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec(data).map_err(platform::Error::internal)?;
        self.add_json(kind, &json).await
    }

    async fn add_json(&mut self, kind: &str, json: &[u8]) -> Result<()> {
        // Only what is one JSON value without a line break leaves a file of lines readable.
        serde_json::from_slice::<IgnoredAny>(json).map_err(platform::Error::internal)?;
        if json.contains(&b'\n') {
            return Err(platform::Error::internal("a service exported JSON with line breaks").into());
        }
        self.piece.put_slice(b"{\"type\":");
        serde_json::to_writer((&mut self.piece).writer(), kind).map_err(platform::Error::internal)?;
        self.piece.put_slice(b",\"data\":");
        self.piece.put_slice(json);
        self.piece.put_slice(b"}\n");
        *self.counts.entry(kind.to_owned()).or_default() += 1;
        if self.piece.len() >= PIECE { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<()> {
        let piece = self.piece.split().freeze();
        let sent = self.pieces.send(Ok(piece)).await;
        sent.map_err(|_| platform::Error::unavailable("the client hung up").into())
    }
}
