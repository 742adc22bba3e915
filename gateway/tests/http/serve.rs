//! The server on a real socket: what it does with clients that dawdle, and when it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use gateway::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Long enough for anything that is going to happen at all.
const PATIENCE: Duration = Duration::from_secs(20);

const REQUEST: &[u8] = b"GET /fast HTTP/1.1\r\nHost: h\r\n\r\n";

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
    /// A request of /slow has arrived.
    entered: Arc<Notify>,
    /// It may go on.
    release: Arc<Notify>,
}

impl Server {
    async fn start(config: Config) -> Self {
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (in_handler, go_on) = (entered.clone(), release.clone());
        let slow = async move || {
            in_handler.notify_one();
            go_on.notified().await;
            "slow"
        };
        let router = Router::new().route("/fast", get(|| async { "fast" })).route("/slow", get(slow));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let served = tokio::spawn(async move { gateway::serve(listener, router, &config, stopping).await });
        Self { address, stop, served, entered, release }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// What comes until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ =
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server hangs up");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer of a connection that stays open.
async fn answer(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut bytes = [0; 1024];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.expect("an answer").unwrap();
        assert!(read > 0, "the connection ended after {text:?}");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    text
}

#[tokio::test]
async fn who_never_finishes_a_request_head_is_cut_off() {
    let server = Server::start(Config { header_timeout_ms: 100, ..Config::default() }).await;
    // Not a byte; what may become HTTP/2; the beginning of a head.
    for begun in ["", "P", "PRI * HTTP/2.0\r\n", "GET /fast HT", "GET /fast HTTP/1.1\r\nHost: h\r\nX: "] {
        let mut stream = server.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(!answer.contains("200 OK"), "{begun:?}: {answer}");
    }
    // The second head of a connection is no different, and idling ends as well.
    for begun in ["GET /fast HT", ""] {
        let mut stream = server.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        answer(&mut stream, "fast").await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        rest(&mut stream).await;
    }
}

#[tokio::test]
async fn a_slow_answer_is_no_slow_request() {
    let server = Server::start(Config { header_timeout_ms: 50, ..Config::default() }).await;
    let mut stream = server.connect().await;
    // Shorter than the beginning of HTTP/2, as no real request is.
    stream.write_all(b"GET /slow HTTP/1.0\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.release.notify_one();
    assert!(rest(&mut stream).await.ends_with("slow"));
}

#[tokio::test]
async fn http_2_is_spoken_without_asking() {
    let server = Server::start(Config::default()).await;
    let mut stream = server.connect().await;
    // An empty SETTINGS frame follows the preface.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut frame)).await.unwrap().unwrap();
    assert_eq!(frame[3], 4, "a SETTINGS frame: {frame:?}");
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_nothing_more() {
    let server = Server::start(Config::default()).await;
    let (mut busy, mut idle) = (server.connect().await, server.connect().await);
    idle.write_all(REQUEST).await.unwrap();
    answer(&mut idle, "fast").await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    server.entered.notified().await;

    server.stop.cancel();
    assert_eq!(rest(&mut idle).await, "", "idle connections are closed");
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody is let in any more");
    assert!(!server.served.is_finished());
    server.release.notify_one();
    let finished = rest(&mut busy).await;
    assert!(finished.starts_with("HTTP/1.1 200 OK") && finished.ends_with("slow"), "{finished}");
    tokio::time::timeout(PATIENCE, server.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn there_are_only_so_many_connections() {
    let server = Server::start(Config { max_connections: 1, ..Config::default() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    let mut second = server.connect().await;
    second.write_all(REQUEST).await.unwrap();
    let mut byte = [0; 1];
    let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut byte)).await;
    assert!(early.is_err(), "the second waits while the first is there");
    server.release.notify_one();
    rest(&mut first).await;
    answer(&mut second, "fast").await;
}

#[tokio::test]
async fn a_head_may_not_be_endless() {
    let server = Server::start(Config::default()).await;
    let mut stream = server.connect().await;
    let head = format!("GET /fast HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    // It may be cut off before all of it is sent.
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = rest(&mut stream).await;
    assert!(!answer.contains("200 OK"), "{answer}");
}
