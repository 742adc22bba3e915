//! How much of a change log is kept.
//!
//! [`trim`] removes what is older than some days, always a run from the beginning of the order, and notes in the same
//! transaction how far it came: the horizon. A reader whose cursor lies before the horizon may have missed rows and is
//! told ([`keeps`], [`changelog::read_kept`](super::changelog::read_kept)). [`compact`] removes rows that a later row of the same resource
//! supersedes, where rows carry full states: who reads on misses nothing but what is no longer so, and there is no horizon.
//!
//! Neither touches what a reader still has to wait for (`pg_snapshot_xmin`): a transaction under way may commit rows before
//! newer ones, and those must not fall behind a horizon that nobody could have passed.
//! Needs the tables `change_log` and `change_log_horizon`.

use std::collections::HashMap;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::changelog::{Position, latest, position};
use super::{Database, Transaction};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::metrics;

/// Rows per transaction, so that writers get their turn in between.
const BATCH: usize = 1000;
/// Resources that a compaction remembers at once, some 20 MB. When there are more it forgets them and leaves a few rows too
/// many, until the next time.
const REMEMBERED: usize = 200_000;
/// How often a service looks.
const INTERVAL: Duration = Duration::from_secs(3600);

/// How long what stays in a service's change log.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Rows older than this are removed; a follower that was away for longer begins anew.
    pub keep: Duration,
    /// The kinds of rows that carry a full state, and after which time the superseded ones of them are removed.
    pub compact: Option<(Duration, &'static [&'static str])>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: Duration::from_secs(7 * 24 * 3600), compact: None }
    }
}

/// Keeps a log within its bounds until `stop` is cancelled: looks at the start and every hour. Several replicas may. `log` is its
/// name in the metrics.
pub async fn retain(
    log: &'static str,
    db: Database,
    clock: Clock,
    retention: Retention,
    stop: CancellationToken,
) {
    let housekeeping = metrics::metrics().housekeeping(log);
    loop {
        let now = clock.now();
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = once(&db, now, &retention) => outcome,
        };
        match outcome {
            Ok((trimmed, compacted)) => {
                housekeeping.done();
                if (trimmed, compacted) != (0, 0) {
                    tracing::info!(trimmed, compacted, "rows removed from the change log");
                }
            }
            Err(error) => {
                tracing::warn!(%error, cause = ?error.cause, "the change log was not trimmed: {error}; trying again in an hour");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn once(db: &Database, now: Timestamp, retention: &Retention) -> Result<(u64, u64)> {
    let trimmed = trim(db, now.minus(retention.keep)).await?;
    let compacted = match retention.compact {
        Some((after, kinds)) => compact(db, now.minus(after), kinds).await?,
        None => 0,
    };
    Ok((trimmed, compacted))
}

/// Whether everything after this position is still in the log. Rows read *before* it was asked are then complete, those read
/// afterwards need not be: [`changelog::read_kept`](super::changelog::read_kept) asks and reads at once.
///
/// # Errors
/// The database's.
pub async fn keeps<C: ConnectionTrait>(db: &C, after: Position) -> Result<bool> {
    Ok(horizon(db).await? <= after)
}

/// Whether the row at this position was removed for its age, with all before it.
///
/// # Errors
/// The database's.
pub async fn has_cut<C: ConnectionTrait>(db: &C, at: Position) -> Result<bool> {
    Ok(horizon(db).await? >= at)
}

/// The last position that was removed from the log's beginning.
async fn horizon<C: ConnectionTrait>(db: &C) -> Result<Position> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => "SELECT xid::text AS xid, seq FROM change_log_horizon",
        _ => "SELECT CAST(xid AS text) AS xid, seq FROM change_log_horizon",
    };
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    let row = row.ok_or_else(|| Error::internal("change_log_horizon has no row"))?;
    position(&row)
}

/// Removes the rows from the log's beginning up to the first one that is not older than `before`, in short transactions of
/// their own. Returns how many.
///
/// # Errors
/// The database's. What was removed by then is noted.
pub async fn trim(db: &Database, before: Timestamp) -> Result<u64> {
    let mut removed = 0;
    loop {
        let batch = db.write(move |txn| Box::pin(async move { trim_batch(txn, before).await })).await?;
        removed += batch;
        if batch < BATCH as u64 {
            return Ok(removed);
        }
    }
}

async fn trim_batch(txn: &Transaction, before: Timestamp) -> Result<u64> {
    let backend = txn.get_database_backend();
    let (oldest, delete, note) = match backend {
        DbBackend::Postgres => {
            // Of several replicas one trims at a time.
            txn.execute_unprepared("SELECT 1 FROM change_log_horizon FOR UPDATE").await?;
            (
                "SELECT xid::text AS xid, seq, at_us FROM change_log \
                 WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY change_log.xid, seq LIMIT $1",
                "DELETE FROM change_log WHERE (xid, seq) <= ($1::text::xid8, $2)",
                "UPDATE change_log_horizon SET xid = $1::text::xid8, seq = $2 WHERE (xid, seq) < ($1::text::xid8, $2)",
            )
        }
        _ => (
            "SELECT CAST(xid AS text) AS xid, seq, at_us FROM change_log ORDER BY seq LIMIT ?",
            "DELETE FROM change_log WHERE ?1 IS NOT NULL AND seq <= ?2",
            "UPDATE change_log_horizon SET seq = ?2 WHERE ?1 IS NOT NULL AND seq < ?2",
        ),
    };
    let batch = i64::try_from(BATCH).map_err(Error::internal)?;
    let mut cut = None;
    for row in txn.query_all_raw(Statement::from_sql_and_values(backend, oldest, [batch.into()])).await? {
        if row.try_get::<i64>("", "at_us")? >= before.micros() {
            break;
        }
        cut = Some(position(&row)?);
    }
    let Some(cut) = cut else { return Ok(0) };
    let place: [Value; 2] = [cut.xid.to_string().into(), cut.seq.into()];
    let deleted = txn.execute_raw(Statement::from_sql_and_values(backend, delete, place.clone())).await?;
    txn.execute_raw(Statement::from_sql_and_values(backend, note, place)).await?;
    Ok(deleted.rows_affected())
}

/// Removes rows older than `before` of these kinds that a later row of the same resource, of one of these kinds and of no lower
/// version, supersedes: for logs whose rows carry full states, such as a user's or its end. Returns how many.
///
/// # Errors
/// The database's.
pub async fn compact(db: &Database, before: Timestamp, kinds: &[&str]) -> Result<u64> {
    let mut removed = 0;
    // From the end to the beginning: what a row is superseded by has then been seen.
    let mut newest: HashMap<(Uuid, Uuid), i64> = HashMap::new();
    let mut superseded: Vec<(Uuid, i64)> = Vec::new();
    let end = latest(db.read()).await?;
    let mut place = Position { xid: end.xid, seq: end.seq.saturating_add(1) };
    loop {
        let rows = rows_before(db, place).await?;
        for row in &rows {
            place = row.position;
            if !kinds.contains(&row.kind.as_str()) {
                continue;
            }
            match newest.get(&(row.tenant, row.resource)) {
                Some(version) if *version >= row.version => {
                    if row.at < before {
                        superseded.push((row.tenant, row.position.seq));
                    }
                }
                _ => {
                    if newest.len() >= REMEMBERED {
                        newest.clear();
                    }
                    newest.insert((row.tenant, row.resource), row.version);
                }
            }
        }
        let at_the_beginning = rows.is_empty();
        if superseded.len() >= BATCH || at_the_beginning {
            for batch in superseded.chunks(BATCH) {
                removed += delete(db, batch.to_vec()).await?;
            }
            superseded.clear();
        }
        if at_the_beginning {
            return Ok(removed);
        }
    }
}

/// What compaction looks at.
struct Row {
    position: Position,
    tenant: Uuid,
    resource: Uuid,
    version: i64,
    kind: String,
    at: Timestamp,
}

/// Rows before a place that every reader can see, the latest first.
async fn rows_before(db: &Database, place: Position) -> Result<Vec<Row>> {
    let sql = match db.backend() {
        DbBackend::Postgres => {
            "SELECT xid::text AS xid, seq, tenant_id, resource_id, version, kind, at_us FROM change_log \
             WHERE (xid, seq) < ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot()) \
             ORDER BY change_log.xid DESC, seq DESC LIMIT $3"
        }
        _ => {
            "SELECT CAST(xid AS text) AS xid, seq, tenant_id, resource_id, version, kind, at_us FROM change_log \
             WHERE ?1 IS NOT NULL AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
        }
    };
    let batch = i64::try_from(BATCH).map_err(Error::internal)?;
    let values: [Value; 3] = [place.xid.to_string().into(), place.seq.into(), batch.into()];
    let rows = db.read().query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values)).await?;
    let mut read = Vec::with_capacity(rows.len());
    for row in &rows {
        read.push(Row {
            position: position(row)?,
            tenant: row.try_get("", "tenant_id")?,
            resource: row.try_get("", "resource_id")?,
            version: row.try_get("", "version")?,
            kind: row.try_get("", "kind")?,
            at: Timestamp::from_micros(row.try_get("", "at_us")?),
        });
    }
    Ok(read)
}

async fn delete(db: &Database, rows: Vec<(Uuid, i64)>) -> Result<u64> {
    let mut values: Vec<Value> = Vec::with_capacity(rows.len() * 2);
    let mut places = Vec::with_capacity(rows.len());
    for (tenant, seq) in rows {
        let at = values.len();
        places.push(format!("(${},${})", at + 1, at + 2));
        values.push(tenant.into());
        values.push(seq.into());
    }
    let of = match db.backend() {
        DbBackend::Postgres => "",
        _ => "VALUES ",
    };
    let sql = format!("DELETE FROM change_log WHERE (tenant_id, seq) IN ({of}{})", places.join(","));
    db.write(move |txn| {
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), &sql, values.clone());
        Box::pin(async move { Ok(txn.execute_raw(statement).await?.rows_affected()) })
    })
    .await
}
