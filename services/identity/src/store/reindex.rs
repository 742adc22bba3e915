//! Making stored values searchable by a changed schema.
//!
//! `users.search` is what `scim::fold` made of a user by the schema at the time of the write. When a schema changes in a
//! way that folds otherwise, all users of the tenant are folded anew, some at a time, each time in a transaction that
//! remembers how far it came. Meanwhile writers fold by the new schema, and nobody searches by the extension
//! (`domain::Schema::check_searchable`), so no answer is ever wrong. Whoever reads the tenant's schema after a crash takes
//! up the work; several replicas at once take turns.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use platform::db::Transaction;
use platform::ids::TenantId;
use platform::{Error, Result};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use super::entities::{extensions, schema_states, users};
use super::{Store, in_tenant, schemas};
use crate::domain::Keys;

/// Users per transaction: writers of the tenant wait for one such step at most.
const STEP: usize = 100;
/// Users between two lines of the log.
const REPORT_EVERY: usize = 10_000;

/// Which tenants this process is at. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Running {
    tenants: Arc<Mutex<HashSet<TenantId>>>,
    /// Counts runs that ended.
    ended: Arc<watch::Sender<u64>>,
}

impl Running {
    /// Whether it was not running.
    fn begin(&self, tenant: TenantId) -> bool {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant)
    }

    fn end(&self, tenant: TenantId) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).remove(&tenant);
        self.ended.send_modify(|count| *count += 1);
    }
}

/// What one transaction did.
struct Step {
    users: usize,
    is_last: bool,
}

impl Store {
    /// Makes the tenant's users searchable in the background, unless this process is at it already.
    pub(super) fn start_reindexing(&self, tenant: TenantId) {
        if !self.schemas.reindexing.begin(tenant) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            loop {
                let outcome = store.reindex(tenant).await;
                store.schemas.reindexing.end(tenant);
                if let Err(error) = outcome {
                    let detail = &error.detail;
                    tracing::error!(tenant.id = %tenant, error.cause = ?error.cause, "reindexing the users of tenant {tenant} failed, the next search tries again: {detail}");
                    return;
                }
                // A change that came after the last step and found this run still there relies on it.
                match store.is_reindexing(tenant).await {
                    Ok(true) if store.schemas.reindexing.begin(tenant) => {}
                    _ => return,
                }
            }
        });
    }

    /// Waits until the tenant's users are searchable by its schemas, or that time is over. Whether they are.
    pub(crate) async fn wait_for_reindexing(&self, tenant: TenantId, at_most: Duration) -> Result<bool> {
        let mut ended = self.schemas.reindexing.ended.subscribe();
        let searchable = async {
            while self.is_reindexing(tenant).await? {
                if ended.changed().await.is_err() {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        tokio::time::timeout(at_most, searchable).await.unwrap_or(Ok(false))
    }

    async fn is_reindexing(&self, tenant: TenantId) -> Result<bool> {
        let rows = schemas::live(tenant).all(self.db.read()).await?;
        Ok(rows.iter().any(|row| row.is_reindexing))
    }

    async fn reindex(&self, tenant: TenantId) -> Result<()> {
        tracing::info!(tenant.id = %tenant, "reindexing the users of tenant {tenant}: a schema has changed");
        let mut done = 0;
        loop {
            let stamp = platform::ids::new_uuid(&self.clock);
            let step = self.db.write(move |transaction| Box::pin(step(transaction, tenant, stamp))).await?;
            let reported = done / REPORT_EVERY;
            done += step.users;
            if step.is_last {
                tracing::info!(tenant.id = %tenant, users = done, "reindexed {done} users of tenant {tenant}");
                return Ok(());
            }
            if done / REPORT_EVERY > reported {
                tracing::info!(tenant.id = %tenant, users = done, "reindexing tenant {tenant}: {done} users so far");
            }
        }
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    attributes: Value,
    search: Value,
}

/// Folds the next users anew.
async fn step(transaction: &Transaction, tenant: TenantId, stamp: Uuid) -> Result<Step> {
    schemas::hold(transaction, tenant, schemas::Hold::Exclusive).await?;
    let state = schemas::state(tenant).one(transaction).await?;
    let extensions = schemas::live(tenant).all(transaction).await?;
    let Some(state) = state.filter(|_| extensions.iter().any(|row| row.is_reindexing)) else {
        return Ok(Step { users: 0, is_last: true });
    };
    let schema = schemas::schema(extensions)?;

    let mut next = in_tenant(tenant).order_by_asc(users::Column::Id).limit(STEP as u64);
    if let Some(last) = state.reindexed_to {
        next = next.filter(users::Column::Id.gt(last));
    }
    let columns = [users::Column::Id, users::Column::Attributes, users::Column::Search];
    let rows = next.select_only().columns(columns).into_model::<Row>().all(transaction).await?;
    for Row { id, attributes, search } in &rows {
        let Value::Object(attributes) = attributes else {
            return Err(Error::internal(format!("user {id}: attributes are not an object")));
        };
        let folded = Keys::of(&schema.user, attributes).search;
        if folded != *search {
            set_search(transaction, tenant, *id, folded).await?;
        }
    }

    let is_last = rows.len() < STEP;
    let last = rows.last().map(|row| row.id).filter(|_| !is_last);
    let mut after = schema_states::ActiveModel { reindexed_to: Set(last), ..Default::default() };
    if is_last {
        // The schema is another from now on: one that may be searched by.
        after.stamp = Set(stamp);
        let searchable = extensions::ActiveModel { is_reindexing: Set(false), ..Default::default() };
        extensions::Entity::update_many()
            .set(searchable)
            .filter(extensions::Column::TenantId.eq(tenant.uuid()))
            .exec(transaction)
            .await?;
    }
    set_state(transaction, tenant, after).await?;
    Ok(Step { users: rows.len(), is_last })
}

async fn set_search(transaction: &Transaction, tenant: TenantId, id: Uuid, search: Value) -> Result<()> {
    users::Entity::update_many()
        .set(users::ActiveModel { search: Set(search), ..Default::default() })
        .filter(users::Column::TenantId.eq(tenant.uuid()))
        .filter(users::Column::Id.eq(id))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Whatever was reached counts for nothing: a schema has changed.
pub(super) async fn from_the_beginning(transaction: &Transaction, tenant: TenantId) -> Result<()> {
    let beginning = schema_states::ActiveModel { reindexed_to: Set(None), ..Default::default() };
    set_state(transaction, tenant, beginning).await
}

async fn set_state(
    transaction: &Transaction,
    tenant: TenantId,
    after: schema_states::ActiveModel,
) -> Result<()> {
    schema_states::Entity::update_many()
        .set(after)
        .filter(schema_states::Column::TenantId.eq(tenant.uuid()))
        .exec(transaction)
        .await?;
    Ok(())
}
