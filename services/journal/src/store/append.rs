//! Writing exchanges: a batch is one transaction, and what was written already is left as it is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use platform::db::Transaction;
use platform::ids::TenantId;
use platform::{Error, Result};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, Statement, Value};
use uuid::Uuid;

use super::entities::{exchanges, names, subjects};
use super::{Store, purge};
use crate::domain::exchange::Exchange;

/// Rows per statement: each has up to eight of its bind parameters, of which SQLite takes 32,766.
const CHUNK: usize = 500;
/// A name that is seen all the time is written once a day.
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// The rows of a batch.
struct Rows {
    tenants: BTreeSet<TenantId>,
    exchanges: Vec<exchanges::Model>,
    subjects: Vec<subjects::Model>,
    /// In the order of their keys: two batches at once that write the same ones don't lock each other out.
    names: BTreeMap<(Uuid, Uuid, Uuid), i64>,
}

impl Store {
    /// Writes exchanges, each once: by its id. Those of purged tenants are left out without a word.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub(crate) async fn append(&self, batch: Vec<Exchange>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let rows = Arc::new(Rows::of(batch)?);
        self.db
            .write(move |txn| {
                let rows = rows.clone();
                Box::pin(async move { rows.insert(txn).await })
            })
            .await
    }
}

impl Rows {
    fn of(batch: Vec<Exchange>) -> Result<Self> {
        let mut rows = Rows {
            tenants: BTreeSet::new(),
            exchanges: Vec::with_capacity(batch.len()),
            subjects: Vec::new(),
            names: BTreeMap::new(),
        };
        for exchange in batch {
            let tenant_id = exchange.tenant.uuid();
            let (at_us, outcome) = (exchange.at.micros(), exchange.outcome.number());
            let expires_at_us = exchange.expires_at.micros();
            rows.tenants.insert(exchange.tenant);
            for subject_id in exchange.subjects() {
                let exchange_id = exchange.id;
                rows.subjects.push(subjects::Model { tenant_id, subject_id, outcome, at_us, exchange_id });
            }
            for (name, subject) in exchange.names() {
                let until = rows.names.entry((tenant_id, name, subject)).or_default();
                *until = (*until).max(expires_at_us.saturating_add(DAY_US));
            }
            let facts = serde_json::to_string(&exchange.facts).map_err(Error::internal)?;
            rows.exchanges.push(exchanges::Model {
                tenant_id,
                id: exchange.id,
                at_us,
                outcome,
                request_id: exchange.request_id,
                expires_at_us,
                bytes: i32::try_from(facts.len()).unwrap_or(i32::MAX),
                facts,
            });
        }
        Ok(rows)
    }

    async fn insert(&self, txn: &Transaction) -> Result<()> {
        purge::keep_off(txn).await?;
        let gone = purged(txn, &self.tenants).await?;
        let alive = |tenant: Uuid| !gone.contains(&tenant);
        let if_new = || OnConflict::new().do_nothing().to_owned();

        let exchanges = self.exchanges.iter().filter(|row| alive(row.tenant_id)).cloned();
        let exchanges: Vec<exchanges::ActiveModel> = exchanges.map(Into::into).map(every_column).collect();
        for rows in exchanges.chunks(CHUNK) {
            let insert = exchanges::Entity::insert_many(rows.to_vec()).on_conflict(if_new());
            insert.exec_without_returning(txn).await?;
        }
        let subjects: Vec<&subjects::Model> =
            self.subjects.iter().filter(|row| alive(row.tenant_id)).collect();
        for rows in subjects.chunks(CHUNK) {
            let rows = rows.iter().map(|row| subjects::ActiveModel {
                tenant_id: Set(row.tenant_id),
                subject_id: Set(row.subject_id),
                outcome: Set(row.outcome),
                at_us: Set(row.at_us),
                exchange_id: Set(row.exchange_id),
            });
            let insert = subjects::Entity::insert_many(rows).on_conflict(if_new());
            insert.exec_without_returning(txn).await?;
        }
        let names: Vec<_> = self.names.iter().filter(|((tenant, ..), _)| alive(*tenant)).collect();
        for rows in names.chunks(CHUNK) {
            let rows =
                rows.iter().map(|((tenant_id, name_id, subject_id), expires_at_us)| names::ActiveModel {
                    tenant_id: Set(*tenant_id),
                    name_id: Set(*name_id),
                    subject_id: Set(*subject_id),
                    expires_at_us: Set(**expires_at_us),
                });
            let insert = names::Entity::insert_many(rows).on_conflict(or_extend());
            insert.exec_without_returning(txn).await?;
        }
        Ok(())
    }
}

fn every_column(row: exchanges::ActiveModel) -> exchanges::ActiveModel {
    use sea_orm::ActiveModelTrait;
    row.reset_all()
}

/// Keeps a name for as long as the latest exchange that shows it; writes only when that is a day more than it was.
fn or_extend() -> OnConflict {
    use sea_orm::sea_query::ExprTrait as _;

    let key = [names::Column::TenantId, names::Column::NameId, names::Column::SubjectId];
    let stored = Expr::col((names::Entity, names::Column::ExpiresAtUs));
    let offered = Expr::cust("excluded.expires_at_us");
    OnConflict::columns(key)
        .update_column(names::Column::ExpiresAtUs)
        .action_and_where(stored.lte(offered.sub(DAY_US)))
        .to_owned()
}

/// Which of these tenants are gone for good.
async fn purged(txn: &Transaction, tenants: &BTreeSet<TenantId>) -> Result<HashSet<Uuid>> {
    let mut gone = HashSet::new();
    let tenants: Vec<&TenantId> = tenants.iter().collect();
    for some in tenants.chunks(CHUNK) {
        let places: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
        let sql = format!("SELECT tenant_id FROM purged_tenants WHERE tenant_id IN ({})", places.join(", "));
        let values = some.iter().map(|tenant| Value::from(tenant.uuid()));
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
        for row in txn.query_all_raw(statement).await? {
            gone.insert(row.try_get("", "tenant_id")?);
        }
    }
    Ok(gone)
}
