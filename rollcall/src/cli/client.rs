//! `rollcall client …`

use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    /// Register a client and print its client_id and client_secret for POST /oauth2/token: an internal service that asks
    /// questions, or (scope `scim`) an identity provider that signs in by OAuth 2.0.
    Create {
        /// Unique name, e.g. the service's.
        name: String,
        /// The one tenant it may ask about or provisions (name or id); without it, every tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// What it may do; may be given several times.
        #[arg(long, required = true, value_parser = ["memberships:read", "directory:read", "scim"])]
        scope: Vec<String>,
        #[command(flatten)]
        proof: Proof,
    },
    /// List the clients.
    List,
    /// Mint a further secret and print it; the earlier ones go on working for a while.
    Rotate {
        /// Its client_id.
        id: String,
        /// For how long the earlier ones go on working, seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 86400)]
        overlap: u32,
    },
    /// Delete a client: it cannot provision any more; tokens for questions live out their five minutes.
    Delete {
        /// Its client_id.
        id: String,
    },
}

/// How a client proves itself, if not by a secret.
#[derive(clap::Args)]
pub(crate) struct Proof {
    /// File with its public keys (a JWK Set), for `private_key_jwt`.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Workload identity federation: whose tokens are taken for it, e.g. https://login.microsoftonline.com/DIRECTORY-ID/v2.0
    #[arg(long, value_name = "URL", requires_all = ["federation_audience", "federation_subject"])]
    federation_issuer: Option<String>,
    /// Claim `aud` of those tokens.
    #[arg(long, value_name = "TEXT", requires = "federation_issuer")]
    federation_audience: Option<String>,
    /// Claim `sub` of those tokens; with Entra the object id of the workload identity.
    #[arg(long, value_name = "TEXT", requires = "federation_issuer")]
    federation_subject: Option<String>,
}

impl Proof {
    fn add_to(&self, body: &mut Value) -> anyhow::Result<()> {
        let Self { jwks, federation_issuer, federation_audience, federation_subject } = self;
        if let Some(file) = jwks {
            let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            let keys: Value =
                serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))?;
            body["jwks"] = keys;
        }
        if let (Some(issuer), Some(audience), Some(subject)) =
            (federation_issuer, federation_audience, federation_subject)
        {
            body["federation"] = json!({ "issuer": issuer, "audience": audience, "subject": subject });
        }
        Ok(())
    }
}

/// The answer to the creation of a client.
#[derive(Serialize, Deserialize)]
pub(crate) struct Created {
    pub(crate) client_id: String,
    /// A client with keys or a federation has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret: Option<String>,
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
        Verb::Create { name, tenant, scope, proof } => {
            let mut body = json!({ "name": name, "tenant": tenant, "scopes": scope });
            proof.add_to(&mut body)?;
            let created: Created = client.post("/clients", &body).await?;
            show(&created, arguments.json)?;
        }
        Verb::Rotate { id, overlap } => {
            let path = format!("/clients/{}/secrets", segment(&id));
            let rotated: Created = client.post(&path, &json!({ "overlap_seconds": overlap })).await?;
            show(&rotated, arguments.json)?;
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

fn show(created: &Created, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return table::json(created);
    }
    table::line(&format!("client_id      {}", created.client_id));
    if let Some(secret) = &created.client_secret {
        table::line(&format!("client_secret  {secret}"));
        table::line("\nThe secret is not shown again.");
    }
    Ok(())
}

async fn list(client: &AdminClient, as_json: bool) -> anyhow::Result<()> {
    let clients: Vec<Client> = super::pages(client, "/clients", "clients", &[], usize::MAX).await?;
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
