//! Around every SCIM request: begins its note, and hands in the exchange once it is answered, or not.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};

use super::note::{self, Answer, Failure, Note, target};
use crate::App;
use crate::error::Result;
use crate::headers::RequestId;
use crate::scim::request::Caller;
use crate::scim::write::{Kind, Write, Written};

/// What is recorded for a client that hung up, as nginx has it.
const HUNG_UP: u16 = 499;

/// Around `tenant::require_tenant`, which notes whose request it is: what has no tenant is not recorded.
pub(crate) async fn watch(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let note = Note::default();
    let (action, resource_type, id) = what(request.method(), request.uri().path());
    if let Some(id) = id {
        note.asked_for(id);
    }
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let facts = note::Request {
        at: app.clock.now(),
        request_id,
        action,
        resource_type,
        method: request.method().to_string(),
        target: target(request.uri()),
    };
    let mut watched = Watched { app, note: note.clone(), facts, started, is_over: false };
    request.extensions_mut().insert(note);
    let response = next.run(request).await;
    let failure = response.extensions().get::<Arc<Failure>>();
    watched.end(response.status().as_u16(), failure.map(|failure| Failure::clone(failure)));
    response
}

/// Records one operation of a bulk, which `write` carries out, as an exchange of its own.
pub(crate) async fn operation(
    app: &App,
    caller: &Caller,
    kind: Kind,
    operation: Write,
    write: impl AsyncFnOnce(&Caller, Write) -> Result<Written>,
) -> Result<Written> {
    let caller = caller.for_operation();
    let (method, action, endpoint) = match (&operation, kind) {
        (Write::Create { .. }, Kind::User) => (Method::POST, "user.create", "/Users"),
        (Write::Create { .. }, Kind::Group) => (Method::POST, "group.create", "/Groups"),
        (Write::Replace { .. }, Kind::User) => (Method::PUT, "user.replace", "/Users"),
        (Write::Replace { .. }, Kind::Group) => (Method::PUT, "group.replace", "/Groups"),
        (Write::Patch { .. }, Kind::User) => (Method::PATCH, "user.patch", "/Users"),
        (Write::Patch { .. }, Kind::Group) => (Method::PATCH, "group.patch", "/Groups"),
        (Write::Delete { .. }, Kind::User) => (Method::DELETE, "user.delete", "/Users"),
        (Write::Delete { .. }, Kind::Group) => (Method::DELETE, "group.delete", "/Groups"),
    };
    let target = match operation.id() {
        Some(id) => {
            caller.note.asked_for(id);
            format!("{endpoint}/{id}")
        }
        None => endpoint.to_owned(),
    };
    let facts = note::Request {
        at: app.clock.now(),
        request_id: caller.request_id().to_owned(),
        action,
        resource_type: if kind == Kind::User { "User" } else { "Group" },
        method: method.to_string(),
        target,
    };
    let note = caller.note.clone();
    let mut watched = Watched { app: app.clone(), note, facts, started: Instant::now(), is_over: false };
    let outcome = write(&caller, operation).await;
    match &outcome {
        Ok(written) => watched.end(written.status.as_u16(), None),
        Err(error) => watched.end(error.status().as_u16(), Some(error.failure())),
    }
    outcome
}

/// An exchange under way. When it is dropped before its end, the client hung up or the handler panicked.
struct Watched {
    app: App,
    note: Note,
    facts: note::Request,
    started: Instant,
    is_over: bool,
}

impl Watched {
    fn end(&mut self, status: u16, failure: Option<Failure>) {
        self.is_over = true;
        let answer = Answer { status, failure, took: self.started.elapsed() };
        if let Some(exchange) = self.note.exchange(&self.facts, answer, &self.app.clock) {
            self.app.journal.push(exchange);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if std::thread::panicking() {
            return self.end(StatusCode::INTERNAL_SERVER_ERROR.as_u16(), None);
        }
        self.note.detail(
            "the client hung up before it was answered; what it asked for may have been done".to_owned(),
        );
        self.end(HUNG_UP, None);
    }
}

/// Action, type of resource, and id in the path.
fn what<'a>(method: &Method, path: &'a str) -> (&'static str, &'static str, Option<&'a str>) {
    let mut segments = path.trim_start_matches('/').split('/');
    let (first, second) = (segments.next().unwrap_or_default(), segments.next());
    if segments.next().is_some() {
        return ("other", "", None);
    }
    match (first, second) {
        ("Users", None) => match *method {
            Method::POST => ("user.create", "User", None),
            Method::GET => ("user.list", "User", None),
            _ => ("other", "User", None),
        },
        ("Users", Some(".search")) => ("user.search", "User", None),
        ("Users", id) => match *method {
            Method::GET => ("user.get", "User", id),
            Method::PUT => ("user.replace", "User", id),
            Method::PATCH => ("user.patch", "User", id),
            Method::DELETE => ("user.delete", "User", id),
            _ => ("other", "User", id),
        },
        ("Groups", None) => match *method {
            Method::POST => ("group.create", "Group", None),
            Method::GET => ("group.list", "Group", None),
            _ => ("other", "Group", None),
        },
        ("Groups", Some(".search")) => ("group.search", "Group", None),
        ("Groups", id) => match *method {
            Method::GET => ("group.get", "Group", id),
            Method::PUT => ("group.replace", "Group", id),
            Method::PATCH => ("group.patch", "Group", id),
            Method::DELETE => ("group.delete", "Group", id),
            _ => ("other", "Group", id),
        },
        (".search", None) => ("search", "", None),
        ("Bulk", None) => ("bulk", "", None),
        ("ServiceProviderConfig" | "ResourceTypes" | "Schemas", _) => ("discovery", "", None),
        _ => ("other", "", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_named() {
        for (method, path, expected) in [
            (Method::GET, "/Users", ("user.list", "User", None)),
            (Method::POST, "/Users/.search", ("user.search", "User", None)),
            (Method::PATCH, "/Users/7", ("user.patch", "User", Some("7"))),
            (Method::DELETE, "/Groups/7", ("group.delete", "Group", Some("7"))),
            (Method::POST, "/Bulk", ("bulk", "", None)),
            (Method::GET, "/Schemas/urn:x", ("discovery", "", None)),
            (Method::GET, "/Users/7/photo", ("other", "", None)),
            (Method::GET, "/", ("other", "", None)),
        ] {
            assert_eq!(what(&method, path), expected, "{method} {path}");
        }
    }
}
