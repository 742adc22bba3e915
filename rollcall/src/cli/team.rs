//! `rollcall team …`

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::table;
use crate::admin_client::{AdminClient, Connection, segment};

/// `rollcall team`
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
    /// Register a team, so that provisioning can put people into it.
    Create {
        /// How provisioning names it: letters, digits, `-`, `_`, `.`; upper and lower case are the same.
        slug: String,
        /// To show; the slug without it.
        #[arg(long, default_value = "")]
        name: String,
    },
    /// List the tenant's teams.
    List,
    /// Rename a team; whoever is in it shows the new slug from then on.
    Set {
        /// Its uuid or slug.
        team: String,
        /// The new slug.
        #[arg(long, required_unless_present = "name")]
        slug: Option<String>,
        /// The new name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Delete a team and take everybody out of it.
    Delete {
        /// Its uuid or slug.
        team: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Team {
    uuid: String,
    slug: String,
    name: String,
    created_at: String,
    updated_at: String,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Some(tenant) = &arguments.tenant else {
        anyhow::bail!("whose team? Pass --tenant NAME");
    };
    let client = arguments.connection.client()?;
    let path = format!("/tenants/{}/teams", segment(tenant));
    match arguments.verb {
        Verb::Create { slug, name } => {
            let team: Team = client.post(&path, &json!({ "slug": slug, "name": name })).await?;
            show(&team, arguments.json)?;
        }
        Verb::List => list(&client, &path, arguments.json).await?,
        Verb::Set { team, slug, name } => {
            let mut change = serde_json::Map::new();
            change.extend(slug.map(|slug| ("slug".to_owned(), slug.into())));
            change.extend(name.map(|name| ("name".to_owned(), name.into())));
            let team: Team = client.patch(&format!("{path}/{}", segment(&team)), &change.into()).await?;
            show(&team, arguments.json)?;
        }
        Verb::Delete { team } => {
            client.delete(&format!("{path}/{}", segment(&team))).await?;
            if arguments.json {
                return table::json(&json!({ "deleted": { "team": team } }));
            }
            table::line(&format!("Deleted team {team}."));
        }
    }
    Ok(())
}

async fn list(client: &AdminClient, path: &str, as_json: bool) -> anyhow::Result<()> {
    let teams: Vec<Team> = super::pages(client, path, "teams", &[], usize::MAX).await?;
    if as_json {
        return table::json(&json!({ "teams": teams }));
    }
    let rows: Vec<_> = teams
        .into_iter()
        .map(|Team { uuid, slug, name, created_at, updated_at: _ }| vec![slug, name, uuid, created_at])
        .collect();
    table::print(&["SLUG", "NAME", "UUID", "CREATED"], &rows);
    Ok(())
}

fn show(team: &Team, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return table::json(team);
    }
    table::line(&format!("slug  {}", team.slug));
    table::line(&format!("name  {}", team.name));
    table::line(&format!("uuid  {}", team.uuid));
    Ok(())
}
