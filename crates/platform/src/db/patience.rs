//! How long one request may keep the database busy. A call has a deadline, but a statement under way does not see it: without
//! these bounds a few slow ones would hold the connections that everybody shares, long after their callers are gone.

use std::time::Duration;

use sea_orm::RuntimeErr::SqlxError;
use sea_orm::{DbErr, sqlx};

/// Bounds on the work of one request; both below the deadline of a call, so that its caller hears why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For one statement. On SQLite it bounds those that only read: what interrupts a statement that writes rolls the
    /// transaction back which it shares with others. On PostgreSQL zero is no bound, for long migrations.
    pub statement: Duration,
    /// For one transaction, as often as it is tried.
    pub write: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { statement: Duration::from_secs(15), write: Duration::from_secs(15) }
    }
}

// Primary result codes of SQLite, <https://www.sqlite.org/rescode.html>.
const BUSY: u32 = 5;
const NOMEM: u32 = 7;
const INTERRUPT: u32 = 9;
const IOERR: u32 = 10;
const FULL: u32 = 13;

/// The primary code within an extended one.
fn primary(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

/// Whether the database gave up a statement that took too long: SQLITE_INTERRUPT, query_canceled.
pub(crate) fn ran_out(error: &DbErr) -> bool {
    matches!(code(error).as_deref(), Some("9" | "57014"))
}

/// Whether the database lacks room, memory or a working disk, or is shutting down: its trouble, which passes. SQLite's
/// primary code is the low byte of the number; PostgreSQL's codes have five characters.
pub(crate) fn is_exhausted(error: &DbErr) -> bool {
    let Some(code) = code(error) else { return false };
    match code.len() {
        5 => code.starts_with("53") || code.starts_with("57P") || code.starts_with("58"),
        _ => matches!(primary(&code), Some(NOMEM | IOERR | FULL)),
    }
}

/// Whether it is a statement's error and nothing more. With others SQLite may have rolled the transaction back:
/// <https://www.sqlite.org/lang_transaction.html>, section 3.
pub(super) fn leaves_the_transaction(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| primary(&code));
            code.is_some_and(|code| !matches!(code, BUSY | NOMEM | INTERRUPT | IOERR | FULL))
        }
        // About what a value is, before or behind the statement.
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}

/// Whether the connection to the database was lost, or leads to a server that is no primary any more: what was not committed is
/// undone, and another connection may do better.
pub(crate) fn is_lost(error: &DbErr) -> bool {
    use sea_orm::sqlx::Error;
    let (DbErr::Exec(SqlxError(cause)) | DbErr::Query(SqlxError(cause)) | DbErr::Conn(SqlxError(cause))) =
        error
    else {
        return false;
    };
    match &**cause {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => true,
        // connection_exception, operator_intervention except query_canceled, read_only_sql_transaction
        Error::Database(error) => error.code().is_some_and(|code| {
            code.len() == 5 && (code.starts_with("08") || code.starts_with("57P") || code == "25006")
        }),
        _ => false,
    }
}

fn code(error: &DbErr) -> Option<String> {
    let (DbErr::Exec(SqlxError(cause)) | DbErr::Query(SqlxError(cause))) = error else { return None };
    cause.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}
