//! Writes of users and groups: what POST, PUT, PATCH and DELETE do in the services, each alone or as one operation of a
//! bulk. How the answer looks is for `users.rs`, `groups.rs` and `bulk.rs` to say.

use bytes::Bytes;
use http::StatusCode;
use proto::common::v1::{Dialect, Precondition, Resource, Warning};
use proto::identity::v1::{
    CreateUserRequest, DeleteUserRequest, PatchUserRequest, ReplaceUserRequest, UserChange,
};
use proto::membership::v1::{
    ApplyUserChangeRequest, CreateGroupRequest, DeleteGroupRequest, PatchGroupRequest, ReplaceGroupRequest,
};

use super::request::Caller;
use crate::App;
use crate::error::{Error, Result};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    User,
    Group,
}

/// One write, as the client asks for it.
pub(crate) enum Write {
    Create { body: Bytes },
    Replace { id: String, body: Bytes, precondition: Option<Precondition> },
    Patch { id: String, body: Bytes, precondition: Option<Precondition> },
    Delete { id: String, precondition: Option<Precondition> },
}

/// What a write did.
pub(crate) struct Written {
    /// The status of its answer, unless the client asks to see more.
    pub(crate) status: StatusCode,
    /// The resource as it is now; none when it is gone.
    pub(crate) resource: Option<Resource>,
    /// The revision of the membership data that includes the write, for `at_least_as_fresh`. Empty when it is not known:
    /// membership could not apply the change to a user yet, or nothing changed.
    pub(crate) revision: String,
    /// What was skipped.
    pub(crate) warnings: Vec<Warning>,
}

/// Carries out one write.
///
/// # Errors
/// `Forbidden` when the tenant's settings refuse it; the services'.
pub(crate) async fn run(app: &App, caller: &Caller, kind: Kind, write: Write) -> Result<Written> {
    caller.policy().write(kind, &write)?;
    match kind {
        Kind::User => user(app, caller, write).await,
        Kind::Group => group(app, caller, write).await,
    }
}

async fn user(app: &App, caller: &Caller, write: Write) -> Result<Written> {
    let mut users = app.clients.users.clone();
    let context = caller.context();
    let (status, resource, warnings, change) = match write {
        Write::Create { body } => {
            let request = caller.call(CreateUserRequest { context, body })?;
            let answer = users.create_user(request).await?.into_inner();
            (StatusCode::CREATED, promised(answer.resource)?, answer.warnings, answer.change)
        }
        Write::Replace { id, body, precondition } => {
            let request = caller.call(ReplaceUserRequest { context, id, body, precondition })?;
            let answer = users.replace_user(request).await?.into_inner();
            (StatusCode::OK, promised(answer.resource)?, answer.warnings, answer.change)
        }
        Write::Patch { id, body, precondition } => {
            let request = caller.call(PatchUserRequest { context, id, body, precondition })?;
            let answer = users.patch_user(request).await?.into_inner();
            (StatusCode::OK, promised(answer.resource)?, answer.warnings, answer.change)
        }
        Write::Delete { id, precondition } => {
            let request = caller.call(DeleteUserRequest { context, id, precondition })?;
            let answer = users.delete_user(request).await?.into_inner();
            (StatusCode::NO_CONTENT, None, Vec::new(), answer.change)
        }
    };
    let revision = apply(app, caller, change).await.unwrap_or_default();
    Ok(Written { status, resource, revision, warnings })
}

async fn group(app: &App, caller: &Caller, write: Write) -> Result<Written> {
    let mut groups = app.clients.groups.clone();
    let context = caller.context();
    Ok(match write {
        Write::Create { body } => {
            let request = caller.call(CreateGroupRequest { context, body })?;
            let answer = groups.create_group(request).await?.into_inner();
            let (revision, warnings) = (answer.revision, answer.warnings);
            Written { status: StatusCode::CREATED, resource: promised(answer.resource)?, revision, warnings }
        }
        Write::Replace { id, body, precondition } => {
            let request = caller.call(ReplaceGroupRequest { context, id, body, precondition })?;
            let answer = groups.replace_group(request).await?.into_inner();
            let (revision, warnings) = (answer.revision, answer.warnings);
            Written { status: StatusCode::OK, resource: promised(answer.resource)?, revision, warnings }
        }
        Write::Patch { id, body, precondition } => {
            let request = caller.call(PatchGroupRequest { context, id, body, precondition })?;
            let answer = groups.patch_group(request).await?.into_inner();
            let (revision, warnings) = (answer.revision, answer.warnings);
            // Entra prefers 204 (ENTRA.md, section 2).
            let entra = caller.dialect() == Dialect::Entra;
            let status = if entra { StatusCode::NO_CONTENT } else { StatusCode::OK };
            Written { status, resource: promised(answer.resource)?, revision, warnings }
        }
        Write::Delete { id, precondition } => {
            let request = caller.call(DeleteGroupRequest { context, id, precondition })?;
            let answer = groups.delete_group(request).await?.into_inner();
            let (revision, warnings) = (answer.revision, Vec::new());
            Written { status: StatusCode::NO_CONTENT, resource: None, revision, warnings }
        }
    })
}

fn promised(resource: Option<Resource>) -> Result<Option<Resource>> {
    match resource {
        Some(resource) => Ok(Some(resource)),
        None => Err(Error::broken_contract("a write was answered without the resource")),
    }
}

/// Hands the change on to membership at once, so that reads follow writes, and gives membership's revision. The user is
/// written already: if this fails the client is told success, and membership catches up from identity's log.
async fn apply(app: &App, caller: &Caller, change: Option<UserChange>) -> Option<String> {
    let change = change?;
    let (user_id, version) = (change.user_id.clone(), change.version);
    let applied = async {
        let request = caller.call(ApplyUserChangeRequest { change: Some(change) })?;
        Ok(app.clients.projection.clone().apply_user_change(request).await?.into_inner().revision)
    };
    let applied: Result<String> = applied.await;
    match applied {
        Ok(revision) => Some(revision),
        Err(error) => {
            let kind = error.kind().name();
            tracing::warn!(
                user.id = user_id,
                user.version = version,
                error.kind = kind,
                "membership could not apply version {version} of user {user_id}, it will follow from the log: {}",
                error.detail(),
            );
            None
        }
    }
}
