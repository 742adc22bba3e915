//! What the protocol costs: `cargo bench -p bench`, or `cargo bench -p bench --profile perf` to build it sooner.
//! Figures: docs/performance.md.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use scim::bulk;
use scim::discovery::Bulk;
use scim::filter::{Filter, eval};
use scim::patch::PatchRequest;
use scim::project::Projection;
use scim::resource::{create, parse_json};
use scim::schema::ResourceType;
use scim::{Dialect, Limits, Map};
use serde_json::{Value, json};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A user as Entra ID creates one with its default attribute mappings.
fn entra_user() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
        "userName": "Test_User_ab6490ee-1e48-479e-a20b-2d77186b5dd1@example.com",
        "active": true,
        "displayName": "lennay",
        "title": "Tour Guide",
        "preferredLanguage": "en-US",
        "emails": [{ "primary": true, "type": "work", "value": "Test_User_fd0ea19b@testuser.com" }],
        "name": { "formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName" },
        "addresses": [{
            "type": "work", "formatted": "100 Universal City Plaza", "streetAddress": "100 Universal City Plaza",
            "locality": "Hollywood", "region": "CA", "postalCode": "91608", "country": "USA", "primary": true,
        }],
        "phoneNumbers": [
            { "type": "work", "value": "555-555-5555" }, { "type": "mobile", "value": "555-555-4444" },
            { "type": "fax", "value": "555-555-3333" },
        ],
        ENTERPRISE: {
            "employeeNumber": "701984", "department": "Tour Operations", "manager": { "value": "26118915-6090" },
        },
    })
}

/// The same, as stored.
fn stored(rt: &ResourceType) -> Map {
    create(rt, &Dialect::ENTRA, &entra_user()).expect("the user is well-formed").resource
}

/// One operation for each attribute, spelled out, as Entra ID sends them without its compliance flag.
fn verbose_patch() -> Value {
    let plain = [
        "displayName",
        "title",
        "preferredLanguage",
        "userType",
        "nickName",
        "locale",
        "timezone",
        "profileUrl",
        "externalId",
        "name.givenName",
        "name.familyName",
        "name.formatted",
        "name.middleName",
        "name.honorificPrefix",
        "name.honorificSuffix",
    ];
    let addresses = ["formatted", "streetAddress", "locality", "region", "postalCode", "country"];
    let enterprise = ["employeeNumber", "costCenter", "organization", "division", "department", "manager"];
    let mut paths: Vec<String> = plain.map(str::to_owned).to_vec();
    paths.extend(addresses.map(|name| format!("addresses[type eq \"work\"].{name}")));
    paths.extend(
        ["work", "mobile", "fax", "home"].map(|kind| format!("phoneNumbers[type eq \"{kind}\"].value")),
    );
    paths.extend(["work", "home", "other"].map(|kind| format!("emails[type eq \"{kind}\"].value")));
    paths.extend(enterprise.map(|name| format!("{ENTERPRISE}:{name}")));
    let mut operations: Vec<Value> = paths
        .iter()
        .enumerate()
        .map(|(index, path)| json!({ "op": "Replace", "path": path, "value": format!("value {index}") }))
        .collect();
    operations.push(json!({ "op": "Replace", "path": "active", "value": "False" }));
    operations.push(json!({ "op": "Replace", "path": "emails[type eq \"work\"].primary", "value": "True" }));
    assert_eq!(operations.len(), 36);
    json!({ "schemas": [PATCH_OP], "Operations": operations })
}

fn filters(c: &mut Criterion) {
    let rt = ResourceType::user();
    let limits = Limits::DEFAULT;
    let simple = r#"userName eq "Test_User_ab6490ee-1e48-479e-a20b-2d77186b5dd1@example.com""#;
    let nested = r#"userType eq "Employee" and emails[type eq "work" and value co "@example.com"] and not (active eq "False" or title pr)"#;
    let mut many = String::new();
    for index in 0..100 {
        let or = if index == 0 { "" } else { " or " };
        write!(many, "{or}externalId eq \"{index}\"").expect("a String takes all");
    }
    let folded = scim::fold(&rt, &Value::Object(stored(&rt)));
    let mut group = c.benchmark_group("filter");
    for (name, text) in [("simple", simple), ("nested", nested), ("100 terms", many.as_str())] {
        let filter = Filter::parse(text, &limits).expect("the filter is well-formed");
        let query = scim::filter::resolve(&filter, &rt, &Dialect::ENTRA).expect("the attributes are known");
        group.bench_function(format!("parse {name}"), |b| b.iter(|| Filter::parse(black_box(text), &limits)));
        group.bench_function(format!("resolve {name}"), |b| {
            b.iter(|| scim::filter::resolve(black_box(&filter), &rt, &Dialect::ENTRA))
        });
        group.bench_function(format!("evaluate {name}"), |b| b.iter(|| eval(black_box(&query), &folded)));
    }
}

fn resources(c: &mut Criterion) {
    let rt = ResourceType::user();
    let bytes = entra_user().to_string().into_bytes();
    let body = entra_user();
    let stored = stored(&rt);
    let value = Value::Object(stored.clone());
    let mut group = c.benchmark_group("resource");
    group.bench_function("parse JSON", |b| b.iter(|| parse_json(black_box(&bytes), &Limits::DEFAULT)));
    for dialect in [Dialect::ENTRA, Dialect::RFC] {
        group.bench_function(format!("create {}", dialect.name), |b| {
            b.iter(|| create(&rt, &dialect, black_box(&body)).expect("the user is well-formed"))
        });
    }
    group.bench_function("fold", |b| b.iter(|| scim::fold(&rt, black_box(&value))));
    for (name, attributes) in [("all", None), ("two attributes", Some("userName,emails.value"))] {
        let projection = Projection::parse(attributes, None, &rt).expect("the names are fine");
        group.bench_function(format!("project {name}"), |b| {
            b.iter_batched_ref(|| stored.clone(), |user| projection.apply(&rt, user), BatchSize::SmallInput)
        });
    }
    group.bench_function("write JSON", |b| b.iter(|| black_box(&value).to_string()));
    group.bench_function("write JSON in order", |b| b.iter(|| scim::render::to_string(black_box(&value))));
}

fn patches(c: &mut Criterion) {
    let (user, group_type) = (ResourceType::user(), ResourceType::group());
    let current = stored(&user);
    let limits = Limits::DEFAULT;
    let verbose = verbose_patch();
    let one = json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "Replace", "path": "active", "value": "False" }] });
    let mut group = c.benchmark_group("patch");
    for (name, body) in [("1 operation", &one), ("36 operations", &verbose)] {
        group.bench_function(format!("parse and apply {name}"), |b| {
            b.iter(|| {
                let request =
                    PatchRequest::parse(black_box(body), &Dialect::ENTRA, &limits).expect("a PatchOp");
                scim::patch::apply(&user, &Dialect::ENTRA, &current, &request).expect("it applies")
            })
        });
    }
    let members: Vec<Value> = (0..1_000).map(|index| json!({ "value": format!("user-{index}") })).collect();
    let body = json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "Add", "path": "members", "value": members }] });
    group.bench_function("take 1,000 members", |b| {
        b.iter(|| {
            let mut request =
                PatchRequest::parse(black_box(&body), &Dialect::ENTRA, &limits).expect("a PatchOp");
            request.take_set(&group_type, "members").expect("members")
        })
    });
}

fn bulks(c: &mut Criterion) {
    // A circle of 100 groups, each with the next as its member.
    let operations: Vec<Value> = (0..100)
        .map(|index| {
            let member = format!("bulkId:{}", (index + 1) % 100);
            let data = json!({ "displayName": "g", "members": [{ "value": member }] });
            json!({ "method": "POST", "path": "/Groups", "bulkId": index.to_string(), "data": data })
        })
        .collect();
    let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    let body = json!({ "schemas": [urn], "Operations": operations }).to_string().into_bytes();
    let limits = Bulk { max_operations: 1_000, max_payload_size: 1 << 20 };
    c.bench_function("bulk/100 groups in a circle", |b| {
        b.iter(|| {
            let request = bulk::Request::parse(black_box(&body), &limits, &Limits::DEFAULT, &["Groups"]);
            let mut job = bulk::Job::new(request.expect("a BulkRequest"));
            while let Some(call) = job.next_call() {
                let id = call.id.unwrap_or_else(|| call.operation.to_string());
                job.done(Ok(bulk::Done { id, version: None, status: 201 }));
            }
            job.response("https://example.com/scim/v2")
        })
    });
}

criterion_group!(benches, filters, resources, patches, bulks);
criterion_main!(benches);
