//! An OpenTelemetry collector: takes what is sent to it over OTLP/gRPC, and keeps it as it came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::{Request, Response, Status};

/// Serves as long as the runtime that it was started on. Clones share what came.
#[derive(Clone, Default)]
pub struct Collector {
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    traces: Vec<ExportTraceServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
}

impl Collector {
    /// Starts one on loopback; the endpoint for `telemetry.otlp_endpoint`.
    pub async fn start() -> Result<(Collector, String)> {
        let collector = Collector::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .add_service(MetricsServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)));
        Ok((collector, endpoint))
    }

    /// All spans, each with the name of the process that made it.
    pub fn spans(&self) -> Vec<(String, Span)> {
        let mut spans = Vec::new();
        for batch in self.received().traces.iter().flat_map(|request| &request.resource_spans) {
            let attributes = batch.resource.as_ref().map(|resource| resource.attributes.as_slice());
            let named =
                attributes.unwrap_or_default().iter().find(|attribute| attribute.key == "service.name");
            let Some(Value::StringValue(service)) = named.and_then(|named| named.value.clone()?.value) else {
                continue;
            };
            let all = batch.scope_spans.iter().flat_map(|scope| &scope.spans);
            spans.extend(all.map(|span| (service.clone(), span.clone())));
        }
        spans
    }

    /// Traces and metrics, with everything that is in them.
    pub fn text(&self) -> String {
        let received = self.received();
        format!("{:?}\n{:?}\n", received.traces, received.metrics)
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.received().traces.push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.received().metrics.push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
