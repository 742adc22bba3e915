//! Calls between processes over mutual TLS, over real sockets: who is heard, and certificates that change under way.
#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, these are their helpers")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use platform::Result;
use platform::clock::Clock;
use platform::server::{self, serve_with};
use platform::tls::{Config, Tls};
use platform::transport::{self, Transport};
use testkit::authority::{Authority, Mounted, Pem};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Valid until the end of this year, where it does not matter.
const YEAR: i32 = 2099;

fn authority() -> Authority {
    Authority::new().unwrap()
}

fn issue(authority: &Authority, name: &str) -> Pem {
    authority.issue(&[name], YEAR).unwrap()
}

fn certificate(pem: &Pem) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.cert.as_bytes()).unwrap()
}

fn mount(pem: &Pem) -> Mounted {
    Mounted::new(pem).unwrap()
}

fn config(files: &Mounted) -> Config {
    Config {
        ca_file: files.path("ca.crt"),
        cert_file: files.path("tls.crt"),
        key_file: files.path("tls.key"),
    }
}

fn load(files: &Mounted) -> Tls {
    Tls::load(&config(files), "grpc.tls").unwrap().unwrap()
}

/// A server that shows a certificate of the authority, the files of which are mounted.
async fn served(authority: &Authority) -> (Pem, Mounted, Tls, Server) {
    let pem = issue(authority, "localhost");
    let files = mount(&pem);
    let tls = load(&files);
    let server = Server::start(tls.clone()).await;
    (pem, files, tls, server)
}

/// A server that answers only for its health, until it is dropped.
struct Server {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Server {
    async fn start(tls: Tls) -> Self {
        let routes = server::with_health_and_reflection(Routes::default(), &[]).await.unwrap();
        let listener = server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let options = server::Options { tls: Some(tls), ..server::Options::default() };
        let verifier = testkit::tokens::verifier();
        tokio::spawn(async move { serve_with(listener, routes, verifier, &options, stopped).await.unwrap() });
        Self { address, _stop: stop.drop_guard() }
    }

    /// A way to it that nothing has gone yet.
    fn reach(&self, tls: &Tls) -> Transport {
        to(&format!("https://localhost:{}", self.address.port()), Some(tls))
    }

    /// What it shows to who comes with these files.
    async fn shows(&self, to: &Pem) -> std::io::Result<CertificateDer<'static>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(to.ca.as_bytes()).unwrap()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(to.key.as_bytes()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate(to)], key)
            .unwrap();
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Ok(stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
    }
}

fn to(address: &str, tls: Option<&Tls>) -> Transport {
    transport::balanced("token", &[address.to_owned()], &transport::Options::default(), tls).unwrap()
}

async fn call(transport: Transport) -> Result<(), Status> {
    HealthClient::new(transport).check(HealthCheckRequest::default()).await.map(|_| ())
}

async fn assert_unheard(transport: Transport) {
    let error = call(transport).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_processes_with_certificates_of_ours_are_heard() {
    let (ours, theirs) = (authority(), authority());
    let server = Server::start(load(&mount(&issue(&ours, "localhost")))).await;
    let gateway = issue(&ours, "gateway");
    let good = load(&mount(&gateway));
    call(server.reach(&good)).await.unwrap();

    // A stranger's certificate, none at all, and a server under a name that its certificate is not for.
    let stranger = load(&mount(&Pem { ca: gateway.ca.clone(), ..issue(&theirs, "gateway") }));
    assert_unheard(server.reach(&stranger)).await;
    assert_unheard(to(&format!("http://localhost:{}", server.address.port()), None)).await;
    assert_unheard(to(&format!("https://{}", server.address), Some(&good))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_and_a_new_authority_are_used_without_a_restart() {
    let (old, new) = (authority(), authority());
    let (old_gateway, new_gateway) = (issue(&old, "gateway"), issue(&new, "gateway"));
    let (old_server, new_server) = (issue(&old, "localhost"), issue(&new, "localhost"));
    let (server_files, gateway_files) = (mount(&old_server), mount(&old_gateway));
    let (server_tls, gateway_tls) = (load(&server_files), load(&gateway_files));
    let server = Server::start(server_tls.clone()).await;
    let open_before = server.reach(&gateway_tls);
    call(open_before.clone()).await.unwrap();
    let unused_before = server.reach(&gateway_tls);
    assert_eq!(server.shows(&old_gateway).await.unwrap(), certificate(&old_server));
    assert!(!server_tls.reload().unwrap(), "nothing has changed");

    // While both authorities hold, either certificate is taken: so it is done without a failure.
    let both = format!("{}{}", old_server.ca, new_server.ca);
    server_files.publish(&Pem { ca: both, ..old_server.clone() }).unwrap();
    assert!(server_tls.reload().unwrap());
    call(server.reach(&gateway_tls)).await.unwrap();
    let new_gateway_early = Pem { ca: old_gateway.ca.clone(), ..new_gateway.clone() };
    call(server.reach(&load(&mount(&new_gateway_early)))).await.unwrap();

    server_files.publish(&new_server).unwrap();
    assert!(server_tls.reload().unwrap());
    assert_eq!(server.shows(&new_gateway).await.unwrap(), certificate(&new_server));
    // The server takes nobody from before, and nobody from before takes the server.
    let old_but_trusting = Pem { ca: new_server.ca.clone(), ..old_gateway.clone() };
    assert_unheard(server.reach(&load(&mount(&old_but_trusting)))).await;
    assert!(server.shows(&old_gateway).await.is_err());

    // The calling side: a transport that was made with the old files.
    gateway_files.publish(&new_gateway).unwrap();
    assert!(gateway_tls.reload().unwrap());
    call(unused_before).await.unwrap();
    // What was open stays open: calls under way are not cut off.
    call(open_before).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_files_are_refused_and_those_from_before_stay_in_use() {
    let authority = authority();
    let other = issue(&authority, "localhost");
    let (good, files, tls, server) = served(&authority).await;
    let half = |text: &str| text[..text.len() / 2].to_owned();
    for (key, broken) in [
        ("key_file", Pem { key: half(&other.key), ..other.clone() }),
        ("key_file", Pem { key: other.key.clone(), ..good.clone() }),
        ("key_file", Pem { key: String::new(), ..other.clone() }),
        ("cert_file", Pem { cert: half(&other.cert), ..other.clone() }),
        ("cert_file", Pem { cert: String::new(), ..other.clone() }),
        ("ca_file", Pem { ca: format!("{}{}", good.ca, half(&good.ca)), ..other.clone() }),
        ("ca_file", Pem { ca: "planet earth".to_owned(), ..other.clone() }),
    ] {
        files.publish(&broken).unwrap();
        let error = tls.reload().unwrap_err().to_string();
        let path = match key {
            "ca_file" => files.path("ca.crt"),
            "cert_file" => files.path("tls.crt"),
            _ => files.path("tls.key"),
        };
        assert!(error.contains(&format!("grpc.tls.{key}")), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(!error.contains(&half(&other.key)[30..]), "{error}");
        assert_eq!(server.shows(&good).await.unwrap(), certificate(&good), "{error}");
    }
    std::fs::remove_file(files.path("..data")).unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("cannot be read"));
    assert_eq!(server.shows(&good).await.unwrap(), certificate(&good));

    files.publish(&other).unwrap();
    assert!(tls.reload().unwrap());
    assert_eq!(server.shows(&good).await.unwrap(), certificate(&other));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_followed_and_what_comes_of_it_is_in_the_metrics() {
    let authority = authority();
    let second = issue(&authority, "localhost");
    let (first, files, tls, server) = served(&authority).await;
    let stop = CancellationToken::new();
    let following =
        tokio::spawn(tls.clone().follow(Duration::from_millis(10), Clock::system(), stop.clone()));

    files.publish(&Pem { key: first.key.clone(), ..second.clone() }).unwrap();
    until(async || metric("rollcall_tls_reload_failures_total") >= 2.0).await;
    assert_eq!(server.shows(&first).await.unwrap(), certificate(&first));
    files.publish(&second).unwrap();
    until(async || server.shows(&first).await.unwrap() == certificate(&second)).await;

    let expected = tls.valid_for(&Clock::system());
    let told = metric("rollcall_tls_certificate_expiry_seconds");
    assert!((told - expected).abs() < 100.0, "{told} is not about {expected}");
    stop.cancel();
    following.await.unwrap();
}

#[test]
fn validity_is_that_of_the_certificate() {
    let files = mount(&authority().issue(&["localhost"], 2029).unwrap());
    let expires = 1_893_456_000; // 2030-01-01
    let clock = Clock::manual(platform::clock::Timestamp::from_micros((expires - 60) * 1_000_000));
    let tls = load(&files);
    assert_eq!(tls.valid_for(&clock), 60.0);
    clock.advance(Duration::from_secs(61));
    assert_eq!(tls.valid_for(&clock), -1.0);
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    let files = mount(&issue(&authority(), "a"));
    let good = config(&files);
    assert!(Tls::load(&Config::default(), "grpc.tls").unwrap().is_none());
    let fault = |config: Config| Tls::load(&config, "grpc.tls").err().unwrap().to_string();
    let text = fault(Config { key_file: "".into(), ..good.clone() });
    assert!(text.contains("grpc.tls.key_file is empty"), "{text}");
    let text = fault(Config { ca_file: "/nowhere".into(), ..good.clone() });
    assert!(text.contains("grpc.tls.ca_file") && text.contains("/nowhere"), "{text}");
    let text = fault(Config { cert_file: good.key_file.clone(), ..good.clone() });
    assert!(text.contains("grpc.tls.cert_file") && text.contains("CERTIFICATE"), "{text}");
}

/// Waits until it is so.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("not so in 20 s");
}

/// The value of a metric without labels; not a number before it is there.
fn metric(name: &str) -> f64 {
    let text = platform::metrics::metrics().text().unwrap();
    let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
    line.map_or(f64::NAN, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}
