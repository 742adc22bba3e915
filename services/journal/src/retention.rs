//! Deletes exchanges that are past their time: each has its own, by its tenant's setting of when it was written.

use std::time::Duration;

use platform::metrics::metrics;
use tokio_util::sync::CancellationToken;

use crate::Service;

/// What is past its time is gone within about this.
const EVERY: Duration = Duration::from_secs(3600);
/// Sooner again after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Deletes at start and then every hour, until `stop` is cancelled.
pub async fn run(journal: Service, stop: CancellationToken) {
    let housekeeping = metrics().housekeeping("provisioning_log");
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = journal.expire() => outcome,
        };
        let pause = match outcome {
            Ok(deleted) => {
                housekeeping.done();
                if deleted > 0 {
                    tracing::info!(
                        deleted,
                        "deleted {deleted} exchanges of the provisioning log that were past their time"
                    );
                }
                EVERY
            }
            Err(error) => {
                tracing::warn!(%error, cause = ?error.cause, "cannot delete old exchanges of the provisioning log: {error}; trying again");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
