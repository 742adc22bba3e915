//! One statement on a connection to SQLite that is held here, and not by a pool of sea-orm.

use futures::TryStreamExt;
use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteQueryResult, SqliteRow};
use sea_orm::sqlx::{self, AssertSqlSafe, Error, Sqlite};
use sea_orm::{DbErr, RuntimeErr, Statement, Value, Values};
use sea_query_sqlx::SqlxValues;
use tracing::Instrument;

pub(super) async fn execute(
    connection: &mut SqliteConnection,
    statement: Statement,
) -> Result<SqliteQueryResult, Error> {
    let span = span("execute", &statement);
    query(statement).execute(connection).instrument(span).await
}

pub(super) async fn query_one(
    connection: &mut SqliteConnection,
    statement: Statement,
) -> Result<Option<SqliteRow>, Error> {
    let span = span("query_one", &statement);
    query(statement).fetch_optional(connection).instrument(span).await
}

pub(super) async fn query_all(
    connection: &mut SqliteConnection,
    statement: Statement,
) -> Result<Vec<SqliteRow>, Error> {
    let span = span("query_all", &statement);
    query(statement).fetch_all(connection).instrument(span).await
}

/// The rows as they come.
pub(super) fn stream(
    connection: &mut SqliteConnection,
    statement: Statement,
) -> impl futures::TryStream<Ok = SqliteRow, Error = Error> + Unpin + Send {
    let span = span("stream", &statement);
    query(statement).fetch(connection).inspect_err(move |error| {
        let _entered = span.enter();
        tracing::debug!(%error, "a statement failed while its rows were read");
    })
}

/// A statement of our own, without values.
pub(super) async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), Error> {
    // As a query it is prepared once; as a bare string it would be each time.
    sqlx::query(sql).execute(connection).await.map(|_| ())
}

/// A connection that could not be opened.
pub(super) fn not_opened(error: Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}

pub(super) fn failed(error: Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

fn query(mut statement: Statement) -> sqlx::query::Query<'static, Sqlite, SqlxValues> {
    let mut values = statement.values.take().unwrap_or_else(|| Values(Vec::new()));
    write_limit_out(&mut statement.sql, &mut values);
    sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(values))
}

/// SQLite looks at what a parameter of LIMIT is bound to when it plans, so it plans such a statement again each time it is
/// used, which takes longer than a look-up itself. There are few limits: each may have a plan of its own.
fn write_limit_out(sql: &mut String, values: &mut Values) {
    for (end, place) in [(" LIMIT ?", 1), (" LIMIT ? OFFSET ?", 2)] {
        let Some(place) = values.0.len().checked_sub(place) else { continue };
        let limit = match values.0.get(place) {
            Some(Value::BigUnsigned(Some(limit))) => *limit,
            Some(Value::BigInt(Some(limit))) if *limit >= 0 => limit.unsigned_abs(),
            _ => continue,
        };
        let Some(kept) = sql.strip_suffix(end) else { continue };
        *sql = format!("{kept}{}", end.replacen('?', &limit.to_string(), 1));
        values.0.remove(place);
        return;
    }
}

/// As sea-orm makes one for each statement on its own connections: of use in traces only ([`crate::telemetry`]). The text is
/// not in it: it may hold values.
fn span(name: &'static str, statement: &Statement) -> tracing::Span {
    let operation = statement.sql.split_ascii_whitespace().next().unwrap_or_default();
    tracing::info_span!(
        target: "sql",
        "statement",
        otel.name = name,
        otel.kind = "client",
        db.system = "sqlite",
        db.operation = operation,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_out() {
        let written = |sql: &str, values: Vec<Value>| {
            let (mut sql, mut values) = (sql.to_owned(), Values(values));
            write_limit_out(&mut sql, &mut values);
            (sql, values.0)
        };
        let (name, limit, offset) = (Value::from("x"), Value::from(5_u64), Value::from(7_u64));
        let (sql, values) = written("SELECT ? LIMIT ?", vec![name.clone(), limit.clone()]);
        assert_eq!((sql.as_str(), values), ("SELECT ? LIMIT 5", vec![name.clone()]));
        let (sql, values) = written("SELECT ? LIMIT ? OFFSET ?", vec![name.clone(), limit, offset.clone()]);
        assert_eq!((sql.as_str(), values), ("SELECT ? LIMIT 5 OFFSET ?", vec![name.clone(), offset]));
        let (sql, values) = written("SELECT ' LIMIT ?', ?", vec![name.clone()]);
        assert_eq!((sql.as_str(), values), ("SELECT ' LIMIT ?', ?", vec![name]));
    }
}
