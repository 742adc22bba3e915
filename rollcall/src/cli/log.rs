//! `rollcall log`

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context;
use platform::clock::{Clock, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::log_story::{self, Exchange};
use super::table;
use crate::admin_client::{AdminClient, Connection, segment};

/// Exchanges of a page; the server gives fewer when they are large.
const PAGE: usize = 500;
/// How often `--follow` looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What is written late, or by a gateway with a clock that is behind, is still seen.
const LATE_BY: Duration = Duration::from_secs(60);

const EXAMPLE: &str = "\
Why did Anna lose access?

  $ rollcall log --tenant contoso --user anna@contoso.com --notable
  TIME                      WHO    WHAT                         OUTCOME
  2026-11-20T08:00:12.120Z  entra  create user anna@contoso.com  changed 201
      userName: - -> \"anna@contoso.com\"
      active: - -> true
  2026-11-20T08:00:13.871Z  entra  joined group Sales            changed 204
  2026-11-22T17:30:02.004Z  entra  left group Sales              changed 204
  2026-11-22T17:30:05.310Z  entra  patch user anna@contoso.com   changed 200
      active: true -> false

Entra ID (its token's label is `entra`) took her out of Sales on the 22nd at 17:30:02, and deactivated her three seconds later.

What went wrong in the last two hours, and what goes wrong from now on?

  $ rollcall log --tenant contoso --outcome refused,failed,warning --since 2h --follow

A person or group is named by id, userName or displayName (in any case), or externalId; also when it is gone.";

/// `rollcall log`
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Whose: name or id of the tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// About this user: created, changed, read, deleted, or put into or taken out of a group.
    #[arg(long, value_name = "REF")]
    user: Option<String>,
    /// About this group.
    #[arg(long, value_name = "REF")]
    group: Option<String>,
    /// With this outcome: changed, unchanged, warning, refused, failed; several with commas between.
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',')]
    outcome: Vec<String>,
    /// Not before: 90s, 15m, 2h, 7d ago, or a time like 2026-11-22T17:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before: as --since.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of this request: the header Rollcall-Request-Id of its answer.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Leave out what changed nothing and went well, such as reads.
    #[arg(long)]
    notable: bool,
    /// Go on with what happens, until Ctrl-C.
    #[arg(long, conflicts_with = "until")]
    follow: bool,
    /// At most this many, the latest.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print JSON, for scripts: latest first; with --follow one exchange a line.
    #[arg(long)]
    json: bool,
}

/// What the server answers. An exchange stays as it came, for `--json`.
#[derive(Deserialize)]
struct Page {
    exchanges: Vec<Value>,
    #[serde(default)]
    user_ids: Vec<String>,
    #[serde(default)]
    next_page_token: String,
}

/// What is asked for, and where.
struct Question {
    client: AdminClient,
    path: String,
    parameters: Vec<(&'static str, String)>,
}

/// What is found, latest first.
struct Found {
    exchanges: Vec<Value>,
    /// Whom `--user` stands for.
    user_ids: HashSet<String>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let question = Question::new(&arguments, now)?;
    let limit = usize::try_from(arguments.limit)?;
    let from = arguments.since.as_deref().map(|since| time("--since", since, now)).transpose()?;
    let found = question.ask(from.as_deref(), limit).await?;
    if !arguments.follow {
        if arguments.json {
            return table::json(&json!({ "exchanges": found.exchanges }));
        }
        if found.exchanges.is_empty() {
            table::line("Nothing was found.");
            return Ok(());
        }
        return show(found.exchanges, &found.user_ids, true);
    }
    follow(&question, found, now, arguments.json).await
}

/// What the log tells of one user, the latest `limit` exchanges that were notable, oldest first.
pub(crate) async fn story(
    client: AdminClient,
    tenant: &str,
    user: &str,
    limit: usize,
) -> anyhow::Result<Vec<String>> {
    let parameters = vec![("user", user.to_owned()), ("notable", "true".to_owned())];
    let question = Question { client, path: format!("/tenants/{}/log", segment(tenant)), parameters };
    let found = question.ask(None, limit).await?;
    told(found.exchanges, &found.user_ids, true)
}

async fn follow(question: &Question, found: Found, now: Timestamp, as_json: bool) -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    let mut from = now;
    let (mut fresh, mut user_ids, mut with_head) = (found.exchanges, found.user_ids, true);
    loop {
        let started = Clock::system().now();
        if as_json {
            for exchange in fresh.iter().rev() {
                table::json(exchange)?;
            }
        } else if !fresh.is_empty() || with_head {
            show(fresh.clone(), &user_ids, with_head)?;
        }
        with_head = false;
        seen.extend(fresh.iter().map(id));
        tokio::time::sleep(LOOK_EVERY).await;
        let found = question.ask(Some(&from.minus(LATE_BY).to_rfc3339()), usize::MAX).await?;
        from = started;
        user_ids.extend(found.user_ids);
        // What is no longer found is too old to come again.
        let known: HashSet<String> = found.exchanges.iter().map(id).filter(|id| seen.contains(id)).collect();
        fresh = found.exchanges.into_iter().filter(|exchange| !known.contains(&id(exchange))).collect();
        seen = known;
    }
}

fn id(exchange: &Value) -> String {
    exchange["id"].as_str().unwrap_or_default().to_owned()
}

fn show(exchanges: Vec<Value>, user_ids: &HashSet<String>, with_head: bool) -> anyhow::Result<()> {
    for line in told(exchanges, user_ids, with_head)? {
        table::line(&line);
    }
    Ok(())
}

/// Oldest first: what is latest stands where the eye is.
fn told(exchanges: Vec<Value>, user_ids: &HashSet<String>, with_head: bool) -> anyhow::Result<Vec<String>> {
    let mut story = Vec::with_capacity(exchanges.len());
    for exchange in exchanges.into_iter().rev() {
        let exchange: Exchange = serde_json::from_value(exchange)
            .context("the server's answer is not what this version expects")?;
        story.push(log_story::row(&exchange, user_ids));
    }
    Ok(log_story::lines(&story, with_head))
}

impl Question {
    fn new(arguments: &Arguments, now: Timestamp) -> anyhow::Result<Self> {
        let mut parameters = Vec::new();
        let given =
            [("user", &arguments.user), ("group", &arguments.group), ("request_id", &arguments.request_id)];
        for (name, value) in given {
            parameters.extend(value.clone().map(|value| (name, value)));
        }
        if !arguments.outcome.is_empty() {
            parameters.push(("outcome", arguments.outcome.join(",")));
        }
        if let Some(until) = &arguments.until {
            parameters.push(("until", time("--until", until, now)?));
        }
        if arguments.notable {
            parameters.push(("notable", "true".to_owned()));
        }
        let path = format!("/tenants/{}/log", segment(&arguments.tenant));
        Ok(Self { client: arguments.connection.client()?, path, parameters })
    }

    /// The latest `limit` of what is not before `from`.
    async fn ask(&self, from: Option<&str>, limit: usize) -> anyhow::Result<Found> {
        let mut found = Found { exchanges: Vec::new(), user_ids: HashSet::new() };
        let mut token = String::new();
        loop {
            let size = PAGE.min(limit - found.exchanges.len()).to_string();
            let mut query: Vec<(&str, &str)> =
                self.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
            query.extend([("page_size", size.as_str()), ("page_token", &token)]);
            query.extend(from.map(|from| ("from", from)));
            let page: Page = self.client.get(&self.path, &query).await?;
            found.exchanges.extend(page.exchanges);
            found.user_ids.extend(page.user_ids);
            if page.next_page_token.is_empty() || found.exchanges.len() >= limit {
                return Ok(found);
            }
            token = page.next_page_token;
        }
    }
}

/// A time as the server reads it: of `2h`, two hours before `now`; anything else is the server's to judge.
pub(super) fn time(flag: &str, text: &str, now: Timestamp) -> anyhow::Result<String> {
    for (unit, seconds) in [('s', 1), ('m', 60), ('h', 3600), ('d', 24 * 3600)] {
        if let Some(count) = text.strip_suffix(unit).and_then(|digits| digits.parse::<u64>().ok()) {
            return Ok(now.minus(Duration::from_secs(count.saturating_mul(seconds))).to_rfc3339());
        }
    }
    anyhow::ensure!(
        text.contains('T'),
        "{flag}: `{text}` is neither an age like 90s, 15m, 2h or 7d nor a time like 2026-11-22T17:00:00Z"
    );
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_times() {
        let now = Timestamp::from_micros(1_000_000_000_000);
        let read = |text| time("--since", text, now);
        assert_eq!(read("2h").unwrap(), "1970-01-12T11:46:40.000Z");
        assert_eq!(read("0s").unwrap(), "1970-01-12T13:46:40.000Z");
        assert_eq!(read("2026-11-22T17:00:00Z").unwrap(), "2026-11-22T17:00:00Z");
        for bad in ["2", "2w", "yesterday", "", "ä"] {
            assert!(read(bad).unwrap_err().to_string().contains("--since"), "{bad}");
        }
        assert!(read("99999999999999999999d").is_err());
    }
}
