//! The provisioning log, as far as the gateway has to do with it: what it notes of each SCIM exchange, and how that reaches the
//! journal service without a request ever waiting for it.
//!
//! - [`note`]: what handlers write down while they work, and the exchange it becomes.
//! - [`watch`]: around every SCIM request: begins the note, and ends it, also when the client hangs up.
//! - [`queue`]: what is not written yet: bounded; when it is full, what matters least goes.
//! - [`writer`]: takes it to the journal, tries again while that is away, and empties the queue at shutdown.
//!
//! # Noting something more
//! A field of `Exchange` in the contract, of [`note::Draft`], and a method of [`note::Note`] for whoever knows it.

mod note;
mod queue;
mod watch;
mod writer;

pub(crate) use note::{Asker, Failure, Note};
pub(crate) use queue::Queue;
pub(crate) use watch::{operation, watch};
pub(crate) use writer::write;
