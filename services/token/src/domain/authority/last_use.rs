//! When secrets were last used: collected in memory, written beside the requests, exact to a minute. A crash loses what
//! was not written yet, which is a minute's accuracy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use platform::clock::Timestamp;
use platform::ids::{CredentialId, TenantId};

use crate::domain::credential::minute;
use crate::store::Store;

/// See the module. Clones share what was collected.
#[derive(Clone)]
pub(super) struct LastUse {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    pending: Mutex<HashMap<CredentialId, (Option<TenantId>, Timestamp)>>,
    writing: tokio::sync::Mutex<()>,
}

impl LastUse {
    pub(super) fn new(store: Store) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                pending: Mutex::default(),
                writing: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Notes a use, unless this minute is on record already. Does not wait for the database.
    pub(super) fn note(
        &self,
        tenant: Option<TenantId>,
        id: CredentialId,
        on_record: Option<Timestamp>,
        now: Timestamp,
    ) {
        let at = minute(now);
        if on_record.is_some_and(|on_record| at <= on_record) {
            return;
        }
        let Ok(mut pending) = self.shared.pending.lock() else { return };
        let none_scheduled = pending.is_empty();
        pending.insert(id, (tenant, at));
        if none_scheduled {
            let this = self.clone();
            tokio::spawn(async move { this.flush().await });
        }
    }

    /// Writes what was collected so far; when it returns, that is on record.
    pub(super) async fn flush(&self) {
        let _one_at_a_time = self.shared.writing.lock().await;
        let pending = match self.shared.pending.lock() {
            Ok(mut pending) => std::mem::take(&mut *pending),
            Err(_) => return,
        };
        if pending.is_empty() {
            return;
        }
        let uses = pending.into_iter().map(|(id, (tenant, at))| (tenant, id, at)).collect();
        if let Err(error) = self.shared.store.note_last_use(uses).await {
            tracing::warn!(error.cause = ?error.cause, "the last use of secrets could not be noted: {error}");
        }
    }
}
