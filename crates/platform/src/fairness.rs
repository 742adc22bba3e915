//! So that one tenant's slow questions leave room for everybody else's.
//!
//! Services answer many tenants from few database connections. A rate limit counts requests, not what they cost: a handful
//! of expensive ones would hold every connection. So of each tenant only some run at once, and its others wait for
//! those, not the neighbours'.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scim::ErrorKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};
use crate::ids::TenantId;

/// So many times those that run may wait. Whoever comes then is refused at once: it would not get its turn in time.
const LONGEST_LINE: usize = 32;

/// Waits this long for its turn, which leaves time to answer within a call's deadline.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets only so many of each tenant's calls run at once. Remembers only tenants of which one runs or waits. Clones share it.
#[derive(Clone, Debug)]
pub struct PerTenant {
    at_once: usize,
    patience: Duration,
    tenants: Arc<Mutex<HashMap<(TenantId, usize), Line>>>,
}

#[derive(Debug)]
struct Line {
    turns: Arc<Semaphore>,
    /// How many run or wait.
    length: usize,
}

/// The right to run; over when dropped.
#[derive(Debug)]
#[must_use = "the turn is over when this is dropped"]
pub struct Turn {
    // Before the place, so that it goes first.
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

/// A place in the tenant's line.
#[derive(Debug)]
struct Place {
    line: PerTenant,
    tenant: TenantId,
    at_once: usize,
}

impl PerTenant {
    /// At most `at_once` of a tenant, at least one.
    pub fn new(at_once: usize) -> Self {
        Self { at_once: at_once.max(1), patience: PATIENCE, tenants: Arc::default() }
    }

    /// With another bound on waiting.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `RateLimited` when none comes in time, or the line is too long already.
    pub async fn turn(&self, tenant: TenantId) -> Result<Turn> {
        self.turn_of(tenant, self.at_once).await
    }

    /// Waits for a turn of a tenant that may run `at_once` at once. When that is another number than before, a new line begins
    /// beside the old one, which runs dry.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub async fn turn_of(&self, tenant: TenantId, at_once: usize) -> Result<Turn> {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        let (place, turns, length) = self.line_up(tenant, at_once);
        let too_many = || {
            let detail = format!(
                "{at_once} slow requests of this tenant are under way, as many as may be at once: send fewer at a time, or \
                 simpler ones"
            );
            Err(Error::new(ErrorKind::RateLimited, detail))
        };
        if length > at_once.saturating_mul(LONGEST_LINE + 1) {
            return too_many();
        }
        match tokio::time::timeout(self.patience, turns.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit, _place: place }),
            Ok(Err(closed)) => Err(Error::internal(closed)),
            Err(_) => too_many(),
        }
    }

    /// How long the line is then, whoever runs included.
    fn line_up(&self, tenant: TenantId, at_once: usize) -> (Place, Arc<Semaphore>, usize) {
        let mut tenants = self.tenants();
        let line = tenants
            .entry((tenant, at_once))
            .or_insert_with(|| Line { turns: Arc::new(Semaphore::new(at_once)), length: 0 });
        line.length += 1;
        (Place { line: self.clone(), tenant, at_once }, line.turns.clone(), line.length)
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<(TenantId, usize), Line>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tenants = self.line.tenants();
        if let Entry::Occupied(mut line) = tenants.entry((self.tenant, self.at_once)) {
            line.get_mut().length -= 1;
            if line.get().length == 0 {
                line.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn tenant() -> TenantId {
        TenantId::new(&Clock::system())
    }

    #[tokio::test]
    async fn a_tenant_waits_for_itself_and_for_nobody_else() {
        let fair = PerTenant::new(2).with_patience(Duration::from_millis(20));
        let (busy, other) = (tenant(), tenant());
        let first = fair.turn(busy).await.unwrap();
        let _second = fair.turn(busy).await.unwrap();
        assert_eq!(fair.turn(busy).await.unwrap_err().kind, ErrorKind::RateLimited);
        let _others = fair.turn(other).await.unwrap();
        drop(first);
        let _third = fair.turn(busy).await.unwrap();
    }

    #[tokio::test]
    async fn a_tenant_can_have_more_turns_than_others_and_no_endless_line() {
        let fair = PerTenant::new(1).with_patience(Duration::from_millis(1));
        let (large, other) = (tenant(), tenant());
        let _first = fair.turn_of(large, 2).await.unwrap();
        let _second = fair.turn_of(large, 2).await.unwrap();
        fair.turn_of(large, 2).await.unwrap_err();
        let _others = fair.turn(other).await.unwrap();
        fair.turn(other).await.unwrap_err();

        let patient = fair.clone().with_patience(Duration::from_secs(3600));
        let waiting: Vec<_> = (0..LONGEST_LINE).map(|_| Box::pin(patient.turn(other))).collect();
        let mut waiting = futures::future::join_all(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        assert_eq!(patient.turn(other).await.unwrap_err().kind, ErrorKind::RateLimited);
    }

    #[tokio::test]
    async fn nothing_is_remembered_of_who_is_gone() {
        let fair = PerTenant::new(1).with_patience(Duration::from_millis(1));
        let busy = tenant();
        let turn = fair.turn(busy).await.unwrap();
        fair.turn(busy).await.unwrap_err();
        // Somebody who waits and hangs up.
        let patient = fair.clone().with_patience(Duration::from_secs(3600));
        assert!(tokio::time::timeout(Duration::from_millis(1), patient.turn(busy)).await.is_err());
        assert_eq!(fair.tenants()[&(busy, 1)].length, 1);
        drop(turn);
        assert!(fair.tenants().is_empty());
    }
}
