//! `rollcall schema …`

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::table;
use crate::admin_client::{AdminClient, Connection, segment};

/// `rollcall schema`
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
    /// List the tenant's extension schemas.
    List,
    /// Print one as the SCIM schema document that `put` takes.
    Show {
        /// The schema's URN.
        urn: String,
    },
    /// Create or replace one, from a SCIM schema document (RFC 7643, section 7) whose `id` is its URN.
    Put {
        /// A file of JSON; `-` is the standard input.
        file: std::path::PathBuf,
        /// Every user must have the extension.
        #[arg(long)]
        required: bool,
        /// It is the one in which users have their role and teams.
        #[arg(long, value_name = "BOOL")]
        role_and_teams: Option<bool>,
        /// The version that it must have, 0 for none yet: else nothing is done.
        #[arg(long, value_name = "N")]
        expected_version: Option<i64>,
    },
    /// Take one away. What users have of it stays stored, hidden, and is back when the URN is defined again.
    Delete {
        /// The schema's URN.
        urn: String,
    },
}

/// As the admin API shows it.
#[derive(Serialize, Deserialize)]
struct Extension {
    urn: String,
    resource_type: String,
    required: bool,
    #[serde(default)]
    role_and_teams: bool,
    version: i64,
    reindexing: bool,
    created_at: String,
    updated_at: String,
    schema: Value,
}

#[derive(Serialize, Deserialize)]
struct Extensions {
    schemas: Vec<Extension>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Some(tenant) = &arguments.tenant else {
        bail!("whose schema? Pass --tenant NAME");
    };
    let client = arguments.connection.client()?;
    let path = format!("/tenants/{}/schemas", segment(tenant));
    match arguments.verb {
        Verb::List => list(&client, &path, arguments.json).await,
        Verb::Show { urn } => {
            let found: Extension = client.get(&format!("{path}/{}", segment(&urn)), &[]).await?;
            if arguments.json {
                return table::json(&found);
            }
            table::line(&serde_json::to_string_pretty(&found.schema)?);
            Ok(())
        }
        Verb::Put { file, required, role_and_teams, expected_version } => {
            let schema = document(&file)?;
            let Some(urn) = schema["id"].as_str() else {
                bail!("the document has no `id`: the schema's URN as a string");
            };
            let path = format!("{path}/{}", segment(urn));
            let mut body = json!({ "schema": schema, "required": required });
            if let Some(role_and_teams) = role_and_teams {
                body["role_and_teams"] = role_and_teams.into();
            }
            if let Some(version) = expected_version {
                body["expected_version"] = version.into();
            }
            let now: Extension = client.put(&path, &body).await?;
            if arguments.json {
                return table::json(&now);
            }
            table::line(&format!("{} is in force at version {}.", now.urn, now.version));
            if now.reindexing {
                table::line(
                    "Stored values are being made searchable by it; until then filters that name it answer 503.",
                );
            }
            Ok(())
        }
        Verb::Delete { urn } => {
            client.delete(&format!("{path}/{}", segment(&urn))).await?;
            if arguments.json {
                return table::json(&json!({ "deleted": { "urn": urn } }));
            }
            table::line(&format!("Deleted {urn}. Values that users have of it stay stored and hidden."));
            Ok(())
        }
    }
}

async fn list(client: &AdminClient, path: &str, as_json: bool) -> anyhow::Result<()> {
    let found: Extensions = client.get(path, &[]).await?;
    if as_json {
        return table::json(&found);
    }
    let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let rows: Vec<_> = found
        .schemas
        .iter()
        .map(|extension| {
            let attributes = extension.schema["attributes"].as_array().map_or(0, Vec::len);
            vec![
                extension.urn.clone(),
                extension.version.to_string(),
                attributes.to_string(),
                word(extension.required),
                word(extension.role_and_teams),
                extension.updated_at.clone(),
            ]
        })
        .collect();
    table::print(&["URN", "VERSION", "ATTRIBUTES", "REQUIRED", "ROLE AND TEAMS", "CHANGED"], &rows);
    Ok(())
}

fn document(file: &Path) -> anyhow::Result<Value> {
    let shown = file.display();
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read the standard input")?;
        text
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?
    };
    serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON"))
}
