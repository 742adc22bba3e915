//! `rollcall.identity.v1.Changes`.

use platform::Result;
use platform::auth::{self, Scope};
use platform::db::changelog::Position;
use proto::identity::v1::changes_server::Changes;
use proto::identity::v1::{WatchChangesRequest, WatchChangesResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::tail::{self, Caller, Ended, Place};
use super::{Api, Stream, wire};
use crate::store::{Change, Store};

/// Users of a snapshot that are read at once.
const PAGE: u64 = 100;

#[tonic::async_trait]
impl Changes for Api {
    type WatchChangesStream = Stream<WatchChangesResponse>;

    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        auth::caller(&request)?.authorize_platform(Scope::Internal)?;
        let after_cursor = &request.get_ref().after_cursor;
        let after = if after_cursor.is_empty() { None } else { Some(after_cursor.parse()?) };

        let (answers, stream) = mpsc::channel(tail::AHEAD);
        let caller = Caller::new(answers, self.shared.stop.clone());
        let store = self.shared.store.clone();
        tokio::spawn(tail::run(caller, async move |caller| watch(&store, after, caller).await));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

async fn watch(
    store: &Store,
    after: Option<Position>,
    caller: &Caller<WatchChangesResponse>,
) -> Result<(), Ended> {
    let position = match after {
        Some(after) if store.keeps(after).await? => after,
        _ => everybody(store, caller).await?,
    };
    let answer = |position: Position, change: Option<Change>| WatchChangesResponse {
        cursor: position.to_string(),
        change: change.map(wire::change),
        is_reset: false,
    };
    let place = Place { tenant: None, position, expires_at: None };
    tail::follow(store, place, caller, answer).await
}

/// Sends every user there is, and returns from where the log tells the rest.
async fn everybody(store: &Store, caller: &Caller<WatchChangesResponse>) -> Result<Position, Ended> {
    // Before the tables are read: what changes meanwhile comes again, and the higher version wins.
    let position = store.end_of_log().await?;
    caller.send(WatchChangesResponse { is_reset: true, ..WatchChangesResponse::default() }).await?;
    let mut after = None;
    loop {
        let (changes, next) = store.everybody(after, PAGE).await?;
        for change in changes {
            let change = Some(wire::change(change));
            // Without a cursor: whoever is cut off here has to begin again.
            caller.send(WatchChangesResponse { change, ..WatchChangesResponse::default() }).await?;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    let complete = WatchChangesResponse { cursor: position.to_string(), ..WatchChangesResponse::default() };
    caller.send(complete).await?;
    Ok(position)
}
