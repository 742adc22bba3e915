//! What the users of a tenant are made of: the User of RFC 7643 with the extensions that the tenant defined, which
//! identity keeps. Remembered for a few seconds; dropped at once when this process changes them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::scim::Map;
use ::scim::schema::{Budget, ResourceType, Schema};
use platform::cache::{Invalidation, Invalidations};
use platform::clock::{Clock, Timestamp};
use platform::ids::TenantId;
use platform::transport::Transport;
use proto::identity::v1::schemas_client::SchemasClient;
use proto::identity::v1::{Extension, ListExtensionsRequest};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use crate::error::Result;
use crate::scim::request::Caller;

const MAX_REMEMBERED: u64 = 10_000;
/// How long another replica's change may go unnoticed. It is about what is shown: identity checks and filters by what is
/// in force.
const TTL: Duration = Duration::from_secs(3);

/// Remembers what users are made of, by tenant.
pub(crate) struct Schemas {
    identity: SchemasClient<Transport>,
    clock: Clock,
    entries: moka::future::Cache<TenantId, Entry>,
    inbox: Mutex<broadcast::Receiver<Invalidation>>,
    /// Counts invalidations, so that a lookup notices that one overtook it.
    generation: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    user: Arc<ResourceType>,
    good_until: Timestamp,
}

impl Schemas {
    pub(crate) fn new(
        identity: SchemasClient<Transport>,
        invalidations: &Invalidations,
        clock: Clock,
    ) -> Self {
        // The time to live is kept by `good_until`, on the clock that was passed in; here it only frees memory.
        let entries = moka::future::Cache::builder().max_capacity(MAX_REMEMBERED).time_to_live(TTL).build();
        let inbox = Mutex::new(invalidations.subscribe());
        Self { identity, clock, entries, inbox, generation: AtomicU64::new(0) }
    }

    /// The resource type User of the caller's tenant.
    ///
    /// # Errors
    /// What identity answers: `Unavailable` when it is away.
    pub(crate) async fn user(&self, caller: &Caller) -> Result<Arc<ResourceType>> {
        let tenant = caller.tenant();
        self.drop_invalidated();
        if let Some(entry) = self.entries.get(&tenant).await
            && self.clock.now() < entry.good_until
        {
            return Ok(entry.user);
        }
        let generation = self.generation.load(Ordering::SeqCst);
        let request = caller.call(ListExtensionsRequest { tenant_id: tenant.to_string() })?;
        let answer = self.identity.clone().list_extensions(request).await?.into_inner();
        let user = Arc::new(extended(&answer.extensions)?);
        let good_until = self.clock.now().plus(TTL);
        // Changed while we asked: the answer may be from before. It serves this request, and no other.
        self.drop_invalidated();
        if self.generation.load(Ordering::SeqCst) == generation {
            self.entries.insert(tenant, Entry { user: user.clone(), good_until }).await;
        }
        Ok(user)
    }

    /// Takes in what was invalidated since the last look.
    fn drop_invalidated(&self) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match inbox.try_recv() {
                // Of one tenant or of all: it is rare, and costs one question each.
                Ok(Invalidation::Tenant(_) | Invalidation::Everything) | Err(TryRecvError::Lagged(_)) => {
                    self.entries.invalidate_all()
                }
                Ok(Invalidation::Credential(_) | Invalidation::Client(_)) => continue,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn extended(extensions: &[Extension]) -> Result<ResourceType> {
    let mut user = ResourceType::user();
    let checked = Budget { attributes: usize::MAX, text: usize::MAX };
    for Extension { document, required, .. } in extensions {
        let document: Value = serde_json::from_slice(document).map_err(platform::Error::internal)?;
        user = user.with_extension(Arc::new(Schema::parse(&document, &checked)?), *required);
    }
    Ok(user)
}

/// The same type for a tenant that has no groups.
pub(crate) fn without_groups(user: &ResourceType) -> ResourceType {
    let mut user = user.clone();
    Arc::make_mut(&mut user.schema).attributes.retain(|attribute| attribute.name != "groups");
    user
}

/// Makes `schemas` true for the type as it is now: an extension that was taken away is not listed any more, one that was
/// defined again is.
pub(crate) fn list_used(of: &ResourceType, user: &mut Map) {
    let mut urns = vec![Value::from(of.schema.id.as_str())];
    for extension in &of.extensions {
        let object = user.get(&extension.schema.id).and_then(Value::as_object);
        if object.is_some_and(|object| object.keys().any(|name| extension.schema.attribute(name).is_some())) {
            urns.push(extension.schema.id.as_str().into());
        }
    }
    user.insert("schemas".to_owned(), urns.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URN: &str = "urn:example:params:scim:schemas:hr:2.0:User";

    #[test]
    fn schemas_lists_what_is_used_and_known() {
        let document = json!({ "id": URN, "attributes": [{ "name": "level" }] });
        let extension = Extension { document: document.to_string().into(), ..Extension::default() };
        let of = extended(&[extension]).unwrap();
        let listed = |user: Value| {
            let mut user = user.as_object().unwrap().clone();
            list_used(&of, &mut user);
            user["schemas"].as_array().unwrap().len()
        };
        assert_eq!(listed(json!({ "schemas": ["urn:gone:x"], "urn:gone:x": { "y": 1 } })), 1);
        assert_eq!(listed(json!({ URN: { "hidden": 1 } })), 1);
        assert_eq!(listed(json!({ URN: { "level": 1, "hidden": 1 } })), 2);
    }
}
