//! `rollcall key …`

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::table;
use crate::admin_client::Connection;

/// `rollcall key`
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
    /// Let the next signing key take its turn: published now, signing in ten minutes, without an outage.
    Rotate,
}

#[derive(Serialize, Deserialize)]
struct Rotation {
    rotation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signs_from: Option<String>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.connection.client()?;
    match arguments.verb {
        Verb::Rotate => {
            let rotation: Rotation = client.post("/signing-keys", &json!({})).await?;
            if arguments.json {
                return table::json(&rotation);
            }
            match rotation.signs_from {
                Some(at) => table::line(&format!("The next key is published and signs from {at}.")),
                None => table::line("A rotation is under way already."),
            }
        }
    }
    Ok(())
}
