//! Takes what waits to the journal, in batches.

use std::sync::Arc;
use std::time::Duration;

use ::scim::ErrorKind;
use platform::auth::{TokenSource, with_token};
use platform::transport::Transport;
use platform::{Error, metrics};
use proto::journal::v1::provisioning_log_client::ProvisioningLogClient;
use proto::journal::v1::{AppendExchangesRequest, Exchange};
use tokio_util::sync::CancellationToken;

use super::queue::{BATCH, Queue};

/// What came first waits this long for company.
const GATHER: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// While the gateway stops there is no time for more.
const PAUSE_AT_THE_END: Duration = Duration::from_millis(200);

/// Writes what is pushed into the queue until `stop` is cancelled, and then what is left in it: when it returns everything is
/// written. While the journal is away it keeps trying, also then: how long that may take is the caller's to decide.
pub(crate) async fn write(
    queue: Arc<Queue>,
    log: ProvisioningLogClient<Transport>,
    tokens: TokenSource,
    stop: CancellationToken,
) {
    let writer = Writer { queue, log, tokens, stop };
    loop {
        while writer.queue.len() == 0 && !writer.stop.is_cancelled() {
            tokio::select! {
                () = writer.stop.cancelled() => {}
                () = writer.queue.changed.notified() => {}
            }
        }
        writer.gather().await;
        let batch = writer.queue.take();
        if batch.is_empty() && writer.stop.is_cancelled() {
            return;
        }
        writer.deliver(batch).await;
        writer.queue.written();
        writer.tell_of_dropped();
    }
}

struct Writer {
    queue: Arc<Queue>,
    log: ProvisioningLogClient<Transport>,
    tokens: TokenSource,
    stop: CancellationToken,
}

impl Writer {
    /// Waits for a batch to fill, not for long.
    async fn gather(&self) {
        let full = async {
            while self.queue.len() < BATCH {
                self.queue.changed.notified().await;
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = full => {}
            () = tokio::time::sleep(GATHER) => {}
        }
    }

    /// Returns when the batch is written, or can never be.
    async fn deliver(&self, batch: Vec<Exchange>) {
        let mut pause = FIRST_PAUSE;
        let mut is_away = false;
        let count = batch.len();
        loop {
            match self.append(batch.clone()).await {
                Ok(()) => {
                    if is_away {
                        tracing::info!("the provisioning log is written again");
                    }
                    return;
                }
                // Trying again would not help, and hold up everything behind it.
                Err(error) if error.kind == ErrorKind::InvalidValue => {
                    metrics::metrics().provisioning_log_dropped(u64::try_from(count).unwrap_or(0));
                    tracing::error!(%error, count, "the journal refused {count} exchanges, they are left out of the provisioning log: {error}");
                    return;
                }
                Err(error) => {
                    let waiting = self.queue.not_written();
                    if !is_away {
                        tracing::warn!(%error, cause = ?error.cause, waiting, "the provisioning log cannot be written, it is kept in memory meanwhile: {error}");
                    }
                    is_away = true;
                    self.tell_of_dropped();
                }
            }
            if self.stop.is_cancelled() {
                tokio::time::sleep(PAUSE_AT_THE_END).await;
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn append(&self, exchanges: Vec<Exchange>) -> Result<(), Error> {
        let token = self.tokens.token().await?;
        let request = with_token(AppendExchangesRequest { exchanges }, &token)?;
        self.log.clone().append_exchanges(request).await?;
        Ok(())
    }

    fn tell_of_dropped(&self) {
        let dropped = self.queue.take_dropped();
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "{dropped} exchanges are missing from the provisioning log: more came than could be kept in memory"
            );
        }
    }
}
