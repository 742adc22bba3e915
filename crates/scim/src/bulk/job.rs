//! A bulk request on its way: what to do next, what came of it, the answer.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::plan::{Step, creators, plan};
use super::{Item, Method, Operation, Request, Target, refs};
use crate::patch::PATCH_OP_URN;
use crate::{Error, Map, Result};

const BULK_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// One operation to execute as if it had come alone: every reference in it is an id.
#[derive(Clone, PartialEq)]
pub struct Call {
    /// Position in the request, for logs. The PATCH that closes a circle has that of its POST.
    pub operation: usize,
    pub method: Method,
    /// `Users`
    pub endpoint: String,
    /// For all but POST.
    pub id: Option<String>,
    /// The ETag to match, as `If-Match` would have it.
    pub if_match: Option<String>,
    /// The body; null for DELETE.
    pub data: Value,
}

/// What came of a [`Call`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The id of the resource.
    pub id: String,
    /// Its ETag; `None` after DELETE.
    pub version: Option<String>,
    /// The HTTP status that the operation would have had alone: 200, 201 or 204.
    pub status: u16,
}

/// A bulk request on its way. Take a [`Call`], say what came of it, and so on; then take the response.
#[derive(Debug, Clone)]
pub struct Job {
    items: Vec<Item>,
    creators: HashMap<String, usize>,
    steps: std::vec::IntoIter<Step>,
    /// By operation; `None` is not run (yet).
    results: Vec<Option<Result<Done>>>,
    /// By operation: the operations of the PATCH that completes it.
    additions: HashMap<usize, Vec<Value>>,
    /// Of the call that is out.
    running: Option<Running>,
    failures_left: usize,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    operation: usize,
    completes: bool,
}

impl Job {
    /// Works out the order; nothing is run yet.
    pub fn new(request: Request) -> Job {
        let creators = creators(&request.operations);
        let steps = plan(&request.operations, &creators);
        Job {
            steps: steps.into_iter(),
            results: request.operations.iter().map(|_| None).collect(),
            items: request.operations,
            creators,
            additions: HashMap::new(),
            running: None,
            failures_left: request.fail_on_errors.unwrap_or(usize::MAX),
        }
    }

    /// What to execute next; `None` when the job is over. Answer each call with [`Job::done`] before taking the next one;
    /// one that is not answered counts as failed.
    pub fn next_call(&mut self) -> Option<Call> {
        if self.running.is_some() {
            self.done(Err(Error::internal("the operation was given up")));
        }
        while self.failures_left > 0 {
            let step = self.steps.next()?;
            let (operation, completes) = match step {
                Step::Run { operation, .. } => (operation, false),
                Step::Complete { operation } => (operation, true),
            };
            let call = match step {
                Step::Run { operation, open } => self.run(operation, &open),
                Step::Complete { operation } => match self.complete(operation) {
                    Some(call) => call,
                    None => continue,
                },
            };
            self.running = Some(Running { operation, completes });
            match call {
                Ok(call) => return Some(call),
                Err(error) => self.done(Err(error)),
            }
        }
        None
    }

    /// What came of the call that [`Job::next_call`] gave last. Ignored when there is none.
    pub fn done(&mut self, result: Result<Done>) {
        let Some(Running { operation, completes }) = self.running.take() else { return };
        if result.is_err() {
            self.failures_left = self.failures_left.saturating_sub(1);
        }
        if !completes {
            self.results[operation] = Some(result);
            return;
        }
        self.additions.remove(&operation);
        let Some(Some(Ok(created))) = self.results.get_mut(operation) else { return };
        match result {
            Ok(done) => created.version = done.version,
            Err(error) => {
                let error = incomplete(created, &error.detail, error.kind);
                self.results[operation] = Some(Err(error));
            }
        }
    }

    /// The BulkResponse message, for status 200. `base_url` is the tenant's SCIM base, for `location`. Operations are in
    /// the order of the request; those that were not run are left out.
    pub fn response(&self, base_url: &str) -> Value {
        let mut operations = Vec::with_capacity(self.items.len());
        for (index, item) in self.items.iter().enumerate() {
            let Some(result) = &self.results[index] else { continue };
            operations.push(self.operation_response(index, item, result, base_url));
        }
        json!({ "schemas": [BULK_RESPONSE_URN], "Operations": operations })
    }
}
