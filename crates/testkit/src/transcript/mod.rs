//! Golden transcripts: the requests an identity provider really sends, and the answers we owe it.
//!
//! A transcript is a YAML file of numbered steps that speaks only HTTP, so it can be played against any SCIM server. Its
//! expectations come from the RFCs and from the provider's behaviour, never from what a server happens to say.
//!
//! ```yaml
//! about: What it shows, and where that is written.
//! preset: entra                     # of the tenant it is played against; `entra` unless said otherwise
//! dialect: rfc                      # if another than the preset's
//! teams: [sales]                    # registered before the first step; `${team.sales}` is the uuid
//! steps:
//!   - name: create a user
//!     request: POST /Users          # as on the wire, below the tenant's base URL
//!     headers: {If-Match: 'W/"1"'}  # beside the ones every request has (`play.rs`); rarely needed
//!     body: |                       # sent byte for byte, after `${...}` is filled in
//!       {"userName": "a@example.com"}
//!     status: 201                   # or a list where the RFC leaves a choice
//!     expect_headers: {location: "${base}/Users/${user.id}"}
//!     expect:                       # the body, exactly
//!       schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"]
//!       id: "${user.id:uuid}"
//!       userName: a@example.com
//!       meta: "${user:meta}"
//! ```
//!
//! Without `expect` the answer must have no body; `expect: any` lets every body pass. `error: {scimType: .., detail: ..}`
//! in its place asks for a SCIM error with exactly that scimType and a detail that contains each of the given texts;
//! `list: [..]` for a ListResponse, complete on one page, with these resources in whatever order.
//! `repeat: N` plays a step N times with `${n}` = 1..N.
//!
//! What is matched beside literal values is written in [`expect`].

pub mod expect;
mod play;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

pub use play::Target;

/// A file of steps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// What it shows, and where that is written.
    pub about: String,
    /// The preset of the tenant it wants.
    #[serde(default = "entra")]
    pub preset: String,
    /// Its dialect, if another than the preset's.
    pub dialect: Option<String>,
    /// Slugs of the teams that its tenant has.
    #[serde(default)]
    pub teams: Vec<String>,
    /// Played in order, on one tenant.
    pub steps: Vec<Step>,
}

/// One request and the answer to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What happens, in a few words.
    pub name: String,
    /// Method and path, as on the wire.
    pub request: String,
    /// Request headers beside the usual ones.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The request's body.
    pub body: Option<String>,
    /// The status, or those that are allowed.
    pub status: Statuses,
    /// Headers of the answer, by pattern.
    #[serde(default)]
    pub expect_headers: BTreeMap<String, String>,
    /// The answer's body, by pattern; none: there must be no body.
    pub expect: Option<Value>,
    /// A SCIM error instead of `expect`.
    pub error: Option<ScimError>,
    /// All resources of a ListResponse instead of `expect`.
    pub list: Option<Vec<Value>>,
    /// How often the step is played.
    #[serde(default = "once")]
    pub repeat: u32,
}

/// One status, or several where the specification leaves the choice.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Statuses {
    /// Only this one.
    One(u16),
    /// Any of these.
    Any(Vec<u16>),
}

impl Statuses {
    /// Whether `status` is one of them.
    pub fn allow(&self, status: u16) -> bool {
        match self {
            Statuses::One(only) => *only == status,
            Statuses::Any(several) => several.contains(&status),
        }
    }
}

/// What a SCIM error must say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScimError {
    /// `scimType`, exactly; none: there must be none.
    #[serde(rename = "scimType")]
    pub scim_type: Option<String>,
    /// Texts that `detail` contains, in any case.
    #[serde(default)]
    pub detail: Vec<String>,
}

fn entra() -> String {
    "entra".to_owned()
}

fn once() -> u32 {
    1
}

impl Transcript {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Transcript> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Transcript::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads and checks the text of a file.
    pub fn parse(text: &str) -> Result<Transcript> {
        let transcript: Transcript = serde_yaml_ng::from_str(text)?;
        if transcript.steps.is_empty() {
            bail!("a transcript without steps shows nothing");
        }
        for step in &transcript.steps {
            let bodies = [step.expect.is_some(), step.error.is_some(), step.list.is_some()];
            if bodies.iter().filter(|given| **given).count() > 1 {
                bail!("step {:?}: only one of `expect`, `error` and `list`", step.name);
            }
            if !step.request.split_once(' ').is_some_and(|(_, path)| path.starts_with('/')) {
                bail!("step {:?}: `request` is a method, a space and a path", step.name);
            }
        }
        Ok(transcript)
    }
}
