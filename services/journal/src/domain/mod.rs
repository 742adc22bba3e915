//! What an exchange is, whom it is about, by what it is found.

pub(crate) mod exchange;
pub(crate) mod page;
pub(crate) mod query;
pub(crate) mod subject;
