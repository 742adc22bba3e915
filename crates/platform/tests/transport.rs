//! Calls over real sockets to several replicas: spread, gone around, repeated only where that does no harm.
#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, these are their helpers")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use platform::Result;
use platform::server::{self, Health, serve_with};
use platform::transport::{self, Transport};
use proto::token::v1::keys_client::KeysClient;
use proto::token::v1::keys_server::{Keys, KeysServer};
use proto::token::v1::{
    ListKeysRequest, ListKeysResponse, RotateSigningKeyRequest, RotateSigningKeyResponse,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// What a replica does with calls.
#[derive(Clone)]
struct Service {
    calls: Arc<AtomicU32>,
    /// A call takes one and gives it back.
    turns: Arc<Semaphore>,
    unavailable: bool,
}

impl Service {
    async fn answer(&self) -> Result<(), Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let _turn = self.turns.acquire().await;
        if self.unavailable { Err(Status::unavailable("not now")) } else { Ok(()) }
    }
}

#[tonic::async_trait]
impl Keys for Service {
    async fn list_keys(&self, _: Request<ListKeysRequest>) -> Result<Response<ListKeysResponse>, Status> {
        self.answer().await?;
        Ok(Response::new(Default::default()))
    }

    async fn rotate_signing_key(
        &self,
        _: Request<RotateSigningKeyRequest>,
    ) -> Result<Response<RotateSigningKeyResponse>, Status> {
        self.answer().await?;
        Ok(Response::new(Default::default()))
    }
}

/// A running server.
struct Replica {
    address: SocketAddr,
    service: Service,
    health: Health,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Replica {
    async fn start(options: server::Options, unavailable: bool) -> Self {
        let service = Service {
            calls: Arc::default(),
            turns: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            unavailable,
        };
        let routes = Routes::new(KeysServer::new(service.clone()));
        let (routes, health) =
            server::with_changing_health(routes, &["rollcall.token.v1.Keys"]).await.unwrap();
        let verifier = testkit::tokens::verifier();
        let listener = server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let served = tokio::spawn(async move {
            serve_with(listener, routes, verifier, &options, stopped).await.unwrap();
        });
        Self { address, service, health, stop, served }
    }

    async fn plain() -> Self {
        Self::start(server::Options::default(), false).await
    }

    fn calls(&self) -> u32 {
        self.service.calls.load(Ordering::SeqCst)
    }

    async fn stop(self) {
        self.stop.cancel();
        self.served.await.unwrap();
    }
}

fn transport_to(addresses: &[String]) -> Transport {
    transport::balanced("token", addresses, &transport::Options::default(), None).unwrap()
}

fn to(replicas: &[&Replica]) -> KeysClient<Transport> {
    let addresses: Vec<String> =
        replicas.iter().map(|replica| format!("http://{}", replica.address)).collect();
    KeysClient::new(transport_to(&addresses))
}

async fn read(client: &KeysClient<Transport>) -> Result<(), Status> {
    client.clone().list_keys(ListKeysRequest::default()).await.map(|_| ())
}

async fn write(client: &KeysClient<Transport>) -> Result<(), Status> {
    client.clone().rotate_signing_key(RotateSigningKeyRequest::default()).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_spread_and_go_around_a_replica_that_is_gone() {
    let (one, other) = (Replica::plain().await, Replica::plain().await);
    let client = to(&[&one, &other]);
    // As soon as both names are looked up.
    let until = Instant::now() + Duration::from_secs(10);
    while one.calls() == 0 || other.calls() == 0 {
        assert!(Instant::now() < until, "{} and {}", one.calls(), other.calls());
        read(&client).await.unwrap();
    }
    let before = (one.calls(), other.calls());
    for _ in 0..100 {
        write(&client).await.unwrap();
    }
    let spread = (one.calls() - before.0, other.calls() - before.1);
    assert_eq!(spread.0 + spread.1, 100);
    assert!(spread.0 >= 20 && spread.1 >= 20, "{spread:?}");

    // Writes, too: what never left us may go elsewhere.
    one.stop().await;
    let before = other.calls();
    for _ in 0..100 {
        write(&client).await.unwrap();
    }
    assert_eq!(other.calls() - before, 100);
    other.stop().await;
    assert_eq!(write(&client).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_does_no_harm_is_asked_again() {
    let replica = Replica::start(server::Options::default(), true).await;
    let client = to(&[&replica]);
    assert_eq!(write(&client).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(replica.calls(), 1);
    assert_eq!(read(&client).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(replica.calls(), 5, "one and four attempts");
    // The budget: when everything fails, asking again must not multiply the load.
    for _ in 0..200 {
        read(&client).await.unwrap_err();
    }
    let calls = replica.calls() - 5;
    assert!((200..350).contains(&calls), "{calls} calls for 200 questions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_replica_refuses_at_once_and_another_answers() {
    let small = server::Options { max_calls: 1, ..server::Options::default() };
    let (full, free) = (Replica::start(small, false).await, Replica::plain().await);
    full.service.turns.forget_permits(Semaphore::MAX_PERMITS);
    let alone = to(&[&full]);
    let waiting = tokio::spawn({
        let alone = alone.clone();
        async move { write(&alone).await }
    });
    let until = Instant::now() + Duration::from_secs(10);
    while full.calls() == 0 {
        assert!(Instant::now() < until, "the first call did not arrive");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let began = Instant::now();
    assert_eq!(write(&alone).await.unwrap_err().code(), Code::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // Probes are let in.
    let mut health = HealthClient::new(transport_to(&[format!("http://{}", full.address)]));
    health.check(HealthCheckRequest::default()).await.unwrap();

    let client = to(&[&full, &free]);
    for _ in 0..50 {
        write(&client).await.unwrap();
    }
    assert_eq!((full.calls(), free.calls()), (1, 50), "a refused call was not looked at");
    full.service.turns.add_permits(1000);
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_says_so_and_answers_still() {
    let replica = Replica::plain().await;
    let address = [format!("http://{}", replica.address)];
    let mut health = HealthClient::new(transport_to(&address));
    for service in ["", "rollcall.token.v1.Keys"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.unwrap().get_ref().status();
        assert_eq!(status, ServingStatus::Serving, "{service:?}");
    }
    replica.health.drain().await;
    replica.health.set(true).await;
    assert!(!replica.health.is_ready());
    for service in ["", "rollcall.token.v1.Keys"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.unwrap().get_ref().status();
        assert_eq!(status, ServingStatus::NotServing, "{service:?}");
    }
    write(&to(&[&replica])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aged_connection_is_replaced_without_a_failure() {
    let options =
        server::Options { max_connection_age: Some(Duration::from_millis(50)), ..server::Options::default() };
    let replica = Replica::start(options, false).await;
    let client = to(&[&replica]);
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        write(&client).await.unwrap();
    }
}
