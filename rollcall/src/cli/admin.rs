//! `rollcall admin …`

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::table;
use crate::admin_client::{Connection, segment};

/// `rollcall admin`
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
    /// Make a further admin token and print it.
    Create {
        /// What or whom it is for.
        #[arg(long, default_value = "")]
        label: String,
    },
    /// List the admin tokens, without the tokens themselves.
    List,
    /// Make an admin token stop working, at once and for good. The last one stays.
    Revoke {
        /// Its id: `list` shows it, and it stands between the first two `_` of the token.
        id: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Admin {
    id: String,
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Created {
    admin: Admin,
    token: String,
}

#[derive(Serialize, Deserialize)]
struct Admins {
    admins: Vec<Admin>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.connection.client()?;
    match arguments.verb {
        Verb::Create { label } => {
            let created: Created = client.post("/admins", &json!({ "label": label })).await?;
            if arguments.json {
                return table::json(&created);
            }
            table::line(&format!("id           {}", created.admin.id));
            table::line(&format!("Admin token  {}", created.token));
            table::line("\nThe token is not shown again.");
        }
        Verb::List => {
            let found: Admins = client.get("/admins", &[]).await?;
            if arguments.json {
                return table::json(&found);
            }
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            let rows: Vec<_> = found
                .admins
                .iter()
                .map(|Admin { id, label, created_at, last_used_at, revoked_at }| {
                    vec![id.clone(), label.clone(), text(created_at), text(last_used_at), text(revoked_at)]
                })
                .collect();
            table::print(&["ID", "LABEL", "CREATED", "LAST USED", "REVOKED"], &rows);
        }
        Verb::Revoke { id } => {
            client.delete(&format!("/admins/{}", segment(&id))).await?;
            if arguments.json {
                return table::json(&json!({ "revoked": { "id": id } }));
            }
            table::line(&format!("Revoked admin token {id}."));
        }
    }
    Ok(())
}
