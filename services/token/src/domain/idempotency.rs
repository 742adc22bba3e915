//! A request of an administrator that may be repeated: the first one with a key is carried out, the others get its answer.

use std::time::Duration;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use platform::clock::{Clock, Timestamp};
use platform::{Error, Result, ids};

/// A key is remembered this long.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// A request that has not come to an end by then counts as lost.
pub const LOST_AFTER: Duration = Duration::from_secs(60);
/// Sooner than after this it is not worth asking whether a request is still under way.
const SOONEST: Duration = Duration::from_secs(1);
/// The most keys of one caller that are remembered.
pub const MAX_KEYS: u64 = 10_000;
/// The largest answer that is kept, bytes.
const MAX_ANSWER: usize = 64 * 1024;
const MAX_KEY_LEN: usize = 255;
const FINGERPRINT_LEN: usize = 32;

/// Whose key, and which; the key itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The caller: keys of different callers never meet.
    pub subject: String,
    /// SHA-256 of the key.
    pub sha256: Vec<u8>,
}

impl Key {
    /// Checks a key as the client sent it.
    ///
    /// # Errors
    /// `InvalidValue` that says what a key is.
    pub fn parse(subject: &str, key: &str) -> Result<Self> {
        let printable = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !printable || !(1..=MAX_KEY_LEN).contains(&key.len()) {
            let detail = format!("an idempotency key has 1 to {MAX_KEY_LEN} printable ASCII characters");
            return Err(Error::invalid_value(detail).with_attribute("key"));
        }
        Ok(Self { subject: subject.to_owned(), sha256: Sha256::digest(key.as_bytes()).to_vec() })
    }

    /// What an answer is sealed for: it opens under no other key and for no other caller.
    pub(super) fn context(&self) -> String {
        use std::fmt::Write as _;
        let mut context = format!("idempotent answer to {} under ", self.subject);
        for byte in &self.sha256 {
            // Writing to a String cannot fail.
            let _ = write!(context, "{byte:02x}");
        }
        context
    }
}

/// Checks the fingerprint of a request.
///
/// # Errors
/// `InvalidValue` that says how long it is.
pub fn check_fingerprint(fingerprint: &[u8]) -> Result<()> {
    if fingerprint.len() == FINGERPRINT_LEN {
        return Ok(());
    }
    let detail = format!("fingerprint is a SHA-256, {FINGERPRINT_LEN} bytes; it has {}", fingerprint.len());
    Err(Error::invalid_value(detail).with_attribute("fingerprint"))
}

/// Checks the size of an answer.
///
/// # Errors
/// `InvalidValue` that says how large it may be.
pub fn check_answer(answer: &[u8]) -> Result<()> {
    if answer.len() <= MAX_ANSWER {
        return Ok(());
    }
    let detail =
        format!("an answer that is to be kept has at most {MAX_ANSWER} bytes; it has {}", answer.len());
    Err(Error::invalid_value(detail).with_attribute("answer"))
}

/// One time that a key was taken. Settling the key takes it: a request that counts as lost may come to its end after all, when
/// another one has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it took the key.
    pub began_at: Timestamp,
    /// As the caller gets it: opaque there. In here it begins with `began_at`, because the version before takes a key over
    /// and leaves it as it is.
    pub id: String,
}

impl Attempt {
    /// A new one.
    pub fn new(clock: &Clock) -> Self {
        let began_at = clock.now();
        Self { began_at, id: format!("{}{}", opening(began_at), ids::new_uuid(clock).simple()) }
    }
}

/// What an attempt that began then begins with.
fn opening(began_at: Timestamp) -> String {
    format!("{:x}.", began_at.micros())
}

/// Whether an answer was kept, or a key given free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Yes, or that is how it was already.
    Done,
    /// No: a later attempt has the key.
    Overtaken,
}

/// What is on record of a key.
#[derive(Clone, Debug)]
pub struct Record {
    /// Of the request that took the key.
    pub fingerprint: Vec<u8>,
    /// When it took it.
    pub began_at: Timestamp,
    /// The sealed answer, once there is one.
    pub sealed_answer: Option<Vec<u8>>,
    /// The id of the attempt that took it, unless that was the version before.
    pub attempt: Option<String>,
}

/// How a key stands for a request; `Answer` is the answer, sealed in the store and open above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing<Answer> {
    /// Taken for this request, in this attempt: carry it out.
    New(Attempt),
    /// The request with this key is under way, or nobody knows what became of it; worth another look after so long.
    UnderWay(Duration),
    /// It was answered so.
    Answered(Answer),
    /// The key was used for another request.
    Misused,
}

/// An answer as it was kept; it may hold a secret.
pub type Answer = Zeroizing<Vec<u8>>;

impl Record {
    /// How the key stands for a request of this fingerprint that could begin with this attempt. [`Standing::New`] when the record
    /// is over or its request lost: the key is to be taken anew.
    pub fn standing(self, fingerprint: &[u8], next: Attempt) -> Standing<Vec<u8>> {
        let now = next.began_at;
        if self.began_at.plus(REMEMBERED) <= now {
            return Standing::New(next);
        }
        if self.fingerprint != fingerprint {
            return Standing::Misused;
        }
        let lost_at = self.began_at.plus(LOST_AFTER);
        match self.sealed_answer {
            Some(sealed) => Standing::Answered(sealed),
            None if now < lost_at => {
                // As long again as it has taken by now: soon for one that has just begun, seldom for one that is in doubt.
                let taken = now.since(self.began_at).max(SOONEST);
                Standing::UnderWay(taken.min(lost_at.since(now)))
            }
            None => Standing::New(next),
        }
    }

    /// Whether this attempt has the key; the empty one of a caller who was given none has what the version before took.
    pub fn is_of(&self, attempt: &str) -> bool {
        let own = self.attempt.as_deref().filter(|own| own.starts_with(&opening(self.began_at)));
        own.unwrap_or_default() == attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_printable_and_bounded() {
        for fine in ["a", " ", "~", &"k".repeat(255)] {
            Key::parse("s", fine).unwrap();
        }
        for wrong in ["", "ä", "a\n", "\u{7f}", &"k".repeat(256)] {
            let error = Key::parse("s", wrong).unwrap_err();
            assert_eq!(error.attribute.as_deref(), Some("key"), "{wrong:?}");
        }
        let contexts = [("a", "k"), ("a", "l"), ("b", "k")].map(|(s, k)| Key::parse(s, k).unwrap().context());
        assert!(contexts[0] != contexts[1] && contexts[0] != contexts[2]);
    }

    #[test]
    fn what_a_record_means_depends_on_its_age_and_request() {
        let began_at = Timestamp::from_micros(1_000_000);
        let record = |sealed_answer| Record { fingerprint: vec![1], began_at, sealed_answer, attempt: None };
        let next = |began_at| Attempt { began_at, id: "next".to_owned() };
        let at = |after: Duration| next(began_at.plus(after));
        let just_before = |end: Duration| next(began_at.plus(end - Duration::from_micros(1)));
        let left = Duration::from_micros(1);
        assert_eq!(record(None).standing(&[1], just_before(LOST_AFTER)), Standing::UnderWay(left));
        assert_eq!(record(None).standing(&[1], at(LOST_AFTER)), Standing::New(at(LOST_AFTER)));
        assert_eq!(record(None).standing(&[2], at(LOST_AFTER)), Standing::Misused);
        let answered = || record(Some(vec![9]));
        assert_eq!(answered().standing(&[1], just_before(REMEMBERED)), Standing::Answered(vec![9]));
        assert_eq!(answered().standing(&[2], just_before(REMEMBERED)), Standing::Misused);
        assert_eq!(answered().standing(&[2], at(REMEMBERED)), Standing::New(at(REMEMBERED)));
        for (after, wait) in [(0, 1), (1, 1), (4, 4), (30, 30), (50, 10), (59, 1)] {
            let (after, wait) = (Duration::from_secs(after), Duration::from_secs(wait));
            assert_eq!(record(None).standing(&[1], at(after)), Standing::UnderWay(wait), "{after:?}");
        }
    }

    #[test]
    fn a_key_is_that_of_the_attempt_that_took_it_last() {
        let clock = Clock::system();
        let (attempt, other) = (Attempt::new(&clock), Attempt::new(&clock));
        let record =
            |began_at, attempt| Record { fingerprint: vec![], began_at, sealed_answer: None, attempt };
        let taken = record(attempt.began_at, Some(attempt.id.clone()));
        assert!(taken.is_of(&attempt.id) && !taken.is_of(&other.id) && !taken.is_of(""));
        let by_the_version_before = record(attempt.began_at, None);
        assert!(by_the_version_before.is_of("") && !by_the_version_before.is_of(&attempt.id));
        let taken_over_by_it = record(attempt.began_at.plus(LOST_AFTER), Some(attempt.id.clone()));
        assert!(taken_over_by_it.is_of("") && !taken_over_by_it.is_of(&attempt.id));
    }
}
