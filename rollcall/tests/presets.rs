//! The presets as the products behind them are set up and used: the admin API makes the tenant as their pages do, an identity provider
//! sends their payloads, and internal services see what came of it over gRPC. (transcripts/ has the wire alone.)
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;

use proto::membership::v1::memberships_client::MembershipsClient;
use proto::membership::v1::{CheckRequest, GetUserMembershipRequest, ListGroupMembersRequest};
use reqwest::Method;
use serde_json::{Map, Value, json};
use testkit::client::{Answer, Client};
use testkit::memberships::{Memberships, group, user};
use testkit::server::{Standalone, Tenant};
use tonic::Request;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ZEEG: &str = "urn:ietf:params:scim:schemas:extension:zeeg:2.0:User";
const FLAG: &str = "aadOptscim062020";

fn server() -> &'static Standalone {
    Standalone::shared(Path::new(env!("CARGO_BIN_EXE_rollcall")))
}

async fn admin(method: Method, path: &str, body: Value, expected: u16) -> Value {
    let body = Some(body).filter(|body| !body.is_null());
    let (status, answer) = server().admin(method.clone(), path, body).await.unwrap();
    assert_eq!(status, expected, "{method} {path}: {answer}");
    answer
}

/// A tenant as its product sets it up, an identity provider's client and an internal service's token.
struct Product {
    path: String,
    tenant: Tenant,
    scim: Client,
    internal: Memberships,
    token: String,
}

impl Product {
    async fn set_up(name: &str, preset: &str) -> Product {
        let tenant = server().tenant(name, preset).await.unwrap();
        let id = &tenant.tenant.id;
        let token = server().access_token(name, Some(id), "memberships:read").await.unwrap();
        let internal = Memberships::connect(&server().grpc, Some(&token)).await.unwrap();
        Product { path: format!("/tenants/{id}"), scim: tenant.client(), tenant, internal, token }
    }

    /// Below the tenant, in the admin API.
    async fn admin(&self, method: Method, path: &str, body: Value, expected: u16) -> Value {
        admin(method, &format!("{}{path}", self.path), body, expected).await
    }

    /// The resource that was asked for and is there.
    async fn get(&self, path: &str) -> Value {
        let answer = self.scim.get(path).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    async fn found(&self, resources: &str, filter: &str) -> Vec<String> {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", filter).finish();
        let list = self.get(&format!("/{resources}?{query}")).await;
        let found = list["Resources"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(list["totalResults"], found.len(), "{list}");
        found.iter().map(|found| found["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn new_user(&self, body: Value) -> String {
        let answer = self.scim.post("/Users", &body).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.id().unwrap()
    }

    /// Role and slugs of teams as internal services are told them.
    async fn role_and_teams(&self, id: &str) -> (String, Vec<String>) {
        let client = MembershipsClient::connect(server().grpc.clone()).await.unwrap();
        let question = GetUserMembershipRequest { user: user(id), ..Default::default() };
        let mut request = Request::new(question);
        let bearer = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let told = client.clone().get_user_membership(request).await.unwrap().into_inner();
        let mut teams: Vec<String> = told.teams.into_iter().map(|team| team.slug).collect();
        teams.sort();
        (told.role, teams)
    }

    async fn is_member(&self, user_id: &str, group_id: &str) -> bool {
        let question = CheckRequest { user: user(user_id), group: group(group_id), ..Default::default() };
        self.internal.check(question).await.unwrap()
    }
}

fn patch(operations: Value) -> Value {
    json!({"schemas": [PATCH], "Operations": operations})
}

/// A refusal in the form of SCIM that says each of `parts`.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, parts: &[&str]) {
    assert_eq!(answer.status, status, "{}", answer.text);
    answer.check_scim_error().unwrap();
    for part in parts {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
}

// Zeeg (intercom.help/zeeg 13857696, 12582737; DESIGN.md, Role and teams)

/// How an identity provider changes a user.
#[derive(Clone, Copy, Debug)]
enum How {
    Put,
    /// One operation for each attribute, with its path.
    PatchPaths,
    /// One operation without a path, with the compliance flag.
    PatchWhole,
}

const WAYS: [How; 3] = [How::Put, How::PatchPaths, How::PatchWhole];

impl Product {
    /// Changes the displayName and what is sent of role and teams.
    async fn change(&self, how: How, name: &str, id: &str, display: &str, sent: &Value) -> Answer {
        let sent = sent.as_object().unwrap();
        let path = format!("/Users/{id}");
        match how {
            How::Put => {
                let mut body =
                    json!({"schemas": [USER], "userName": name, "active": true, "displayName": display});
                if !sent.is_empty() {
                    body[ZEEG] = sent.clone().into();
                }
                self.scim.put(&path, &body).await.unwrap()
            }
            How::PatchPaths => {
                let mut operations = vec![json!({"op": "Replace", "path": "displayName", "value": display})];
                for (name, value) in sent {
                    operations.push(json!({"op": "Add", "path": format!("{ZEEG}:{name}"), "value": value}));
                }
                self.scim.patch(&path, &patch(operations.into())).await.unwrap()
            }
            How::PatchWhole => {
                let mut value = Map::from_iter([("displayName".to_owned(), display.into())]);
                value.extend(sent.iter().map(|(name, value)| (format!("{ZEEG}:{name}"), value.clone())));
                let operations = json!([{"op": "replace", "value": value}]);
                self.scim.patch(&format!("{path}?{FLAG}"), &patch(operations)).await.unwrap()
            }
        }
    }

    /// Role and teams are so, for whoever asks.
    async fn assert_role_and_teams(&self, id: &str, role: &str, teams: &[&str], what: &str) {
        let shown = self.get(&format!("/Users/{id}")).await;
        let mut slugs: Vec<&str> = shown[ZEEG]["teams"]
            .as_array()
            .map_or_else(Vec::new, |teams| teams.iter().map(|team| team["slug"].as_str().unwrap()).collect());
        slugs.sort_unstable();
        assert_eq!((shown[ZEEG]["role"].as_str(), slugs.as_slice()), (Some(role), teams), "{what}: {shown}");
        let told = self.role_and_teams(id).await;
        assert_eq!(
            (told.0.as_str(), told.1),
            (role, teams.iter().map(|team| (*team).to_owned()).collect()),
            "{what}, over gRPC"
        );
    }
}

async fn zeeg(name: &str) -> (Product, String) {
    let product = Product::set_up(name, "zeeg").await;
    server().team(&product.tenant, "sales").await.unwrap();
    let it = server().team(&product.tenant, "it").await.unwrap();
    (product, it)
}

#[tokio::test]
async fn zeeg_roles_and_teams_are_as_its_table_says() {
    let (zeeg, it) = zeeg("presets-zeeg-table").await;
    for how in WAYS {
        let name = format!("{how:?}@contoso.com");
        let id = zeeg
            .new_user(json!({"schemas": [USER], "userName": name, "active": true,
                ZEEG: {"role": "external", "teams": [{"slug": "sales"}]}}))
            .await;
        zeeg.assert_role_and_teams(&id, "external", &["sales"], "created").await;
        // What is sent, what comes of it, and whether something of it is skipped.
        let table = [
            (json!({}), "external", &["sales"][..], ""),
            (json!({"role": "admin"}), "admin", &["sales"], ""),
            (json!({"teams": "[{\"slug\":\"it\"}]"}), "admin", &["it"], ""),
            (
                json!({"role": "USER", "teams": [{"slug": "sales"}, {"uuid": it}]}),
                "user",
                &["it", "sales"],
                "",
            ),
            (json!({"teams": format!("[{{\"uuid\":\"{it}\"}}]")}), "user", &["it"], ""),
            (json!({"role": "king"}), "user", &["it"], "role"),
            (json!({"role": "owner"}), "user", &["it"], "role"),
            (json!({"role": "Partner", "teams": [{"slug": "sales"}]}), "user", &["sales"], "role"),
            (
                json!({"role": "admin", "teams": [{"slug": "it"}, {"slug": "nobody"}]}),
                "admin",
                &["it"],
                "teams",
            ),
            (json!({"teams": "[]"}), "admin", &[], ""),
            (json!({"teams": "sales"}), "admin", &["sales"], ""),
            (json!({"teams": []}), "admin", &[], ""),
            (json!({}), "admin", &[], ""),
        ];
        for (at, (sent, role, teams, skipped)) in table.into_iter().enumerate() {
            let what = format!("{how:?} of {sent}");
            let display = format!("Name {at}");
            let answer = zeeg.change(how, &name, &id, &display, &sent).await;
            assert_eq!(answer.status, 200, "{what}: {}", answer.text);
            assert_eq!(answer.body["displayName"], display, "{what}: the rest counts");
            let warnings: Vec<_> =
                answer.headers.get_all("rollcall-warning").iter().map(|it| it.to_str().unwrap()).collect();
            if skipped.is_empty() {
                assert!(warnings.is_empty(), "{what}: {warnings:?}");
            } else {
                assert!(warnings[0].starts_with(&format!("{ZEEG}:{skipped}")), "{what}: {warnings:?}");
            }
            zeeg.assert_role_and_teams(&id, role, teams, &what).await;
        }
    }
    let answer = zeeg.scim.post("/Users", &json!({"schemas": [USER], "userName": "plain@contoso.com"})).await;
    zeeg.assert_role_and_teams(&answer.unwrap().id().unwrap(), "user", &[], "created with neither").await;
}

#[tokio::test]
async fn zeeg_protected_roles_outlive_whatever_is_provisioned() {
    let (zeeg, _) = zeeg("presets-zeeg-protected").await;
    for protected in ["owner", "partner"] {
        let name = format!("{protected}@contoso.com");
        let id = zeeg
            .new_user(json!({"schemas": [USER], "userName": name, "active": true, ZEEG: {"role": "admin"}}))
            .await;
        zeeg.admin(Method::PUT, &format!("/users/{id}/role"), json!({"role": protected}), 200).await;
        zeeg.assert_role_and_teams(&id, protected, &[], "given by an administrator").await;
        for how in WAYS {
            for role in ["admin", "user", "external", "", "owner", "partner", "king"] {
                let what = format!("{how:?} of {role:?} on {protected}");
                let sent = json!({"role": role, "teams": [{"slug": "sales"}]});
                let answer = zeeg.change(how, &name, &id, &what, &sent).await;
                assert_eq!(
                    (answer.status, &answer.body["displayName"]),
                    (200, &json!(what)),
                    "{}",
                    answer.text
                );
                zeeg.assert_role_and_teams(&id, protected, &["sales"], &what).await;
            }
        }
        for path in [format!("{ZEEG}:role"), ZEEG.to_owned()] {
            let operations = json!([{"op": "Remove", "path": path}]);
            let answer = zeeg.scim.patch(&format!("/Users/{id}"), &patch(operations)).await.unwrap();
            assert!(answer.status == 200, "removing {path}: {}", answer.text);
            assert_eq!(zeeg.role_and_teams(&id).await.0, protected, "removing {path}");
        }
        // Who was in the way is said where an administrator looks.
        let mut warned = Value::Null;
        for _ in 0..500 {
            warned =
                zeeg.admin(Method::GET, &format!("/log?user={id}&outcome=warning"), Value::Null, 200).await;
            if warned["exchanges"].as_array().unwrap().len() >= 3 * 6 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(warned["exchanges"].as_array().unwrap().len() >= 3 * 6, "{warned:#}");
        assert!(warned["exchanges"][0]["warnings"].to_string().contains("role"), "{warned:#}");
        // An administrator takes it, and provisioning rules again.
        zeeg.admin(Method::PUT, &format!("/users/{id}/role"), json!({"role": "user"}), 200).await;
        zeeg.change(How::PatchPaths, &name, &id, "x", &json!({"role": "external"})).await;
        assert_eq!(zeeg.role_and_teams(&id).await.0, "external");
    }
}

#[tokio::test]
async fn zeeg_people_come_and_go_with_the_identity_provider_while_scim_is_on() {
    let (zeeg, _) = zeeg("presets-zeeg-lock").await;
    let provisioned = zeeg.new_user(json!({"schemas": [USER], "userName": "a@contoso.com"})).await;
    let local = json!({"schemas": [USER, ZEEG], "userName": "local@contoso.com", ZEEG: {"role": "admin"}});
    let one = format!("/users/{provisioned}");
    let assert_locked = async || {
        let refused = [
            zeeg.admin(Method::POST, "/users", local.clone(), 409).await,
            zeeg.admin(Method::DELETE, &one, Value::Null, 409).await,
        ];
        for refusal in refused {
            assert!(refusal["detail"].as_str().unwrap().contains("lock_local_changes"), "{refusal}");
        }
        assert!(zeeg.admin(Method::GET, &one, Value::Null, 200).await["id"] == provisioned, "it is there");
    };
    assert_locked().await;
    assert!(zeeg.found("Users", "userName eq \"local@contoso.com\"").await.is_empty());
    // A role is not coming or going.
    zeeg.admin(Method::PUT, &format!("{one}/role"), json!({"role": "owner"}), 200).await;

    zeeg.admin(Method::POST, "/scim/disable", Value::Null, 200).await;
    assert_eq!(zeeg.scim.get("/Users").await.unwrap().status, 401);
    let made = zeeg.admin(Method::POST, "/users", local.clone(), 201).await;
    let made = made["id"].as_str().unwrap();
    zeeg.assert_not_over_scim_but_internally(made).await;
    zeeg.admin(Method::DELETE, &one, Value::Null, 204).await;
    zeeg.admin(Method::GET, &one, Value::Null, 404).await;

    let on = zeeg.admin(Method::POST, "/scim/enable", json!({}), 201).await;
    zeeg.admin(Method::POST, "/users", json!({"schemas": [USER], "userName": "c@contoso.com"}), 409).await;
    zeeg.admin(Method::DELETE, &format!("/users/{made}"), Value::Null, 409).await;
    // The identity provider finds who was made meanwhile.
    let scim = zeeg.scim.with_token(on["token"].as_str().unwrap());
    let found = scim.get("/Users?filter=userName+eq+%22LOCAL%40contoso.com%22").await.unwrap();
    assert_eq!((found.status, &found.body["Resources"][0]["id"]), (200, &json!(made)), "{}", found.text);
    // A tenant may open the lock.
    zeeg.admin(Method::PATCH, "", json!({"settings": {"lock_local_changes": false}}), 200).await;
    zeeg.admin(Method::DELETE, &format!("/users/{made}"), Value::Null, 204).await;
}

impl Product {
    async fn assert_not_over_scim_but_internally(&self, id: &str) {
        assert_eq!(self.scim.get(&format!("/Users/{id}")).await.unwrap().status, 401);
        assert_eq!(self.role_and_teams(id).await.0, "admin", "membership follows local users, too");
    }
}

#[tokio::test]
async fn zeeg_has_one_token_and_enabling_again_replaces_it() {
    let (zeeg, _) = zeeg("presets-zeeg-token").await;
    let id = zeeg.new_user(json!({"schemas": [USER], "userName": "a@contoso.com"})).await;
    let path = format!("/Users/{id}");
    let mut live = zeeg.scim.clone();
    let mut dead = Vec::new();
    for round in 0..3 {
        // The gateway remembers it.
        assert_eq!(live.get(&path).await.unwrap().status, 200);
        let on = zeeg.admin(Method::POST, "/scim/enable", json!({}), 201).await;
        assert_eq!(on["base_url"], zeeg.tenant.base_url);
        dead.push(live);
        live = zeeg.scim.with_token(on["token"].as_str().unwrap());
        for earlier in &dead {
            let refused = earlier.get(&path).await.unwrap();
            assert_refused(&refused, 401, &[]);
            assert!(!refused.header("www-authenticate").is_empty());
        }
        assert_eq!(live.get(&path).await.unwrap().status, 200, "round {round}");
        let listed = zeeg.admin(Method::GET, "/credentials", Value::Null, 200).await;
        let listed = listed["credentials"].as_array().unwrap();
        let of_those = listed.iter().filter(|one| one.get("revoked_at").is_none());
        assert_eq!(of_those.count(), 1, "{listed:?}");
    }
}

#[tokio::test]
async fn zeeg_matches_by_external_id_and_maps_six_attributes() {
    let (zeeg, _) = zeeg("presets-zeeg-match").await;
    let id = zeeg
        .new_user(json!({"schemas": [USER], "externalId": "0f9c1b1e-1", "userName": "anna@old.example", "active": true,
            "displayName": "Anna", "name": {"givenName": "Anna", "familyName": "Meier"},
            "addresses": [{"type": "work", "country": "DE"}]}))
        .await;
    // Config (b) of ENTRA.md 3.7: by userName, then by externalId; who is found is renamed.
    assert!(zeeg.found("Users", "userName eq \"anna@new.example\"").await.is_empty());
    assert!(zeeg.found("Users", "externalId eq \"0F9C1B1E-1\"").await.is_empty(), "it is compared exactly");
    assert_eq!(zeeg.found("Users", "externalId eq \"0f9c1b1e-1\"").await, std::slice::from_ref(&id));
    let operations = json!([
        {"op": "Replace", "path": "userName", "value": "anna@new.example"},
        {"op": "Replace", "path": "addresses[type eq \"work\"].country", "value": "AT"},
        {"op": "Replace", "path": "name.familyName", "value": "Kern"},
        {"op": "Replace", "path": "active", "value": "False"},
    ]);
    let answer = zeeg.scim.patch(&format!("/Users/{id}"), &patch(operations)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    let expected = json!({"givenName": "Anna", "familyName": "Kern"});
    assert_eq!((&answer.body["name"], &answer.body["active"]), (&expected, &json!(false)));
    assert_eq!(answer.body["addresses"], json!([{"type": "work", "country": "AT"}]));
    assert_eq!(zeeg.found("Users", "userName eq \"ANNA@new.example\"").await, [id]);
    let group = json!({"schemas": [GROUP], "displayName": "Sales"});
    assert_refused(&zeeg.scim.post("/Groups", &group).await.unwrap(), 403, &["groups"]);
    assert_refused(&zeeg.scim.get("/Groups").await.unwrap(), 403, &["groups"]);
}

// Ziflow

#[tokio::test]
async fn ziflow_imports_who_was_there_and_only_creates() {
    let ziflow = Product::set_up("presets-ziflow", "ziflow").await;
    assert_eq!(ziflow.tenant.base_url, format!("{}/v1/scim/v2", server().http));
    // Who had an account before SCIM: made in the product. Nothing is locked, though SCIM is on.
    let mut local = Vec::new();
    for (name, more) in [
        ("anna@contoso.com", json!({"externalId": "0f9c-anna"})),
        ("ben@contoso.com", json!({"name": {"givenName": "Ben", "familyName": "Kern"}})),
        (
            "cleo@contoso.com",
            json!({"emails": [{"type": "work", "value": "cleo@contoso.com", "primary": true}]}),
        ),
    ] {
        let mut body = json!({"schemas": [USER], "userName": name, "active": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = ziflow.admin(Method::POST, "/users", body, 201).await;
        let location = made["meta"]["location"].as_str().unwrap();
        let id = made["id"].as_str().unwrap().to_owned();
        assert_eq!(location, format!("{}/Users/{id}", ziflow.tenant.base_url));
        local.push(id);
    }

    // The import lists them, page after page.
    let mut imported = Vec::new();
    while imported.len() < local.len() {
        let page = ziflow.get(&format!("/Users?startIndex={}&count=2", imported.len() + 1)).await;
        assert_eq!(page["totalResults"], local.len(), "{page}");
        let page = page["Resources"].as_array().unwrap();
        assert!((1..=2).contains(&page.len()));
        imported.extend(page.iter().map(|user| user["id"].as_str().unwrap().to_owned()));
    }
    imported.sort();
    let mut sorted = local.clone();
    sorted.sort();
    assert_eq!(imported, sorted);
    // Each is matched; who is not there is created.
    assert_eq!(ziflow.found("Users", "userName eq \"ANNA@contoso.com\"").await, local[..1]);
    assert_eq!(ziflow.found("Users", "externalId eq \"0f9c-anna\"").await, local[..1]);
    assert_eq!(ziflow.found("Users", "userName eq \"ben@contoso.com\"").await, local[1..2]);
    assert_eq!(
        ziflow.found("Users", "emails[type eq \"work\"].value eq \"cleo@contoso.com\"").await,
        local[2..]
    );
    assert!(ziflow.found("Users", "userName eq \"dora@contoso.com\"").await.is_empty());
    let dora = json!({"schemas": [USER], "userName": "dora@contoso.com", "active": true,
        "name": {"givenName": "Dora", "familyName": "Lenz"},
        "emails": [{"type": "work", "value": "dora@contoso.com", "primary": true}]});
    let id = ziflow.new_user(dora.clone()).await;
    let shown = ziflow.get(&format!("/Users/{id}")).await;
    assert_eq!(shown["meta"]["location"], format!("{}/Users/{id}", ziflow.tenant.base_url));
    assert_eq!((&shown["name"], &shown["emails"]), (&dora["name"], &dora["emails"]));

    // Nothing but creation, whoever it is about; and then all is as it was.
    let mut clash = dora.clone();
    clash["userName"] = "ANNA@contoso.com".into();
    assert_refused(&ziflow.scim.post("/Users", &clash).await.unwrap(), 409, &["uniqueness"]);
    let rename = patch(json!([{"op": "Replace", "path": "displayName", "value": "X"}]));
    for id in [&local[0], &id] {
        let path = format!("/Users/{id}");
        let before = ziflow.get(&path).await;
        assert_refused(&ziflow.scim.patch(&path, &rename).await.unwrap(), 403, &["users.update"]);
        assert_refused(&ziflow.scim.put(&path, &dora).await.unwrap(), 403, &["users.update"]);
        assert_refused(&ziflow.scim.delete(&path).await.unwrap(), 403, &["users.delete"]);
        assert_eq!(ziflow.get(&path).await, before);
    }
    let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        {"method": "DELETE", "path": format!("/Users/{id}")},
        {"method": "PATCH", "path": format!("/Users/{id}"), "data": rename},
        {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {"schemas": [GROUP], "displayName": "G"}},
    ]});
    let answer = ziflow.scim.post("/Bulk", &bulk).await.unwrap();
    let statuses: Vec<_> =
        answer.body["Operations"].as_array().unwrap().iter().map(|one| one["status"].as_str()).collect();
    assert_eq!(statuses, [Some("403"); 3], "there is no back door: {}", answer.text);
    for path in ["/Groups", "/ResourceTypes/Group", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group"] {
        let answer = ziflow.scim.get(path).await.unwrap();
        assert!(matches!(answer.status, 403 | 404), "{path}: {}", answer.text);
    }
    assert_eq!(ziflow.get("/ServiceProviderConfig").await["patch"]["supported"], false);
    // What is refused to the identity provider is the administrator's to do.
    ziflow.admin(Method::DELETE, &format!("/users/{id}"), Value::Null, 204).await;
    assert_eq!(ziflow.scim.get(&format!("/Users/{id}")).await.unwrap().status, 404);
}

// Directory sync (SAML Jackson)

/// The same cycles in both styles of Entra's PATCH: with the flag at the end of the Tenant URL, and without.
#[tokio::test]
async fn directory_sync_ends_the_same_with_and_without_the_flag() {
    let mut ends = Vec::new();
    for flag in [false, true] {
        let sync = Product::set_up(&format!("presets-sync-{flag}"), "directory-sync").await;
        let at = |path: &str| if flag { format!("{path}?{FLAG}") } else { path.to_owned() };
        let with = |path: &str| if flag { format!("{path}&{FLAG}") } else { path.to_owned() };

        // Test Connection, for a user and a group that cannot be.
        for path in ["/Users?filter=userName+eq+%22f0f1%22", "/Groups?filter=displayName+eq+%22f0f1%22"] {
            assert_eq!(sync.get(&with(path)).await["totalResults"], 0);
        }
        // The initial cycle: everybody, then every group, then who is in it.
        let mut users = Vec::new();
        for name in ["anna", "ben", "cleo"] {
            let mail = format!("{name}@contoso.com");
            let filter = with(&format!("/Users?filter=userName+eq+%22{name}%40contoso.com%22"));
            assert_eq!(sync.get(&filter).await["totalResults"], 0);
            let body = json!({"schemas": [USER, ENTERPRISE], "externalId": name, "userName": mail,
                "active": if flag { json!(true) } else { json!("True") }, "displayName": name, "title": "Buyer",
                "emails": [{"primary": true, "type": "work", "value": mail}], "meta": {"resourceType": "User"},
                "name": {"formatted": name, "givenName": name, "familyName": "X"}, "roles": [],
                "phoneNumbers": [{"type": "work", "value": "+49 30 1"}, {"type": "fax", "value": "+49 30 2"}],
                ENTERPRISE: {"department": "Sales", "employeeNumber": "77"}});
            let created = sync.scim.post(&at("/Users"), &body).await.unwrap();
            assert_eq!(created.status, 201, "{}", created.text);
            users.push(created.id().unwrap());
        }
        let mut groups = Vec::new();
        for name in ["Sales", "Berlin"] {
            let schemas = [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"];
            let body = json!({"schemas": schemas, "externalId": name, "displayName": name, "meta": {"resourceType": "Group"}});
            groups.push(sync.scim.post(&at("/Groups"), &body).await.unwrap().id().unwrap());
        }
        let change = async |path: String, operations: Value| {
            let answer = sync.scim.patch(&at(&path), &patch(operations)).await.unwrap();
            assert!(matches!(answer.status, 200 | 204), "{}", answer.text);
        };
        let of = |group: &str| format!("/Groups/{group}");
        for group in &groups {
            if flag {
                let values: Vec<_> = users.iter().map(|id| json!({"value": id})).collect();
                change(of(group), json!([{"op": "add", "path": "members", "value": values}])).await;
            } else {
                for id in &users {
                    let value = json!([{"$ref": null, "value": id}]);
                    change(of(group), json!([{"op": "Add", "path": "members", "value": value}])).await;
                }
            }
        }
        // Incremental cycles: ben leaves Sales, anna marries and moves, cleo is disabled, Berlin is renamed.
        let manager = &users[1];
        if flag {
            let path = format!("members[value eq \"{}\"]", users[1]);
            change(of(&groups[0]), json!([{"op": "remove", "path": path}])).await;
            let anna = json!([
                {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "kern@contoso.com"},
                {"op": "replace", "value": {"displayName": "Anna Kern", "name.familyName": "Kern",
                    format!("{ENTERPRISE}:department"): "IT"}},
                {"op": "add", "value": {format!("{ENTERPRISE}:manager"): manager}},
                {"op": "remove", "path": "phoneNumbers[type eq \"fax\"].value"},
            ]);
            change(format!("/Users/{}", users[0]), anna).await;
            change(format!("/Users/{}", users[2]), json!([{"op": "replace", "value": {"active": false}}]))
                .await;
            change(of(&groups[1]), json!([{"op": "replace", "value": {"displayName": "Berlin-Mitte"}}]))
                .await;
        } else {
            let value = json!([{"$ref": null, "value": users[1]}]);
            change(of(&groups[0]), json!([{"op": "Remove", "path": "members", "value": value}])).await;
            let anna = json!([
                {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "kern@contoso.com"},
                {"op": "Replace", "path": "displayName", "value": "Anna Kern"},
                {"op": "Replace", "path": "name.familyName", "value": "Kern"},
                {"op": "Replace", "path": format!("{ENTERPRISE}:department"), "value": "IT"},
                {"op": "Add", "path": format!("{ENTERPRISE}:manager"), "value": manager},
                {"op": "Remove", "path": "phoneNumbers[type eq \"fax\"].value", "value": "+49 30 2"},
            ]);
            change(format!("/Users/{}", users[0]), anna).await;
            let disable = json!([{"op": "Replace", "path": "active", "value": "False"}]);
            change(format!("/Users/{}", users[2]), disable).await;
            let rename = json!([{"op": "Replace", "path": "displayName", "value": "Berlin-Mitte"}]);
            change(of(&groups[1]), rename).await;
        }
        let answers = [
            sync.is_member(&users[0], &groups[0]).await,
            sync.is_member(&users[1], &groups[0]).await,
            sync.is_member(&users[1], &groups[1]).await,
            sync.is_member(&users[2], &groups[1]).await,
        ];
        assert_eq!(answers, [true, false, true, false], "with the flag: {flag}");

        // What is there, without what the server made up itself.
        let mut end = json!([
            sync.get(&with("/Users?sortBy=userName")).await,
            sync.get(&with("/Groups?sortBy=displayName")).await
        ])
        .to_string();
        for (id, name) in
            users.iter().zip(["ANNA", "BEN", "CLEO"]).chain(groups.iter().zip(["SALES", "BERLIN"]))
        {
            end = end.replace(id, name);
        }
        let mut end: Value = serde_json::from_str(&end).unwrap();
        for list in end.as_array_mut().unwrap() {
            for resource in list["Resources"].as_array_mut().unwrap() {
                resource.as_object_mut().unwrap().remove("meta");
                if let Some(members) = resource.get_mut("members").and_then(Value::as_array_mut) {
                    members.sort_by_key(|member| member["value"].to_string());
                }
                if let Some(groups) = resource.get_mut("groups").and_then(Value::as_array_mut) {
                    groups.sort_by_key(|group| group["value"].to_string());
                }
            }
        }
        let anna = &end[0]["Resources"][0];
        assert_eq!(anna["emails"][0]["value"], "kern@contoso.com", "{anna:#}");
        assert_eq!(anna[ENTERPRISE]["manager"]["value"], "BEN", "{anna:#}");
        assert_eq!(anna["phoneNumbers"], json!([{"type": "work", "value": "+49 30 1"}]), "{anna:#}");
        assert_eq!(end[0]["Resources"][2]["active"], false);
        assert_eq!(end[1]["Resources"][0]["displayName"], "Berlin-Mitte");
        ends.push(end);

        // Purged in the directory: the user and its memberships go, then the group.
        assert_eq!(sync.scim.delete(&at(&format!("/Users/{}", users[0]))).await.unwrap().status, 204);
        assert!(
            sync.get(&at(&of(&groups[0])))
                .await
                .get("members")
                .is_none_or(|members| !members.to_string().contains(&users[0]))
        );
        assert_eq!(sync.scim.delete(&at(&of(&groups[1]))).await.unwrap().status, 204);
        assert!(sync.get(&at(&format!("/Users/{}", users[1]))).await.get("groups").is_none());
    }
    assert_eq!(ends[0], ends[1], "without and with the flag");
}

// Entra, the default

#[tokio::test]
async fn entra_groups_nest_and_internal_services_follow_each_step() {
    let entra = Product::set_up("presets-entra", "entra").await;
    let anna = entra
        .new_user(
            json!({"schemas": [USER, ENTERPRISE], "externalId": "a.meier", "userName": "a.meier@contoso.com",
            "active": true, "displayName": "Anna Meier", "title": "Buyer", "preferredLanguage": "de-DE",
            "emails": [{"primary": true, "type": "work", "value": "a.meier@contoso.com"}],
            "name": {"formatted": "Anna Meier", "givenName": "Anna", "familyName": "Meier"}, "roles": [],
            ENTERPRISE: {"employeeNumber": "77", "department": "Sales", "manager": "8f0c-id-of-manager"}}),
        )
        .await;
    let mut groups = Vec::new();
    for name in ["Team", "Department", "Company"] {
        let body = json!({"schemas": [GROUP], "externalId": name, "displayName": name});
        groups.push(entra.scim.post("/Groups", &body).await.unwrap().id().unwrap());
    }
    let [team, department, company] = groups.as_slice() else { unreachable!() };
    let member = async |op: &str, group: &str, id: &str| {
        let operations = json!([{"op": op, "path": "members", "value": [{"$ref": null, "value": id}]}]);
        let answer = entra.scim.patch(&format!("/Groups/{group}"), &patch(operations)).await.unwrap();
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    };
    let is_in = async || {
        let mut is_in = Vec::new();
        for group in &groups {
            is_in.push(entra.is_member(&anna, group).await);
        }
        is_in
    };
    assert_eq!(is_in().await, [false; 3]);
    member("Add", company, department).await;
    member("Add", team, &anna).await;
    assert_eq!(is_in().await, [true, false, false]);
    member("Add", department, team).await;
    assert_eq!(is_in().await, [true; 3]);
    let shown = entra.get(&format!("/Users/{anna}")).await;
    let mut types: Vec<_> = shown["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (group["display"].as_str().unwrap(), group["type"].as_str().unwrap()))
        .collect();
    types.sort_unstable();
    assert_eq!(types, [("Company", "indirect"), ("Department", "indirect"), ("Team", "direct")]);
    let question = ListGroupMembersRequest { group: group(company), ..Default::default() };
    let members = entra.internal.group_members(question).await.unwrap();
    assert_eq!(members.iter().map(|member| &member.user_id).collect::<Vec<_>>(), [&anna]);

    // Unassigned and assigned again: memberships are not sent again, and count again.
    let active = async |value: &str| {
        let operations = json!([{"op": "Replace", "path": "active", "value": value}]);
        let answer = entra.scim.patch(&format!("/Users/{anna}"), &patch(operations)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    active("False").await;
    assert_eq!(is_in().await, [false; 3]);
    active("True").await;
    assert_eq!(is_in().await, [true; 3]);
    member("Remove", department, team).await;
    assert_eq!(is_in().await, [true, false, false]);
    member("Add", department, team).await;
    assert_eq!(entra.scim.delete(&format!("/Groups/{department}")).await.unwrap().status, 204);
    assert!(entra.is_member(&anna, team).await && !entra.is_member(&anna, company).await);
    // Nothing is locked: a local user is made and goes.
    let local = json!({"schemas": [USER], "userName": "local@contoso.com"});
    let local = entra.admin(Method::POST, "/users", local, 201).await;
    entra.admin(Method::DELETE, &format!("/users/{}", local["id"].as_str().unwrap()), Value::Null, 204).await;
}

#[tokio::test]
async fn each_preset_is_what_its_file_says() {
    let expected = [
        ("entra", "/scim/v2", true, false, [true, true, true]),
        ("zeeg", "/scim/v2", false, true, [true, true, true]),
        ("ziflow", "/v1/scim/v2", false, false, [true, false, false]),
        ("directory-sync", "/scim/v2", true, false, [true, true, true]),
    ];
    for (preset, path, groups, lock, [create, update, delete]) in expected {
        let name = format!("presets-facts-{preset}");
        let made = admin(Method::POST, "/tenants", json!({"name": name, "preset": preset}), 201).await;
        assert_eq!(made["base_url"], format!("{}{path}", server().http), "{preset}");
        let tenant = &admin(Method::GET, &format!("/tenants/{name}"), Value::Null, 200).await["tenant"];
        let settings = &tenant["settings"];
        assert_eq!(settings["groups"], groups, "{preset}: {tenant}");
        assert_eq!(settings["lock_local_changes"], lock, "{preset}: {tenant}");
        let actions = json!({"create": create, "update": update, "delete": delete});
        assert_eq!((&settings["users"], &tenant["dialect"]), (&actions, &json!("entra")), "{preset}");
        let list = admin(Method::GET, &format!("/tenants/{name}/schemas"), Value::Null, 200).await;
        assert_eq!(list.to_string().contains(ZEEG), preset == "zeeg", "{preset}: {list}");
    }
    let default = admin(Method::POST, "/tenants", json!({"name": "presets-facts-default"}), 201).await;
    assert_eq!(default["tenant"]["preset"], "entra", "{default}");
    let refused = admin(Method::POST, "/tenants", json!({"name": "presets-no", "preset": "zeg"}), 400).await;
    for (preset, ..) in expected {
        assert!(refused["detail"].as_str().unwrap().contains(preset), "it says which there are: {refused}");
    }
}
