//! `rollcall credential …`

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::table;
use crate::admin_client::{AdminClient, Connection, segment};

/// `rollcall credential`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connection: Connection,
    /// Whose: name or id of the tenant.
    #[arg(long, global = true, value_name = "TENANT")]
    tenant: Option<String>,
    /// Print JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Make a further provisioning secret and print it; the others go on working.
    Create {
        /// What it is for.
        #[arg(long, default_value = "")]
        label: String,
        /// When it stops working, like 2027-01-31T00:00:00Z; without it, never.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// List the tenant's secrets, without the secrets themselves.
    List,
    /// Make a secret stop working, at once and for good.
    Revoke {
        /// Its id: `list` shows it, and it stands between the first two `_` of the secret.
        id: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Credential {
    id: String,
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Created {
    credential: Credential,
    token: String,
}

#[derive(Serialize, Deserialize)]
struct Credentials {
    credentials: Vec<Credential>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Some(tenant) = &arguments.tenant else {
        anyhow::bail!("whose credential? Pass --tenant NAME");
    };
    let client = arguments.connection.client()?;
    let path = format!("/tenants/{}/credentials", segment(tenant));
    match arguments.verb {
        Verb::Create { label, expires_at } => {
            let body = json!({ "label": label, "expires_at": expires_at });
            let created: Created = client.post(&path, &body).await?;
            if arguments.json {
                return table::json(&created);
            }
            table::line(&format!("id            {}", created.credential.id));
            table::line(&format!("Secret Token  {}", created.token));
            table::line("\nThe token is not shown again.");
        }
        Verb::List => list(&client, &path, arguments.json).await?,
        Verb::Revoke { id } => {
            client.delete(&format!("{path}/{}", segment(&id))).await?;
            if arguments.json {
                return table::json(&json!({ "revoked": { "id": id } }));
            }
            table::line(&format!("Revoked credential {id}."));
        }
    }
    Ok(())
}

async fn list(client: &AdminClient, path: &str, as_json: bool) -> anyhow::Result<()> {
    let found: Credentials = client.get(path, &[]).await?;
    if as_json {
        return table::json(&found);
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<_> = found
        .credentials
        .iter()
        .map(|c| {
            let Credential { id, label, created_at, expires_at, last_used_at, revoked_at } = c;
            let times = [created_at, last_used_at, expires_at, revoked_at].map(text);
            [id.clone(), label.clone()].into_iter().chain(times).collect()
        })
        .collect();
    table::print(&["ID", "LABEL", "CREATED", "LAST USED", "EXPIRES", "REVOKED"], &rows);
    Ok(())
}
