//! Filters: those that Entra sends, and the proof that SQL means what `scim::filter::eval` means.

use std::collections::BTreeSet;

use platform::clock::Clock;
use platform::db::filter::{Table, compile};
use platform::ids::UserId;
use proto::common::v1::{Dialect, Page};
use scim::filter::Filter;
use scim::schema::{Budget, ResourceType, Schema};
use scim::{ErrorKind, Limits};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::random::Random;
use crate::support::{App, Asked, app, attributes, error, kind, names};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

testkit::store_tests! {
    service: Identity;

    async fn what_entra_asks(db: Database) {
        let app = app(db);
        let manager = app.user("boss").await;
        let body = json!({
            "userName": "Anna@Contoso.com", "externalId": "aMeier", "displayName": "Anna Meier", "active": false,
            "emails": [{ "type": "Work", "primary": true, "value": "A.Meier@contoso.com" }, { "type": "home", "value": "anna@home" }],
            ENTERPRISE: { "employeeNumber": "77", "manager": manager },
        });
        let id = app.create(body).await.unwrap().resource.unwrap().id;
        let hits = [
            r#"userName eq "anna@contoso.com""#,
            r#"userName Eq "ANNA@CONTOSO.COM""#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "anna@contoso.com""#,
            r#"externalId eq "aMeier""#,
            r#"displayName eq "anna meier""#,
            r#"emails[type eq "work"].value eq "a.meier@contoso.com""#,
            r#"emails[type eq "work" and value eq "a.meier@CONTOSO.com"]"#,
            r#"emails.value eq "anna@HOME""#,
            &format!(r#"{ENTERPRISE}:employeeNumber eq "77""#),
            &format!(r#"id eq "{id}" and manager eq "{manager}""#),
            &format!(r#"id eq "{id}" and {ENTERPRISE}:manager eq "{manager}""#),
            "active eq false",
            r#"active eq "False""#,
            r#"meta.resourceType eq "User" and userName ne "boss""#,
            r#"meta.lastModified ge "2020-01-01T00:00:00Z" and active eq false"#,
        ];
        for filter in hits {
            assert_eq!(app.matching(filter).await, ["Anna@Contoso.com"], "{filter}");
        }
        let misses = [
            r#"userName eq "7f6c2f1c-0f3c-4a37-93c0-0d5c5bd0a7a5""#,
            r#"externalId eq "ameier""#,
            r#"emails[type eq "work" and value eq "anna@home"]"#,
            r#"emails[type eq "work"].value eq "anna@home""#,
            &format!(r#"id eq "{manager}" and manager eq "{manager}""#),
            r#"id eq "no-id-at-all""#,
        ];
        for filter in misses {
            assert_eq!(app.matching(filter).await, [""; 0], "{filter}");
        }
    }

    async fn what_cannot_be_asked_is_refused(db: Database) {
        let app = app(db);
        let refused = [
            "userName", "userName eq", "userName xx \"a\"", r#"groups.value eq "g""#, r#"password eq "x""#,
            r#"meta.location eq "x""#, "active gt true", r#"userName eq "a\u0000""#,
        ];
        for filter in refused {
            assert_eq!(kind(app.list(Asked { filter, ..Asked::default() }).await), ErrorKind::InvalidFilter, "{filter}");
        }
        let unknown = Asked { filter: r#"favouriteColour eq "red""#, ..Asked::default() };
        assert_eq!(app.list(unknown.clone()).await.unwrap().total_results, 0);
        let strict = app.dialect(Dialect::Rfc);
        assert_eq!(kind(strict.list(unknown).await), ErrorKind::InvalidFilter);
    }

    async fn users_are_found_by_their_groups_when_membership_has_answered(db: Database) {
        let app = app(db);
        let mut ids = Vec::new();
        for name in ["anna", "bert", "carl"] {
            ids.push(app.user(name).await);
        }
        let other = app.other_tenant();
        // Membership names somebody who is not there (any more), and nothing keeps a caller from naming a stranger.
        let sales = [ids[0].clone(), ids[1].clone(), other.user("zoe").await, "no-id".to_owned()];
        let empty: [String; 0] = [];
        let members = || vec![("g1", &sales[..]), ("g2", &ids[1..2]), ("g3", &empty[..])];
        let found = async |filter: &str| {
            let asked = Asked { filter, sort_by: "userName", members: members(), ..Asked::default() };
            let found = app.list(asked).await.unwrap();
            assert_eq!(found.total_results, i64::try_from(found.resources.len()).unwrap());
            names(&found.resources)
        };
        for (filter, expected) in [
            (r#"groups.value eq "g1""#, &["anna", "bert"][..]),
            (r#"GROUPS.Value EQ "g1""#, &["anna", "bert"]),
            (r#"groups eq "g1""#, &["anna", "bert"]),
            (r#"groups[value eq "g1"]"#, &["anna", "bert"]),
            (r#"urn:ietf:params:scim:schemas:core:2.0:User:groups.value eq "g1""#, &["anna", "bert"]),
            (r#"groups eq "g1" and groups eq "g2""#, &["bert"]),
            (r#"groups eq "g2" or userName eq "carl""#, &["bert", "carl"]),
            (r#"not (groups.value eq "g1")"#, &["carl"]),
            (r#"groups eq "g3""#, &[]),
            (r#"not (groups eq "g3") and userName sw "b""#, &["bert"]),
        ] {
            assert_eq!(found(filter).await, expected, "{filter}");
        }
        for filter in [
            r#"groups eq "g4""#, r#"groups.value ne "g1""#, r#"groups.value sw "g1""#, "groups pr", r#"groups.display eq "g1""#,
            r#"groups[value eq "g1" and type eq "direct"]"#,
        ] {
            let refused = error(app.list(Asked { filter, members: members(), ..Asked::default() }).await);
            assert_eq!(refused.kind, ErrorKind::InvalidFilter, "{filter}");
            assert!(refused.detail.contains("groups.value eq"), "{}", refused.detail);
        }
    }

    /// As many as membership will name.
    async fn a_group_may_be_large(db: Database) {
        let app = app(db);
        let id = app.user("anna").await;
        let mut users: Vec<String> = (0..20_000).map(|_| UserId::new(&Clock::system()).to_string()).collect();
        users[12_345] = id;
        let asked = Asked { filter: r#"groups eq "g""#, members: vec![("g", &users)], ..Asked::default() };
        assert_eq!(names(&app.list(asked).await.unwrap().resources), ["anna"]);
    }

    /// Random users, random filters, through the whole service: columns, e-mail rows and JSON together.
    async fn users_are_filtered_as_the_reference_evaluator_says(db: Database) {
        let mut random = Random::new();
        let app = app(db);
        let rt = ResourceType::user();
        let mut folded = Vec::new();
        for n in 0..40 {
            let mut body = random.resource(&rt, false);
            let text = body.get("userName").and_then(Value::as_str).unwrap_or_default();
            body.insert("userName".into(), format!("{text}#{n}").into());
            body.insert("schemas".into(), json!(["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE]));
            if random.chance(70) {
                body.insert("externalId".into(), (*random.pick(&["a", "A", "ab", "%"])).into());
            }
            let created = app.create(body.clone().into()).await;
            let resource = created.unwrap_or_else(|error| panic!("{error}: {}", Value::from(body))).resource.unwrap();
            let mut whole = attributes(&resource);
            whole["id"] = resource.id.clone().into();
            let shown = |micros| scim::date::from_micros(micros);
            whole["meta"] = json!({
                "resourceType": "User", "created": shown(resource.created_at_us), "lastModified": shown(resource.updated_at_us),
                "version": format!("W/\"{}\"", resource.version),
            });
            folded.push((resource.id, scim::fold(&rt, &whole)));
        }
        let of_one = |text: &str| format!("{text} {}", Value::from(folded[7].0.as_str()));
        let instant = Value::from(folded[20].1["meta"]["created"].as_str().unwrap());
        let extra = [
            of_one("id eq"), of_one("id ne"), of_one("id gt"), of_one("id le"), of_one("id sw"),
            format!("id sw \"{}\"", &folded[3].0[..8]), format!("id co \"{}\"", &folded[3].0[20..]), format!("id ew \"{}\"", &folded[3].0[30..]),
            "externalId eq \"a\"".into(), "externalId ne \"a\"".into(), "externalId co \"B\"".into(), "externalId pr".into(),
            "meta.resourceType eq \"User\"".into(), "meta.resourceType sw \"us\"".into(), "meta pr".into(), "meta.created pr".into(),
            "meta.version eq \"W/\\\"1\\\"\"".into(), "id pr".into(),
            format!("meta.created gt {instant}"), format!("meta.created le {instant}"), format!("meta.lastModified eq {instant}"),
            "schemas eq \"urn:ietf:params:scim:schemas:core:2.0:User\"".into(), "schemas pr".into(),
            format!("{ENTERPRISE} pr"),
        ];
        let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
        let mut hits = 0;
        for _ in 0..400 {
            let filter = random.filter(&rt, &extra);
            let query = resolved(&filter, &rt, random.seed);
            let expected: BTreeSet<&str> = folded
                .iter()
                .filter(|(_, folded)| scim::filter::eval(&query, folded))
                .map(|(id, _)| id.as_str())
                .collect();
            let found = all(&app, &filter, random.seed).await;
            let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
            assert_eq!(found, expected, "seed {}: {filter}", random.seed);
            hits += usize::from(!expected.is_empty() && expected.len() < folded.len());
        }
        assert!(hits > 50, "seed {}: only {hits} filters told users apart", random.seed);
    }

    /// Every type that a schema can have, and values of other types than it says, against a table of JSON alone.
    async fn json_is_filtered_as_the_reference_evaluator_says(db: Database) {
        let mut random = Random::new();
        let rt = things();
        let connection = db.migrator();
        connection.execute_unprepared(match db.backend() {
            sea_orm::DbBackend::Postgres => "CREATE TABLE things (id bigint, search jsonb)",
            _ => "CREATE TABLE things (id integer, search text)",
        }).await.unwrap();
        let mut folded = Vec::new();
        for id in 0..60i64 {
            let resource = Value::Object(random.resource(&rt, id % 2 == 0));
            let search = scim::fold(&rt, &resource);
            let sql = match db.backend() {
                sea_orm::DbBackend::Postgres => "INSERT INTO things (id, search) VALUES ($1, $2)",
                _ => "INSERT INTO things (id, search) VALUES (?, ?)",
            };
            let values: [sea_orm::Value; 2] = [id.into(), search.clone().into()];
            connection.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values)).await.unwrap();
            folded.push((id, search));
        }
        let column = |name: &'static str| Expr::col(("things", name));
        let table = Table { id: column("id"), search: column("search"), columns: vec![], rows: vec![] };
        let mut hits = 0;
        for _ in 0..600 {
            let filter = random.filter(&rt, &[]);
            let query = resolved(&filter, &rt, random.seed);
            let expected: BTreeSet<i64> =
                folded.iter().filter(|(_, folded)| scim::filter::eval(&query, folded)).map(|(id, _)| *id).collect();
            let mut select = Query::select();
            select.expr(column("id")).from("things").and_where(compile(&query, &table, db.backend()).unwrap());
            let rows = db.read().query_all(&select).await.unwrap_or_else(|error| panic!("seed {}: {filter}: {error}", random.seed));
            let found: BTreeSet<i64> = rows.iter().map(|row| row.try_get("", "id").unwrap()).collect();
            let difference: Vec<_> = found.symmetric_difference(&expected).map(|id| &folded[usize::try_from(*id).unwrap()].1).collect();
            assert!(difference.is_empty(), "seed {}: {filter}\n{query:?}\nfound {found:?}, expected {expected:?}: {}", random.seed, difference[0]);
            hits += usize::from(!expected.is_empty() && expected.len() < folded.len());
        }
        assert!(hits > 100, "seed {}: only {hits} filters told things apart", random.seed);
    }
}

fn resolved(filter: &str, rt: &ResourceType, seed: u64) -> scim::filter::Query {
    let parsed = Filter::parse(filter, &Limits::DEFAULT)
        .unwrap_or_else(|error| panic!("seed {seed}: {filter}: {error}"));
    scim::filter::resolve(&parsed, rt, &scim::Dialect::ENTRA)
        .unwrap_or_else(|error| panic!("seed {seed}: {filter}: {error}"))
}

async fn all(app: &App, filter: &str, seed: u64) -> Vec<String> {
    let page = Some(Page { start_index: 1, count: Some(50), cursor: None });
    let found = app.list(Asked { filter, page, ..Asked::default() }).await;
    let found = found.unwrap_or_else(|error| panic!("seed {seed}: {filter}: {error:?}"));
    assert_eq!(found.total_results, i64::try_from(found.resources.len()).unwrap(), "seed {seed}: {filter}");
    found.resources.into_iter().map(|resource| resource.id).collect()
}

/// A resource type with an attribute of every type, single and multi-valued.
fn things() -> ResourceType {
    let document = json!({
        "id": "urn:example:things:2.0:User", "name": "Things",
        "attributes": [
            { "name": "count", "type": "integer" },
            { "name": "score", "type": "decimal" },
            { "name": "since", "type": "dateTime" },
            { "name": "flag", "type": "boolean" },
            { "name": "code", "type": "string", "caseExact": true },
            { "name": "blob", "type": "binary" },
            { "name": "tags", "type": "string", "multiValued": true },
            { "name": "numbers", "type": "integer", "multiValued": true },
            { "name": "scores", "type": "decimal", "multiValued": true },
            { "name": "days", "type": "dateTime", "multiValued": true },
            { "name": "flags", "type": "boolean", "multiValued": true },
            { "name": "parts", "type": "complex", "multiValued": true, "subAttributes": [
                { "name": "value", "type": "string" }, { "name": "size", "type": "integer" },
                { "name": "weight", "type": "decimal" }, { "name": "made", "type": "dateTime" },
                { "name": "spare", "type": "boolean" }, { "name": "labels", "type": "string", "multiValued": true },
            ] },
            { "name": "origin", "type": "complex", "subAttributes": [
                { "name": "place", "type": "string", "caseExact": true }, { "name": "year", "type": "integer" },
                { "name": "labels", "type": "string", "multiValued": true },
            ] },
        ],
    });
    let schema = Schema::parse(&document, &Budget::default()).unwrap();
    ResourceType::user().with_extension(schema.into(), false)
}
