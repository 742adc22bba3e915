//! The change log: one row per write, appended in the writer's own transaction, read in commit-safe order.
//!
//! On PostgreSQL a sequence number says when a row was written, not when it became visible: a transaction that
//! started earlier may commit later, and a reader that only remembers the largest number it saw would skip it. So a row
//! carries its transaction's id (`xid8`), the order is (transaction id, sequence number), and a reader takes only rows
//! of transactions older than the oldest one still running (`pg_snapshot_xmin`). Every row is then read, in order,
//! exactly once per cursor. On SQLite there is one writer and the sequence number is the order of commits.
//!
//! A log does not grow for ever ([`super::retention`]): whoever follows one reads it by [`read_kept`] or [`read_kept_of`], which
//! say so when rows behind the cursor are gone.

use std::fmt;
use std::str::FromStr;

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::TenantId;

/// A place in a service's change log; everything up to and including it has been seen.
///
/// As text `<transaction>.<sequence>`: opaque to clients, in the `Rollcall-Revision` header and in cursors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub(super) xid: u64,
    pub(super) seq: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.xid, self.seq)
    }
}

impl FromStr for Position {
    type Err = Error;

    /// Empty text is the beginning.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let parsed = text.split_once('.').and_then(|(xid, seq)| Some((xid.parse().ok()?, seq.parse().ok()?)));
        let (xid, seq) = parsed.ok_or_else(|| {
            Error::invalid_value(
                "the cursor is not one of ours: pass back what an earlier answer gave, unchanged",
            )
        })?;
        Ok(Self { xid, seq })
    }
}

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose.
    pub tenant: TenantId,
    /// The user, group, tenant … that changed.
    pub resource: Uuid,
    /// Its version after the change.
    pub version: i64,
    /// What happened, e.g. `user.updated`.
    pub kind: &'static str,
    /// What a follower needs to know.
    pub payload: serde_json::Value,
    /// When.
    pub at: Timestamp,
}

/// A recorded change.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// Whose.
    pub tenant: TenantId,
    /// What changed.
    pub resource: Uuid,
    /// Its version after the change.
    pub version: i64,
    /// What happened.
    pub kind: String,
    /// What a follower needs to know.
    pub payload: serde_json::Value,
    /// When.
    pub at: Timestamp,
}

/// Appends to the log inside the writer's transaction. The position is the write's revision.
///
/// # Errors
/// The database's.
pub async fn append<C: ConnectionTrait>(transaction: &C, entry: Entry) -> Result<Position> {
    let backend = transaction.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "INSERT INTO change_log (tenant_id, resource_id, version, kind, payload, at_us) \
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING xid::text AS xid, seq"
        }
        _ => {
            "INSERT INTO change_log (tenant_id, resource_id, version, kind, payload, at_us) \
             VALUES (?, ?, ?, ?, ?, ?) RETURNING CAST(xid AS text) AS xid, seq"
        }
    };
    let row = transaction.query_one_raw(entry.insert(backend, sql)).await?;
    position(&row.ok_or_else(|| Error::internal("the change log returned no position"))?)
}

/// As [`append`], unless the tenant was purged: for services whose data of a tenant is deleted with it. Every transaction
/// that leaves something behind must append, so that nothing comes after the deletion ([`super::purged`]).
///
/// # Errors
/// `Unauthenticated` when the tenant was purged; the transaction must not be committed then.
pub async fn append_for_living<C: ConnectionTrait>(transaction: &C, entry: Entry) -> Result<Position> {
    let backend = transaction.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "INSERT INTO change_log (tenant_id, resource_id, version, kind, payload, at_us) \
             SELECT $1::uuid, $2::uuid, $3::bigint, $4::text, $5::jsonb, $6::bigint \
             WHERE NOT EXISTS (SELECT 1 FROM purged_tenants WHERE tenant_id = $1::uuid) \
             RETURNING xid::text AS xid, seq"
        }
        _ => {
            "INSERT INTO change_log (tenant_id, resource_id, version, kind, payload, at_us) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
             WHERE NOT EXISTS (SELECT 1 FROM purged_tenants WHERE tenant_id = ?1) \
             RETURNING CAST(xid AS text) AS xid, seq"
        }
    };
    let row = transaction.query_one_raw(entry.insert(backend, sql)).await?;
    position(&row.ok_or_else(super::purged::gone)?)
}

impl Entry {
    fn insert(self, backend: DbBackend, sql: &str) -> Statement {
        let Entry { tenant, resource, version, kind, payload, at } = self;
        let values: [Value; 6] = [
            tenant.uuid().into(),
            resource.into(),
            version.into(),
            kind.into(),
            payload.into(),
            at.micros().into(),
        ];
        Statement::from_sql_and_values(backend, sql, values)
    }
}

/// The changes after `after`, oldest first, at most `limit`. For logs of which nothing is ever removed; else [`read_kept`].
///
/// # Errors
/// The database's.
pub async fn read_after<C: ConnectionTrait>(db: &C, after: Position, limit: u64) -> Result<Vec<Record>> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT xid::text AS xid, seq, tenant_id, resource_id, version, kind, payload, at_us FROM change_log \
             WHERE (xid, seq) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot()) \
             ORDER BY change_log.xid, seq LIMIT $3"
        }
        _ => {
            "SELECT CAST(xid AS text) AS xid, seq, tenant_id, resource_id, version, kind, payload, at_us FROM change_log \
             WHERE ? IS NOT NULL AND seq > ? ORDER BY seq LIMIT ?"
        }
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values: [Value; 3] = [after.xid.to_string().into(), after.seq.into(), limit.into()];
    let rows = db.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    rows.iter().map(record).collect()
}

/// As [`read_after`], or `None` when rows after `after` may have been removed: the reader has to begin anew. Rows and how far
/// the log reaches come from one snapshot, so nothing is missed however long ago the reader looked last.
///
/// # Errors
/// The database's.
pub async fn read_kept<C: ConnectionTrait>(
    db: &C,
    after: Position,
    limit: u64,
) -> Result<Option<Vec<Record>>> {
    read_within_horizon(db, None, after, limit).await
}

/// As [`read_kept`], of one tenant.
///
/// # Errors
/// The database's.
pub async fn read_kept_of<C: ConnectionTrait>(
    db: &C,
    tenant: TenantId,
    after: Position,
    limit: u64,
) -> Result<Option<Vec<Record>>> {
    read_within_horizon(db, Some(tenant), after, limit).await
}

/// Every row of a tenant behind `after` that is visible now, in order, at most `limit`: also those that readers of the log still
/// have to wait for. Not for following the log: what is committed late stands before what was read.
///
/// # Errors
/// The database's.
pub async fn read_seen_of<C: ConnectionTrait>(
    db: &C,
    tenant: TenantId,
    after: Position,
    limit: u64,
) -> Result<Vec<Record>> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT xid::text AS xid, seq, tenant_id, resource_id, version, kind, payload, at_us FROM change_log \
             WHERE tenant_id = $4 AND (xid, seq) > ($1::text::xid8, $2) ORDER BY change_log.xid, seq LIMIT $3"
        }
        _ => {
            "SELECT CAST(xid AS text) AS xid, seq, tenant_id, resource_id, version, kind, payload, at_us FROM change_log \
             WHERE tenant_id = ?4 AND ?1 IS NOT NULL AND seq > ?2 ORDER BY seq LIMIT ?3"
        }
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values: [Value; 4] =
        [after.xid.to_string().into(), after.seq.into(), limit.into(), tenant.uuid().into()];
    let rows = db.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    rows.iter().map(record).collect()
}

async fn read_within_horizon<C: ConnectionTrait>(
    db: &C,
    tenant: Option<TenantId>,
    after: Position,
    limit: u64,
) -> Result<Option<Vec<Record>>> {
    let backend = db.get_database_backend();
    let of_tenant = if tenant.is_some() { "tenant_id = $3 AND" } else { "" };
    let (xid, place) = match backend {
        DbBackend::Postgres => (
            "::text",
            "(xid, seq) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot()) \
             ORDER BY change_log.xid, seq",
        ),
        _ => ("", "$1 IS NOT NULL AND seq > $2 ORDER BY seq"),
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // One row at least: that of the horizon. The limit is no parameter: SQLite would plan it anew each time (`statement.rs`).
    let sql = format!(
        "SELECT CAST(h.xid{xid} AS text) AS horizon_xid, h.seq AS horizon_seq, CAST(l.xid{xid} AS text) AS xid, l.seq AS seq, \
             l.tenant_id, l.resource_id, l.version, l.kind, l.payload, l.at_us \
         FROM change_log_horizon h LEFT JOIN \
             (SELECT * FROM change_log WHERE {of_tenant} {place} LIMIT {limit}) l ON true \
         ORDER BY l.xid, l.seq"
    );
    let mut values: Vec<Value> = vec![after.xid.to_string().into(), after.seq.into()];
    values.extend(tenant.map(|tenant| Value::from(tenant.uuid())));
    let rows = db.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let mut records = Vec::with_capacity(rows.len());
    for row in &rows {
        if after < named_position(row, "horizon_xid", "horizon_seq")? {
            return Ok(None);
        }
        if row.try_get::<Option<i64>>("", "seq")?.is_some() {
            records.push(record(row)?);
        }
    }
    Ok(Some(records))
}

/// The position of the latest change that [`read_after`] would return; of the latest that was removed when none is left; the
/// beginning when there never was one.
///
/// # Errors
/// The database's.
pub async fn latest<C: ConnectionTrait>(db: &C) -> Result<Position> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT xid::text AS xid, seq FROM ( \
                 (SELECT xid, seq FROM change_log WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) \
                  ORDER BY change_log.xid DESC, seq DESC LIMIT 1) \
                 UNION ALL SELECT xid, seq FROM change_log_horizon) AS places \
             ORDER BY places.xid DESC, seq DESC LIMIT 1"
        }
        _ => {
            "SELECT CAST(xid AS text) AS xid, seq FROM ( \
                 SELECT * FROM (SELECT xid, seq FROM change_log ORDER BY seq DESC LIMIT 1) \
                 UNION ALL SELECT xid, seq FROM change_log_horizon) \
             ORDER BY seq DESC LIMIT 1"
        }
    };
    let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
    row.as_ref().map_or(Ok(Position::default()), position)
}

/// The revision of a write of this tenant that changed nothing: it includes whatever of the tenant the transaction can see, also
/// what a reader of the log still has to wait for.
///
/// # Errors
/// The database's.
pub async fn latest_seen<C: ConnectionTrait>(transaction: &C, tenant: TenantId) -> Result<Position> {
    let backend = transaction.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT xid::text AS xid, seq FROM change_log WHERE tenant_id = $1 \
             ORDER BY change_log.xid DESC, seq DESC LIMIT 1"
        }
        _ => {
            "SELECT CAST(xid AS text) AS xid, seq FROM change_log WHERE tenant_id = ? ORDER BY seq DESC LIMIT 1"
        }
    };
    let statement = Statement::from_sql_and_values(backend, sql, [tenant.uuid().into()]);
    match transaction.query_one_raw(statement).await? {
        Some(row) => position(&row),
        // What the tenant wrote is so old that it was removed: every reader has seen it.
        None => latest(transaction).await,
    }
}

/// The position of the last change that can be seen, of any tenant, also when a reader of the log still has to wait for it.
///
/// # Errors
/// The database's.
pub async fn newest<C: ConnectionTrait>(db: &C) -> Result<Position> {
    let backend = db.get_database_backend();
    if backend != DbBackend::Postgres {
        return latest(db).await;
    }
    let sql = "SELECT xid::text AS xid, seq FROM change_log ORDER BY change_log.xid DESC, seq DESC LIMIT 1";
    let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
    row.as_ref().map_or(Ok(Position::default()), position)
}

/// Whether there is a row at this very place: a follower that read it and does not find it any more follows a database that lost what
/// it had, after a failover, say, or one of which that row was removed.
///
/// # Errors
/// The database's.
pub async fn contains<C: ConnectionTrait>(db: &C, at: Position) -> Result<bool> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => "SELECT 1 AS found FROM change_log WHERE xid = $1::text::xid8 AND seq = $2",
        _ => "SELECT 1 AS found FROM change_log WHERE ? IS NOT NULL AND seq = ?",
    };
    let values: [Value; 2] = [at.xid.to_string().into(), at.seq.into()];
    Ok(db.query_one_raw(Statement::from_sql_and_values(backend, sql, values)).await?.is_some())
}

/// Whether a position may be that of a change that was made: false for one of the future, or of another database.
///
/// # Errors
/// The database's.
pub async fn may_have_been<C: ConnectionTrait>(db: &C, asked: Position) -> Result<bool> {
    let backend = db.get_database_backend();
    if backend != DbBackend::Postgres {
        return Ok(asked.xid == 0 && asked <= latest(db).await?);
    }
    let sql = "SELECT $1::text::xid8 < pg_snapshot_xmax(pg_current_snapshot()) AS been";
    let statement = Statement::from_sql_and_values(backend, sql, [asked.xid.to_string().into()]);
    let row = db.query_one_raw(statement).await?;
    row.map_or(Ok(false), |row| Ok(row.try_get("", "been")?))
}

pub(super) fn position(row: &QueryResult) -> Result<Position> {
    named_position(row, "xid", "seq")
}

fn named_position(row: &QueryResult, xid: &str, seq: &str) -> Result<Position> {
    let xid: String = row.try_get("", xid)?;
    let xid = xid.parse().map_err(Error::internal)?;
    Ok(Position { xid, seq: row.try_get("", seq)? })
}

fn record(row: &QueryResult) -> Result<Record> {
    Ok(Record {
        position: position(row)?,
        tenant: TenantId::from_uuid(row.try_get("", "tenant_id")?),
        resource: row.try_get("", "resource_id")?,
        version: row.try_get("", "version")?,
        kind: row.try_get("", "kind")?,
        payload: row.try_get("", "payload")?,
        at: Timestamp::from_micros(row.try_get("", "at_us")?),
    })
}
