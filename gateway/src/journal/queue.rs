//! What waits to be written. Bounded by count and by bytes: while the journal is away the gateway goes on and remembers what it
//! can. When there is no room, what changed nothing and went well goes first, the oldest of it; then the oldest of the rest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::clock::{Clock, Timestamp};
use platform::metrics;
use prost::Message;
use proto::journal::v1::{Exchange, Outcome};
use tokio::sync::Notify;

/// So much is remembered while the journal is away.
const MOST: usize = 20_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// So much is written at once.
pub(super) const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// What waits to be written.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    most: usize,
    most_bytes: usize,
    /// Something came into the empty queue, or there is enough for a batch.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct Waiting {
    notable: VecDeque<(Exchange, usize)>,
    /// Changed nothing and went well.
    plain: VecDeque<(Exchange, usize)>,
    bytes: usize,
    /// Taken and not yet written: how many, and when the oldest of them came.
    in_hand: usize,
    in_hand_since: Option<i64>,
    /// Left out since somebody last asked.
    dropped: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self::new(MOST, MOST_BYTES)
    }
}

impl Queue {
    fn new(most: usize, most_bytes: usize) -> Self {
        Self { waiting: Mutex::default(), most, most_bytes, changed: Notify::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an exchange. Never waits: if need be something is left out.
    pub(crate) fn push(&self, exchange: Exchange) {
        let bytes = exchange.encoded_len();
        let mut waiting = self.waiting();
        waiting.bytes += bytes;
        let lane =
            if exchange.outcome() == Outcome::Unchanged { &mut waiting.plain } else { &mut waiting.notable };
        lane.push_back((exchange, bytes));
        let mut dropped = 0;
        while waiting.len() > self.most || waiting.bytes > self.most_bytes {
            waiting.drop_one();
            dropped += 1;
        }
        let len = waiting.len();
        drop(waiting);
        if dropped > 0 {
            metrics::metrics().provisioning_log_dropped(dropped);
        }
        if len == 1 || len == BATCH {
            self.changed.notify_one();
        }
    }

    /// The next batch, what matters most first; empty when nothing waits.
    pub(super) fn take(&self) -> Vec<Exchange> {
        let mut waiting = self.waiting();
        let (mut batch, mut room): (Vec<Exchange>, usize) = (Vec::new(), BATCH_BYTES);
        while batch.len() < BATCH {
            let next = waiting.notable.front().or(waiting.plain.front());
            let Some((_, bytes)) = next else { break };
            if *bytes > room && !batch.is_empty() {
                break;
            }
            let taken = waiting.notable.pop_front();
            let Some((exchange, bytes)) = taken.or_else(|| waiting.plain.pop_front()) else { break };
            waiting.bytes -= bytes;
            room = room.saturating_sub(bytes);
            batch.push(exchange);
        }
        waiting.in_hand = batch.len();
        waiting.in_hand_since = batch.iter().map(|exchange| exchange.at_us).min();
        batch
    }

    /// What was taken is written, or never will be.
    pub(super) fn written(&self) {
        let mut waiting = self.waiting();
        waiting.in_hand = 0;
        waiting.in_hand_since = None;
    }

    /// Tells in the metrics how much waits and since when.
    pub(crate) fn observe(self: &Arc<Self>, clock: &Clock) {
        let queue = self.clone();
        metrics::metrics().observe(
            "rollcall.provisioning_log.waiting",
            "Exchanges in memory that are not yet in the provisioning log.",
            &[],
            move || u64::try_from(queue.not_written()).unwrap_or(u64::MAX),
        );
        let (queue, clock) = (self.clone(), clock.clone());
        metrics::metrics().observe_seconds(
            "rollcall.provisioning_log.lag",
            "How long the oldest exchange has waited that is not yet in the provisioning log; 0: there is none.",
            &[],
            move || queue.lag(clock.now()).as_secs_f64(),
        );
    }

    pub(super) fn not_written(&self) -> usize {
        let waiting = self.waiting();
        waiting.len() + waiting.in_hand
    }

    fn lag(&self, now: Timestamp) -> Duration {
        let waiting = self.waiting();
        let fronts = [waiting.notable.front(), waiting.plain.front()];
        let oldest = fronts.into_iter().flatten().map(|(exchange, _)| exchange.at_us);
        let since = oldest.chain(waiting.in_hand_since).min();
        since.map_or(Duration::ZERO, |since| now.since(Timestamp::from_micros(since)))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting().len()
    }

    /// How many were left out since the last time that was asked.
    pub(super) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.waiting().dropped)
    }
}

impl Waiting {
    fn len(&self) -> usize {
        self.notable.len() + self.plain.len()
    }

    fn drop_one(&mut self) {
        let dropped = self.plain.pop_front().or_else(|| self.notable.pop_front());
        if let Some((_, bytes)) = dropped {
            self.bytes -= bytes;
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(id: &str, outcome: Outcome) -> Exchange {
        Exchange { id: id.to_owned(), outcome: outcome.into(), ..Exchange::default() }
    }

    fn ids(queue: &Queue) -> Vec<String> {
        queue.take().into_iter().map(|exchange| exchange.id).collect()
    }

    #[test]
    fn what_changed_nothing_goes_first() {
        let queue = Queue::new(3, usize::MAX);
        for (id, outcome) in [
            ("c1", Outcome::Changed),
            ("u1", Outcome::Unchanged),
            ("u2", Outcome::Unchanged),
            ("c2", Outcome::Refused),
            ("c3", Outcome::Failed),
            ("c4", Outcome::Warning),
        ] {
            queue.push(exchange(id, outcome));
        }
        assert_eq!(queue.take_dropped(), 3);
        assert_eq!(queue.take_dropped(), 0);
        let metrics = metrics::metrics().text().unwrap();
        assert!(metrics.contains("rollcall_provisioning_log_dropped_total"), "{metrics}");
        assert_eq!(ids(&queue), ["c2", "c3", "c4"]);
        assert_eq!((queue.len(), queue.waiting().bytes), (0, 0));
    }

    #[test]
    fn what_is_not_written_is_counted_and_timed_also_once_it_was_taken() {
        let queue = Arc::new(Queue::default());
        let now = Timestamp::from_micros(10_000_000);
        assert_eq!((queue.not_written(), queue.lag(now)), (0, Duration::ZERO));
        for (id, at_us) in [("first", 3_000_000), ("second", 7_000_000)] {
            queue.push(Exchange { at_us, ..exchange(id, Outcome::Changed) });
        }
        queue.push(Exchange { at_us: 9_000_000, ..exchange("read", Outcome::Unchanged) });
        assert_eq!((queue.not_written(), queue.lag(now)), (3, Duration::from_secs(7)));
        let taken = queue.take().len();
        queue.push(Exchange { at_us: 9_500_000, ..exchange("late", Outcome::Changed) });
        assert_eq!((taken, queue.not_written(), queue.lag(now)), (3, 4, Duration::from_secs(7)));
        queue.written();
        assert_eq!((queue.not_written(), queue.lag(now)), (1, Duration::from_millis(500)));

        queue.observe(&Clock::manual(now));
        let text = metrics::metrics().text().unwrap();
        for line in ["rollcall_provisioning_log_waiting 1", "rollcall_provisioning_log_lag_seconds 0.5"] {
            assert!(text.lines().any(|told| told == line), "{line} in {text}");
        }
    }

    #[test]
    fn it_is_bounded_in_bytes_too() {
        let large = Exchange { detail: "x".repeat(1000), ..exchange("large", Outcome::Changed) };
        let queue = Queue::new(usize::MAX, 2500);
        for _ in 0..5 {
            queue.push(large.clone());
        }
        assert_eq!((queue.len(), queue.take_dropped()), (2, 3));
    }

    #[test]
    fn a_batch_is_bounded_and_never_empty_while_something_waits() {
        let queue = Queue::default();
        for _ in 0..3 {
            queue
                .push(Exchange { detail: "x".repeat(3 * 1024 * 1024), ..exchange("huge", Outcome::Changed) });
        }
        for _ in 0..3 {
            assert_eq!(queue.take().len(), 1);
        }
        for _ in 0..BATCH + 7 {
            queue.push(exchange("small", Outcome::Unchanged));
        }
        assert_eq!((queue.take().len(), queue.take().len(), queue.take().len()), (BATCH, 7, 0));
    }
}
