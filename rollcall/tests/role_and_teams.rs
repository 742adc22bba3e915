//! Role and teams over the admin API and the command line, on a tenant of preset zeeg and on one with a URN of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::server::{Standalone, Tenant};

const ZEEG: &str = "urn:ietf:params:scim:schemas:extension:zeeg:2.0:User";

fn server() -> &'static Standalone {
    Standalone::shared(Path::new(env!("CARGO_BIN_EXE_rollcall")))
}

async fn scim(tenant: &Tenant, method: Method, path: &str, body: Value) -> Result<(u16, Value, Vec<String>)> {
    let request = testkit::http_client().request(method, format!("{}{path}", tenant.base_url));
    let answer = request.bearer_auth(&tenant.token).json(&body).send().await?;
    let status = answer.status().as_u16();
    let warnings = answer.headers().get_all("rollcall-warning").iter();
    let warnings = warnings.map(|value| Ok(value.to_str()?.to_owned())).collect::<Result<_>>()?;
    Ok((status, answer.json().await?, warnings))
}

async fn admin(method: Method, path: &str, body: Value) -> Result<(u16, Value)> {
    let body = if method == Method::GET || method == Method::DELETE { None } else { Some(body) };
    server().admin(method, path, body).await
}

fn cli(arguments: &[&str]) -> Result<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(arguments)
        .arg("--json")
        .env("ROLLCALL_SERVER", &server().http)
        .env("ROLLCALL_ADMIN_TOKEN", &server().admin_token)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test]
async fn an_owner_stays_owner_until_an_administrator_says_otherwise() -> Result<()> {
    let tenant = server().tenant("roles", "zeeg").await?;
    let (status, user, _) = scim(&tenant, Method::POST, "/Users", json!({"userName": "a@x"})).await?;
    ensure!(status == 201 && user[ZEEG]["role"] == "user", "{status}: {user}");
    let id = user["id"].as_str().context("id")?.to_owned();
    let role = format!("/tenants/roles/users/{id}/role");
    let (status, set) = admin(Method::PUT, &role, json!({"role": "Owner"})).await?;
    ensure!(status == 200 && set["role"] == "owner", "{status}: {set}");

    let operations = json!([
        {"op": "Replace", "path": format!("{ZEEG}:role"), "value": "user"},
        {"op": "Replace", "path": "displayName", "value": "Anna"},
    ]);
    let patch =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    let (status, user, warnings) = scim(&tenant, Method::PATCH, &format!("/Users/{id}"), patch).await?;
    ensure!(
        status == 200 && user[ZEEG]["role"] == "owner" && user["displayName"] == "Anna",
        "{status}: {user}"
    );
    ensure!(warnings.len() == 1 && warnings[0].contains("protected"), "{warnings:?}");

    let (status, _) = admin(Method::PUT, &role, json!({"role": "external"})).await?;
    ensure!(status == 200, "{status}");
    let (_, user, _) = scim(&tenant, Method::GET, &format!("/Users/{id}"), Value::Null).await?;
    ensure!(user[ZEEG]["role"] == "external", "{user}");
    for (body, expected) in [(json!({"role": "king"}), 400), (json!({}), 400)] {
        let (status, answer) = admin(Method::PUT, &role, body).await?;
        ensure!(
            status == expected && answer["detail"].as_str().is_some_and(|it| it.contains("role")),
            "{status}: {answer}"
        );
    }
    let (status, _) =
        admin(Method::PUT, "/tenants/roles/users/nobody/role", json!({"role": "owner"})).await?;
    ensure!(status == 404, "{status}");
    Ok(())
}

#[tokio::test]
async fn teams_are_registered_renamed_and_deleted() -> Result<()> {
    let tenant = server().tenant("teams", "entra").await?;
    let own = "urn:acme:params:scim:schemas:2.0:User";
    let (status, answer) =
        admin(Method::PUT, "/tenants/teams/role-and-teams", json!({"extension": own})).await?;
    ensure!(status == 200 && answer["extension"] == own, "{status}: {answer}");

    let team = cli(&["team", "create", "Sales", "--name", "Vertrieb", "--tenant", "teams"])?;
    let uuid = team["uuid"].as_str().context("uuid")?.to_owned();
    ensure!(team["slug"] == "Sales" && team["name"] == "Vertrieb", "{team}");
    ensure!(cli(&["team", "create", "sales", "--tenant", "teams"]).is_err(), "the slug is taken");
    let (status, answer) = admin(Method::POST, "/tenants/teams/teams", json!({"slug": "SALES"})).await?;
    ensure!(status == 409 && answer["attribute"] == "slug", "{status}: {answer}");
    let (status, _) = admin(Method::GET, "/tenants/teams/teams/SALES", Value::Null).await?;
    ensure!(status == 200, "{status}");

    let body = json!({"userName": "a@x", own: {"teams": "[{\"slug\":\"sales\"}]"}});
    let (status, user, warnings) = scim(&tenant, Method::POST, "/Users", body).await?;
    ensure!(status == 201 && warnings.is_empty(), "{status}: {user} {warnings:?}");
    let path = format!("/Users/{}", user["id"].as_str().context("id")?);
    let shown = |slug: &str| json!({"role": "user", "teams": [{"uuid": uuid, "slug": slug}]});
    ensure!(user[own] == shown("Sales"), "{user}");

    cli(&["team", "set", "sales", "--slug", "vertrieb", "--tenant", "teams"])?;
    let (_, user, _) = scim(&tenant, Method::GET, &path, Value::Null).await?;
    ensure!(user[own] == shown("vertrieb"), "{user}");
    let listed = cli(&["team", "list", "--tenant", "teams"])?;
    ensure!(
        listed["teams"].as_array().is_some_and(|teams| teams.len() == 1 && teams[0]["slug"] == "vertrieb"),
        "{listed}"
    );
    cli(&["team", "delete", "vertrieb", "--tenant", "teams"])?;
    let (_, user, _) = scim(&tenant, Method::GET, &path, Value::Null).await?;
    ensure!(user[own] == json!({"role": "user"}), "{user}");
    Ok(())
}
