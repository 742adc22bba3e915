//! Every row of the table, with every way in which clients write it.

use std::sync::Arc;

use platform::Result;
use platform::clock::Timestamp;
use scim::schema::ResourceType;
use scim::{Dialect, ErrorKind, Limits};
use serde_json::json;

use super::*;
use crate::domain::team::Team;
use crate::domain::{Edit, Reader, Schema};

const URN: &str = "urn:ietf:params:scim:schemas:extension:zeeg:2.0:User";
const SALES: &str = "018f3c0e-9d0c-7b53-9b1c-0a4f35a7f7a1";
const IT: &str = "018f3c0e-9d0c-7b53-9b1c-0a4f35a7f7a2";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Post,
    Put,
    /// Entra without the compliance flag: `Add` with a path.
    Add,
    /// The same, with `Replace`.
    Replace,
    /// With the compliance flag: no path, the URN within the key.
    FlatKey,
    /// No path, the extension as an object.
    Object,
    /// The extension as the path, an object as the value.
    Extension,
}

const UPDATES: [Action; 6] =
    [Action::Put, Action::Add, Action::Replace, Action::FlatKey, Action::Object, Action::Extension];

fn schema() -> Schema {
    let extension = Arc::new(ready_made(URN, &Limits::DEFAULT).unwrap().schema);
    let user = ResourceType::user().with_extension(extension, false);
    Schema { user, role_teams: Some(URN.to_owned()), ..Schema::built_in() }
}

fn registry() -> Vec<Team> {
    let team = |id: &str, slug: &str| {
        let at = Timestamp::from_micros(0);
        let id = TeamId::from_uuid(Uuid::try_parse(id).unwrap());
        Team { id, slug: slug.into(), name: slug.into(), created_at: at, updated_at: at }
    };
    vec![team(SALES, "Sales"), team(IT, "it")]
}

/// A stored user.
fn user(role: Option<&str>, teams: &[&str]) -> Map {
    let Value::Object(mut user) =
        json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "a", "active": true })
    else {
        panic!("an object")
    };
    let mut extension = Map::new();
    extension.extend(role.map(|role| (ROLE.to_owned(), role.into())));
    if !teams.is_empty() {
        extension.insert(TEAMS.to_owned(), stored(teams));
    }
    put_extension(&mut user, URN, extension);
    user
}

fn stored(teams: &[&str]) -> Value {
    let element = |id: &&str| json!({ "uuid": id, "slug": if *id == SALES { "Sales" } else { "it" } });
    teams.iter().map(element).collect()
}

/// Role and teams afterwards, and what was skipped.
type After = (Option<String>, Vec<TeamId>, Vec<String>);

fn run(dialect: &'static Dialect, current: Option<&Map>, body: &Value, patch: bool) -> Result<After> {
    let (schema, limits) = (schema(), Limits::DEFAULT);
    let reader = Reader { dialect, limits: &limits };
    let body = body.to_string();
    let edit = match current {
        None => reader.create(body.as_bytes())?(&schema)?,
        Some(current) if patch => reader.patch(body.as_bytes())?(&schema, current)?,
        Some(current) => reader.replace(body.as_bytes())?(&schema, current)?,
    };
    let Edit { mut attributes, mut warnings, role_teams } = edit;
    role_teams.unwrap().apply(current, &mut attributes, &registry(), &mut warnings)?;
    if let Some(teams) = attributes.get(URN).and_then(|extension| extension.get(TEAMS)) {
        let ids = teams_of(URN, &attributes).into_iter().map(|id| id.to_string()).collect::<Vec<_>>();
        assert_eq!(teams, &stored(&ids.iter().map(String::as_str).collect::<Vec<_>>()), "the stored form");
    }
    let is_listed = attributes["schemas"].as_array().unwrap().contains(&json!(URN));
    assert_eq!(is_listed, attributes.contains_key(URN), "`schemas` is true");
    let warnings = warnings.into_iter().map(|warning| warning.attribute).collect();
    Ok((role_of(URN, &attributes).map(str::to_owned), teams_of(URN, &attributes), warnings))
}

/// What an action that sends this object of the extension makes of a user.
fn act(action: Action, current: &Map, extension: &Value) -> After {
    let resource = json!({ "userName": "a", URN: extension });
    let with_path = |op: &str| {
        let members = extension.as_object().unwrap();
        members
            .iter()
            .map(|(name, value)| json!({ "op": op, "path": format!("{URN}:{name}"), "value": value }))
            .collect()
    };
    let operations: Vec<Value> = match action {
        Action::Post => return run(&Dialect::ENTRA, None, &resource, false).unwrap(),
        Action::Put => return run(&Dialect::ENTRA, Some(current), &resource, false).unwrap(),
        Action::Add => with_path("Add"),
        Action::Replace => with_path("Replace"),
        Action::FlatKey => {
            let members = extension.as_object().unwrap();
            let flat: Map =
                members.iter().map(|(name, value)| (format!("{URN}:{name}"), value.clone())).collect();
            vec![json!({ "op": "replace", "value": flat })]
        }
        Action::Object => {
            vec![json!({ "op": "add", "value": { URN.to_uppercase(): extension, "title": "x" } })]
        }
        Action::Extension => vec![json!({ "op": "replace", "path": URN, "value": extension })],
    };
    let patch =
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
    run(&Dialect::ENTRA, Some(current), &patch, true).unwrap()
}

fn teams(ids: &[&str]) -> Vec<TeamId> {
    ids.iter().map(|id| TeamId::from_uuid(Uuid::try_parse(id).unwrap())).collect()
}

fn role(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn teams_in_every_form() {
    let forms = [
        (json!([{ "slug": "sales" }]), vec![SALES]),
        (json!([{ "slug": "SALES" }, { "uuid": IT }]), vec![SALES, IT]),
        (json!([{ "uuid": IT.to_uppercase() }, { "slug": "it" }]), vec![IT]),
        (json!([{ "uuid": SALES, "slug": "renamed-since" }]), vec![SALES]),
        (json!([{ "UUID": "", "slug": "sales", "value": null }]), vec![SALES]),
        (json!("[{\"slug\":\"sales\"},{\"slug\":\"it\"}]"), vec![SALES, IT]),
        (json!("{\"slug\":\"sales\"}"), vec![SALES]),
        (json!("[\"sales\",\"it\"]"), vec![SALES, IT]),
        (json!([{ "value": "sales" }, { "value": IT }]), vec![SALES, IT]),
        (
            json!([{ "value": "{\"slug\":\"sales\"}" }, { "value": format!("{{\"uuid\":\"{IT}\"}}") }]),
            vec![SALES, IT],
        ),
        (json!([{ "value": "[{\"slug\":\"sales\"},{\"slug\":\"it\"}]" }]), vec![SALES, IT]),
        (json!({ "value": "[{\"slug\":\"sales\"}]" }), vec![SALES]),
        (json!(["sales", { "slug": "it" }]), vec![SALES, IT]),
        (json!("sales"), vec![SALES]),
        (json!(" it "), vec![IT]),
        (json!(SALES), vec![SALES]),
        (json!({ "slug": "sales" }), vec![SALES]),
        (json!([]), vec![]),
        (json!(""), vec![]),
        (json!("[]"), vec![]),
        (json!([{ "value": "" }]), vec![]),
        (Value::Null, vec![]),
    ];
    for (form, expected) in forms {
        // It was in `it` before: what is listed replaces that, whatever the operation is called.
        let current = user(Some("admin"), &[IT]);
        for action in [&UPDATES[..], &[Action::Post]].concat() {
            let (role, in_teams, skipped) = act(action, &current, &json!({ "teams": form }));
            assert_eq!((in_teams, skipped), (teams(&expected), vec![]), "{action:?} {form}");
            let stays = if action == Action::Post { DEFAULT_ROLE } else { "admin" };
            assert_eq!(role.as_deref(), Some(stays), "{action:?} {form}: the role was not sent");
        }
    }
}

#[test]
fn teams_that_are_not_there_are_skipped_and_the_rest_counts() {
    let name = format!("{URN}:teams");
    let unknown = "018f3c0e-9d0c-7b53-9b1c-000000000000";
    let forms = [
        (json!([{ "slug": "nobody" }, { "slug": "it" }]), vec![IT], 1),
        (json!([{ "uuid": unknown }, { "slug": "a@x" }]), vec![], 2),
        (json!([{ "value": unknown }, true, { "team": "it" }]), vec![], 2),
        (json!("[{\"slug\": broken"), vec![], 1),
        (json!(7), vec![], 1),
        (json!(true), vec![], 1),
        (json!("sales, it"), vec![], 1),
    ];
    for (form, expected, skipped) in forms {
        for action in [&UPDATES[..], &[Action::Post]].concat() {
            let (_, in_teams, warnings) =
                act(action, &user(Some("user"), &[SALES]), &json!({ "teams": form }));
            assert_eq!(in_teams, teams(&expected), "{action:?} {form}");
            assert_eq!(warnings, vec![name.clone(); skipped], "{action:?} {form}");
        }
    }
}

#[test]
fn a_role_in_every_form() {
    let named = format!("{URN}:role");
    // What is sent; what a new user has then; what an admin has then; whether something was skipped.
    let forms = [
        (json!("external"), "external", "external", false),
        (json!("EXTERNAL"), "external", "external", false),
        (json!(" Admin "), "admin", "admin", false),
        (json!({ "value": "external" }), "external", "external", false),
        (json!([{ "value": "external" }]), "external", "external", false),
        (json!("{\"value\":\"external\"}"), "external", "external", false),
        (json!(""), "user", "user", false),
        (Value::Null, "user", "user", false),
        (json!("owner"), "user", "admin", true),
        (json!("Partner"), "user", "admin", true),
        (json!("king"), "user", "admin", true),
        (json!("a@contoso.com"), "user", "admin", true),
        (json!(7), "user", "admin", true),
        (json!(true), "user", "admin", true),
        (json!(["admin", "user"]), "user", "admin", true),
        (json!({ "name": "admin" }), "user", "admin", true),
    ];
    for (form, new, changed, is_skipped) in forms {
        let warnings = if is_skipped { vec![named.clone()] } else { vec![] };
        let sent = json!({ "role": form });
        let after = act(Action::Post, &Map::new(), &sent);
        assert_eq!(after, (role(new), vec![], warnings.clone()), "POST {form}");
        for action in UPDATES {
            let after = act(action, &user(Some("admin"), &[IT]), &sent);
            assert_eq!(after, (role(changed), teams(&[IT]), warnings.clone()), "{action:?} {form}");
        }
    }
}

#[test]
fn protected_roles_stay_and_the_rest_of_the_request_counts() {
    for protected in PROTECTED {
        for sent in [json!("user"), json!("admin"), json!("king"), json!(""), Value::Null] {
            for action in UPDATES {
                let current = user(Some(protected), &[IT]);
                let (after, in_teams, warnings) =
                    act(action, &current, &json!({ "role": sent, "teams": "sales" }));
                assert_eq!((after, in_teams), (role(protected), teams(&[SALES])), "{action:?} {sent}");
                assert_eq!(warnings, [format!("{URN}:role")], "{action:?} {sent}");
            }
        }
        for action in UPDATES {
            let (after, _, warnings) =
                act(action, &user(Some(protected), &[]), &json!({ "role": protected.to_uppercase() }));
            assert_eq!((after, warnings), (role(protected), vec![]), "{action:?}: it may say what is so");
        }
    }
}

#[test]
fn what_is_not_sent_stays() {
    assert_eq!(act(Action::Post, &Map::new(), &json!({})), (role("user"), vec![], vec![]));
    let body = json!({ "userName": "a" });
    assert_eq!(run(&Dialect::ENTRA, None, &body, false).unwrap(), (role("user"), vec![], vec![]));
    for before in [None, Some("user"), Some("admin"), Some("owner")] {
        let current = user(before, &[SALES]);
        let unchanged = (before.map(str::to_owned), teams(&[SALES]), vec![]);
        assert_eq!(run(&Dialect::ENTRA, Some(&current), &body, false).unwrap(), unchanged, "PUT");
        assert_eq!(
            run(
                &Dialect::RFC,
                Some(&current),
                &json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "a" }),
                false
            )
            .unwrap(),
            unchanged,
            "PUT"
        );
        for operation in [
            json!({ "op": "Replace", "path": "displayName", "value": "x" }),
            json!({ "op": "replace", "value": { "displayName": "x", URN: {} } }),
        ] {
            assert_eq!(
                run(&Dialect::ENTRA, Some(&current), &patch(&operation), true).unwrap(),
                unchanged,
                "{operation}"
            );
        }
    }
}

fn patch(operation: &Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] })
}

#[test]
fn operations_on_parts() {
    let cases = [
        (json!({ "op": "Remove", "path": format!("{URN}:teams") }), "admin", vec![]),
        (json!({ "op": "Remove", "path": format!("{URN}:role"), "value": "admin" }), "user", vec![SALES, IT]),
        (json!({ "op": "Remove", "path": URN }), "user", vec![]),
        (
            json!({ "op": "Remove", "path": format!("{URN}:teams"), "value": [{ "value": "sales" }] }),
            "admin",
            vec![IT],
        ),
        (
            json!({ "op": "Remove", "path": format!("{URN}:teams"), "value": format!("[{{\"uuid\":\"{IT}\"}}]") }),
            "admin",
            vec![SALES],
        ),
        (json!({ "op": "Remove", "path": format!("{URN}:teams"), "value": [] }), "admin", vec![SALES, IT]),
        (json!({ "op": "remove", "path": format!("{URN}:teams[slug eq \"it\"]") }), "admin", vec![SALES]),
        (json!({ "op": "remove", "path": format!("{URN}:teams[value eq \"IT\"]") }), "admin", vec![SALES]),
        (
            json!({ "op": "remove", "path": format!("{URN}:teams[value eq \"{SALES}\" or value eq \"it\"]") }),
            "admin",
            vec![],
        ),
        (json!({ "op": "Replace", "path": format!("{URN}.teams"), "value": "it" }), "admin", vec![IT]),
        (
            json!({ "op": "Add", "path": format!("{}:TEAMS", URN.to_uppercase()), "value": "it" }),
            "admin",
            vec![IT],
        ),
    ];
    for (operation, expected_role, expected) in cases {
        let current = user(Some("admin"), &[SALES, IT]);
        let after = run(&Dialect::ENTRA, Some(&current), &patch(&operation), true).unwrap();
        assert_eq!(after, (role(expected_role), teams(&expected), vec![]), "{operation}");
    }
}

#[test]
fn strict_dialects_refuse_and_add() {
    let body = |extension: Value| json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", URN], "userName": "a", URN: extension });
    for extension in [
        json!({ "role": "king" }),
        json!({ "role": "owner" }),
        json!({ "teams": [{ "slug": "nobody" }] }),
        json!({ "teams": "sales" }),
        json!({ "role": 7 }),
    ] {
        for current in [None, Some(&user(Some("user"), &[]))] {
            let refused = run(&Dialect::RFC, current, &body(extension.clone()), false).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::InvalidValue, "{extension}");
            assert!(
                refused.detail.contains("role") || refused.detail.contains("teams"),
                "{}",
                refused.detail
            );
        }
    }
    let current = user(Some("owner"), &[SALES]);
    let after = run(
        &Dialect::RFC,
        Some(&current),
        &body(json!({ "role": "user", "teams": [{ "value": "it" }] })),
        false,
    )
    .unwrap();
    assert_eq!(
        after,
        (role("owner"), teams(&[IT]), vec![format!("{URN}:role")]),
        "a protected role fails no request"
    );
    let add = json!({ "op": "add", "path": format!("{URN}:teams"), "value": [{ "slug": "it" }] });
    let after = run(&Dialect::RFC, Some(&current), &patch(&add), true).unwrap();
    assert_eq!(after.1, teams(&[SALES, IT]));
}

#[test]
fn warnings_do_not_repeat_what_may_be_personal() {
    let body = json!({ "userName": "a", URN: { "role": "anna@contoso.com", "teams": ["anna@contoso.com", "unknown-team"] } });
    let (schema, limits) = (schema(), Limits::DEFAULT);
    let reader = Reader { dialect: &Dialect::ENTRA, limits: &limits };
    let edit = reader.create(body.to_string().as_bytes()).unwrap()(&schema).unwrap();
    let Edit { mut attributes, mut warnings, role_teams } = edit;
    role_teams.unwrap().apply(None, &mut attributes, &registry(), &mut warnings).unwrap();
    let said = format!("{warnings:?}");
    assert!(!said.contains("anna") && said.contains("unknown-team"), "{said}");
}

#[test]
fn renames_and_deletions_change_the_users_in_the_team_only() {
    let current = user(Some("admin"), &[SALES, IT]);
    let [it] = teams(&[IT])[..] else { panic!("one") };
    let renamed = with_team(URN, &current, it, Some("tech")).unwrap();
    assert_eq!(renamed[URN]["teams"][1], json!({ "uuid": IT, "slug": "tech" }));
    assert_eq!(renamed[URN]["teams"][0], current[URN]["teams"][0]);
    assert_eq!(with_team(URN, &renamed, it, Some("tech")), None, "repeating changes nothing");
    let left = with_team(URN, &renamed, it, None).unwrap();
    assert_eq!(teams_of(URN, &left), teams(&[SALES]));
    assert_eq!(with_team(URN, &left, it, None), None);
}
