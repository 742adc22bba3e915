//! Time is passed in. Production uses [`Clock::system`], tests a clock they move by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instant: microseconds since the Unix epoch, UTC. The unit of every stored and transmitted time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down: the unit of JWT claims.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This instant and `duration` more, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant and `duration` less, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` it is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 with milliseconds and `Z`, as SCIM's `meta` shows it: `2026-11-22T00:36:35.123Z`.
    pub fn to_rfc3339(self) -> String {
        let whole_milliseconds = i128::from(self.0.div_euclid(1000)) * 1_000_000;
        let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(whole_milliseconds) else {
            return "9999-12-31T23:59:59.999Z".to_owned();
        };
        let text = at.format(&Rfc3339).unwrap_or_default();
        let Some(body) = text.strip_suffix('Z') else { return text };
        match body.split_once('.') {
            Some((seconds, fraction)) => format!("{seconds}.{fraction:0<3}Z"),
            None => format!("{body}.000Z"),
        }
    }
}

/// Where time comes from.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until moved: clones share it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.micros()))))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
                let since =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Source::Manual(at) => Timestamp(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the system's clock cannot be moved, so this does nothing to it.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(at) = &self.0 {
            at.fetch_add(i64::try_from(by.as_micros()).unwrap_or(0), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_always_has_milliseconds() {
        assert_eq!(Timestamp::from_micros(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_micros(1_500_000).to_rfc3339(), "1970-01-01T00:00:01.500Z");
        assert_eq!(Timestamp::from_micros(1_234_567).to_rfc3339(), "1970-01-01T00:00:01.234Z");
    }

    #[test]
    fn a_manual_clock_is_shared_by_its_clones() {
        let clock = Clock::manual(Timestamp::from_micros(5));
        let other = clock.clone();
        other.advance(Duration::from_micros(7));
        assert_eq!(clock.now().micros(), 12);
    }
}
