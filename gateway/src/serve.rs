//! HTTP on a socket: limits that a client cannot talk its way around, and a shutdown that finishes what is under way.
//!
//! `axum::serve` would do, but for its patience: a client that never finishes its request head holds a connection for ever.
//! So here hyper is set up by hand, and guarded in the one place where it has no time limit of its own: [`Guarded`].

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::Config;

/// The longest request head, bytes. A filter of the greatest length, percent-encoded, and a JWT fit in.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Requests at once on one connection of HTTP/2.
const MAX_STREAMS: u32 = 250;
/// A peer that is gone without a word is noticed after these two together (HTTP/2).
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// When the process is out of file descriptors, others must be closed before it goes on.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Serves `router` until `stop` is cancelled: then no connection is taken any more, requests under way finish, and idle
/// connections are closed. How long that may take is the caller's to decide. HTTP/1.1 and HTTP/2 (prior knowledge).
///
/// A request head must arrive within `header_timeout_ms`, which is also how long a connection of HTTP/1.1 may be idle. Beyond
/// `max_connections` clients wait in the listener's backlog.
pub async fn serve(listener: TcpListener, router: Router, config: &Config, stop: CancellationToken) {
    let builder = builder(config);
    let patience = config.header_timeout();
    let room = Arc::new(Semaphore::new(config.max_connections()));
    let under_way = GracefulShutdown::new();
    loop {
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        // Answers are written as a whole; to wait for more would only delay them.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(Guarded::new(stream, patience)), service);
        let connection = under_way.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Mostly clients that went away.
                tracing::debug!(error, "a connection ended early: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    under_way.shutdown().await;
}

fn builder(config: &Config) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout())
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    builder
}

/// The next connection, as soon as there is room for one.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        if room.available_permits() == 0 {
            tracing::warn!("as many connections as max_connections allows: further clients wait");
        }
        let place = Arc::clone(room).acquire_owned().await.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections: {error}");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What every connection of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that must show within a time which version of HTTP it speaks: hyper waits without limit for the bytes that
/// tell. As soon as they are there, hyper's own limits hold.
struct Guarded {
    stream: TcpStream,
    /// None once the version is known.
    deadline: Option<Pin<Box<Sleep>>>,
    /// How much of [`PREFACE`] has come.
    matched: usize,
}

impl Guarded {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, deadline: Some(Box::pin(tokio::time::sleep(patience))), matched: 0 }
    }

    fn look(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if PREFACE.get(self.matched) != Some(byte) {
                self.deadline = None;
                return;
            }
            self.matched += 1;
        }
        if self.matched == PREFACE.len() {
            self.deadline = None;
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.deadline.is_none() {
            return read;
        }
        if read.is_ready() {
            self.look(&buffer.filled()[before..]);
            return read;
        }
        let late = self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
        if late { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
