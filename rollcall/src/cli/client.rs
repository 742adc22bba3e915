//! `rollcall client …`

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::table;
use crate::admin_client::{AdminClient, Connection, segment};

/// `rollcall client`
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
    /// Register an internal service and print its client_id and client_secret for POST /oauth2/token.
    Create {
        /// Unique name, e.g. the service's.
        name: String,
        /// The one tenant it may ask about (name or id); without it, every tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// What it may do; may be given several times.
        #[arg(long, required = true, value_parser = ["memberships:read", "directory:read"])]
        scope: Vec<String>,
    },
    /// List the clients.
    List,
    /// Delete a client; tokens it already has live out their five minutes.
    Delete {
        /// Its client_id.
        id: String,
    },
}

/// The answer to the creation of a client.
#[derive(Serialize, Deserialize)]
pub(crate) struct Created {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

#[derive(Serialize, Deserialize)]
struct Client {
    client_id: String,
    name: String,
    #[serde(default)]
    tenant_id: Option<String>,
    scopes: Vec<String>,
    #[serde(default)]
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    clients: Vec<Client>,
    #[serde(default)]
    next_page_token: String,
}

pub(crate) async fn create(
    client: &AdminClient,
    name: &str,
    tenant: Option<&str>,
    scopes: &[String],
) -> anyhow::Result<Created> {
    client.post("/clients", &json!({ "name": name, "tenant": tenant, "scopes": scopes })).await
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.connection.client()?;
    match arguments.verb {
        Verb::Create { name, tenant, scope } => {
            let created = create(&client, &name, tenant.as_deref(), &scope).await?;
            if arguments.json {
                return table::json(&created);
            }
            table::line(&format!("client_id      {}", created.client_id));
            table::line(&format!("client_secret  {}", created.client_secret));
            table::line("\nThe secret is not shown again.");
        }
        Verb::List => list(&client, arguments.json).await?,
        Verb::Delete { id } => {
            client.delete(&format!("/clients/{}", segment(&id))).await?;
            if arguments.json {
                return table::json(&json!({ "deleted": { "client_id": id } }));
            }
            table::line(&format!("Deleted client {id}."));
        }
    }
    Ok(())
}

async fn list(client: &AdminClient, as_json: bool) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    let mut token = String::new();
    loop {
        let page: Page = client.get("/clients", &[("page_token", &token)]).await?;
        clients.extend(page.clients);
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    if as_json {
        return table::json(&json!({ "clients": clients }));
    }
    let rows: Vec<_> = clients
        .iter()
        .map(|c| {
            let tenant = c.tenant_id.clone().unwrap_or_else(|| "(every tenant)".to_owned());
            vec![
                c.name.clone(),
                c.client_id.clone(),
                tenant,
                c.scopes.join(" "),
                c.created_at.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table::print(&["NAME", "CLIENT_ID", "TENANT", "SCOPES", "CREATED"], &rows);
    Ok(())
}
