//! POST /Bulk (RFC 7644, section 3.7): what to do in which order is worked out by [`::scim::bulk`]; each operation then is
//! the same [`write`] as if it had come alone, in a transaction of its own.
//!
//! # Rate
//! An operation costs the tenant what a request costs. It is not refused for being above the rate, it waits: a bulk that
//! stops somewhere in the middle is hard to take up again. Only when a bulk has waited [`PATIENCE`] in all, what is left
//! fails with 429 in the answer, operation by operation.

use std::time::Duration;

use ::scim::bulk::{self, Call, Done, Job, Method};
use ::scim::{ErrorKind, Limits};
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use proto::common::v1::Warning;
use proto::membership::v1::MembersChange;
use tokio::time::Instant;

use super::etag;
use super::render::Reply;
use super::request::{self, Caller, JSON};
use super::write::{self, Kind, Write, Written};
use crate::App;
use crate::error::{Error, Result};
use crate::journal;

/// How long a bulk waits for the tenant's rate: well within what clients wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

const USERS: &str = "Users";
const GROUPS: &str = "Groups";

pub(crate) async fn run(State(app): State<App>, caller: Caller, request: Request) -> Result<Response> {
    request::check_media_type(request.headers(), JSON)?;
    let limits = app.config.bulk();
    let most = usize::try_from(limits.max_payload_size).unwrap_or(usize::MAX);
    let body = request::read_behind_token(&app, request, most).await.map_err(|error| match error.kind() {
        ErrorKind::PayloadTooLarge => {
            let detail =
                format!("the body is larger than maxPayloadSize, {most} bytes; send it in several requests");
            Error::new(ErrorKind::PayloadTooLarge, detail)
        }
        _ => error,
    })?;
    let request = bulk::Request::parse(&body, &limits, &Limits::DEFAULT, &[USERS, GROUPS])?;
    let mut job = Job::new(request);
    let mut summary = Summary::default();
    // The request itself has been counted: it is the first operation.
    let mut counted = true;
    let patience = Instant::now() + PATIENCE;
    while let Some(call) = job.next_call() {
        let (operation, endpoint) = (call.operation, call.endpoint.clone());
        let outcome = async {
            if !std::mem::take(&mut counted) {
                app.limiter.wait(caller.tenant(), caller.policy().limits(), patience).await?;
            }
            one(&app, &caller, call).await
        };
        match outcome.await {
            Ok((done, written)) => {
                summary.add(operation, &endpoint, written);
                job.done(Ok(done));
            }
            Err(error) => {
                summary.failed += 1;
                job.done(Err(error.into_operation()));
            }
        }
    }
    let (done, failed) = (summary.done, summary.failed);
    caller.note.detail(format!("{done} operations done, {failed} failed; each is an exchange of its own"));
    tracing::info!(done, failed, "bulk: {done} operations done, {failed} failed");
    Ok(Reply::new(StatusCode::OK).wrote(&summary.written()).json(&job.response(&caller.base)))
}

async fn one(app: &App, caller: &Caller, call: Call) -> Result<(Done, Written)> {
    let Call { operation: _, method, endpoint, id, if_match, data } = call;
    let kind = if endpoint == USERS { Kind::User } else { Kind::Group };
    let precondition = if_match.as_deref().map(etag::if_match_one);
    let body = data.to_string().into();
    let named = id.clone();
    let id = || id.ok_or_else(|| Error::broken_contract("bulk planned a change of nothing"));
    let write = match method {
        Method::Post => Write::Create { body },
        Method::Put => Write::Replace { id: id()?, body, precondition },
        Method::Patch => Write::Patch { id: id()?, body, precondition },
        Method::Delete => Write::Delete { id: id()?, precondition },
    };
    let written = journal::operation(app, caller, kind, write, async |caller: &Caller, write| {
        write::run(app, caller, kind, write).await
    })
    .await?;
    let done = Done {
        id: written.resource.as_ref().map(|stored| stored.id.clone()).or(named).unwrap_or_default(),
        version: written.resource.as_ref().map(|stored| etag::of(stored.version)),
        status: written.status.as_u16(),
    };
    Ok((done, written))
}

/// What the headers and the log say of the bulk as a whole.
#[derive(Default)]
struct Summary {
    done: usize,
    failed: usize,
    revision: String,
    /// A change to a user is not in membership's data yet, so no revision includes everything.
    behind: bool,
    warnings: Vec<Warning>,
}

impl Summary {
    fn add(&mut self, operation: usize, endpoint: &str, written: Written) {
        self.done += 1;
        // Revisions only grow, so the last one includes those before. A PATCH of a user that changed nothing has none either;
        // the header then is missing where it could be there, which is safe.
        self.behind |= endpoint == USERS && written.revision.is_empty();
        self.revision = written.revision;
        self.warnings.extend(written.warnings.into_iter().map(|warning| Warning {
            attribute: format!("Operations[{operation}]: {}", warning.attribute),
            ..warning
        }));
    }

    fn written(&self) -> Written {
        let revision = if self.behind { String::new() } else { self.revision.clone() };
        Written {
            status: StatusCode::OK,
            resource: None,
            revision,
            warnings: self.warnings.clone(),
            // Stand with each operation.
            changed: false,
            changes: Vec::new(),
            members: MembersChange::default(),
        }
    }
}
