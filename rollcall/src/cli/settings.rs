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
    /// Whether creating and deleting users here is refused while SCIM is on.
    #[arg(long)]
    lock_local_changes: Option<Switch>,
    /// 0: DELETE of a user deletes. Otherwise it is kept, suspended, for so many days, and then purged.
    #[arg(long, value_name = "DAYS")]
    keep_deleted_days: Option<u32>,
    /// For how many days the provisioning log is kept.
    #[arg(long, value_name = "DAYS")]
    log_retention_days: Option<u32>,
    /// Requests per second, at least 25; 0: as the platform is configured; -1: without limit.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    requests_per_second: Option<i32>,
    /// So many requests at once after a quiet time; 0: as the platform is configured.
    #[arg(long, value_name = "N")]
    burst: Option<u32>,
    /// Requests under way at a time; 0: as the platform is configured.
    #[arg(long, value_name = "N")]
    concurrent: Option<u32>,
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
    lock_local_changes: bool,
    keep_deleted_days: u32,
    log_retention_days: u32,
    limits: Limits,
}

/// 0 stands for what the platform is configured with.
#[derive(Serialize, Deserialize)]
struct Limits {
    requests_per_second: i32,
    burst: u32,
    concurrent: u32,
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
        let Self { dialect, groups, users_create, users_update, users_delete, .. } = self;
        let Self { lock_local_changes, keep_deleted_days, log_retention_days, .. } = self;
        let Self { requests_per_second, burst, concurrent, .. } = self;
        let mut users = Map::new();
        for (name, switch) in [("create", users_create), ("update", users_update), ("delete", users_delete)] {
            users.extend(switch.map(|switch| (name.to_owned(), switch.is_on().into())));
        }
        let mut settings = Map::new();
        settings.extend(groups.map(|switch| ("groups".to_owned(), switch.is_on().into())));
        settings.insert("users".to_owned(), users.into());
        settings.extend(
            lock_local_changes.map(|switch| ("lock_local_changes".to_owned(), switch.is_on().into())),
        );
        let days = [("keep_deleted_days", keep_deleted_days), ("log_retention_days", log_retention_days)];
        settings.extend(days.iter().filter_map(|(name, days)| Some(((*name).to_owned(), (**days)?.into()))));
        let mut limits = Map::new();
        limits.extend(requests_per_second.map(|n| ("requests_per_second".to_owned(), n.into())));
        limits.extend(burst.map(|n| ("burst".to_owned(), n.into())));
        limits.extend(concurrent.map(|n| ("concurrent".to_owned(), n.into())));
        if !limits.is_empty() {
            settings.insert("limits".to_owned(), limits.into());
        }
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
    let Some(settings) = settings else { return };
    let Settings { groups, users, lock_local_changes, keep_deleted_days, log_retention_days, limits } =
        settings;
    let word = |on: bool| if on { "on" } else { "off" };
    table::line(&format!("Groups      {}", word(*groups)));
    let Users { create, update, delete } = users;
    table::line(&format!(
        "Users       create {}, update {}, delete {}",
        word(*create),
        word(*update),
        word(*delete)
    ));
    table::line(&format!("Local lock  {}", word(*lock_local_changes)));
    let deleted = match keep_deleted_days {
        0 => "deleted for good".to_owned(),
        days => format!("suspended for {days} days, then purged"),
    };
    table::line(&format!("Deleted     {deleted}"));
    table::line(&format!("Log kept    {log_retention_days} days"));
    let Limits { requests_per_second, burst, concurrent } = limits;
    let limit = |n: i64| match n {
        0 => "(platform's)".to_owned(),
        -1 => "unlimited".to_owned(),
        n => n.to_string(),
    };
    table::line(&format!(
        "Limits      {} requests/s, burst {}, at a time {}",
        limit((*requests_per_second).into()),
        limit((*burst).into()),
        limit((*concurrent).into())
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
        let sent =
            read(&["--keep-deleted-days", "30", "--requests-per-second", "-1", "--burst", "50"]).unwrap();
        let limits = json!({"requests_per_second": -1, "burst": 50});
        assert_eq!(sent, json!({"settings": {"users": {}, "keep_deleted_days": 30, "limits": limits}}));
        assert_eq!(read(&[]), None, "nothing to change");
        assert_eq!(read(&["--dialect", "klingon"]), None);
    }
}
