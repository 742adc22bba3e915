//! Users in the database. A query starts with [`in_tenant`] or it does not start.

mod audit;
mod columns;
mod entities;
mod log;
mod read;
mod reindex;
mod schemas;
mod snapshot;
mod suspended;
mod teams;
mod write;

pub(crate) use audit::{AuditEvent, AuditQuery};
pub(crate) use log::{Change, FULL_STATES, State};
pub(crate) use read::{Listing, Named, Text};
pub(crate) use schemas::Extension;
pub(crate) use suspended::{Place, Suspended};
pub(crate) use teams::TeamChange;
pub(crate) use write::Author;

use platform::clock::{Clock, Timestamp};
use platform::db::Database;
use platform::fairness::PerTenant;
use platform::ids::TenantId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select};

use self::entities::users;

/// The users of all tenants. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    db: Database,
    clock: Clock,
    schemas: schemas::Schemas,
    /// For what may take long: lists.
    fair: PerTenant,
}

impl Store {
    pub(crate) fn new(db: Database, clock: Clock) -> Self {
        let fair = PerTenant::new(db.share_of_a_tenant());
        Self { db, clock, schemas: schemas::Schemas::new(), fair }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Where every query begins.
#[expect(clippy::disallowed_methods, reason = "the one place that limits a query to a tenant")]
fn in_tenant(tenant: TenantId) -> Select<users::Entity> {
    users::Entity::find().filter(users::Column::TenantId.eq(tenant.uuid()))
}
