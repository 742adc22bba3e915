//! Keeps the projection of users in step with identity's change log.
//!
//! The gateway applies each change of a user right after the write; this task repairs what a crash cut in two, and is how a
//! new membership database is filled. The cursor rests in the same transaction as the changes, so nothing is left out;
//! what is applied twice, after a crash or by two replicas, changes nothing.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use platform::auth::{TokenSource, with_token};
use platform::clock::{Clock, Timestamp};
use platform::db::Database;
use platform::transport::Transport;
use platform::{Error, Result};
use proto::identity::v1::changes_client::ChangesClient;
use proto::identity::v1::{WatchChangesRequest, WatchChangesResponse};
use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement};
use tokio_util::sync::CancellationToken;

use crate::api::user_state;
use crate::domain::user::UserState;
use crate::store;

/// The log, in the table of cursors.
const LOG: &str = "identity";
/// Changes per transaction, of those that have arrived.
const BATCH: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Follows identity's log until `stop` is cancelled. Errors are logged and tried again, after a pause that doubles.
pub async fn follow(
    db: Database,
    clock: Clock,
    changes: ChangesClient<Transport>,
    tokens: TokenSource,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let session = watch(&db, &clock, changes.clone(), &tokens, &mut pause);
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = session => outcome,
        };
        match outcome {
            Ok(()) => tracing::debug!("identity closed its change log; connecting again"),
            Err(error) => {
                tracing::warn!(%error, cause = ?error.cause, "identity's change log cannot be followed: {error}; trying again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One connection, until it ends. `pause` is reset by whatever arrives.
async fn watch(
    db: &Database,
    clock: &Clock,
    mut changes: ChangesClient<Transport>,
    tokens: &TokenSource,
    pause: &mut Duration,
) -> Result<()> {
    let after_cursor = cursor(db).await?;
    let token = tokens.token().await?;
    let request = with_token(WatchChangesRequest { after_cursor }, &token)?;
    let mut arriving = changes.watch_changes(request).await?.into_inner().ready_chunks(BATCH);
    while let Some(batch) = arriving.next().await {
        let mut messages = Vec::with_capacity(batch.len());
        let mut failed = None;
        for message in batch {
            match message {
                Ok(message) => messages.push(message),
                Err(status) => failed = Some(status),
            }
        }
        if !messages.is_empty() {
            apply(db, messages, clock.now()).await?;
            *pause = FIRST_PAUSE;
        }
        if let Some(status) = failed {
            return Err(status.into());
        }
    }
    Ok(())
}

/// Applies a run of the log and remembers its end, in one transaction.
async fn apply(db: &Database, messages: Vec<WatchChangesResponse>, at: Timestamp) -> Result<()> {
    let mut states: Vec<UserState> = Vec::new();
    let mut cursor = String::new();
    for WatchChangesResponse { cursor: behind, change } in messages {
        cursor = behind;
        match change.map(user_state) {
            Some(Ok(state)) => states.push(state),
            // Stopping here would stop the log for every tenant.
            Some(Err(error)) => {
                tracing::error!(%error, cursor, "a change in identity's log was left out, it is not valid: {error}");
            }
            None => {}
        }
    }
    let run = Arc::new((states, cursor));
    db.write(move |txn| {
        let run = run.clone();
        Box::pin(async move {
            let (states, cursor) = &*run;
            for state in states {
                store::apply_user(txn, state, at).await?;
            }
            remember(txn, cursor, at).await
        })
    })
    .await
}

async fn cursor(db: &Database) -> Result<String> {
    let sql = "SELECT cursor FROM follower_cursor WHERE log = $1";
    let statement = Statement::from_sql_and_values(db.backend(), sql, [LOG.into()]);
    match db.read().query_one_raw(statement).await? {
        Some(row) => row.try_get("", "cursor").map_err(Error::from),
        None => Ok(String::new()),
    }
}

async fn remember(txn: &DatabaseTransaction, cursor: &str, at: Timestamp) -> Result<()> {
    let sql = "INSERT INTO follower_cursor (log, cursor, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (log) DO UPDATE SET cursor = excluded.cursor, updated_at = excluded.updated_at";
    let values = [LOG.into(), cursor.into(), at.micros().into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    txn.execute_raw(statement).await?;
    Ok(())
}
