//! What only all services together can answer, over HTTP: bulk, searches over both types, users by their groups, versions of
//! users that change with their groups.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::{Answer, Client};
use testkit::server::Standalone;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

async fn client(tenant: &str) -> Client {
    let server = Standalone::shared(Path::new(env!("CARGO_BIN_EXE_rollcall")));
    server.tenant(tenant, "entra").await.unwrap().client()
}

async fn bulk(client: &Client, operations: Value) -> Answer {
    let schemas = ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"];
    client.post("/Bulk", &json!({"schemas": schemas, "Operations": operations})).await.unwrap()
}

/// The ids of what was created, in the order of the request.
fn ids(answer: &Answer) -> Vec<String> {
    let operations = answer.body["Operations"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    let id = |operation: &Value| {
        assert_eq!(operation["status"], "201", "{}", answer.text);
        operation["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    };
    operations.iter().map(id).collect()
}

/// Two groups that are members of each other, each with a user, and the users are each other's managers.
fn circle() -> Value {
    let user = |name: &str, manager: &str| json!({"schemas": [USER, ENTERPRISE], "userName": name, ENTERPRISE: {"manager": {"value": manager}}});
    let group = |name: &str, members: [&str; 2]| {
        let members = members.map(|member| json!({"value": member}));
        json!({"schemas": [GROUP], "displayName": name, "members": members})
    };
    let create = |path: &str, id: &str, data: Value| json!({"method": "POST", "path": path, "bulkId": id, "data": data});
    json!([
        create("/Groups", "g1", group("Outer", ["bulkId:g2", "bulkId:u1"])),
        create("/Groups", "g2", group("Inner", ["bulkId:g1", "bulkId:u2"])),
        create("/Users", "u1", user("anna", "bulkId:u2")),
        create("/Users", "u2", user("bert", "bulkId:u1")),
    ])
}

async fn found(client: &Client, filter: &str) -> Vec<String> {
    let query: String = form_urlencoded(filter);
    let answer = client.get(&format!("/Users?sortBy=userName&filter={query}")).await.unwrap();
    let resources = answer.body["Resources"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    resources.iter().map(|user| user["userName"].as_str().unwrap().to_owned()).collect()
}

fn form_urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_bulk_closes_circles_and_users_are_found_by_their_groups() {
    let client = client("across-bulk").await;
    let ids = ids(&bulk(&client, circle()).await);
    let [outer, inner, anna, bert] = ids.as_slice() else { panic!("{ids:?}") };

    let shown = client.get(&format!("/Users/{anna}")).await.unwrap();
    assert_eq!(shown.body[ENTERPRISE]["manager"]["value"], **bert, "{}", shown.text);
    let shown = client.get(&format!("/Users/{bert}")).await.unwrap();
    assert_eq!(shown.body[ENTERPRISE]["manager"]["value"], **anna, "{}", shown.text);
    for group in [outer, inner] {
        assert_eq!(found(&client, &format!("groups.value eq \"{group}\"")).await, ["anna", "bert"]);
        assert_eq!(found(&client, &format!("not (groups eq \"{group}\")")).await, [""; 0]);
    }

    // Out of the circle: what is left is direct.
    let remove = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "remove", "path": format!("members[value eq \"{inner}\"]")}],
    });
    assert_eq!(client.patch(&format!("/Groups/{outer}"), &remove).await.unwrap().status, 204);
    assert_eq!(found(&client, &format!("groups.value eq \"{outer}\"")).await, ["anna"]);
    assert_eq!(
        found(&client, &format!("groups[value eq \"{outer}\"] and userName eq \"bert\"")).await,
        [""; 0]
    );
    assert_eq!(found(&client, &format!("groups.value eq \"{inner}\"")).await, ["anna", "bert"]);
}

#[tokio::test]
async fn a_client_that_revalidates_learns_of_memberships() {
    let client = client("across-etag").await;
    let ids = ids(&bulk(&client, circle()).await);
    let [outer, inner, anna, _] = ids.as_slice() else { panic!("{ids:?}") };
    let path = format!("/Users/{anna}");
    let tag = client.get(&path).await.unwrap().header("etag").to_owned();
    let revalidate = async |tag: &str| {
        client.send(client.request(Method::GET, &path).header("if-none-match", tag)).await.unwrap()
    };
    assert_eq!(revalidate(&tag).await.status, 304);
    for group in [outer, inner] {
        assert_eq!(client.delete(&format!("/Groups/{group}")).await.unwrap().status, 204);
    }
    let shown = revalidate(&tag).await;
    assert_eq!(shown.status, 200, "no group is left");
    assert_eq!(shown.header("etag"), shown.body["meta"]["version"].as_str().unwrap());
    assert!(shown.body.get("groups").is_none(), "{}", shown.text);
    // The user itself is as it was: what the client read is still a good precondition.
    let delete = client.request(Method::DELETE, &path).header("if-match", &tag);
    assert_eq!(client.send(delete).await.unwrap().status, 204);
}

#[tokio::test]
async fn one_search_goes_over_users_and_groups() {
    let client = client("across-search").await;
    bulk(&client, circle()).await;
    let search = async |mut request: Value| {
        request["schemas"] = json!(["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]);
        let answer = client.post("/.search", &request).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
        let name =
            |one: &Value| one.get("userName").unwrap_or(&one["displayName"]).as_str().unwrap().to_owned();
        let names: Vec<String> = answer.body["Resources"].as_array().unwrap().iter().map(name).collect();
        (names, answer.body)
    };
    // Groups have no userName, so nothing of theirs is less than anything.
    let (names, body) = search(json!({"filter": "userName gt \"b\" or displayName sw \"o\""})).await;
    assert_eq!((names, &body["totalResults"]), (vec!["bert".to_owned(), "Outer".into()], &json!(2)));

    let mut walked = Vec::new();
    for start in 1..=5 {
        let (names, body) = search(json!({"startIndex": start, "count": 1, "sortBy": "displayName"})).await;
        assert_eq!(body["totalResults"], 4);
        walked.extend(names);
    }
    assert_eq!(walked, ["anna", "bert", "Inner", "Outer"]);

    let (mut cursor, mut walked) = (String::new(), Vec::new());
    loop {
        let (names, body) = search(json!({"cursor": cursor, "count": 3})).await;
        walked.extend(names);
        let Some(next) = body["nextCursor"].as_str() else { break };
        cursor = next.to_owned();
    }
    walked.sort();
    assert_eq!(walked, ["Inner", "Outer", "anna", "bert"]);
}
