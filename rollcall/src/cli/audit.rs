//! `rollcall audit`

use platform::clock::Clock;
use serde_json::{Value, json};

use super::{log, table};
use crate::admin_client::Connection;

/// `rollcall audit`
#[derive(clap::Args)]
#[command(
    after_help = "Who changed the settings of contoso this week?\n\n  rollcall audit --tenant contoso --since 7d"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Only of this tenant, by name or id; without it everything, the platform's own included.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Not before: 90s, 15m, 2h, 7d ago, or a time like 2026-11-22T17:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before: as --since.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most this many, the latest.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Print JSON, for scripts: latest first.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.connection.client()?;
    let mut query = Vec::new();
    query.extend(arguments.tenant.clone().map(|tenant| ("tenant", tenant)));
    let now = Clock::system().now();
    for (name, flag, text) in [("from", "--since", &arguments.since), ("until", "--until", &arguments.until)]
    {
        if let Some(text) = text {
            query.push((name, log::time(flag, text, now)?));
        }
    }
    let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut events: Vec<Value> = super::pages(&client, "/audit", "events", &query, arguments.limit).await?;
    if arguments.json {
        return table::json(&json!({ "events": events }));
    }
    // As it happened.
    events.reverse();
    for event in &events {
        let field = |name: &str| table::text(&event[name]);
        let head = [field("at"), field("actor"), field("action"), field("resource_id")].join("  ");
        table::line(head.trim_end());
        for line in difference(&event["before"], &event["after"]) {
            table::line(&format!("    {line}"));
        }
    }
    Ok(())
}

/// `name: before -> after`
fn difference(before: &Value, after: &Value) -> Vec<String> {
    let none = serde_json::Map::new();
    let (before, after) = (before.as_object().unwrap_or(&none), after.as_object().unwrap_or(&none));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    // Nothing before and nothing after is no difference.
    names.retain(|name| {
        [before.get(*name), after.get(*name)].into_iter().flatten().any(|value| !value.is_null())
    });
    let show = |value: Option<&Value>| {
        value.filter(|value| !value.is_null()).map_or("-".to_owned(), Value::to_string)
    };
    names
        .iter()
        .map(|name| format!("{name}: {} -> {}", show(before.get(*name)), show(after.get(*name))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_was_and_what_is() {
        let lines =
            difference(&json!({"groups": true}), &json!({"groups": false, "label": "x", "end": null}));
        assert_eq!(lines, ["groups: true -> false", "label: - -> \"x\""]);
        assert!(difference(&Value::Null, &Value::Null).is_empty());
    }
}
