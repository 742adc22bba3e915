//! `rollcall scim …`

use serde_json::{Value, json};

use super::table;
use crate::admin_client::{Connection, segment};

/// `rollcall scim`
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
    /// Switch provisioning on and print a new Secret Token: every earlier one of the tenant stops working. To replace a token
    /// without an outage: `rollcall credential rotate`.
    Enable {
        /// Name or id.
        tenant: String,
        /// What the token is for.
        #[arg(long, default_value = "")]
        label: String,
        /// When the token stops working, like 2027-01-31T00:00:00Z; without it, never.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// Switch provisioning off: every token of the tenant is revoked. What was provisioned stays, and so do the answers of
    /// membership queries.
    Disable {
        /// Name or id.
        tenant: String,
    },
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.connection.client()?;
    match arguments.verb {
        Verb::Enable { tenant, label, expires_at } => {
            let path = format!("/tenants/{}/scim/enable", segment(&tenant));
            let answer: Value =
                client.post(&path, &json!({ "label": label, "expires_at": expires_at })).await?;
            if arguments.json {
                return table::json(&answer);
            }
            table::line("Provisioning is on. Paste into the identity provider:");
            table::line(&format!("  Tenant URL    {}", table::text(&answer["base_url"])));
            table::line(&format!("  Secret Token  {}", table::text(&answer["token"])));
            table::line("\nThe token is not shown again; every earlier one of this tenant is dead.");
        }
        Verb::Disable { tenant } => {
            let path = format!("/tenants/{}/scim/disable", segment(&tenant));
            let answer: Value = client.post(&path, &json!({})).await?;
            if arguments.json {
                return table::json(&answer);
            }
            table::line(
                "Provisioning is off: every token of this tenant is dead. `rollcall scim enable` makes a new one.",
            );
        }
    }
    Ok(())
}
