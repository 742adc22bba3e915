//! What is known of an exchange so far. Whoever learns something notes it; at the end it becomes an [`Exchange`].

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::scim::ErrorKind;
use bytes::Bytes;
use platform::clock::{Clock, Timestamp};
use platform::ids::{TenantId, new_uuid};
use proto::common::v1::{AttributeChange, Dialect, Resource};
use proto::journal::v1::{Exchange, Outcome};
use proto::membership::v1::MembersChange;
use serde::Deserialize;
use uuid::Uuid;

use crate::scim::write::{Kind, Written};

/// How long an exchange is kept where the tenant's settings do not say (they come from an older token service).
const DEFAULT_RETENTION_DAYS: i32 = 30;
/// Characters of a target.
const LONGEST_TARGET: usize = 2_000;
/// Bytes of a name, and of a value before or after a change.
const LONGEST_VALUE: usize = 2_000;
/// Changes of one exchange, as the services promise.
const MOST_CHANGES: usize = 200;

/// The note of one exchange. Clones write on the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note(Arc<Mutex<Draft>>);

#[derive(Clone, Debug, Default)]
struct Draft {
    /// Without one nothing is recorded: nobody knows whose exchange it was.
    asker: Option<Asker>,
    resource: About,
    /// Something became different.
    changed: bool,
    warnings: Vec<proto::common::v1::Warning>,
    changes: Vec<AttributeChange>,
    members: MembersChange,
    detail: String,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) tenant: TenantId,
    pub(crate) dialect: Dialect,
    pub(crate) retention_days: i32,
    pub(crate) actor_id: String,
    pub(crate) actor_label: String,
}

/// Which resource it is about.
#[derive(Clone, Debug, Default)]
struct About {
    id: String,
    external_id: String,
    name: String,
    version: i64,
}

/// Why a request was not done. Goes along with the answer as an extension of it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) detail: String,
}

/// What is known of a request from the outside.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) at: Timestamp,
    pub(super) request_id: String,
    pub(super) action: &'static str,
    pub(super) resource_type: &'static str,
    pub(super) method: String,
    pub(super) target: String,
}

/// And of its answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) failure: Option<Failure>,
    pub(super) took: Duration,
}

/// What a user or group is called. Other attributes are skipped without being read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Names<'a> {
    #[serde(borrow, rename = "userName", alias = "username", alias = "UserName")]
    user_name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "displayName", alias = "displayname", alias = "DisplayName")]
    display_name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "externalId", alias = "externalid", alias = "ExternalId")]
    external_id: Option<Cow<'a, str>>,
}

impl Note {
    fn draft(&self) -> MutexGuard<'_, Draft> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exchange is this one's. From now on it is recorded, whatever becomes of it.
    pub(crate) fn by(&self, asker: Asker) {
        self.draft().asker = Some(asker);
    }

    /// A note on another exchange of the same client: an operation of its bulk.
    pub(crate) fn of_operation(&self) -> Self {
        let asker = self.draft().asker.clone();
        Self(Arc::new(Mutex::new(Draft { asker, ..Draft::default() })))
    }

    /// It is about this resource, by an id as the client gave it. What cannot be an id is not taken for one.
    pub(crate) fn asked_for(&self, id: &str) {
        if Uuid::try_parse(id).is_ok() {
            self.draft().resource.id = id.to_owned();
        }
    }

    /// It is about this resource.
    pub(crate) fn found(&self, kind: Kind, stored: &Resource) {
        let mut draft = self.draft();
        draft.resource.id.clone_from(&stored.id);
        draft.resource.version = stored.version;
        draft.named(kind, &stored.json);
    }

    /// A list, if it found this one and no other.
    pub(crate) fn found_alone(&self, kind: Kind, stored: &[Resource]) {
        if let [only] = stored {
            self.found(kind, only);
        }
    }

    /// The request names a resource that may never come to be.
    pub(crate) fn named_in(&self, kind: Kind, body: &Bytes) {
        self.draft().named(kind, body);
    }

    /// A write was done.
    pub(crate) fn wrote(&self, kind: Kind, written: &Written) {
        if let Some(stored) = &written.resource {
            self.found(kind, stored);
        }
        let mut draft = self.draft();
        draft.changed = written.changed;
        draft.warnings.clone_from(&written.warnings);
        draft.members = written.members.clone();
        for change in written.changes.iter().take(MOST_CHANGES) {
            // Of what is gone this is all that still tells the name.
            let name = || {
                serde_json::from_str::<String>(&change.before).ok().filter(|_| draft.resource.name.is_empty())
            };
            if change.path.eq_ignore_ascii_case(name_attribute(kind))
                && let Some(name) = name()
            {
                draft.resource.name = cut(&name, LONGEST_VALUE);
            }
            let AttributeChange { path, before, after } = change;
            let (before, after) = (cut(before, LONGEST_VALUE), cut(after, LONGEST_VALUE));
            draft.changes.push(AttributeChange { path: path.clone(), before, after });
        }
    }

    /// More about what was done, in words.
    pub(crate) fn detail(&self, detail: String) {
        self.draft().detail = detail;
    }

    /// What it all comes to; none when nobody knows whose exchange it was.
    pub(super) fn exchange(&self, request: &Request, answer: Answer, clock: &Clock) -> Option<Exchange> {
        let draft = std::mem::take(&mut *self.draft());
        let Draft { asker, resource, changed, warnings, changes, members, mut detail } = draft;
        let Asker { tenant, dialect, retention_days, actor_id, actor_label } = asker?;
        let Request { at, request_id, action, resource_type, method, target } = request;
        let Answer { status, failure, took } = answer;
        let outcome = match status {
            499.. => Outcome::Failed,
            400.. => Outcome::Refused,
            _ if !warnings.is_empty() => Outcome::Warning,
            _ if changed => Outcome::Changed,
            _ => Outcome::Unchanged,
        };
        let mut error = String::new();
        if let Some(failure) = failure {
            error = failure.kind.scim_type().unwrap_or(failure.kind.name()).to_owned();
            detail = failure.detail;
        }
        let days = if retention_days > 0 { retention_days } else { DEFAULT_RETENTION_DAYS };
        let kept_for = Duration::from_secs(u64::try_from(days).unwrap_or(0) * 24 * 3600);
        let MembersChange { added, removed, truncated } = members;
        Some(Exchange {
            id: new_uuid(clock).to_string(),
            tenant_id: tenant.to_string(),
            at_us: at.micros(),
            request_id: request_id.clone(),
            actor_id,
            actor_label,
            action: (*action).to_owned(),
            method: method.clone(),
            target: target.clone(),
            status: i32::from(status),
            outcome: outcome.into(),
            error,
            detail,
            dialect: dialect.into(),
            resource_type: (*resource_type).to_owned(),
            resource_id: resource.id,
            resource_name: resource.name,
            version: resource.version,
            warnings,
            changes,
            members_added: added,
            members_removed: removed,
            members_truncated: truncated,
            latency_us: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
            expires_at_us: at.plus(kept_for).micros(),
            resource_external_id: resource.external_id,
        })
    }
}

impl Draft {
    /// Takes the names from a resource's JSON. What does not parse has none.
    fn named(&mut self, kind: Kind, json: &[u8]) {
        let Ok(names) = serde_json::from_slice::<Names<'_>>(json) else { return };
        let name = match kind {
            Kind::User => names.user_name,
            Kind::Group => names.display_name,
        };
        self.resource.name = cut(&name.unwrap_or_default(), LONGEST_VALUE);
        self.resource.external_id = cut(&names.external_id.unwrap_or_default(), LONGEST_VALUE);
    }
}

fn name_attribute(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "userName",
        Kind::Group => "displayName",
    }
}

fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// Path and query as they came, without an access token that somebody put there (RFC 6750, section 2.3).
pub(super) fn target(uri: &http::Uri) -> String {
    let text = uri.path_and_query().map_or("/", |both| both.as_str());
    let mut target = String::with_capacity(text.len().min(LONGEST_TARGET));
    for (index, part) in text.split_inclusive(['?', '&']).enumerate() {
        let name = part.split('=').next().unwrap_or_default();
        if index > 0 && name.eq_ignore_ascii_case("access_token") {
            target.push_str("access_token=(redacted)");
            target.extend(part.chars().last().filter(|last| *last == '&'));
        } else {
            target.push_str(part);
        }
    }
    // What a URI is made of is ASCII mostly, and never longer in characters than in bytes.
    if let Some((end, _)) = target.char_indices().nth(LONGEST_TARGET) {
        target.truncate(end);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_query_is_not_recorded() {
        let target = |uri: &str| target(&uri.parse().unwrap());
        assert_eq!(target("/Users?a=1&access_token=rcs_x&b=2"), "/Users?a=1&access_token=(redacted)&b=2");
        assert_eq!(target("/Users?Access_Token=rcs_x"), "/Users?access_token=(redacted)");
        assert_eq!(target("/Users/access_token=x"), "/Users/access_token=x");
        let filter = "/Users?filter=userName+eq+%22a%40b%22&attributes=id";
        assert_eq!(target(filter), filter);
        assert_eq!(target(&format!("/Users?filter={}", "x".repeat(5000))).len(), LONGEST_TARGET);
    }

    #[test]
    fn names_are_read_and_broken_bodies_have_none() {
        let named = |kind, json: &str| {
            let note = Note::default();
            note.named_in(kind, &Bytes::from(json.to_owned()));
            let about = note.draft().resource.clone();
            (about.name, about.external_id)
        };
        let json =
            r#"{"x":[{"userName":"no"}],"userName":"an\u006ea","externalId":"e1","displayName":"Anna"}"#;
        assert_eq!(named(Kind::User, json), ("anna".into(), "e1".into()));
        assert_eq!(named(Kind::Group, json), ("Anna".into(), "e1".into()));
        for broken in ["", "{", "[]", r#"{"userName":7}"#] {
            assert_eq!(named(Kind::User, broken), (String::new(), String::new()), "{broken}");
        }
    }

    #[test]
    fn nobodys_exchange_is_not_recorded() {
        let request = Request {
            at: Timestamp::from_micros(0),
            request_id: String::new(),
            action: "other",
            resource_type: "",
            method: String::new(),
            target: String::new(),
        };
        let answer = Answer { status: 401, failure: None, took: Duration::ZERO };
        assert!(Note::default().exchange(&request, answer, &Clock::system()).is_none());
    }
}
