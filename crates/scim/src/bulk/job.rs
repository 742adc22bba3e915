//! A bulk request on its way: what to do next, what came of it, the answer.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::plan::{Step, creators, plan};
use super::{Item, Method, Operation, Request, Target, refs};
use crate::patch::PATCH_OP_URN;
use crate::{Error, ErrorKind, Map, Result};

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
    outcomes: Vec<Option<Outcome>>,
    /// By operation: the operations of the PATCH that completes it.
    additions: BTreeMap<usize, Vec<Value>>,
    /// The call that is out: its operation, and whether it completes what a POST left out.
    running: Option<(usize, bool)>,
    failures_left: usize,
}

/// What came of an operation. Both: a resource was created and could not be completed.
#[derive(Debug, Clone, Default)]
struct Outcome {
    done: Option<Done>,
    error: Option<Error>,
}

impl Job {
    /// Works out the order; nothing is run yet.
    pub fn new(request: Request) -> Job {
        let creators = creators(&request.operations);
        let steps = plan(&request.operations, &creators);
        Job {
            steps: steps.into_iter(),
            outcomes: vec![None; request.operations.len()],
            items: request.operations,
            creators,
            additions: BTreeMap::new(),
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
        while self.failures_left > 0
            && let Some(step) = self.steps.next()
        {
            let call = match step {
                Step::Run { operation, open } => {
                    self.running = Some((operation, false));
                    self.run(operation, &open)
                }
                Step::Complete { operation } => {
                    let Some(additions) = self.additions.remove(&operation) else { continue };
                    self.running = Some((operation, true));
                    self.complete(operation, additions)
                }
            };
            match call {
                Ok(call) => return Some(call),
                Err(error) => self.done(Err(error)),
            }
        }
        while let Some((operation, _)) = self.additions.pop_first() {
            let stopped = Error::new(ErrorKind::Conflict, "failOnErrors stopped the request");
            self.record_incomplete(operation, &stopped);
        }
        None
    }

    /// What came of the call that [`Job::next_call`] gave last. Ignored when there is none.
    pub fn done(&mut self, result: Result<Done>) {
        let Some((operation, completes)) = self.running.take() else { return };
        if result.is_err() {
            self.failures_left = self.failures_left.saturating_sub(1);
        }
        match result {
            Ok(done) if completes => {
                if let Some(created) = self.created_mut(operation) {
                    created.version = done.version;
                }
            }
            Err(error) if completes => self.record_incomplete(operation, &error),
            Ok(done) => self.outcomes[operation] = Some(Outcome { done: Some(done), error: None }),
            Err(error) => {
                self.additions.remove(&operation);
                self.outcomes[operation] = Some(Outcome { done: None, error: Some(error) });
            }
        }
    }

    /// The BulkResponse message, for status 200. `base_url` is the tenant's SCIM base, for `location`. Operations are in
    /// the order of the request; those that were not run are left out.
    pub fn response(&self, base_url: &str) -> Value {
        let mut operations = Vec::with_capacity(self.items.len());
        for (item, outcome) in self.items.iter().zip(&self.outcomes) {
            if let Some(outcome) = outcome {
                operations.push(self.operation_response(item, outcome, base_url));
            }
        }
        json!({ "schemas": [BULK_RESPONSE_URN], "Operations": operations })
    }

    fn operation_response(&self, item: &Item, outcome: &Outcome, base_url: &str) -> Value {
        let mut response = Map::new();
        if let Some(method) = item.method {
            response.insert("method".into(), method.as_str().into());
        }
        if let Some(bulk_id) = &item.bulk_id {
            response.insert("bulkId".into(), bulk_id.as_str().into());
        }
        // Also of a failure, where it is known (section 3.7: all but a POST that created nothing).
        let operation = item.operation.as_ref().ok();
        let id = match (&outcome.done, operation.and_then(|operation| operation.target.as_ref())) {
            (Some(done), _) => Some(done.id.as_str()),
            (None, Some(Target::Id(id))) => Some(id.as_str()),
            (None, Some(Target::BulkId(bulk_id))) => self.id_of(bulk_id),
            (None, None) => None,
        };
        if let (Some(operation), Some(id)) = (operation, id) {
            response.insert("location".into(), format!("{base_url}/{}/{id}", operation.endpoint).into());
        }
        if let Some(version) = outcome.done.as_ref().and_then(|done| done.version.as_ref()) {
            response.insert("version".into(), version.as_str().into());
        }
        let status = match (&outcome.error, &outcome.done) {
            (Some(error), _) => {
                response.insert("response".into(), error.to_json());
                error.kind.http_status()
            }
            (None, Some(done)) => done.status,
            (None, None) => ErrorKind::Internal.http_status(),
        };
        response.insert("status".into(), status.to_string().into());
        Value::Object(response)
    }

    /// The call of an operation, without what refers to the operations in `open`, which are sorted.
    fn run(&mut self, index: usize, open: &[usize]) -> Result<Call> {
        let operation = self.items[index].operation.as_mut().map_err(|error| error.clone())?;
        let mut data = operation.data.take();
        let Operation { method, endpoint, target, version, .. } = operation.clone();
        let is_open = |bulk_id: &str| {
            self.creators.get(bulk_id).is_some_and(|creator| open.binary_search(creator).is_ok())
        };
        self.check_references(&data, &is_open)?;
        let id = match &target {
            None => None,
            Some(Target::Id(id)) => Some(id.clone()),
            Some(Target::BulkId(bulk_id)) => Some(self.known_id(bulk_id)?.to_owned()),
        };
        let mut additions = Vec::new();
        if !open.is_empty()
            && let Value::Object(resource) = &mut data
        {
            additions = refs::split_off(resource, &is_open);
        }
        refs::substitute(&mut data, &|bulk_id| self.id_of(bulk_id));
        if !additions.is_empty() {
            self.additions.insert(index, additions);
        }
        Ok(Call { operation: index, method, endpoint, id, if_match: version, data })
    }

    /// The PATCH that adds to a created resource what was left out.
    fn complete(&self, index: usize, additions: Vec<Value>) -> Result<Call> {
        let mut additions = Value::Array(additions);
        self.check_references(&additions, &|_| false)?;
        refs::substitute(&mut additions, &|bulk_id| self.id_of(bulk_id));
        let operation = self.items[index].operation.as_ref().map_err(Clone::clone)?;
        let created = self.outcomes[index].as_ref().and_then(|outcome| outcome.done.as_ref());
        Ok(Call {
            operation: index,
            method: Method::Patch,
            endpoint: operation.endpoint.clone(),
            id: created.map(|done| done.id.clone()),
            if_match: None,
            data: json!({ "schemas": [PATCH_OP_URN], "Operations": additions }),
        })
    }

    /// Every reference but the open ones stands for an id.
    fn check_references(&self, data: &Value, is_open: &impl Fn(&str) -> bool) -> Result<()> {
        let mut checked = Ok(());
        refs::each(data, &mut |bulk_id| {
            if checked.is_ok() && !is_open(bulk_id) {
                checked = self.known_id(bulk_id).map(|_| ());
            }
        });
        checked
    }

    fn known_id(&self, bulk_id: &str) -> Result<&str> {
        let shown: String = bulk_id.chars().take(40).collect();
        let Some(creator) = self.creators.get(bulk_id) else {
            let detail = format!("bulkId:{shown}: no POST of this request has this bulkId");
            return Err(Error::invalid_value(detail).about("bulkId"));
        };
        self.id_of(bulk_id).ok_or_else(|| {
            let detail = format!("bulkId:{shown}: Operations[{creator}], which should create it, failed");
            Error::new(ErrorKind::Conflict, detail).about("bulkId")
        })
    }

    fn id_of(&self, bulk_id: &str) -> Option<&str> {
        let creator = *self.creators.get(bulk_id)?;
        self.outcomes[creator].as_ref()?.done.as_ref().map(|done| done.id.as_str())
    }

    fn created_mut(&mut self, index: usize) -> Option<&mut Done> {
        self.outcomes[index].as_mut()?.done.as_mut()
    }

    /// The resource is there, and its circle is not closed: 409 (section 3.7.1), with the `location`.
    fn record_incomplete(&mut self, index: usize, error: &Error) {
        let Some(outcome) = &mut self.outcomes[index] else { return };
        let detail = format!(
            "created, but without what refers to resources created later in this request: {}; add it by PATCH",
            error.detail
        );
        outcome.error = Some(Error::new(ErrorKind::Conflict, detail));
    }
}

impl std::fmt::Debug for Call {
    /// Without the data, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.operation)
            .field("method", &self.method)
            .field("endpoint", &self.endpoint)
            .field("id", &self.id)
            .field("if_match", &self.if_match)
            .finish_non_exhaustive()
    }
}
