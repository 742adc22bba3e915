//! A tenant's settings on the command line: how they are asked for and shown.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::table;

/// What to change; at least one.
#[derive(clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Change {
    /// How the client's requests are read; `auto` recognises the client by its traffic and remembers it.
    #[arg(long, value_parser = ["entra", "okta", "rfc", "interop", "auto"])]
    dialect: Option<String>,
    /// Whether the tenant has groups.
    #[arg(long)]
    groups: Option<Switch>,
    /// Whether the client may create users.
    #[arg(long)]
    users_create: Option<Switch>,
    /// Whether the client may change users; deactivating them is a change.
    #[arg(long)]
    users_update: Option<Switch>,
    /// Whether the client may delete users.
    #[arg(long)]
    users_delete: Option<Switch>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

/// As the admin API shows it.
#[derive(Serialize, Deserialize)]
pub(super) struct Settings {
    groups: bool,
    users: Users,
}

#[derive(Serialize, Deserialize)]
struct Users {
    create: bool,
    update: bool,
    delete: bool,
}

/// What the client was recognised by.
#[derive(Serialize, Deserialize)]
pub(super) struct Recognised {
    dialect: String,
    sign: String,
    at: String,
}

impl Change {
    /// The body of the PATCH: only what was given.
    pub(super) fn to_json(&self) -> Value {
        let Self { dialect, groups, users_create, users_update, users_delete } = self;
        let mut users = Map::new();
        for (name, switch) in [("create", users_create), ("update", users_update), ("delete", users_delete)] {
            users.extend(switch.map(|switch| (name.to_owned(), switch.is_on().into())));
        }
        let mut settings = Map::new();
        settings.extend(groups.map(|switch| ("groups".to_owned(), switch.is_on().into())));
        settings.insert("users".to_owned(), users.into());
        let mut body = json!({ "settings": settings });
        if let Some(dialect) = dialect {
            body["dialect"] = dialect.as_str().into();
        }
        body
    }
}

impl Switch {
    fn is_on(self) -> bool {
        matches!(self, Switch::On)
    }
}

/// The lines of `tenant show` about dialect and settings.
pub(super) fn print(dialect: &str, recognised: Option<&Recognised>, settings: Option<&Settings>) {
    let dialect = match recognised {
        _ if dialect != "auto" => dialect.to_owned(),
        Some(Recognised { dialect, sign, at }) => format!("auto: {dialect}, recognised {at} by {sign}"),
        None => "auto: no client recognised yet, read as entra".to_owned(),
    };
    table::line(&format!("Dialect     {dialect}"));
    let Some(Settings { groups, users }) = settings else { return };
    let word = |on: bool| if on { "on" } else { "off" };
    table::line(&format!("Groups      {}", word(*groups)));
    let Users { create, update, delete } = users;
    table::line(&format!(
        "Users       create {}, update {}, delete {}",
        word(*create),
        word(*update),
        word(*delete)
    ));
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        change: Change,
    }

    #[test]
    fn only_what_was_given_is_sent() {
        let read = |arguments: &[&str]| {
            let line = Line::try_parse_from(std::iter::once("x").chain(arguments.iter().copied()));
            line.ok().map(|line| line.change.to_json())
        };
        let sent = read(&["--dialect", "rfc", "--users-delete", "off"]).unwrap();
        assert_eq!(sent, json!({"dialect": "rfc", "settings": {"users": {"delete": false}}}));
        let sent = read(&["--groups", "on"]).unwrap();
        assert_eq!(sent, json!({"settings": {"groups": true, "users": {}}}));
        assert_eq!(read(&[]), None, "nothing to change");
        assert_eq!(read(&["--dialect", "klingon"]), None);
    }
}
