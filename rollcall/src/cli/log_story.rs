//! An exchange of the provisioning log, told to a person.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

/// A value longer than this is cut: a story is not the place for a portrait.
const LONGEST_VALUE: usize = 100;
/// Changes that are told of one exchange.
const MOST_CHANGES: usize = 12;

/// As the admin API shows it.
#[derive(Deserialize)]
pub(super) struct Exchange {
    at: String,
    request_id: String,
    actor: Actor,
    action: String,
    method: String,
    target: String,
    status: i32,
    outcome: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    detail: String,
    resource: Option<Resource>,
    #[serde(default)]
    warnings: Vec<Warning>,
    #[serde(default)]
    changes: Vec<Change>,
    #[serde(default)]
    members_added: Vec<String>,
    #[serde(default)]
    members_removed: Vec<String>,
    #[serde(default)]
    members_truncated: bool,
}

#[derive(Deserialize)]
struct Actor {
    id: String,
    label: String,
}

#[derive(Deserialize)]
struct Resource {
    r#type: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Warning {
    attribute: String,
    detail: String,
}

#[derive(Deserialize)]
struct Change {
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// One exchange: a row of the table, and what there is to say besides.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    cells: [String; 4],
    notes: Vec<String>,
}

const HEAD: [&str; 4] = ["TIME", "WHO", "WHAT", "OUTCOME"];

/// `users` are those whose story it is, if it is anybody's.
pub(super) fn row(exchange: &Exchange, users: &HashSet<String>) -> Row {
    let who = [&exchange.actor.label, &exchange.actor.id].into_iter().find(|name| !name.is_empty());
    let mut notes = Vec::new();
    for Change { path, before, after } in exchange.changes.iter().take(MOST_CHANGES) {
        notes.push(format!("{path}: {} -> {}", value(before.as_ref()), value(after.as_ref())));
    }
    if exchange.changes.len() > MOST_CHANGES {
        notes.push(format!(
            "and {} more attributes; --json shows them",
            exchange.changes.len() - MOST_CHANGES
        ));
    }
    let membership = membership(exchange, users);
    if membership.is_none() {
        let [added, removed] = [&exchange.members_added, &exchange.members_removed].map(Vec::len);
        let more = if exchange.members_truncated { " and more" } else { "" };
        if added + removed > 0 || exchange.members_truncated {
            notes.push(format!("members: {added} came, {removed} went{more}"));
        }
    }
    for Warning { attribute, detail } in &exchange.warnings {
        notes.push(format!("warning: {attribute}: {detail}"));
    }
    if !exchange.detail.is_empty() {
        let kind = if exchange.error.is_empty() { String::new() } else { format!("{}: ", exchange.error) };
        notes.push(format!("{kind}{}", exchange.detail));
    }
    if matches!(exchange.outcome.as_str(), "refused" | "failed") {
        notes.push(format!("{} {}, request {}", exchange.method, exchange.target, exchange.request_id));
    }
    let what = membership.unwrap_or_else(|| asked(exchange));
    let outcome = format!("{} {}", exchange.outcome, exchange.status);
    let who = who.cloned().unwrap_or_else(|| "-".to_owned());
    Row {
        cells: [exchange.at.clone(), who, what, outcome].map(|cell| clean(&cell)),
        notes: notes.iter().map(|note| clean(note)).collect(),
    }
}

/// What happened to the user with a group, if that is what happened.
fn membership(exchange: &Exchange, users: &HashSet<String>) -> Option<String> {
    let is_among = |ids: &[String]| ids.iter().any(|id| users.contains(id));
    let group = exchange.resource.as_ref().filter(|resource| resource.r#type == "Group")?;
    let group = if group.name.is_empty() { &group.id } else { &group.name };
    let deleted = if exchange.action == "group.delete" { ", which was deleted" } else { "" };
    match (is_among(&exchange.members_added), is_among(&exchange.members_removed)) {
        (true, _) => Some(format!("joined group {group}")),
        (false, true) => Some(format!("left group {group}{deleted}")),
        (false, false) => None,
    }
}

/// What was asked.
fn asked(exchange: &Exchange) -> String {
    let named = |resource: &Resource| {
        let name = if resource.name.is_empty() { &resource.id } else { &resource.name };
        name.clone()
    };
    let about = exchange.resource.as_ref().map(named).filter(|name| !name.is_empty());
    let words = match exchange.action.split_once('.') {
        Some((kind, "get")) => format!("read {kind}"),
        Some((kind, "list" | "search")) if about.is_none() => format!("list {kind}s"),
        Some((kind, "list" | "search")) => format!("find {kind}"),
        Some((kind, verb)) => format!("{verb} {kind}"),
        None if exchange.action == "other" => format!("{} {}", exchange.method, exchange.target),
        None => exchange.action.clone(),
    };
    match about {
        Some(about) => format!("{words} {about}"),
        None => words,
    }
}

fn value(value: Option<&Value>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A terminal does what control characters tell it: what a client sent must not reach it.
fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// The rows as a table, each with its notes below it.
pub(super) fn lines(rows: &[Row], with_head: bool) -> Vec<String> {
    let mut widths = HEAD.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let render = |cells: [&str; 4]| {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(cells) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        line.trim_end().to_owned()
    };
    let mut lines = Vec::new();
    if with_head {
        lines.push(render(HEAD));
    }
    for Row { cells, notes } in rows {
        lines.push(render(cells.each_ref().map(String::as_str)));
        lines.extend(notes.iter().map(|note| format!("    {note}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(exchange: Value, users: &[&str]) -> Vec<String> {
        let mut whole = json!({
            "at": "T", "request_id": "r-1", "actor": {"id": "c-1", "label": "entra"}, "action": "user.patch", "method": "PATCH",
            "target": "/Users/u1", "status": 200, "outcome": "changed",
        });
        whole.as_object_mut().unwrap().extend(exchange.as_object().unwrap().clone());
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        lines(&[row(&serde_json::from_value(whole).unwrap(), &users)], false)
    }

    #[test]
    fn a_story_of_one_person() {
        let user = json!({"type": "User", "id": "u1", "name": "anna"});
        let changes =
            json!([{"path": "active", "before": true, "after": false}, {"path": "title", "after": "CEO"}]);
        assert_eq!(
            told(json!({"resource": user, "changes": changes}), &["u1"]),
            [
                "T     entra  patch user anna  changed 200",
                "    active: true -> false",
                "    title: - -> \"CEO\""
            ]
        );
        let group = json!({"type": "Group", "id": "g1", "name": "Sales"});
        let left = json!({"action": "group.patch", "resource": group, "members_removed": ["u1", "u2"], "status": 204});
        assert_eq!(told(left.clone(), &["u1"]), ["T     entra  left group Sales  changed 204"]);
        assert_eq!(
            told(left, &[]),
            ["T     entra  patch group Sales  changed 204", "    members: 0 came, 2 went"]
        );
        let deleted = json!({"action": "group.delete", "resource": group, "members_removed": ["u1"]});
        assert_eq!(
            told(deleted, &["u1"])[0],
            "T     entra  left group Sales, which was deleted  changed 200"
        );
    }

    #[test]
    fn what_went_wrong_says_why() {
        let refused = json!({
            "action": "user.create", "method": "POST", "target": "/Users", "status": 409, "outcome": "refused", "error": "uniqueness",
            "detail": "userName is taken\u{1b}[2J", "resource": {"type": "User", "name": "anna"},
        });
        assert_eq!(
            told(refused, &[]),
            [
                "T     entra  create user anna  refused 409",
                "    uniqueness: userName is taken\u{fffd}[2J",
                "    POST /Users, request r-1"
            ]
        );
    }
}
