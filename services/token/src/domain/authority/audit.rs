//! Reading the audit.

use platform::Result;

use super::Authority;
use crate::domain::audit::{Event, Query};

impl Authority {
    /// A page of the audit, latest first, which may be some seconds old.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit(&self, query: &Query) -> Result<Vec<Event>> {
        self.store.audit(query, self.clock.now()).await
    }
}
