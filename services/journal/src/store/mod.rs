//! The database of the journal, on SQLite and PostgreSQL. Its tables are written and read as rows; a search is one statement that
//! walks as many ranges of an index as there are subjects times outcomes, and stops each at a page's length.

mod append;
mod entities;
mod expire;
mod list;
mod purge;

use platform::db::Database;

/// The exchanges of all tenants. Clones share the database.
#[derive(Clone)]
pub(crate) struct Store {
    db: Database,
}

impl Store {
    pub(crate) fn new(db: Database) -> Self {
        Self { db }
    }
}
