//! Extension schemas that tenants define.

use platform::Result;
use platform::clock::Clock;
use platform::transport::Transport;
use proto::common::v1::Dialect;
use proto::identity::v1::schemas_client::SchemasClient;
use proto::identity::v1::{
    DeleteExtensionRequest, Extension, GetExtensionRequest, ListExtensionsRequest, PutExtensionRequest,
    WatchChangesRequest,
};
use scim::ErrorKind;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::support::{App, Asked, app, attributes, error, kind, names, serve, token};
use crate::watch::BEGINNING;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const URN: &str = "urn:ietf:params:scim:schemas:extension:hr:2.0:User";

fn schemas(app: &App) -> SchemasClient<Transport> {
    SchemasClient::new(app.transport.clone())
}

fn document(attributes: Value) -> Value {
    json!({ "id": URN, "name": "HR", "attributes": attributes })
}

async fn put_as(
    app: &App,
    document: Value,
    required: bool,
    expected_version: Option<i64>,
) -> Result<Extension> {
    let message = PutExtensionRequest {
        tenant_id: app.tenant.to_string(),
        document: document.to_string().into(),
        required,
        expected_version,
        ..PutExtensionRequest::default()
    };
    Ok(schemas(app).put_extension(app.request(message)).await?.into_inner().extension.unwrap())
}

/// Defines the extension with these attributes; its values are searchable when this returns.
async fn put(app: &App, attributes: Value) -> Extension {
    let extension = put_as(app, document(attributes), false, None).await.unwrap();
    assert!(!extension.reindexing);
    extension
}

async fn get(app: &App, urn: &str) -> Result<Extension> {
    let message = GetExtensionRequest { tenant_id: app.tenant.to_string(), urn: urn.into() };
    Ok(schemas(app).get_extension(app.request(message)).await?.into_inner().extension.unwrap())
}

async fn list(app: &App) -> Vec<Extension> {
    let message = ListExtensionsRequest { tenant_id: app.tenant.to_string() };
    schemas(app).list_extensions(app.request(message)).await.unwrap().into_inner().extensions
}

async fn delete(app: &App, expected_version: Option<i64>) -> Result<()> {
    let (tenant_id, urn) = (app.tenant.to_string(), URN.to_uppercase());
    let message = DeleteExtensionRequest { tenant_id, urn, expected_version, ..Default::default() };
    schemas(app).delete_extension(app.request(message)).await?;
    Ok(())
}

/// What a tenant might really have.
fn hr() -> Value {
    json!([
        { "name": "costCenter", "caseExact": false },
        { "name": "badge", "caseExact": true },
        { "name": "level", "type": "integer" },
        { "name": "since", "type": "dateTime" },
        { "name": "remote", "type": "boolean" },
        { "name": "tags", "multiValued": true },
        { "name": "desks", "type": "complex", "multiValued": true, "subAttributes": [
            { "name": "value" }, { "name": "type" }, { "name": "floor", "type": "integer" },
        ] },
    ])
}

fn user(name: &str, extension: Value) -> Value {
    json!({ "schemas": [USER], "userName": name, URN: extension })
}

async fn create(app: &App, body: Value) -> String {
    app.create(body).await.unwrap().resource.unwrap().id
}

async fn stored(app: &App, id: &str) -> Value {
    attributes(&app.get(id).await.unwrap())
}

testkit::store_tests! {
    service: Identity;

    async fn an_extension_is_defined_changed_and_deleted(db: Database) {
        let app = app(db);
        assert_eq!(list(&app).await, []);
        assert_eq!(kind(get(&app, URN).await), ErrorKind::NotFound);

        let made = put_as(&app, document(hr()), false, Some(0)).await.unwrap();
        assert_eq!((made.urn.as_str(), made.version, made.required), (URN, 1, false));
        let shown: Value = serde_json::from_slice(&made.document).unwrap();
        assert_eq!((&shown["attributes"][0]["mutability"], shown.get("meta")), (&json!("readWrite"), None));
        assert_eq!(get(&app, &URN.to_lowercase()).await.unwrap(), made);
        assert_eq!(list(&app).await, std::slice::from_ref(&made));

        assert_eq!(put(&app, hr()).await, made, "the same document is no change");
        assert_eq!(kind(put_as(&app, document(hr()), true, Some(0)).await), ErrorKind::VersionMismatch);
        assert_eq!(kind(put_as(&app, document(hr()), true, Some(7)).await), ErrorKind::VersionMismatch);
        let changed = put_as(&app, document(hr()), true, Some(1)).await.unwrap();
        assert_eq!((changed.version, changed.required, changed.created_at_us), (2, true, made.created_at_us));

        assert_eq!(kind(delete(&app, Some(1)).await), ErrorKind::VersionMismatch);
        delete(&app, Some(2)).await.unwrap();
        assert_eq!(list(&app).await, []);
        assert_eq!(kind(delete(&app, None).await), ErrorKind::NotFound);
        assert_eq!(put(&app, hr()).await.version, 4, "versions go on");
    }

    async fn what_cannot_be_defined_is_refused_by_name(db: Database) {
        let app = app(db);
        let one = json!([{ "name": "a" }]);
        for urn in ["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", USER, "urn:ietf:params:scim:api:messages:2.0:X", "x"] {
            let refused = put_as(&app, json!({ "id": urn, "attributes": one }), false, None).await;
            assert_eq!(error(refused).attribute.as_deref(), Some("id"), "{urn}");
        }
        let unique = put_as(&app, document(json!([{ "name": "a", "uniqueness": "server" }])), false, None).await;
        assert!(error(unique).detail.contains("uniqueness must be none"));
        put(&app, json!([{ "name": "costCenter" }])).await;
        let respelled = put_as(&app, document(json!([{ "name": "costcenter" }])), false, None).await;
        assert!(error(respelled).detail.contains("spelled costCenter"));
        for n in 1..10 {
            put_as(&app, json!({ "id": format!("urn:x:{n}:User"), "attributes": one }), false, None).await.unwrap();
        }
        let eleventh = put_as(&app, json!({ "id": "urn:x:10:User", "attributes": one }), false, None).await;
        assert_eq!(kind(eleventh), ErrorKind::TooMany);
        let message = PutExtensionRequest { resource_type: "Group".into(), document: document(one).to_string().into(), ..Default::default() };
        let of_groups = schemas(&app).put_extension(app.request(message)).await.map_err(platform::Error::from);
        assert_eq!(error(of_groups).attribute.as_deref(), Some("resource_type"));
    }

    async fn a_tenants_schemas_are_its_own(db: Database) {
        let ours = app(db);
        let theirs = ours.other_tenant();
        put(&ours, hr()).await;
        assert_eq!(list(&theirs).await, []);
        assert_eq!(kind(get(&theirs, URN).await), ErrorKind::NotFound);
        assert_eq!(kind(delete(&theirs, None).await), ErrorKind::NotFound);
        // The same URN is another schema there.
        put(&theirs, json!([{ "name": "badge", "type": "integer" }])).await;
        let (a, b) = (user("a", json!({ "badge": "A1" })), user("b", json!({ "badge": 7 })));
        create(&ours, a.clone()).await;
        create(&theirs, b).await;
        assert_eq!(kind(theirs.create(a).await), ErrorKind::InvalidValue);
        assert_eq!(ours.matching(&format!("{URN}:badge eq \"A1\"")).await, ["a"]);
        assert_eq!(theirs.matching(&format!("{URN}:badge gt 6")).await, ["b"]);

        let forged = App { token: theirs.token.clone(), ..ours.clone() };
        assert_eq!(kind(put_as(&forged, document(hr()), false, None).await), ErrorKind::Forbidden);
        assert_eq!(kind(get(&forged, URN).await), ErrorKind::Forbidden);
        let client = App { token: token(&ours.tenant.to_string(), "scim"), ..ours.clone() };
        assert_eq!(list(&client).await.len(), 1, "the gateway reads with the tenant's token");
        assert_eq!(kind(put_as(&client, document(hr()), false, None).await), ErrorKind::Forbidden);
        assert_eq!(kind(delete(&client, None).await), ErrorKind::Forbidden);

        theirs.purge().await;
        assert_eq!((list(&theirs).await.len(), list(&ours).await.len()), (0, 1));
        assert_eq!(kind(put_as(&theirs, document(hr()), false, None).await), ErrorKind::Unauthenticated);
    }

    async fn users_are_read_and_found_by_the_tenants_schema(db: Database) {
        let app = app(db);
        put(&app, hr()).await;
        // As Entra sends it: the URN is not listed in `schemas`.
        let anna = json!({
            "COSTCENTER": "Berlin", "badge": "Ab1", "level": 7, "since": "2024-01-31T01:00:00+01:00", "remote": "True", "tags": ["Red", "blue"],
            "desks": [{ "value": "D1", "type": "Quiet", "floor": 3 }, { "value": "D2", "type": "loud", "floor": 9 }],
        });
        let id = create(&app, user("anna", anna)).await;
        create(&app, user("ben", json!({ "costCenter": "Aachen", "level": 12, "badge": "AB1" }))).await;
        create(&app, json!({ "userName": "cleo" })).await;
        let seen = stored(&app, &id).await;
        assert_eq!(seen["schemas"], json!([USER, URN]));
        assert_eq!((&seen[URN]["costCenter"], &seen[URN]["remote"]), (&json!("Berlin"), &json!(true)));

        let anna = [
            "costCenter eq \"BERLIN\"", "badge eq \"Ab1\"", "level lt 8", "since eq \"2024-01-31T00:00:00Z\"", "remote eq true",
            "tags eq \"red\"", "tags co \"LU\"", "desks[type eq \"quiet\" and floor eq 3]", "desks.value eq \"d2\"", "desks[floor gt 8].type eq \"LOUD\"",
            "since pr",
        ];
        for filter in anna {
            let filter = format!("{URN}:{filter}");
            assert_eq!(app.matching(&filter).await, ["anna"], "{filter}");
        }
        assert_eq!(app.matching(&format!("{} pr", URN.to_uppercase())).await, ["anna", "ben"]);
        assert_eq!(app.matching(&format!("{URN}:desks[type eq \"quiet\" and floor eq 9]")).await, [""; 0]);
        assert_eq!(app.matching(&format!("not ({URN}:level ge 0)")).await, ["cleo"]);
        let wrong = Asked { filter: &format!("{URN}:level eq \"x\""), ..Asked::default() };
        assert_eq!(kind(app.list(wrong).await), ErrorKind::InvalidFilter);

        let by = async |sort_by: &str| {
            let sort_by = format!("{URN}:{sort_by}");
            names(&app.list(Asked { sort_by: &sort_by, filter: "userName ne \"cleo\"", ..Asked::default() }).await.unwrap().resources)
        };
        assert_eq!(by("costCenter").await, ["ben", "anna"]);
        assert_eq!(by("level").await, ["anna", "ben"], "as numbers: 7 before 12");
    }

    async fn patches_reach_into_the_extension(db: Database) {
        let app = app(db);
        put(&app, hr()).await;
        let id = create(&app, json!({ "userName": "anna" })).await;
        let operations = json!([
            { "op": "Add", "path": format!("{URN}:badge"), "value": "B" },
            { "op": "Replace", "path": format!("{URN}:level"), "value": 3 },
            { "op": "Add", "path": format!("{URN}:tags"), "value": ["x"] },
            { "op": "Add", "path": format!("{URN}:desks[type eq \"quiet\"].value"), "value": "D1" },
        ]);
        let patched = attributes(&app.patch(&id, operations).await.unwrap().resource.unwrap());
        assert_eq!(patched[URN], json!({ "badge": "B", "level": 3, "tags": ["x"], "desks": [{ "type": "quiet", "value": "D1" }] }));
        assert_eq!(patched["schemas"], json!([USER, URN]));
        // With the compliance flag: no path, keys with the URN.
        let dotted = json!([{ "op": "replace", "value": { format!("{URN}:badge"): "C", "title": "t" } }]);
        assert_eq!(attributes(&app.patch(&id, dotted).await.unwrap().resource.unwrap())[URN]["badge"], "C");
        assert_eq!(app.matching(&format!("{URN}:badge eq \"C\"")).await, ["anna"]);
        let wrong = json!([{ "op": "replace", "path": format!("{URN}:level"), "value": "high" }]);
        assert_eq!(kind(app.patch(&id, wrong).await), ErrorKind::InvalidValue);
        let unknown = json!([{ "op": "replace", "path": format!("{URN}:nope"), "value": "x" }]);
        assert_eq!(kind(app.dialect(Dialect::Rfc).patch(&id, unknown).await), ErrorKind::InvalidPath);
        let gone = json!([{ "op": "remove", "path": URN }]);
        assert_eq!(attributes(&app.patch(&id, gone).await.unwrap().resource.unwrap())["schemas"], json!([USER]));
    }

    async fn tightening_leaves_what_is_stored(db: Database) {
        let app = app(db);
        put(&app, json!([{ "name": "level" }, { "name": "badge" }])).await;
        let odd = create(&app, user("odd", json!({ "level": "high" }))).await;
        let without = create(&app, json!({ "userName": "without" })).await;
        let before = stored(&app, &odd).await;

        // level becomes a number, badge becomes required, and so does the extension.
        let tight = json!([{ "name": "level", "type": "integer" }, { "name": "badge", "required": true }]);
        put_as(&app, document(tight), true, None).await.unwrap();
        assert_eq!(stored(&app, &odd).await, before);
        let title = json!([{ "op": "replace", "path": "title", "value": "t" }]);
        for id in [&odd, &without] {
            app.patch(id, title.clone()).await.unwrap();
        }
        assert_eq!(stored(&app, &odd).await[URN], json!({ "level": "high" }));
        assert_eq!(app.matching(&format!("{URN}:level gt 0")).await, [""; 0]);
        assert_eq!(app.matching("title eq \"t\"").await, ["odd", "without"]);

        // What a request does touch is checked.
        let replaced = app.replace(&without, json!({ "userName": "without" })).await;
        assert!(error(replaced).detail.contains(URN));
        let lacking = app.replace(&odd, user("odd", json!({ "level": 1 }))).await;
        assert!(error(lacking).detail.contains("badge"));
        assert_eq!(kind(app.create(json!({ "userName": "new" })).await), ErrorKind::InvalidValue);
        let mend = json!([{ "op": "replace", "path": format!("{URN}:level"), "value": 5 }]);
        app.patch(&odd, mend).await.unwrap();
        assert_eq!(app.matching(&format!("{URN}:level gt 0")).await, ["odd"]);
    }

    async fn filters_are_right_after_every_change(db: Database) {
        let app = app(db);
        put(&app, json!([{ "name": "badge" }, { "name": "desks", "type": "complex", "multiValued": true, "subAttributes": [{ "name": "value" }] }])).await;
        let id = create(&app, user("anna", json!({ "badge": "Ab", "desks": [{ "value": "D1" }] }))).await;
        // More than one step of the reindexing.
        for n in 0..120 {
            create(&app, user(&format!("u{n}"), json!({ "badge": format!("Xy{n}") }))).await;
        }
        let version = app.get(&id).await.unwrap().version;
        let badge = |value: &str| format!("{URN}:badge eq \"{value}\"");
        assert_eq!(app.matching(&badge("AB")).await, ["anna"]);

        let exact = json!([
            { "name": "badge", "caseExact": true },
            { "name": "desks", "type": "complex", "multiValued": true, "subAttributes": [{ "name": "value", "caseExact": true }] },
        ]);
        put(&app, exact.clone()).await;
        assert_eq!((app.matching(&badge("AB")).await, app.matching(&badge("Ab")).await), (vec![], vec!["anna".to_owned()]));
        assert_eq!((app.matching(&badge("xy119")).await, app.matching(&badge("Xy119")).await), (vec![], vec!["u119".to_owned()]));
        assert_eq!(app.matching(&format!("{URN}:desks.value eq \"d1\"")).await, [""; 0]);
        assert_eq!(app.get(&id).await.unwrap().version, version, "nothing of a user has changed");

        put(&app, json!([{ "name": "badge" }])).await;
        assert_eq!(app.matching(&badge("xY119")).await, ["u119"]);
        assert_eq!(app.matching(&format!("{URN}:desks.value eq \"D1\"")).await, [""; 0], "there is no such attribute");
        put(&app, exact).await;
        assert_eq!(app.matching(&format!("{URN}:desks.value eq \"D1\"")).await, ["anna"], "it is back with its values");
    }

    async fn a_deleted_extension_is_hidden_and_comes_back(db: Database) {
        let app = app(db);
        put(&app, json!([{ "name": "badge" }, { "name": "level", "type": "integer" }])).await;
        let id = create(&app, user("anna", json!({ "badge": "Ab", "level": 7 }))).await;
        delete(&app, None).await.unwrap();
        let badge = format!("{URN}:badge eq \"ab\"");
        assert_eq!(app.matching(&badge).await, [""; 0]);
        assert_eq!(kind(app.dialect(Dialect::Rfc).list(Asked { filter: &badge, ..Asked::default() }).await), ErrorKind::InvalidFilter);
        // A client that cannot see it does not clear it.
        app.replace(&id, json!({ "userName": "anna", "title": "t" })).await.unwrap();
        app.patch(&id, json!([{ "op": "replace", "path": "title", "value": "u" }])).await.unwrap();

        // Back with one attribute of the two.
        put(&app, json!([{ "name": "badge" }])).await;
        assert_eq!(app.matching(&badge).await, ["anna"]);
        app.replace(&id, user("anna", json!({ "badge": "Cd" }))).await.unwrap();
        put(&app, json!([{ "name": "badge" }, { "name": "level", "type": "integer" }])).await;
        assert_eq!(app.matching(&format!("{URN}:level eq 7 and {URN}:badge eq \"CD\"")).await, ["anna"]);
        app.replace(&id, json!({ "userName": "anna" })).await.unwrap();
        assert_eq!(app.matching(&format!("{URN} pr")).await, [""; 0], "what the client can see, it clears");
    }

    async fn another_replica_knows_at_once(db: Database) {
        let (here, clock) = (app(db.clone()), Clock::system());
        let there = App { transport: serve(db, clock), ..here.clone() };
        put(&here, json!([{ "name": "badge" }])).await;
        create(&there, user("anna", json!({ "badge": "Ab" }))).await;
        let badge = format!("{URN}:badge eq \"AB\"");
        assert_eq!(there.matching(&badge).await, ["anna"]);
        put(&here, json!([{ "name": "badge", "caseExact": true }])).await;
        assert_eq!(there.matching(&badge).await, [""; 0]);
        create(&there, user("ben", json!({ "badge": "AB" }))).await;
        assert_eq!(here.matching(&badge).await, ["ben"]);
        delete(&there, None).await.unwrap();
        assert_eq!(here.matching(&badge).await, [""; 0]);
    }

    async fn changes_of_schemas_and_writes_of_users_do_not_cross(db: Database) {
        let app = app(db);
        put(&app, json!([{ "name": "badge" }])).await;
        // As many as hold the lock in turn: a change of the schemas must get through all the same.
        let mut writers = tokio::task::JoinSet::new();
        for worker in 0..8 {
            let writer = app.clone();
            writers.spawn(async move {
                for n in 0..40 {
                    let name = format!("u{worker}x{n}");
                    create(&writer, user(&name, json!({ "badge": format!("B{worker}x{n}") }))).await;
                }
            });
        }
        for n in 0..15 {
            put(&app, json!([{ "name": "badge", "caseExact": n % 2 == 0 }])).await;
        }
        writers.join_all().await;
        // caseExact at last: every user is found by the exact text, none by another.
        for (worker, n) in (0..8).flat_map(|worker| (0..40).step_by(3).map(move |n| (worker, n))) {
            assert_eq!(
                app.matching(&format!("{URN}:badge eq \"B{worker}x{n}\"")).await,
                [format!("u{worker}x{n}")]
            );
            assert_eq!(app.matching(&format!("{URN}:badge eq \"b{worker}x{n}\"")).await, [""; 0]);
        }
    }

    async fn a_change_gets_through_a_crowd_of_writers(db: Database) {
        let app = app(db);
        put(&app, json!([{ "name": "badge" }])).await;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut writers = tokio::task::JoinSet::new();
        for worker in 0..8 {
            let (writer, stopped) = (app.clone(), stopped.clone());
            writers.spawn(async move {
                let id = create(&writer, user(&format!("u{worker}"), json!({ "badge": "B" }))).await;
                let mut n = 0;
                while !*stopped.borrow() {
                    n += 1;
                    let title = json!([{ "op": "replace", "path": "title", "value": n.to_string() }]);
                    writer.patch(&id, title).await.unwrap();
                }
            });
        }
        // Nobody pauses before these are done.
        for exact in [true, false, true] {
            put(&app, json!([{ "name": "badge", "caseExact": exact }])).await;
        }
        stop.send(true).unwrap();
        writers.join_all().await;
        assert_eq!(app.matching(&format!("{URN}:badge eq \"b\"")).await, [""; 0]);
    }

    async fn followers_of_users_are_not_told_of_schemas(db: Database) {
        let app = app(db);
        put(&app, hr()).await;
        let id = create(&app, json!({ "userName": "anna" })).await;
        let internal = App { token: token("*", "internal"), ..app.clone() };
        let message = internal.request(WatchChangesRequest { after_cursor: BEGINNING.into() });
        let mut stream = internal.changes().watch_changes(message).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert_eq!(first.change.unwrap().user_id, id);
    }

    async fn what_was_cut_off_is_taken_up(db: Database) {
        let first = app(db.clone());
        put(&first, json!([{ "name": "badge" }])).await;
        let id = create(&first, user("anna", json!({ "badge": "Ab" }))).await;
        // As a process leaves it that dies before the users are reindexed.
        let tables = [
            "UPDATE extension_schemas SET is_reindexing = true",
            "UPDATE schema_states SET stamp = tenant_id",
            "UPDATE users SET search = '{}'",
        ];
        for table in tables {
            db.migrator().execute_unprepared(table).await.unwrap();
        }
        let app = App { transport: serve(db, Clock::system()), ..first };
        let badge = Asked { filter: &format!("{URN}:badge eq \"AB\""), ..Asked::default() };
        assert_eq!(kind(app.list(badge.clone()).await), ErrorKind::Unavailable, "no wrong answer");
        let by_badge = Asked { sort_by: &format!("{URN}:badge"), ..Asked::default() };
        if let Err(error) = app.list(by_badge).await {
            assert_eq!(error.kind, ErrorKind::Unavailable);
        }
        assert_eq!(app.list(Asked { filter: "userName pr", ..Asked::default() }).await.unwrap().total_results, 1);
        app.patch(&id, json!([{ "op": "replace", "path": "title", "value": "t" }])).await.unwrap();
        // That search has begun the work. The same document is no change, and waits for it.
        assert!(!put(&app, json!([{ "name": "badge" }])).await.reindexing);
        assert_eq!(app.list(badge).await.unwrap().total_results, 1);
    }

    async fn a_value_of_another_shape_is_no_accident(db: Database) {
        let app = app(db);
        let shapes = [
            json!({ "name": "x" }),
            json!({ "name": "x", "multiValued": true }),
            json!({ "name": "x", "type": "integer" }),
            json!({ "name": "x", "type": "dateTime" }),
            json!({ "name": "x", "type": "complex", "subAttributes": [{ "name": "value" }, { "name": "n", "type": "integer" }] }),
            json!({ "name": "x", "type": "complex", "multiValued": true, "subAttributes": [{ "name": "value" }, { "name": "primary", "type": "boolean" }] }),
        ];
        let values = [
            json!("a"), json!(["a", "b"]), json!(7), json!("2024-01-31T00:00:00Z"), json!({ "value": "a", "n": 1 }),
            json!([{ "value": "a", "primary": true }]),
        ];
        let mut ids = Vec::new();
        for (shape, value) in shapes.iter().zip(&values) {
            put(&app, json!([shape])).await;
            let id = create(&app, user(&format!("u{}", ids.len()), json!({ "x": value }))).await;
            ids.push(id);
        }
        // Each of the shapes, over values of all of them.
        for shape in &shapes {
            put(&app, json!([shape])).await;
            let attribute = format!("{URN}:x");
            let mut filters = vec![format!("{attribute} pr"), format!("{attribute} eq null")];
            match shape["type"].as_str() {
                Some("integer") => filters.push(format!("{attribute} gt 6")),
                Some("dateTime") => filters.push(format!("{attribute} lt \"2025-01-01T00:00:00Z\"")),
                _ => filters.extend(["eq", "ne", "co", "sw", "ge"].map(|op| format!("{attribute} {op} \"a\""))),
            }
            if shape["type"] == "complex" {
                filters.push(format!("{attribute}[value eq \"a\"]"));
            }
            for filter in filters {
                app.list(Asked { filter: &filter, sort_by: &attribute, ..Asked::default() }).await.unwrap_or_else(|error| panic!("{shape} {filter}: {error}"));
            }
            for (id, value) in ids.iter().zip(&values) {
                app.patch(id, json!([{ "op": "replace", "path": "title", "value": shape["type"] }])).await.unwrap();
                assert_eq!(stored(&app, id).await[URN]["x"], *value, "{shape}");
            }
        }
        // And each can be written anew.
        for id in &ids {
            let remove = json!([{ "op": "remove", "path": format!("{URN}:x") }, { "op": "add", "path": format!("{URN}:x"), "value": [{ "value": "z" }] }]);
            app.patch(id, remove).await.unwrap();
        }
        assert_eq!(app.list(Asked { filter: &format!("{URN}:x.value eq \"Z\""), ..Asked::default() }).await.unwrap().total_results, 6);
    }
}
