//! The database of membership, on SQLite and PostgreSQL.
//!
//! Groups are rows with their SCIM JSON, members are rows `(tenant, group, member)`, users are a projection.
//!
//! **Locks.** Whoever changes a group, by attributes or members, first locks its row (`FOR NO KEY UPDATE`), so the changes
//! of one group take effect one after the other, each as a whole, and so that no member is added to a group that is
//! being deleted. Whoever adds a user holds the user's row until then (`FOR KEY SHARE`), against its deletion and its
//! return only. Nothing else waits: other groups, readers, and whoever nests this group elsewhere go on.
//!
//! **What exists is decided when it is read.** A member row may name a user or group that is not there: parked until it
//! arrives, or left behind by a race with its deletion. Reads join `users` and `groups`, so such a row shows nowhere and
//! heals by itself. `member_type` is what was known when the row was written; it serves the walk down the nesting and filters.
//!
//! **What does not bump a group's version:** a user's deletion, deactivation or new name, and the deletion of a nested
//! group. They change how many groups there are memberships in, which may be very many; the version says that the group
//! itself was changed. The change log has a row for each all the same.

mod batch;
pub mod entity;
mod explain;
mod groups;
mod indexed;
mod list;
pub(crate) mod log;
mod members;
mod pages;
mod projection;
mod purge;
mod queries;
pub(crate) mod reconcile;
mod walk;

use platform::clock::{Clock, Timestamp};
use platform::db::Database;
use platform::db::changelog::Position;
use platform::fairness::PerTenant;
use platform::ids::TenantId;
use platform::{Error, Result};
use scim::{Difference, ErrorKind, Warning};
use sea_orm::{DbErr, SqlErr};

pub use batch::Outcome;
pub use explain::Edge;
pub use groups::Patch;
pub use list::Sorting;
pub use members::MembersChange;
pub(crate) use projection::{apply as apply_user, heal, news, stands_alone};
pub use queries::{GroupEntry, MemberEntry};
pub use walk::{MemberWalk, WalkedMember};

/// Ids per statement: each is one of a statement's bind parameters, of which SQLite takes 32,766.
const CHUNK: usize = 500;

/// The members of this many rows are read at once; also the size of a chunk on the wire.
pub const MEMBER_PAGE: u64 = 1000;

/// The database and the time.
#[derive(Clone)]
pub struct Store {
    db: Database,
    clock: Clock,
    /// For what may take long: lists and walks through nested groups.
    fair: PerTenant,
}

impl Store {
    /// On a migrated database.
    pub fn new(db: Database, clock: Clock) -> Self {
        let fair = PerTenant::new(db.share_of_a_tenant());
        Self { db, clock, fair }
    }

    /// When a change happens. `meta` shows milliseconds, so that is what is stored: what a client read it can compare with.
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.now().micros().div_euclid(1000) * 1000)
    }

    /// What time it is, seconds since the Unix epoch.
    pub fn seconds(&self) -> i64 {
        self.clock.now().seconds()
    }

    /// The revision that whatever is read from now on includes, at least.
    ///
    /// # Errors
    /// The database's.
    pub async fn revision(&self) -> Result<Position> {
        platform::db::changelog::latest(self.db.read()).await
    }
}

/// On whose request a change is made.
#[derive(Clone, Debug)]
pub struct Author {
    /// For which tenant.
    pub tenant: TenantId,
    /// Correlation id of the request; stands in the log.
    pub request_id: String,
}

/// A group after a write.
#[derive(Clone, Debug)]
pub struct Written {
    /// As it is now.
    pub group: entity::group::Model,
    /// Of this write; of the last one when nothing changed.
    pub revision: Position,
    /// What was skipped.
    pub warnings: Vec<Warning>,
    /// What became different in its attributes.
    pub changes: Vec<Difference>,
    /// Who came and who went.
    pub members: MembersChange,
}

/// A group that is gone.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// Of this write.
    pub revision: Position,
    /// What it was.
    pub changes: Vec<Difference>,
    /// Who was a member.
    pub members: MembersChange,
}

/// A row that breaks a unique index, in words of the domain.
fn or_taken(error: DbErr) -> Error {
    if !matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) {
        return error.into();
    }
    let detail = "displayName is taken: another group of this tenant has it, in this or another case";
    Error::new(ErrorKind::Uniqueness, detail).with_attribute("displayName")
}

/// How SQLite carries a statement out, step by step, none of which reads all that the tenant has of something.
#[cfg(test)]
async fn plan_within_the_tenant(db: &Database, sql: &str) -> Vec<String> {
    use sea_orm::{ConnectionTrait, Statement};

    let explain = Statement::from_string(db.backend(), format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = db.read().query_all_raw(explain).await.unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
    for step in &steps {
        let reads_all = step.ends_with("(tenant_id=?)") && !step.contains("purged_tenants");
        assert!(!reads_all, "{step} in {sql}");
    }
    steps
}
