//! From bytes to a [`Request`].

use std::collections::HashSet;

use serde_json::Value;

use super::refs::PREFIX;
use super::{Item, Method, Operation, Request, Target};
use crate::discovery::Bulk;
use crate::message::{check_schemas, take_member};
use crate::patch::PATCH_OP_URN;
use crate::resource::parse_json;
use crate::{Error, Limits, Map, Result};

const BULK_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

impl Request {
    /// Reads a BulkRequest message. `endpoints` are those of the resource types, `["Users", "Groups"]`.
    ///
    /// # Errors
    /// For the whole request, before anything is run: `PayloadTooLarge` for one that is longer than
    /// `bulk.max_payload_size` or has more operations than `bulk.max_operations` (section 3.7.4: the limit is named),
    /// `invalidSyntax` for what is no BulkRequest or uses a bulkId twice, `invalidValue` for `failOnErrors`.
    pub fn parse(body: &[u8], bulk: &Bulk, limits: &Limits, endpoints: &[&str]) -> Result<Request> {
        check_payload(body.len(), bulk)?;
        // A resource is as deep in here as it may be alone: BulkRequest, Operations, operation.
        let limits = Limits { json_depth: limits.json_depth.saturating_add(3), ..*limits };
        let Value::Object(mut body) = parse_json(body, &limits)? else {
            return Err(Error::invalid_syntax("expected a JSON object: a BulkRequest message"));
        };
        check_schemas(&body, BULK_REQUEST_URN)?;
        let fail_on_errors = fail_on_errors(&mut body)?;
        let Some(Value::Array(list)) = take_member(&mut body, "Operations") else {
            return Err(Error::invalid_syntax("Operations: expected an array of operations"));
        };
        if list.len() as u64 > bulk.max_operations {
            let (given, most) = (list.len(), bulk.max_operations);
            let detail = format!("Operations: {given} operations; maxOperations is {most}");
            return Err(Error::payload_too_large(detail).about("Operations"));
        }
        let mut operations = Vec::with_capacity(list.len());
        for (index, operation) in list.into_iter().enumerate() {
            let Value::Object(operation) = operation else {
                return Err(Error::invalid_syntax(format!("Operations[{index}]: expected an object")));
            };
            operations.push(Item::parse(operation, endpoints));
        }
        check_unique(&operations)?;
        Ok(Request { fail_on_errors, operations })
    }
}

fn check_payload(length: usize, bulk: &Bulk) -> Result<()> {
    if length as u64 <= bulk.max_payload_size {
        return Ok(());
    }
    let most = bulk.max_payload_size;
    Err(Error::payload_too_large(format!("the body is {length} bytes long; maxPayloadSize is {most}")))
}

fn fail_on_errors(body: &mut Map) -> Result<Option<usize>> {
    let Some(value) = take_member(body, "failOnErrors") else { return Ok(None) };
    match value.as_u64().filter(|errors| *errors > 0) {
        Some(errors) => Ok(Some(usize::try_from(errors).unwrap_or(usize::MAX))),
        None => {
            let detail =
                "failOnErrors: expected an integer of at least 1 (leave it out to run all operations)";
            Err(Error::invalid_value(detail).about("failOnErrors"))
        }
    }
}

/// Two of the same would leave open what a reference means.
fn check_unique(operations: &[Item]) -> Result<()> {
    let mut seen = HashSet::new();
    for (index, item) in operations.iter().enumerate() {
        if let Some(bulk_id) = &item.bulk_id
            && !seen.insert(bulk_id)
        {
            let shown: String = bulk_id.chars().take(40).collect();
            let detail = format!("Operations[{index}]: bulkId {shown:?} is there twice");
            return Err(Error::invalid_syntax(detail).about("bulkId"));
        }
    }
    Ok(())
}

impl Item {
    fn parse(mut operation: Map, endpoints: &[&str]) -> Item {
        let method = take_member(&mut operation, "method");
        let method = method.as_ref().and_then(Value::as_str).and_then(|name| {
            Method::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(name))
        });
        let (bulk_id, wrong_bulk_id) = match take_member(&mut operation, "bulkId") {
            None => (None, false),
            Some(Value::String(bulk_id)) if !bulk_id.is_empty() => (Some(bulk_id), false),
            Some(_) => (None, true),
        };
        let operation = match method {
            None => Err(Error::invalid_syntax("method: expected POST, PUT, PATCH or DELETE").about("method")),
            Some(_) if wrong_bulk_id => {
                Err(Error::invalid_syntax("bulkId: expected a string that is not empty").about("bulkId"))
            }
            Some(Method::Post) if bulk_id.is_none() => {
                Err(Error::invalid_syntax("bulkId: missing; every POST needs one").about("bulkId"))
            }
            Some(method) => Operation::parse(method, operation, endpoints),
        };
        Item { method, bulk_id, operation }
    }
}

impl Operation {
    fn parse(method: Method, mut operation: Map, endpoints: &[&str]) -> Result<Operation> {
        let path = match take_member(&mut operation, "path") {
            Some(Value::String(path)) => path,
            _ => return Err(Error::invalid_syntax("path: missing; expected a string").about("path")),
        };
        let (endpoint, target) = parse_path(method, &path, endpoints)?;
        let version = match take_member(&mut operation, "version") {
            None => None,
            Some(Value::String(version)) => Some(version),
            Some(_) => {
                return Err(Error::invalid_syntax("version: expected an ETag as a string").about("version"));
            }
        };
        let data = take_member(&mut operation, "data");
        let data = match (method, data) {
            (Method::Delete, _) => Value::Null,
            (Method::Patch, Some(Value::Array(operations))) => wrap(operations),
            (_, Some(data @ Value::Object(_))) => data,
            (_, Some(_)) => return Err(Error::invalid_syntax("data: expected an object").about("data")),
            (_, None) => {
                let detail = format!("data: missing; {} needs it", method.as_str());
                return Err(Error::invalid_syntax(detail).about("data"));
            }
        };
        let version = version.filter(|_| method != Method::Post);
        Ok(Operation { method, endpoint, target, version, data })
    }
}

/// The RFC's own example (section 3.7.3) has the operations of a PATCH bare in `data`.
fn wrap(operations: Vec<Value>) -> Value {
    serde_json::json!({ "schemas": [PATCH_OP_URN], "Operations": operations })
}

/// `/Users`, `/Users/2819c223`, `/Users/bulkId:qwerty`.
fn parse_path(method: Method, path: &str, endpoints: &[&str]) -> Result<(String, Option<Target>)> {
    let wrong = |detail: String| Err(Error::invalid_syntax(format!("path: {detail}")).about("path"));
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
    let first = segments.next().unwrap_or_default();
    let Some(endpoint) = endpoints.iter().find(|endpoint| **endpoint == first) else {
        let known = endpoints.join(", /");
        let shown: String = path.chars().take(80).collect();
        let detail = format!("path: {shown:?} is not an endpoint of bulk; those are /{known}");
        return Err(Error::not_found(detail).about("path"));
    };
    let endpoint = (*endpoint).to_owned();
    let id = segments.next();
    if segments.next().is_some() || id.is_some_and(|id| id.contains(['?', '#'])) {
        return wrong(format!("expected /{endpoint} or /{endpoint}/ID, and nothing more"));
    }
    match (method, id) {
        (Method::Post, None) => Ok((endpoint, None)),
        (Method::Post, Some(_)) => wrong(format!("a POST goes to /{endpoint}, without an id")),
        (_, None | Some("")) => wrong(format!("{} needs the id: /{endpoint}/ID", method.as_str())),
        (_, Some(id)) => Ok((
            endpoint,
            Some(match id.strip_prefix(PREFIX) {
                Some(bulk_id) => Target::BulkId(bulk_id.to_owned()),
                None => Target::Id(id.to_owned()),
            }),
        )),
    }
}
