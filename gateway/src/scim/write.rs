//! Writes of users and groups: what POST, PUT, PATCH and DELETE do in the services, each alone or as one operation of a
//! bulk. How the answer looks is for `users.rs`, `groups.rs` and `bulk.rs` to say.

use bytes::Bytes;
use http::StatusCode;
use proto::common::v1::{AttributeChange, Dialect, Precondition, Resource, Warning};
use proto::identity::v1::{
    CreateUserRequest, DeleteUserRequest, PatchUserRequest, ReplaceUserRequest, UserChange,
};
use proto::membership::v1::{
    ApplyUserChangeRequest, CreateGroupRequest, DeleteGroupRequest, MembersChange, PatchGroupRequest,
    ReplaceGroupRequest,
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
    /// Whether anything is different now.
    pub(crate) changed: bool,
    /// What is, for the provisioning log.
    pub(crate) changes: Vec<AttributeChange>,
    /// Who came to a group and who left it, for the provisioning log.
    pub(crate) members: MembersChange,
}

impl Write {
    /// The resource it is about, as the client names it; none for one that is to be made.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Write::Create { .. } => None,
            Write::Replace { id, .. } | Write::Patch { id, .. } | Write::Delete { id, .. } => Some(id),
        }
    }

    /// The resource as it is to be, where the client sends all of it.
    fn whole(&self) -> Option<&Bytes> {
        match self {
            Write::Create { body } | Write::Replace { body, .. } => Some(body),
            Write::Patch { .. } | Write::Delete { .. } => None,
        }
    }
}

/// Carries out one write, and notes what it did.
///
/// # Errors
/// `Forbidden` when the tenant's settings refuse it; the services'.
pub(crate) async fn run(app: &App, caller: &Caller, kind: Kind, write: Write) -> Result<Written> {
    let sent = write.whole().cloned();
    let outcome = async {
        caller.policy().write(kind, &write)?;
        match kind {
            Kind::User => user(app, caller, write).await,
            Kind::Group => group(app, caller, write).await,
        }
    };
    let outcome = outcome.await;
    match &outcome {
        Ok(written) => caller.note.wrote(kind, written),
        Err(_) => {
            if let Some(sent) = sent {
                caller.note.named_in(kind, &sent);
            }
        }
    }
    outcome
}

async fn user(app: &App, caller: &Caller, write: Write) -> Result<Written> {
    let mut users = app.clients.users.clone();
    let context = caller.context();
    let (status, resource, warnings, change, changes) = match write {
        Write::Create { body } => {
            let request = caller.call(CreateUserRequest { context, body })?;
            let answer = users.create_user(request).await?.into_inner();
            (StatusCode::CREATED, promised(answer.resource)?, answer.warnings, answer.change, answer.changes)
        }
        Write::Replace { id, body, precondition } => {
            let request = caller.call(ReplaceUserRequest { context, id, body, precondition })?;
            let answer = users.replace_user(request).await?.into_inner();
            (StatusCode::OK, promised(answer.resource)?, answer.warnings, answer.change, answer.changes)
        }
        Write::Patch { id, body, precondition } => {
            let request = caller.call(PatchUserRequest { context, id, body, precondition })?;
            let answer = users.patch_user(request).await?.into_inner();
            (StatusCode::OK, promised(answer.resource)?, answer.warnings, answer.change, answer.changes)
        }
        Write::Delete { id, precondition } => {
            let keep_days = caller.policy().keep_deleted_days();
            let request = caller.call(DeleteUserRequest { context, id, precondition, keep_days })?;
            let answer = users.delete_user(request).await?.into_inner();
            (StatusCode::NO_CONTENT, None, Vec::new(), answer.change, answer.changes)
        }
    };
    // A client that hangs up now has changed something all the same.
    let changed = change.is_some();
    let revision = apply(app, caller, change).await.unwrap_or_default();
    Ok(Written { status, resource, revision, warnings, changed, changes, members: MembersChange::default() })
}

async fn group(app: &App, caller: &Caller, write: Write) -> Result<Written> {
    let mut groups = app.clients.groups.clone();
    let context = caller.context();
    let (status, resource, revision, warnings, changes, members) = match write {
        Write::Create { body } => {
            let request = caller.call(CreateGroupRequest { context, body })?;
            let answer = groups.create_group(request).await?.into_inner();
            let resource = promised(answer.resource)?;
            (StatusCode::CREATED, resource, answer.revision, answer.warnings, answer.changes, answer.members)
        }
        Write::Replace { id, body, precondition } => {
            let request = caller.call(ReplaceGroupRequest { context, id, body, precondition })?;
            let answer = groups.replace_group(request).await?.into_inner();
            let resource = promised(answer.resource)?;
            (StatusCode::OK, resource, answer.revision, answer.warnings, answer.changes, answer.members)
        }
        Write::Patch { id, body, precondition } => {
            let request = caller.call(PatchGroupRequest { context, id, body, precondition })?;
            let answer = groups.patch_group(request).await?.into_inner();
            let resource = promised(answer.resource)?;
            // Entra prefers 204 (ENTRA.md, section 2).
            let entra = caller.dialect() == Dialect::Entra;
            let status = if entra { StatusCode::NO_CONTENT } else { StatusCode::OK };
            (status, resource, answer.revision, answer.warnings, answer.changes, answer.members)
        }
        Write::Delete { id, precondition } => {
            let request = caller.call(DeleteGroupRequest { context, id, precondition })?;
            let answer = groups.delete_group(request).await?.into_inner();
            (StatusCode::NO_CONTENT, None, answer.revision, Vec::new(), answer.changes, answer.members)
        }
    };
    let members = members.unwrap_or_default();
    let made_or_gone = resource.is_none() || status == StatusCode::CREATED;
    let same_members = members.added.is_empty() && members.removed.is_empty() && !members.truncated;
    let changed = made_or_gone || !changes.is_empty() || !same_members;
    Ok(Written { status, resource, revision, warnings, changed, changes, members })
}

fn promised(resource: Option<Resource>) -> Result<Option<Resource>> {
    match resource {
        Some(resource) => Ok(Some(resource)),
        None => Err(Error::broken_contract("a write was answered without the resource")),
    }
}

/// Hands the change on to membership at once, so that reads follow writes, and gives membership's revision. The user is
/// written already: if this fails the client is told success, and membership catches up from identity's log.
pub(crate) async fn apply(app: &App, caller: &Caller, change: Option<UserChange>) -> Option<String> {
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
