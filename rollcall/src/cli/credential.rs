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
    /// Begin to replace a secret: print its successor. Both work until `complete` (or `cancel`).
    Rotate {
        /// Id of the secret to replace.
        id: String,
        /// What the successor is for; without it, as before.
        #[arg(long, default_value = "")]
        label: String,
        /// When the successor stops working, like 2027-01-31T00:00:00Z; without it, never.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// End a rotation, once the identity provider has the successor: the secret it replaces stops working at once.
    Complete {
        /// Id of the successor.
        id: String,
    },
    /// Take a rotation back: the successor stops working at once.
    Cancel {
        /// Id of the successor.
        id: String,
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
    /// The secret that this one is to replace, while the rotation is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
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
            show(&created);
        }
        Verb::Rotate { id, label, expires_at } => {
            let body = json!({ "label": label, "expires_at": expires_at });
            let successor: Created = client.post(&format!("{path}/{}/rotation", segment(&id)), &body).await?;
            if arguments.json {
                return table::json(&successor);
            }
            show(&successor);
            let id = &successor.credential.id;
            table::line(&format!(
                "Both work. When the identity provider has it: rollcall credential complete {id}"
            ));
        }
        Verb::Complete { id } => {
            let path = format!("{path}/{}/rotation/complete", segment(&id));
            let answer: serde_json::Value = client.post(&path, &json!({})).await?;
            if arguments.json {
                return table::json(&answer);
            }
            table::line("The secret that was to be replaced is dead.");
        }
        Verb::Cancel { id } => {
            let path = format!("{path}/{}/rotation/cancel", segment(&id));
            let answer: serde_json::Value = client.post(&path, &json!({})).await?;
            if arguments.json {
                return table::json(&answer);
            }
            table::line("The successor is dead; all is as before.");
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

fn show(created: &Created) {
    table::line(&format!("id            {}", created.credential.id));
    table::line(&format!("Secret Token  {}", created.token));
    table::line("\nThe token is not shown again.");
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
            let Credential { id, label, created_at, expires_at, last_used_at, revoked_at, replaces } = c;
            let times = [created_at, last_used_at, expires_at, revoked_at, replaces].map(text);
            [id.clone(), label.clone()].into_iter().chain(times).collect()
        })
        .collect();
    table::print(&["ID", "LABEL", "CREATED", "LAST USED", "EXPIRES", "REVOKED", "REPLACES"], &rows);
    Ok(())
}
