//! `rollcall issuer …`

use serde_json::{Value, json};

use super::table;
use crate::admin_client::{Connection, segment};

/// The audience of Entra's own tokens, the same for every organization (ENTRA: field Secret Token left empty).
const ENTRA_AUDIENCE: &str = "8adf8e6e-67b2-4cf2-a259-e3dc5476c621";

const EXAMPLE: &str = "\
Let Entra ID in without a Secret Token (leave that field empty there):

  rollcall issuer add --tenant contoso --entra-directory 72f988bf-86f1-41af-91ab-2d7cd011db47";

/// `rollcall issuer`
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
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
    /// Let the tokens of an issuer in to provision the tenant.
    Add(New),
    /// List the issuers that the tenant trusts.
    List,
    /// Trust an issuer no more, at once.
    Delete {
        /// Its id.
        id: String,
    },
}

#[derive(clap::Args)]
struct New {
    /// For people.
    #[arg(long, default_value = "")]
    label: String,
    /// Entra's Directory (tenant) ID: stands for --issuer https://sts.windows.net/ID/ and Entra's audience.
    #[arg(long, value_name = "ID", required_unless_present_all = ["issuer", "audience"], conflicts_with = "issuer")]
    entra_directory: Option<String>,
    /// Claim `iss`, an https URL.
    #[arg(long, value_name = "URL", requires = "audience")]
    issuer: Option<String>,
    /// Claim `aud`.
    #[arg(long)]
    audience: Option<String>,
    /// Claim `tid`; needed for Entra's issuers.
    #[arg(long, value_name = "ID", conflicts_with = "entra_directory")]
    directory_id: Option<String>,
    /// Claim `appid` or `azp`: the application's id.
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// Claim `sub`.
    #[arg(long)]
    subject: Option<String>,
}

impl New {
    fn to_json(&self) -> Value {
        let Self { label, entra_directory, issuer, audience, directory_id, app_id, subject } = self;
        let mut body = json!({ "label": label });
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                body[name] = value.into();
            }
        };
        if let Some(directory) = entra_directory {
            set("issuer", Some(format!("https://sts.windows.net/{directory}/")));
            set("audience", Some(ENTRA_AUDIENCE.to_owned()));
            set("directory_id", Some(directory.clone()));
        }
        set("issuer", issuer.clone());
        set("audience", audience.clone());
        set("directory_id", directory_id.clone());
        set("app_id", app_id.clone());
        set("subject", subject.clone());
        body
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Some(tenant) = &arguments.tenant else {
        anyhow::bail!("whose issuer? Pass --tenant NAME");
    };
    let client = arguments.connection.client()?;
    let path = format!("/tenants/{}/issuers", segment(tenant));
    match arguments.verb {
        Verb::Add(new) => {
            let issuer: Value = client.post(&path, &new.to_json()).await?;
            if arguments.json {
                return table::json(&issuer);
            }
            table::line("Trusted. Its tokens let provisioning in from now on.");
        }
        Verb::List => {
            let found: Value = client.get(&path, &[]).await?;
            if arguments.json {
                return table::json(&found);
            }
            let columns = ["id", "label", "issuer", "audience", "directory_id", "app_id", "subject"];
            table::objects(&columns, &found["issuers"]);
        }
        Verb::Delete { id } => {
            client.delete(&format!("{path}/{}", segment(&id))).await?;
            if arguments.json {
                return table::json(&json!({ "deleted": { "id": id } }));
            }
            table::line(&format!("Issuer {id} is trusted no more."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        new: New,
    }

    #[test]
    fn a_directory_stands_for_what_entra_sends() {
        let read = |arguments: &[&str]| {
            let line = Line::try_parse_from(std::iter::once("x").chain(arguments.iter().copied()));
            line.ok().map(|line| line.new.to_json())
        };
        let entra = read(&["--entra-directory", "d1"]).unwrap();
        let expected = json!({"label": "", "issuer": "https://sts.windows.net/d1/", "audience": ENTRA_AUDIENCE, "directory_id": "d1"});
        assert_eq!(entra, expected);
        let other =
            read(&["--issuer", "https://idp.example.com", "--audience", "a", "--subject", "s"]).unwrap();
        let expected =
            json!({"label": "", "issuer": "https://idp.example.com", "audience": "a", "subject": "s"});
        assert_eq!(other, expected);
        assert_eq!(read(&["--issuer", "https://idp.example.com"]), None, "an audience is needed");
        assert_eq!(read(&[]), None);
    }
}
