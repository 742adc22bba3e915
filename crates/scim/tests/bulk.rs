//! Bulk (RFC 7644, section 3.7): its examples, refusals, failures, and random graphs of references.

mod common;

use std::collections::BTreeMap;

use common::{ENTERPRISE, GROUP, PATCH_OP, USER, object};
use proptest::prelude::*;
use scim::bulk::{Call, Done, Job, Method, Request};
use scim::discovery::Bulk;
use scim::{Error, ErrorKind, Limits, Map, Result};
use serde_json::{Value, json};

const BULK: Bulk = Bulk { max_operations: 1000, max_payload_size: 1 << 20 };
const BASE: &str = "https://example.com/v2";

fn parse(body: &Value) -> Result<Request> {
    Request::parse(body.to_string().as_bytes(), &BULK, &Limits::DEFAULT, &["Users", "Groups"])
}

fn bulk(operations: Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
}

/// A server of resources, as simple as can be. Refuses what is named `refused`, and notes what it is asked.
#[derive(Default)]
struct Server {
    resources: BTreeMap<String, Map>,
    calls: Vec<String>,
}

impl Server {
    fn run(&mut self, request: Request) -> Value {
        let mut job = Job::new(request);
        while let Some(call) = job.next_call() {
            let result = self.execute(call);
            job.done(result);
        }
        let response = job.response(BASE);
        assert_eq!(response["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]));
        response["Operations"].clone()
    }

    fn execute(&mut self, call: Call) -> Result<Done> {
        let (method, endpoint) = (call.method.as_str(), &call.endpoint);
        assert!(!call.data.to_string().contains("bulkId:"), "unresolved: {}", call.data);
        self.calls.push(format!(
            "{} {method} {endpoint}/{}",
            call.operation,
            call.id.as_deref().unwrap_or("")
        ));
        if call.data.to_string().contains("refused") {
            return Err(Error::uniqueness("userName: taken"));
        }
        let done = |id: String, status| Ok(Done { id, version: Some("W/\"1\"".into()), status });
        if call.method == Method::Post {
            let id = format!("id-{}", call.operation);
            self.resources.insert(id.clone(), object(call.data));
            return done(id, 201);
        }
        let id = call.id.expect("only POST has none");
        let resource = self.resources.get_mut(&id).ok_or_else(|| Error::not_found("no such resource"))?;
        match call.method {
            Method::Put => *resource = object(call.data),
            Method::Delete => {
                self.resources.remove(&id);
                return Ok(Done { id, version: None, status: 204 });
            }
            _ => {
                for operation in call.data["Operations"].as_array().expect("a PatchOp") {
                    add(resource, operation["path"].as_str().expect("a path"), operation["value"].clone());
                }
            }
        }
        done(id, 200)
    }
}

/// `add` of PATCH, for the paths that bulk makes.
fn add(resource: &mut Map, path: &str, value: Value) {
    if let Some(name) = path.strip_prefix(ENTERPRISE) {
        let extension = resource.entry(ENTERPRISE).or_insert(json!({}));
        extension[&name[1..]] = value;
        return;
    }
    match (resource.get_mut(path).and_then(Value::as_array_mut), value) {
        (Some(elements), Value::Array(more)) => elements.extend(more),
        (_, value) => _ = resource.insert(path.to_owned(), value),
    }
}

fn user(bulk_id: &str, name: &str) -> Value {
    json!({
        "method": "POST", "path": "/Users", "bulkId": bulk_id,
        "data": { "schemas": [USER], "userName": name },
    })
}

fn group(bulk_id: &str, members: &[&str]) -> Value {
    let members: Vec<Value> =
        members.iter().map(|member| json!({ "value": format!("bulkId:{member}"), "type": "User" })).collect();
    json!({
        "method": "POST", "path": "/Groups", "bulkId": bulk_id,
        "data": { "schemas": [GROUP], "displayName": bulk_id, "members": members },
    })
}

#[test]
fn a_member_made_in_the_same_request() {
    // RFC 7644, section 3.7.2, first example.
    let mut server = Server::default();
    let answer =
        server.run(parse(&bulk(json!([user("qwerty", "Alice"), group("ytrewq", &["qwerty"])]))).unwrap());
    assert_eq!(
        answer,
        json!([
            {
                "location": "https://example.com/v2/Users/id-0", "method": "POST", "bulkId": "qwerty",
                "version": "W/\"1\"", "status": "201",
            },
            {
                "location": "https://example.com/v2/Groups/id-1", "method": "POST", "bulkId": "ytrewq",
                "version": "W/\"1\"", "status": "201",
            },
        ])
    );
    assert_eq!(server.resources["id-1"]["members"][0]["value"], "id-0");
}

#[test]
fn references_may_come_before_what_they_refer_to() {
    let mut server = Server::default();
    server.run(parse(&bulk(json!([user("first", "a"), group("g", &["u"]), user("u", "b")]))).unwrap());
    assert_eq!(server.calls, ["0 POST Users/", "2 POST Users/", "1 POST Groups/"]);
    assert_eq!(server.resources["id-1"]["members"][0]["value"], "id-2");
}

#[test]
fn a_circle_is_closed_by_a_patch() {
    // RFC 7644, section 3.7.1.
    let mut server = Server::default();
    let answer = server
        .run(parse(&bulk(json!([group("qwerty", &["ytrewq"]), group("ytrewq", &["qwerty"])]))).unwrap());
    assert_eq!(server.calls, ["1 POST Groups/", "0 POST Groups/", "1 PATCH Groups/id-1"]);
    assert_eq!(server.resources["id-0"]["members"], json!([{ "value": "id-1", "type": "User" }]));
    assert_eq!(server.resources["id-1"]["members"], json!([{ "value": "id-0", "type": "User" }]));
    assert_eq!((&answer[0]["status"], &answer[1]["status"]), (&json!("201"), &json!("201")));
}

#[test]
fn references_in_extensions_refs_and_paths() {
    let mut server = Server::default();
    let boss = json!({
        "method": "POST", "path": "/Users", "bulkId": "boss", "data": {
            "userName": "boss",
            ENTERPRISE: { "manager": { "value": "bulkId:boss", "$ref": "https://h/Users/bulkId:boss" } },
        },
    });
    let request = bulk(json!([
        { "method": "PATCH", "path": "/Users/bulkId:boss", "version": "W/\"7\"", "data": {
            "schemas": [PATCH_OP],
            "Operations": [{ "op": "add", "path": "nickName", "value": "bulkId:boss" }],
        } },
        boss,
    ]));
    let answer = server.run(parse(&request).unwrap());
    assert_eq!(server.calls, ["1 POST Users/", "1 PATCH Users/id-1", "0 PATCH Users/id-1"]);
    assert_eq!(
        Value::Object(server.resources["id-1"].clone()),
        json!({
            "userName": "boss", "nickName": "id-1",
            ENTERPRISE: { "manager": { "value": "id-1", "$ref": "https://h/Users/id-1" } },
        })
    );
    assert_eq!(answer[0]["location"], "https://example.com/v2/Users/id-1");
}

#[test]
fn the_four_methods_of_the_rfc() {
    // RFC 7644, section 3.7.3, with its bare array of operations as the data of a PATCH.
    let mut server = Server::default();
    for id in ["b7c14771", "5d8d29d3", "e9025315"] {
        server.resources.insert(id.into(), Map::new());
    }
    let request = bulk(json!([
        user("qwerty", "Alice"),
        { "method": "PUT", "path": "/Users/b7c14771", "version": "W/\"4w\"", "data": { "userName": "Bob" } },
        { "method": "PATCH", "path": "/Users/5d8d29d3", "version": "W/\"ed\"",
          "data": [{ "op": "add", "path": "userName", "value": "Dave" }] },
        { "method": "DELETE", "path": "/Users/e9025315", "version": "W/\"0e\"" },
    ]));
    let mut job = Job::new(parse(&request).unwrap());
    let mut if_match = Vec::new();
    while let Some(call) = job.next_call() {
        if_match.push(call.if_match.clone());
        job.done(server.execute(call));
    }
    assert_eq!(if_match, [None, Some("W/\"4w\"".into()), Some("W/\"ed\"".into()), Some("W/\"0e\"".into())]);
    let answer = job.response(BASE)["Operations"].clone();
    let statuses: Vec<&Value> = answer.as_array().unwrap().iter().map(|answer| &answer["status"]).collect();
    assert_eq!(statuses, ["201", "200", "200", "204"]);
    assert_eq!(
        answer[3],
        json!({ "location": "https://example.com/v2/Users/e9025315", "method": "DELETE", "status": "204" })
    );
    assert_eq!(server.resources["5d8d29d3"]["userName"], "Dave");
}

#[test]
fn failures_are_answered_one_by_one() {
    let mut server = Server::default();
    let request = bulk(json!([
        user("u", "refused"),
        group("g", &["u"]),
        group("h", &["nobody"]),
        { "method": "PUT", "path": "/Users/x", "data": {} },
        { "method": "DELETE", "path": "/Users/bulkId:u" },
        user("v", "fine"),
    ]));
    let answer = server.run(parse(&request).unwrap());
    let outcome = |index: usize| {
        let response = &answer[index]["response"];
        (
            answer[index]["status"].as_str().unwrap(),
            response["scimType"].as_str(),
            response["detail"].as_str(),
        )
    };
    assert_eq!(outcome(0), ("409", Some("uniqueness"), Some("userName: taken")));
    assert!(answer[0].get("location").is_none());
    assert_eq!(outcome(1).0, "409");
    assert_eq!(outcome(1).2, Some("bulkId:u: Operations[0], which should create it, failed"));
    assert_eq!((outcome(2).0, outcome(2).1), ("400", Some("invalidValue")));
    assert_eq!(outcome(3).0, "404");
    assert_eq!(answer[3]["location"], "https://example.com/v2/Users/x");
    assert_eq!(outcome(4).0, "409");
    assert_eq!(outcome(5), ("201", None, None));
    assert_eq!(server.calls.len(), 3, "what cannot work is not tried: {:?}", server.calls);
}

#[test]
fn fail_on_errors_stops() {
    let mut request =
        bulk(json!([user("a", "a"), user("b", "refused"), user("c", "refused"), user("d", "d")]));
    request["failOnErrors"] = 1.into();
    let answer = Server::default().run(parse(&request).unwrap());
    assert_eq!(answer.as_array().unwrap().len(), 2);
    assert_eq!(answer[1]["status"], "409");
    request["failOnErrors"] = 2.into();
    assert_eq!(Server::default().run(parse(&request).unwrap()).as_array().unwrap().len(), 3);
}

#[test]
fn a_circle_that_cannot_be_closed_is_told() {
    for fail_on_errors in [Value::Null, json!(1)] {
        let mut first = group("refused", &["b"]);
        first["data"]["displayName"] = "refused".into();
        let mut request = bulk(json!([first, group("b", &["refused"])]));
        request["failOnErrors"] = fail_on_errors;
        let answer = Server::default().run(parse(&request).unwrap());
        assert_eq!(answer[0]["status"], "409");
        assert_eq!(answer[1]["status"], "409");
        assert_eq!(answer[1]["location"], "https://example.com/v2/Groups/id-1", "it is there all the same");
        assert!(answer[1]["response"]["detail"].as_str().unwrap().starts_with("created, but without"));
    }
}

#[test]
fn a_call_that_is_not_answered_has_failed() {
    let mut job = Job::new(parse(&bulk(json!([user("a", "a"), user("b", "b")]))).unwrap());
    job.next_call().unwrap();
    job.next_call().unwrap();
    assert!(job.next_call().is_none());
    assert_eq!(job.response(BASE)["Operations"][0]["status"], "500");
}

#[test]
fn operations_that_are_wrong_fail_alone() {
    let cases = [
        (json!({ "path": "/Users" }), "400", "method: expected POST"),
        (json!({ "method": "GET", "path": "/Users/1" }), "400", "method: expected POST"),
        (json!({ "method": "POST", "path": "/Users", "data": {} }), "400", "bulkId: missing"),
        (json!({ "method": "POST", "path": "/Users", "data": {}, "bulkId": 7 }), "400", "bulkId: expected"),
        (
            json!({ "method": "POST", "path": "/Users/1", "data": {}, "bulkId": "x" }),
            "400",
            "path: a POST goes",
        ),
        (json!({ "method": "POST", "path": "/Users", "bulkId": "x" }), "400", "data: missing"),
        (json!({ "method": "PUT", "path": "/Users/1", "data": [] }), "400", "data: expected an object"),
        (json!({ "method": "PUT", "path": "/Users", "data": {} }), "400", "path: PUT needs the id"),
        (json!({ "method": "PUT", "path": "/Users/1/2", "data": {} }), "400", "path: expected /Users or"),
        (json!({ "method": "DELETE", "path": "/Users/1?x" }), "400", "path: expected /Users or"),
        (json!({ "method": "DELETE", "path": "/Bulk/1" }), "404", "path: \"/Bulk/1\" is not an endpoint"),
        (json!({ "method": "DELETE" }), "400", "path: missing"),
        (json!({ "method": "DELETE", "path": "/Users/1", "version": 1 }), "400", "version: expected"),
    ];
    for (operation, status, detail) in cases {
        let mut server = Server::default();
        let answer = server.run(parse(&bulk(json!([operation, user("u", "fine")]))).unwrap());
        assert_eq!(answer[0]["status"], status, "{operation}");
        assert!(answer[0]["response"]["detail"].as_str().unwrap().starts_with(detail), "{}", answer[0]);
        assert_eq!(answer[1]["status"], "201");
    }
}

#[test]
fn requests_that_are_wrong_are_refused_before_anything_is_run() {
    let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    let mut fail_never = bulk(json!([]));
    fail_never["failOnErrors"] = 0.into();
    let cases = [
        (json!([]), ErrorKind::InvalidSyntax, "expected a JSON object"),
        (json!({ "Operations": [] }), ErrorKind::InvalidSyntax, "schemas: expected"),
        (json!({ "schemas": [urn] }), ErrorKind::InvalidSyntax, "Operations: expected an array"),
        (bulk(json!([1])), ErrorKind::InvalidSyntax, "Operations[0]: expected an object"),
        (
            bulk(json!([user("a", "x"), user("a", "y")])),
            ErrorKind::InvalidSyntax,
            "Operations[1]: bulkId \"a\"",
        ),
        (fail_never, ErrorKind::InvalidValue, "failOnErrors: expected an integer"),
    ];
    for (body, kind, detail) in cases {
        let error = parse(&body).unwrap_err();
        assert_eq!(error.kind, kind, "{body}");
        assert!(error.detail.starts_with(detail), "{}", error.detail);
    }
    let body = bulk(json!([user("a", "x"), user("b", "y")])).to_string();
    let refused = |bulk: Bulk| {
        let error = Request::parse(body.as_bytes(), &bulk, &Limits::DEFAULT, &["Users"]).unwrap_err();
        assert_eq!(error.kind.http_status(), 413);
        error.detail
    };
    let two = refused(Bulk { max_operations: 1, ..BULK });
    assert_eq!(two, "Operations: 2 operations; maxOperations is 1");
    assert!(refused(Bulk { max_payload_size: 9, ..BULK }).ends_with("maxPayloadSize is 9"));
}

#[test]
fn names_match_in_any_case() {
    let request = json!({
        "SCHEMAS": ["urn:ietf:params:scim:api:messages:2.0:bulkrequest"], "FailOnErrors": null,
        "operations": [{ "Method": "post", "PATH": "Users", "bulkid": "x", "Data": { "userName": "x" } }],
    });
    let answer = Server::default().run(parse(&request).unwrap());
    assert_eq!((&answer[0]["status"], &answer[0]["method"]), (&json!("201"), &json!("POST")));
}

#[test]
fn a_long_chain_costs_no_stack_and_no_squares() {
    let count = 20_000;
    let names: Vec<String> = (0..=count).map(|index| index.to_string()).collect();
    let mut groups: Vec<Value> = (0..count).map(|index| group(&names[index], &[&names[index + 1]])).collect();
    groups.push(group(&names[count], &["0"]));
    let limits = Bulk { max_operations: 100_000, max_payload_size: 1 << 30 };
    let body = bulk(Value::Array(groups)).to_string();
    let request = Request::parse(body.as_bytes(), &limits, &Limits::DEFAULT, &["Groups"]).unwrap();
    let mut server = Server::default();
    let answer = server.run(request);
    assert!(answer.as_array().unwrap().iter().all(|answer| answer["status"] == "201"));
    assert_eq!(server.calls.len(), count + 2);
}

/// An operation of a random request: what it refers to, by position.
#[derive(Debug, Clone)]
enum Random {
    Post { members: Vec<usize>, manager: Option<usize>, friend: Option<usize> },
    Patch { target: usize, friend: usize },
    Put { target: usize, members: Vec<usize> },
}

fn random() -> impl Strategy<Value = Vec<Random>> {
    let any = || 0..12_usize;
    let post = (prop::collection::vec(any(), 0..4), prop::option::of(any()), prop::option::of(any()))
        .prop_map(|(members, manager, friend)| Random::Post { members, manager, friend });
    let patch = (any(), any()).prop_map(|(target, friend)| Random::Patch { target, friend });
    let put = (any(), prop::collection::vec(any(), 0..3))
        .prop_map(|(target, members)| Random::Put { target, members });
    prop::collection::vec(prop_oneof![5 => post, 1 => patch, 1 => put], 1..12)
}

proptest! {
    #[test]
    fn whatever_refers_to_whatever(random in random()) {
        let posts: Vec<usize> =
            (0..random.len()).filter(|index| matches!(random[*index], Random::Post { .. })).collect();
        prop_assume!(!posts.is_empty());
        let post = |any: &usize| posts[any % posts.len()];
        // The same operations twice: with references, and as they should be once everything has its id.
        let build = |refer: &dyn Fn(usize) -> String| -> Vec<Value> {
            let list = |members: &[usize]| -> Value {
                members.iter().map(|member| json!({ "value": refer(post(member)) })).collect()
            };
            let operation = |(index, random): (usize, &Random)| match random {
                Random::Post { members, manager, friend } => {
                    let mut data = json!({ "name": index, "members": list(members) });
                    if let Some(manager) = manager {
                        data[ENTERPRISE] = json!({ "manager": { "value": refer(post(manager)) }, "x": 1 });
                    }
                    if let Some(friend) = friend {
                        data["friend"] = refer(post(friend)).into();
                    }
                    json!({ "method": "POST", "path": "/Groups", "bulkId": index.to_string(), "data": data })
                }
                Random::Patch { target, friend } => json!({
                    "method": "PATCH", "path": format!("/Groups/{}", refer(post(target))),
                    "data": [{ "op": "add", "path": "best", "value": refer(post(friend)) }],
                }),
                Random::Put { target, members } => json!({
                    "method": "PUT", "path": format!("/Groups/{}", refer(post(target))),
                    "data": { "name": index, "members": list(members) },
                }),
            };
            random.iter().enumerate().map(operation).collect()
        };
        let mut server = Server::default();
        let answer = server.run(parse(&bulk(build(&|index| format!("bulkId:{index}")).into())).unwrap());
        for answer in answer.as_array().unwrap() {
            prop_assert!(answer["status"] == "201" || answer["status"] == "200", "{answer}");
        }
        prop_assert_eq!(answer.as_array().unwrap().len(), random.len(), "every operation is answered");
        for (index, operation) in random.iter().enumerate() {
            let runs = server.calls.iter().filter(|call| call.starts_with(&format!("{index} "))).count();
            let first = server.calls.iter().find(|call| call.starts_with(&format!("{index} "))).unwrap();
            let is_post = matches!(operation, Random::Post { .. });
            prop_assert!(runs == 1 || is_post && runs == 2 && first.contains("POST"), "{:?}", server.calls);
        }
        // What the operations mean with ids: creations first, then the rest as sent.
        let mut model: BTreeMap<String, Map> = BTreeMap::new();
        let plain = build(&|index| format!("id-{index}"));
        for index in &posts {
            model.insert(format!("id-{index}"), object(plain[*index]["data"].clone()));
        }
        for operation in &plain {
            let id = operation["path"].as_str().unwrap().trim_start_matches("/Groups").trim_start_matches('/');
            match operation["method"].as_str().unwrap() {
                "PUT" => _ = model.insert(id.to_owned(), object(operation["data"].clone())),
                "PATCH" => _ = model.get_mut(id).unwrap().insert("best".into(), operation["data"][0]["value"].clone()),
                _ => {}
            }
        }
        prop_assert_eq!(sorted(server.resources), sorted(model));
    }
}

/// Members have no order.
fn sorted(mut resources: BTreeMap<String, Map>) -> BTreeMap<String, Map> {
    for resource in resources.values_mut() {
        let mut members: Vec<Value> =
            resource.remove("members").and_then(|members| members.as_array().cloned()).unwrap_or_default();
        members.sort_by_key(ToString::to_string);
        resource.insert("members".into(), members.into());
    }
    resources
}
