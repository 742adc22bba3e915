//! `rollcall.identity.v1.Changes`.

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use platform::Result;
use platform::auth::{self, Scope};
use platform::db::changelog::Position;
use proto::identity::v1::changes_server::Changes;
use proto::identity::v1::{WatchChangesRequest, WatchChangesResponse};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Api, wire};
use crate::store::Store;

/// Changes read at once.
const BATCH: u64 = 256;
/// Changes that wait for a slow follower; behind that, reading waits too.
const AHEAD: usize = 64;
/// How often it looks for what other replicas committed.
const INTERVAL: Duration = Duration::from_millis(250);
/// After this long without a change a heartbeat shows that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(10);

type Answer = Result<WatchChangesResponse, Status>;

#[tonic::async_trait]
impl Changes for Api {
    type WatchChangesStream = Pin<Box<dyn Stream<Item = Answer> + Send>>;

    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        auth::caller(&request)?.authorize_platform(Scope::Internal)?;
        let after = request.get_ref().after_cursor.parse()?;

        let (follower, stream) = mpsc::channel(AHEAD);
        let store = self.shared.store.clone();
        tokio::spawn(async move {
            if let Err(error) = follow(&store, after, &follower).await {
                // Whoever hung up meanwhile does not need to know.
                let _ = follower.send(Err(error.into())).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// Sends what comes behind `position` until the follower hangs up. Commits of this process wake it at once, those of
/// others are found by looking every [`INTERVAL`].
async fn follow(store: &Store, mut position: Position, follower: &mpsc::Sender<Answer>) -> Result<()> {
    let mut commits = store.commits();
    let mut last_sent = Instant::now();
    loop {
        // Before reading: what is committed from here on wakes us below.
        commits.borrow_and_update();
        let changes = store.changes_after(position, BATCH).await?;
        let read_to_the_end = changes.is_empty();
        for followed in changes {
            position = followed.position;
            let change = followed.change.map(wire::change);
            let answer = WatchChangesResponse { cursor: position.to_string(), change };
            if follower.send(Ok(answer)).await.is_err() {
                return Ok(());
            }
            last_sent = Instant::now();
        }
        if !read_to_the_end {
            continue;
        }
        if last_sent.elapsed() >= HEARTBEAT {
            let heartbeat = WatchChangesResponse { cursor: position.to_string(), change: None };
            if follower.send(Ok(heartbeat)).await.is_err() {
                return Ok(());
            }
            last_sent = Instant::now();
        }
        tokio::select! {
            () = follower.closed() => return Ok(()),
            // The database handle is gone: the service stops.
            committed = commits.changed() => if committed.is_err() { return Ok(()) },
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
