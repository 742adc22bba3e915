//! What the service does of its own accord: everything that is kept for a time goes when the time is over.

use std::time::Duration;

use platform::Result;
use platform::clock::Clock;
use platform::db::Database;
use platform::db::retention::{Retention, retain};
use platform::metrics::metrics;
use tokio_util::sync::CancellationToken;

use crate::store::{FULL_STATES, Store};

/// How often it looks for suspended users to purge.
const INTERVAL: Duration = Duration::from_secs(600);
/// After this long a row of the log gives way to a later one of the same user, so that the names of people who are deleted
/// do not stay in the log as long as the log is kept. Followers are seldom further behind, and miss nothing if they are.
const COMPACT_AFTER: Duration = Duration::from_secs(600);

/// Runs until `stop` is cancelled. Several replicas may at once.
pub(crate) async fn run(
    store: Store,
    db: Database,
    clock: Clock,
    log_kept: Duration,
    stop: CancellationToken,
) {
    let retention = Retention { keep: log_kept, compact: Some((COMPACT_AFTER, &FULL_STATES)) };
    let retaining = retain("identity_log", db, clock, retention, stop.clone());
    tokio::join!(retaining, purge_regularly(store, stop));
}

async fn purge_regularly(store: Store, stop: CancellationToken) {
    let housekeeping = metrics().housekeeping("suspended_users");
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            outcome = purge(&store) => match outcome {
                Ok(_) => housekeeping.done(),
                Err(error) => {
                    tracing::warn!(%error, cause = ?error.cause, "suspended users were not purged: {error}; trying again in {} s", INTERVAL.as_secs());
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Purges suspended users whose time is over; how many.
pub(crate) async fn purge(store: &Store) -> Result<u64> {
    let users = store.purge_expired().await?;
    if users > 0 {
        tracing::info!(users, "{users} suspended users purged: their time was over");
    }
    Ok(users)
}
