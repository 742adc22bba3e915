//! An initial provisioning cycle as Entra ID runs it: for each user and group a match query, then a POST; the
//! memberships afterwards, as PATCHes (shared/ENTRA.md section 3; requests as sent without the compliance flag).

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::say;

/// Requests under way at once.
const CONNECTIONS: usize = 8;
const MEMBERS_PER_PATCH: usize = 20;

/// What was provisioned, for the questions that follow.
pub(super) struct Directory {
    /// userNames, by number.
    pub(super) user_names: Vec<String>,
    /// displayNames, by number.
    pub(super) group_names: Vec<String>,
}

/// Group 0 holds everybody; the others hold each a slice. Returns the members' numbers.
pub(super) fn members_of(group: usize, users: usize, groups: usize) -> Vec<usize> {
    if group == 0 {
        return (0..users).collect();
    }
    (0..users).filter(|user| user % (groups - 1).max(1) == group - 1).collect()
}

pub(super) async fn provision(
    base_url: &str,
    token: &str,
    users: u32,
    groups: u32,
) -> anyhow::Result<Directory> {
    let client = Client::new(base_url, token)?;
    let (users, groups) = (users as usize, groups as usize);
    let user_names: Vec<_> =
        (0..users).map(|n| format!("{}@contoso.com", person(n).to_lowercase().replace(' ', "."))).collect();
    let group_names: Vec<_> = (0..groups).map(group_name).collect();

    let started = Instant::now();
    client.test_connection().await?;
    let bar = progress("users", users);
    let user_ids: Vec<String> = stream::iter(user_names.iter().enumerate())
        .map(|(number, name)| client.provision_user(number, name))
        .buffered(CONNECTIONS)
        .inspect(|_| bar.inc(1))
        .try_collect()
        .await?;
    bar.finish();

    let bar = progress("groups", groups);
    let group_ids: Vec<String> = stream::iter(group_names.iter().enumerate())
        .map(|(number, name)| client.provision_group(number, name))
        .buffered(CONNECTIONS)
        .inspect(|_| bar.inc(1))
        .try_collect()
        .await?;
    bar.finish();

    let mut patches = Vec::new();
    for (number, id) in group_ids.iter().enumerate() {
        for run in members_of(number, users, groups).chunks(MEMBERS_PER_PATCH) {
            let members: Vec<_> =
                run.iter().map(|user| json!({ "$ref": null, "value": user_ids[*user] })).collect();
            patches.push((id, members));
        }
    }
    let bar = progress("memberships", patches.iter().map(|(_, members)| members.len()).sum());
    stream::iter(patches)
        .map(|(group, members)| {
            let count = members.len() as u64;
            let sent = client.add_members(group, members);
            async move { sent.await.map(|()| count) }
        })
        .buffer_unordered(CONNECTIONS)
        .try_for_each(|count| {
            bar.inc(count);
            async { Ok(()) }
        })
        .await?;
    bar.finish();
    say(&format!("Initial cycle done in {:.1} s.", started.elapsed().as_secs_f64()));
    Ok(Directory { user_names, group_names })
}

struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    fn new(base_url: &str, token: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { http, base: base_url.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    /// What the button Test Connection asks: a user that cannot exist.
    async fn test_connection(&self) -> anyhow::Result<()> {
        let found = self.matching("Users", "userName", "7d1b3c6e-9e0a-4b9e-8f57-0e3a4b8f2c11").await?;
        ensure!(found.is_none(), "Test Connection found a user that cannot exist");
        Ok(())
    }

    async fn provision_user(&self, number: usize, user_name: &str) -> anyhow::Result<String> {
        if let Some(id) = self.matching("Users", "userName", user_name).await? {
            return Ok(id);
        }
        let name = person(number);
        let (given, family) = name.split_once(' ').unwrap_or((&name, ""));
        self.create(
            "Users",
            &json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
                "externalId": format!("00000000-0000-4000-8000-{number:012}"),
                "userName": user_name, "active": true, "displayName": name,
                "emails": [{ "primary": true, "type": "work", "value": user_name }],
                "meta": { "resourceType": "User" },
                "name": { "formatted": name, "givenName": given, "familyName": family },
                "roles": [],
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "employeeNumber": number.to_string(), "department": DEPARTMENTS[number % DEPARTMENTS.len()] }
            }),
        )
        .await
    }

    async fn provision_group(&self, number: usize, name: &str) -> anyhow::Result<String> {
        if let Some(id) = self.matching("Groups", "displayName", name).await? {
            return Ok(id);
        }
        self.create(
            "Groups",
            &json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group", "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
                "externalId": format!("00000000-0000-4000-9000-{number:012}"),
                "displayName": name, "meta": { "resourceType": "Group" }
            }),
        )
        .await
    }

    async fn add_members(&self, group: &str, members: Vec<Value>) -> anyhow::Result<()> {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "Add", "path": "members", "value": members }]
        });
        let request = self.http.patch(format!("{}/Groups/{group}", self.base)).body(body.to_string());
        self.send(request).await.map(|_| ())
    }

    async fn matching(&self, endpoint: &str, attribute: &str, value: &str) -> anyhow::Result<Option<String>> {
        let filter = format!("{attribute} eq \"{value}\"");
        let mut query = vec![("filter", filter.as_str())];
        if endpoint == "Groups" {
            query.push(("excludedAttributes", "members"));
        }
        let url = reqwest::Url::parse_with_params(&format!("{}/{endpoint}", self.base), query)?;
        let answer = self.send(self.http.get(url)).await?;
        let answer: Value =
            serde_json::from_slice(&answer).context("the answer to a match query is not JSON")?;
        Ok(answer["Resources"][0]["id"].as_str().map(str::to_owned))
    }

    async fn create(&self, endpoint: &str, body: &Value) -> anyhow::Result<String> {
        let request = self.http.post(format!("{}/{endpoint}", self.base)).body(body.to_string());
        let answer: Value =
            serde_json::from_slice(&self.send(request).await?).context("the answer to a POST is not JSON")?;
        Ok(answer["id"].as_str().context("the created resource has no id")?.to_owned())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Vec<u8>> {
        let answer = request
            .bearer_auth(&self.token)
            .header("content-type", "application/scim+json; charset=utf-8")
            .send()
            .await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        ensure!(status.is_success(), "the server answered {status}: {}", String::from_utf8_lossy(&body));
        Ok(body.to_vec())
    }
}

fn progress(what: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>12} [{bar:40}] {pos}/{len}  {per_sec}  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length as u64).with_style(style.progress_chars("=> ")).with_message(what)
}

const GIVEN: [&str; 20] = [
    "Anna", "Ben", "Chiara", "David", "Elif", "Farid", "Grace", "Hiro", "Ines", "Jakub", "Kofi", "Lena",
    "Mateo", "Nadia", "Omar", "Priya", "Quinn", "Rosa", "Sven", "Tamar",
];
const FAMILY: [&str; 20] = [
    "Meier", "Okafor", "Rossi", "Nguyen", "Yilmaz", "Novak", "Hopper", "Tanaka", "Silva", "Kowalski",
    "Mensah", "Fischer", "Garcia", "Haddad", "Aziz", "Sharma", "Byrne", "Lopez", "Larsen", "Levi",
];
const DEPARTMENTS: [&str; 6] = ["Sales", "Engineering", "Finance", "Support", "Legal", "People"];

/// A name for the number; those beyond the first 400 carry it.
fn person(number: usize) -> String {
    let given = GIVEN[number % GIVEN.len()];
    let family = FAMILY[(number / GIVEN.len() + number) % FAMILY.len()];
    match number / (GIVEN.len() * FAMILY.len()) {
        0 => format!("{given} {family}"),
        round => format!("{given} {family}{round}"),
    }
}

fn group_name(number: usize) -> String {
    match number {
        0 => "All Employees".to_owned(),
        n if n <= DEPARTMENTS.len() => DEPARTMENTS[n - 1].to_owned(),
        n => format!("Project {:02}", n - DEPARTMENTS.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = (0..2000).map(super::person).collect();
        assert_eq!(names.len(), 2000);
    }

    #[test]
    fn everybody_is_in_two_groups() {
        for groups in [2, 20] {
            let count: usize = (0..groups).map(|group| super::members_of(group, 200, groups).len()).sum();
            assert_eq!(count, 400);
        }
        assert_eq!(super::members_of(0, 7, 1).len(), 7);
    }
}
