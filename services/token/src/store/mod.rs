//! The rows and the transactions over them. Nothing outside names sea-orm.
//!
//! Every write appends to the change log in its own transaction: who did what to which row, never a secret. The last
//! use of a secret is not a change: it is written beside, and lazily.

mod admins;
mod assertions;
mod audit;
mod clients;
mod credentials;
mod entities;
mod idempotency;
mod issuers;
mod keys;
mod provisioning;
mod rotation;
mod system_clients;
mod tenants;

use platform::clock::Timestamp;
use platform::db::{Database, changelog};
use platform::ids::TenantId;
use platform::{Error, Result};
use scim::ErrorKind;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, Select, SqlErr};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::domain::audit::difference;
use crate::domain::change::facts as tenant_facts;
use crate::domain::tenant::Tenant;

pub use clients::FoundClient;
pub use credentials::FoundCredential;
pub(crate) use tenants::no_such_tenant;

/// The token service's database. Clones share connections.
#[derive(Clone)]
pub struct Store {
    db: Database,
}

impl Store {
    /// On a migrated database.
    pub fn new(db: Database) -> Self {
        Self { db }
    }
}

/// Who makes a change, and when: for the change log.
#[derive(Clone, Debug)]
pub struct Deed {
    /// The credential or client whose access token was presented, or `system`.
    pub by: String,
    /// Now.
    pub at: Timestamp,
    /// Correlation id of the HTTP request; empty when none is known.
    pub request_id: String,
}

impl Deed {
    /// The service's own doing.
    pub fn system(at: Timestamp) -> Self {
        Self { by: "system".to_owned(), at, request_id: String::new() }
    }

    /// Records what was done to `resource` (id, version), of `tenant` or of the platform, with what is known of it before and
    /// after: `null` where there was nothing, or is. Of two states only what differs is kept. Never a secret.
    async fn record_facts<C: ConnectionTrait>(
        &self,
        txn: &C,
        kind: &'static str,
        tenant: Option<TenantId>,
        resource: (Uuid, i64),
        facts: (Value, Value),
    ) -> Result<()> {
        let (before, after) = difference(facts.0, facts.1);
        let mut payload = Map::from_iter([("by".to_owned(), self.by.as_str().into())]);
        let request_id = Value::from(self.request_id.as_str());
        for (name, value) in [("before", before), ("after", after), ("request_id", request_id)] {
            if !value.is_null() && value != "" {
                payload.insert(name.to_owned(), value);
            }
        }
        self.append(txn, kind, tenant, resource.0, resource.1, payload.into()).await
    }

    /// Records a change of a tenant with what was different before and after.
    async fn record_change<C: ConnectionTrait>(
        &self,
        txn: &C,
        kind: &'static str,
        before: &Tenant,
        after: &Tenant,
    ) -> Result<()> {
        let facts = (tenant_facts(before).into(), tenant_facts(after).into());
        self.record_facts(txn, kind, Some(after.id), (after.id.uuid(), after.version), facts).await
    }

    async fn append<C: ConnectionTrait>(
        &self,
        txn: &C,
        kind: &'static str,
        tenant: Option<TenantId>,
        resource: Uuid,
        version: i64,
        payload: Value,
    ) -> Result<()> {
        let entry = changelog::Entry {
            // The log is ordered by tenant first: what belongs to the platform stands under the nil UUID.
            tenant: tenant.unwrap_or(TenantId::from_uuid(Uuid::nil())),
            resource,
            version,
            kind,
            payload,
            at: self.at,
        };
        changelog::append(txn, entry).await?;
        Ok(())
    }
}

/// A query over rows that belong to the platform rather than to a tenant: tenants, clients, administrators, keys, what
/// administrators are waiting for.
fn of_platform<E: PlatformEntity>() -> Select<E> {
    #[expect(clippy::disallowed_methods, reason = "the helper for tables that have no tenant")]
    E::find()
}

/// The tables that [`of_platform`] may query: credentials are not among them.
trait PlatformEntity: EntityTrait {}

impl PlatformEntity for entities::tenants::Entity {}
impl PlatformEntity for entities::admin_credentials::Entity {}
impl PlatformEntity for entities::clients::Entity {}
impl PlatformEntity for entities::client_secrets::Entity {}
impl PlatformEntity for entities::signing_keys::Entity {}
impl PlatformEntity for entities::idempotency_keys::Entity {}

/// A unique index refused the row: says so in our words.
fn taken(error: DbErr, what: &str) -> Error {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => Error::new(
            ErrorKind::Uniqueness,
            format!("there is already a {what} of this name (upper and lower case do not matter)"),
        )
        .with_attribute("name"),
        _ => error.into(),
    }
}
