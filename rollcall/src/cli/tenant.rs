//! `rollcall tenant …`

use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::settings::{self, Change, Recognised, Settings};
use super::table;
use crate::admin_client::{AdminClient, Connection, segment};

/// `rollcall tenant`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connection: Connection,
    /// Print JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Create a tenant and print the Tenant URL and Secret Token to paste into the identity provider.
    Create {
        /// Unique name, e.g. the organization's.
        name: String,
        /// Settings to start from.
        #[arg(long, default_value = "entra", value_parser = ["entra", "zeeg", "ziflow", "directory-sync"])]
        preset: String,
    },
    /// List the tenants.
    List,
    /// Show one tenant with its settings.
    Show {
        /// Name or id.
        tenant: String,
    },
    /// Change settings; they take effect with the tenant's next request.
    Set {
        /// Name or id.
        tenant: String,
        #[command(flatten)]
        change: Change,
    },
    /// Let a disabled tenant's client in again.
    Enable {
        /// Name or id.
        tenant: String,
    },
    /// Let nobody in for this tenant: every token of it answers 401 at once. Nothing is lost.
    Disable {
        /// Name or id.
        tenant: String,
    },
    /// Write everything of a tenant as lines of JSON: facts, schemas, teams, users, groups, members; never a secret.
    Export {
        /// Name or id.
        tenant: String,
        /// Where to; without it, standard output.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Delete a tenant with its users, groups and credentials. Cannot be undone.
    Delete {
        /// Name or id.
        tenant: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect_in_force: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recognised: Option<Recognised>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Settings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scim_enabled: Option<bool>,
}

/// The answer to the creation of a tenant.
#[derive(Serialize, Deserialize)]
pub(crate) struct Created {
    pub(crate) tenant: Tenant,
    pub(crate) base_url: String,
    pub(crate) token: String,
}

/// One tenant and where its identity provider finds it.
#[derive(Serialize, Deserialize)]
struct Shown {
    tenant: Tenant,
    base_url: String,
}

pub(crate) async fn create(client: &AdminClient, name: &str, preset: &str) -> anyhow::Result<Created> {
    client.post("/tenants", &json!({ "name": name, "preset": preset })).await
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.connection.client()?;
    match arguments.verb {
        Verb::Create { name, preset } => {
            let created = create(&client, &name, &preset).await?;
            if arguments.json {
                return table::json(&created);
            }
            table::line(&format!("Created tenant {} ({}).\n", created.tenant.name, created.tenant.id));
            table::line("Paste into the identity provider (Entra ID: Provisioning > Admin Credentials):");
            table::line(&format!("  Tenant URL    {}", created.base_url));
            table::line(&format!("  Secret Token  {}", created.token));
            table::line("\nThe token is not shown again.");
        }
        Verb::List => list(&client, arguments.json).await?,
        Verb::Show { tenant } => {
            show(&find(&client, &tenant).await?, arguments.json)?;
        }
        Verb::Set { tenant, change } => {
            show(&patch(&client, &tenant, &change.to_json()).await?, arguments.json)?;
        }
        Verb::Enable { tenant } => {
            show(&patch(&client, &tenant, &json!({ "state": "active" })).await?, arguments.json)?;
        }
        Verb::Disable { tenant } => {
            show(&patch(&client, &tenant, &json!({ "state": "disabled" })).await?, arguments.json)?;
        }
        Verb::Export { tenant, output } => {
            let path = format!("/tenants/{}/export", segment(&tenant));
            let lines = client.save(&path, output.as_deref()).await?;
            if let Some(file) = output {
                table::line(&format!("Wrote {lines} lines to {}.", file.display()));
            }
        }
        Verb::Delete { tenant, yes } => {
            let found = find(&client, &tenant).await?.tenant;
            if !yes && !arguments.json {
                confirm(&found)?;
            }
            client.delete(&format!("/tenants/{}", segment(&found.id))).await?;
            if arguments.json {
                return table::json(&json!({ "deleted": { "id": found.id, "name": found.name } }));
            }
            table::line(&format!("Deleted tenant {} ({}).", found.name, found.id));
        }
    }
    Ok(())
}

async fn find(client: &AdminClient, id_or_name: &str) -> anyhow::Result<Shown> {
    let found = client.get(&format!("/tenants/{}", segment(id_or_name)), &[]).await;
    found.with_context(|| format!("tenant `{id_or_name}`"))
}

async fn patch(client: &AdminClient, id_or_name: &str, change: &Value) -> anyhow::Result<Shown> {
    let changed = client.patch(&format!("/tenants/{}", segment(id_or_name)), change).await;
    changed.with_context(|| format!("tenant `{id_or_name}`"))
}

fn show(found: &Shown, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return table::json(found);
    }
    print(std::slice::from_ref(&found.tenant));
    table::line(&format!("\nTenant URL  {}", found.base_url));
    let Tenant { dialect, recognised, settings, scim_enabled, .. } = &found.tenant;
    if let Some(is_on) = scim_enabled {
        table::line(&format!("SCIM        {}", if *is_on { "on" } else { "off" }));
    }
    settings::print(dialect.as_deref().unwrap_or_default(), recognised.as_ref(), settings.as_ref());
    Ok(())
}

/// The names of all tenants.
pub(super) async fn names(client: &AdminClient) -> anyhow::Result<Vec<String>> {
    let tenants: Vec<Tenant> = super::pages(client, "/tenants", "tenants", &[], usize::MAX).await?;
    Ok(tenants.into_iter().map(|tenant| tenant.name).collect())
}

async fn list(client: &AdminClient, as_json: bool) -> anyhow::Result<()> {
    let tenants: Vec<Tenant> = super::pages(client, "/tenants", "tenants", &[], usize::MAX).await?;
    if as_json {
        return table::json(&json!({ "tenants": tenants }));
    }
    print(&tenants);
    Ok(())
}

fn print(tenants: &[Tenant]) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let rows: Vec<_> = tenants
        .iter()
        .map(|t| vec![t.name.clone(), t.id.clone(), text(&t.state), text(&t.preset), text(&t.created_at)])
        .collect();
    table::print(&["NAME", "ID", "STATE", "PRESET", "CREATED"], &rows);
}

fn confirm(tenant: &Tenant) -> anyhow::Result<()> {
    table::line(&format!(
        "This deletes tenant {} ({}) with all its users, groups and credentials, for good.\nType its name to go on:",
        tenant.name, tenant.id
    ));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    anyhow::ensure!(
        answer.trim() == tenant.name,
        "nothing was deleted: that is not its name (scripts pass --yes)"
    );
    Ok(())
}
