//! Requests of administrators that may be repeated. Answers may hold a secret that was just minted, so they rest sealed, and
//! not for longer than a day.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use platform::clock::Timestamp;
use platform::{Error, Result};

use super::Authority;
use crate::domain::cipher;
use crate::domain::idempotency::{Answer, Attempt, Key, Settled, Standing, check_answer, check_fingerprint};

/// So often, at most, the keys that are over are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// So many in one transaction.
const FORGET_AT_ONCE: u64 = 1000;

/// When keys that are over are to be forgotten again, microseconds.
#[derive(Default)]
pub(super) struct Forgetting {
    due_at_us: AtomicI64,
}

impl Forgetting {
    /// Whether it is time; says so once.
    fn is_due(&self, now: Timestamp) -> bool {
        let due = self.due_at_us.load(Ordering::Relaxed);
        let next = now.plus(FORGET_EVERY).micros();
        due <= now.micros()
            && self.due_at_us.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Authority {
    /// Takes the key for the request of this fingerprint, unless it is taken.
    ///
    /// # Errors
    /// `InvalidValue` for a key or fingerprint that cannot be, `RateLimited` for a caller with too many keys.
    pub async fn begin_request(
        &self,
        subject: &str,
        key: &str,
        fingerprint: &[u8],
    ) -> Result<Standing<Answer>> {
        let key = Key::parse(subject, key)?;
        check_fingerprint(fingerprint)?;
        let attempt = Attempt::new(&self.clock);
        let now = attempt.began_at;
        if self.forgetting.is_due(now) {
            self.forget_requests(now).await?;
        }
        let standing = self.store.begin_request(key.clone(), fingerprint.to_vec(), attempt).await?;
        Ok(match standing {
            Standing::New(attempt) => Standing::New(attempt),
            Standing::UnderWay(wait) => Standing::UnderWay(wait),
            Standing::Misused => Standing::Misused,
            Standing::Answered(sealed) => {
                let answer = cipher::open(&self.key, &key.context(), &sealed).ok_or_else(|| {
                    Error::internal("a kept answer does not open: was the key-encryption key exchanged?")
                })?;
                Standing::Answered(answer)
            }
        })
    }

    /// Keeps the answer under the key, unless a later attempt has it; the first one stays.
    ///
    /// # Errors
    /// `InvalidValue` for a key or answer that cannot be, `NotFound` when no request took the key.
    pub async fn finish_request(
        &self,
        subject: &str,
        key: &str,
        attempt: &str,
        answer: &[u8],
    ) -> Result<Settled> {
        let key = Key::parse(subject, key)?;
        check_answer(answer)?;
        let sealed = cipher::seal(&self.key, &key.context(), answer)?;
        self.store.finish_request(key, attempt.to_owned(), sealed).await
    }

    /// Gives the key free again, unless a later attempt has it. Doing it twice is doing it once; what was answered stays.
    ///
    /// # Errors
    /// `InvalidValue` for a key that cannot be.
    pub async fn abandon_request(&self, subject: &str, key: &str, attempt: &str) -> Result<Settled> {
        self.store.abandon_request(Key::parse(subject, key)?, attempt.to_owned()).await
    }

    /// Forgets the keys that are no longer to be remembered.
    pub(super) async fn forget_requests(&self, now: Timestamp) -> Result<()> {
        while self.store.forget_requests(now, FORGET_AT_ONCE).await? == FORGET_AT_ONCE {}
        Ok(())
    }
}
