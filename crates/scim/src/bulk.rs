//! Bulk (RFC 7644, section 3.7): many operations in one request, which may refer to what the request itself creates.
//!
//! ```ignore
//! let request = bulk::Request::parse(body, &bulk_limits, &limits, &["Users", "Groups"])?; // an error answers the whole request
//! let mut job = bulk::Job::new(request);
//! while let Some(call) = job.next_call() {
//!     let result = execute(call).await;       // as if the operation had come alone
//!     job.done(result);
//! }
//! respond(200, job.response(base_url));       // also when operations failed
//! ```
//!
//! # What refers to what
//! `"bulkId:x"` as a whole string anywhere in `data`, `…/bulkId:x` in a `$ref`, and `/Users/bulkId:x` as `path` stand for
//! the id of what the POST with that `bulkId` creates. (Not inside of filters: nothing that is about to be created needs
//! to be searched for.)
//!
//! # Order
//! As sent, except that a POST which an earlier operation refers to runs just before that operation. Where POSTs refer
//! to each other in a circle (section 3.7.1), the one that is reached last is created without the attributes (of an
//! array: without the elements) that refer to what is not there yet; a PATCH adds them as soon as it is.
//!
//! # Failure
//! Operations fail alone. One that refers to what could not be created fails with 409 without being tried. A created
//! resource whose circle could not be closed stays, and its operation answers 409 with the `location` and what is missing.
//! When as many have failed as `failOnErrors` says, nothing more is run, and what was not run is not in the answer.

mod job;
mod parse;
mod plan;
mod refs;

use serde_json::Value;

pub use job::{Call, Done, Job};

use crate::Error;

/// The method of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    const ALL: [Method; 4] = [Method::Post, Method::Put, Method::Patch, Method::Delete];

    /// As HTTP spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// A BulkRequest message: well-formed as a whole. Operations that are wrong in themselves are in it as such, and fail
/// one by one when their turn comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// After so many failures the rest is not run; at least 1. `None`: all are run.
    pub fail_on_errors: Option<usize>,
    operations: Vec<Item>,
}

/// One operation, or what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
struct Item {
    /// As sent, for the answer; `None` when it is missing or no method of bulk.
    method: Option<Method>,
    bulk_id: Option<String>,
    operation: Result<Operation, Error>,
}

/// An operation that can be tried.
#[derive(Clone, PartialEq)]
struct Operation {
    method: Method,
    /// `Users`: the first segment of the path, in the spelling of the server.
    endpoint: String,
    /// The second segment, for all but POST.
    target: Option<Target>,
    /// The ETag to match, for all but POST.
    version: Option<String>,
    /// Null for DELETE.
    data: Value,
}

/// What an operation other than POST is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Id(String),
    BulkId(String),
}

impl std::fmt::Debug for Operation {
    /// Without the data, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operation")
            .field("method", &self.method)
            .field("endpoint", &self.endpoint)
            .field("target", &self.target)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
