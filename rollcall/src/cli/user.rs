//! `rollcall user …`

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::table;
use crate::admin_client::{AdminClient, Connection, segment};

/// `rollcall user`
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
    /// List users, or those that a SCIM filter is true of.
    List {
        /// For example: userName sw "anna" or active eq false
        #[arg(long)]
        filter: Option<String>,
        /// At most this many.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Show one user.
    Show {
        /// Its id.
        id: String,
    },
    /// Create a user here rather than by the identity provider. Refused while SCIM is on and the tenant locks local changes.
    Create {
        /// Unique in the tenant.
        user_name: String,
        /// Name to show.
        #[arg(long)]
        display_name: Option<String>,
        /// The identity provider's id, by which it will match the user.
        #[arg(long)]
        external_id: Option<String>,
        /// E-mail at work.
        #[arg(long)]
        email: Option<String>,
    },
    /// Delete a user here. Refused as `create` is.
    Delete {
        /// Its id.
        id: String,
    },
    /// Give a user a role, protected ones (owner, partner) included.
    Role {
        /// Its id.
        id: String,
        /// The role.
        role: String,
    },
    /// List users that were deleted and are kept for a while (setting --keep-deleted-days).
    Suspended,
    /// Make a suspended user a user again, without group memberships.
    Restore {
        /// Its id.
        id: String,
    },
    /// Remove a suspended user for good before its time.
    Purge {
        /// Its id.
        id: String,
    },
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Some(tenant) = &arguments.tenant else {
        anyhow::bail!("whose user? Pass --tenant NAME");
    };
    let client = arguments.connection.client()?;
    let as_json = arguments.json;
    let tenant = format!("/tenants/{}", segment(tenant));
    let users = format!("{tenant}/users");
    let one = |id: &str| format!("{users}/{}", segment(id));
    let suspended = |id: &str| format!("{tenant}/suspended-users/{}", segment(id));
    match arguments.verb {
        Verb::List { filter, limit } => list(&client, &users, filter.as_deref(), limit, as_json).await?,
        Verb::Show { id } => {
            let user: Value = client.get(&one(&id), &[]).await?;
            let text = if as_json { user.to_string() } else { serde_json::to_string_pretty(&user)? };
            table::line(&text);
        }
        Verb::Create { user_name, display_name, external_id, email } => {
            let mut user = Map::new();
            user.insert("schemas".to_owned(), json!(["urn:ietf:params:scim:schemas:core:2.0:User"]));
            user.insert("userName".to_owned(), user_name.into());
            user.extend(display_name.map(|name| ("displayName".to_owned(), name.into())));
            user.extend(external_id.map(|id| ("externalId".to_owned(), id.into())));
            let email = email.map(|email| json!([{ "value": email, "type": "work", "primary": true }]));
            user.extend(email.map(|emails| ("emails".to_owned(), emails)));
            let user: Value = client.post(&users, &user.into()).await?;
            if as_json {
                return table::json(&user);
            }
            table::line(&format!(
                "Created user {} ({}).",
                table::text(&user["userName"]),
                table::text(&user["id"])
            ));
        }
        Verb::Delete { id } => {
            client.delete(&one(&id)).await?;
            done(as_json, "deleted", &id)?;
        }
        Verb::Role { id, role } => {
            let answer: Value = client.put(&format!("{}/role", one(&id)), &json!({ "role": role })).await?;
            if as_json {
                return table::json(&answer);
            }
            table::line(&format!("User {id} has the role {role}."));
        }
        Verb::Suspended => {
            let found: Vec<Value> =
                super::pages(&client, &format!("{tenant}/suspended-users"), "users", &[], usize::MAX).await?;
            if as_json {
                return table::json(&json!({ "users": found }));
            }
            table::objects(&["id", "user_name", "suspended_at", "purge_at"], &found.into());
        }
        Verb::Restore { id } => {
            let user: Value = client.post(&format!("{}/restore", suspended(&id)), &json!({})).await?;
            if as_json {
                return table::json(&user);
            }
            table::line(&format!("User {id} is back, without group memberships."));
        }
        Verb::Purge { id } => {
            client.delete(&suspended(&id)).await?;
            done(as_json, "purged", &id)?;
        }
    }
    Ok(())
}

fn done(as_json: bool, what: &str, id: &str) -> anyhow::Result<()> {
    if as_json {
        return table::json(&json!({ what: { "id": id } }));
    }
    table::line(&format!("User {id} is {what}."));
    Ok(())
}

/// By cursor (RFC 9865), page after page.
async fn list(
    client: &AdminClient,
    path: &str,
    filter: Option<&str>,
    limit: usize,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut query = vec![("cursor", cursor.as_str())];
        query.extend(filter.map(|filter| ("filter", filter)));
        let page: Value = client.get(path, &query).await?;
        let resources = page["Resources"].as_array().context("the server's answer has no Resources")?;
        found.extend(resources.iter().cloned());
        let next = page["nextCursor"].as_str().unwrap_or_default().to_owned();
        if next.is_empty() || found.len() >= limit {
            break;
        }
        cursor = next;
    }
    found.truncate(limit);
    if as_json {
        return table::json(&json!({ "users": found }));
    }
    table::objects(&["id", "userName", "externalId", "displayName", "active"], &found.into());
    Ok(())
}
