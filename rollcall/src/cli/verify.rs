//! `rollcall verify`

use anyhow::bail;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{table, tenant};
use crate::admin_client::{AdminClient, Connection, segment};

const EXAMPLE: &str = "\
  $ rollcall verify --tenant contoso
  contoso: 1200 users, 45 groups, 3100 memberships agree, in the index, too

Compares the users that membership knows with those of identity, memberships with users and groups, and the index in memory
with the database. It changes nothing and disturbs nobody; what is being provisioned meanwhile is no difference. The exit code
is 1 when something does not agree.";

/// `rollcall verify`
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Which: name or id of the tenant.
    #[arg(long, value_name = "TENANT", required_unless_present = "all")]
    tenant: Option<String>,
    /// Every tenant.
    #[arg(long, conflicts_with = "tenant")]
    all: bool,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

/// What the server found.
#[derive(Serialize, Deserialize)]
struct Verification {
    users: i64,
    groups: i64,
    memberships: i64,
    index_compared: bool,
    differences: Value,
    truncated: bool,
}

impl Verification {
    fn differences(&self) -> usize {
        self.differences.as_array().map_or(0, Vec::len)
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.connection.client()?;
    let names = match arguments.tenant {
        Some(name) => vec![name],
        None => tenant::names(&client).await?,
    };
    let mut verified = Vec::with_capacity(names.len());
    for name in names {
        let found = verify(&client, &name).await?;
        if !arguments.json {
            print(&name, &found);
        }
        verified.push((name, found));
    }
    let differing: usize = verified.iter().map(|(_, found)| found.differences()).sum();
    if arguments.json {
        let tenants: Vec<Value> =
            verified.iter().map(|(name, found)| json!({ "tenant": name, "verification": found })).collect();
        table::json(&json!({ "tenants": tenants }))?;
    }
    if differing > 0 {
        bail!("{differing} differences; `rollcall verify` again in a minute shows whether they last");
    }
    Ok(())
}

async fn verify(client: &AdminClient, name: &str) -> anyhow::Result<Verification> {
    client.post_patiently(&format!("/tenants/{}/verify", segment(name)), &json!({})).await
}

fn print(name: &str, found: &Verification) {
    let Verification { users, groups, memberships, index_compared, differences, truncated } = found;
    let of = format!("{name}: {users} users, {groups} groups, {memberships} memberships");
    let index = if *index_compared { "in the index, too" } else { "which is not in the index" };
    if found.differences() == 0 {
        table::line(&format!("{of} agree, {index}"));
        return;
    }
    let more = if *truncated { " and more" } else { "" };
    table::line(&format!("{of}, {index}: {}{more} differences", found.differences()));
    table::objects(&["what", "id", "group_id", "detail"], differences);
}
