//! The service as production runs it (authentication, spans, metrics, deadlines), and a bare tonic server beside it.

use std::convert::Infallible;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use membership::index::{Index, Settings};
use platform::auth::Verifier;
use platform::clock::Clock;
use platform::db::cursor::Cursors;
use platform::{server, telemetry};
use proto::membership::v1::{CheckRequest, CheckResponse};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};

use crate::common;
use crate::tenant::Tenant;
use crate::token::Keys;

/// Both servers, which run as long as this process.
pub struct Serving {
    /// `http://127.0.0.1:PORT`
    pub rollcall: String,
    /// As `rollcall`.
    pub echo: String,
    pub index: Index,
    /// What the start has shown.
    pub rows: Vec<String>,
}

/// Serves the database, and returns when the tenant is in memory.
pub async fn start(tenant: &Tenant, database: &Path) -> Result<Serving> {
    let config = telemetry::Config {
        log: "info".into(),
        log_format: telemetry::LogFormat::Text,
        otlp_endpoint: String::new(),
    };
    let _until_the_end = telemetry::init(&config, "bench").map_err(anyhow::Error::msg)?;
    let config = platform::db::Config::Sqlite { path: database.to_owned() };
    let db = platform::db::Database::connect(&config).await?;
    migrations::up(db.migrator(), migrations::Service::Membership).await?;
    let cursors = Cursors::new(&"a key of the benchmark".into());
    let settings = Settings { budget: 4 << 30, ..Settings::default() };
    let service = membership::Service::new(db, Clock::system(), cursors).with_index(settings);
    let (index, stop) = (service.index(), CancellationToken::new());
    index.observe();
    tokio::spawn(index.clone().follow(stop.clone()));

    let rows = load(tenant, &index).await?;
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await?;
    let rollcall = format!("http://{}", listener.local_addr()?);
    let verifier = Verifier::new(Keys, Clock::system());
    let routes = server::with_health_and_reflection(service.routes(), &membership::SERVICES).await?;
    tokio::spawn(server::serve(listener, routes, verifier, stop));

    let listener = server::bind(([127, 0, 0, 1], 0).into()).await?;
    let echo = format!("http://{}", listener.local_addr()?);
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(tonic::transport::Server::builder().add_service(Echo).serve_with_incoming(incoming));
    Ok(Serving { rollcall, echo, index, rows })
}

async fn load(tenant: &Tenant, index: &Index) -> Result<Vec<String>> {
    while !index.status().is_fed {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (before, begun) = (common::resident(std::process::id())?, Instant::now());
    index.want(tenant.id());
    while !index.holds(tenant.id()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if index.status().refusals > 0 {
            bail!("the index did not take the tenant");
        }
    }
    let (took, edges) = (begun.elapsed(), tenant.edges() as f64);
    let grown = common::resident(std::process::id())?.saturating_sub(before) as f64;
    let counted = index.status().bytes as f64;
    Ok(vec![
        format!("| index: time to load it from SQLite | {} | |", common::time(took)),
        format!(
            "| index: bytes a membership, as counted; as resident memory grew, load included | {:.1}; {:.1} | < 16 |",
            counted / edges,
            grown / edges
        ),
    ])
}

/// Answers every `Check` with what a member would get. No layers: what tonic itself costs.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "rollcall.membership.v1.Memberships";
}

impl UnaryService<CheckRequest> for Echo {
    type Response = CheckResponse;
    type Future = std::future::Ready<Result<tonic::Response<CheckResponse>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let named = request.get_ref().user.is_some() && request.get_ref().group.is_some();
        std::future::ready(Ok(tonic::Response::new(CheckResponse {
            member: named,
            revision: "AAAAAAAAAAAAAAAAAAAAAA".into(),
        })))
    }
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut grpc = Grpc::new(tonic_prost::ProstCodec::<CheckResponse, CheckRequest>::default());
        Box::pin(async move { Ok(grpc.unary(Echo, request).await) })
    }
}
