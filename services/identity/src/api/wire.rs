//! Between messages and the service's own types. Every field is named, so that a new one is a compile error here.

use platform::auth::{Caller, Scope};
use platform::ids::{TenantId, UserId};
use platform::{Error, Result};
use proto::common::v1 as common;
use proto::identity::v1 as pb;
use scim::Dialect;

use crate::domain::{Precondition, User};
use crate::store::{Author, Change, State, Text};

/// The longest correlation id that is recorded.
const REQUEST_ID: usize = 64;
/// Things on a page of an administrator's list.
const DEFAULT_PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 1000;

/// A provisioning request's circumstances, once the caller is known to have the right to them.
pub(super) fn context(
    caller: &Caller,
    context: Option<&common::Context>,
) -> Result<(Author, &'static Dialect)> {
    let Some(common::Context { tenant_id, dialect, request_id }) = context else {
        return Err(Error::invalid_value("context is missing: send tenant_id and dialect"));
    };
    let tenant = caller.authorize_any(&[Scope::Scim, Scope::Admin], tenant_id)?;
    let is_admin = caller.authorize(Scope::Scim, tenant_id).is_err();
    let dialect = match common::Dialect::try_from(*dialect) {
        Ok(common::Dialect::Entra) => &Dialect::ENTRA,
        Ok(common::Dialect::Okta) => &Dialect::OKTA,
        Ok(common::Dialect::Rfc) => &Dialect::RFC,
        Ok(common::Dialect::Interop) => &Dialect::INTEROP,
        Ok(common::Dialect::Unspecified) | Err(_) => {
            return Err(Error::invalid_value("context.dialect is not set: send one of the dialects"));
        }
    };
    Ok((Author { is_admin, ..administrator(caller, tenant, request_id) }, dialect))
}

/// Who does what only administrators may.
pub(super) fn administrator(caller: &Caller, tenant: TenantId, request_id: &str) -> Author {
    let request_id = request_id.chars().filter(|c| c.is_ascii_graphic()).take(REQUEST_ID).collect();
    Author { tenant, actor: caller.subject().to_owned(), is_admin: true, request_id }
}

/// How many things a page of an administrator's list has.
pub(super) fn page_size(asked: i32) -> Result<u64> {
    match u64::try_from(asked) {
        Ok(0) => Ok(DEFAULT_PAGE),
        Ok(size) => Ok(size.min(LARGEST_PAGE)),
        Err(_) => Err(Error::invalid_value("page_size must not be negative").with_attribute("page_size")),
    }
}

pub(super) fn precondition(message: Option<common::Precondition>) -> Precondition {
    match message {
        None | Some(common::Precondition { any: true, versions: _ }) => Precondition::Any,
        Some(common::Precondition { any: false, versions }) => Precondition::OneOf(versions),
    }
}

pub(super) fn resource(user: &User) -> Result<common::Resource> {
    let User { id, version, created_at, updated_at, attributes: _ } = user;
    Ok(common::Resource {
        id: id.to_string(),
        version: *version,
        created_at_us: created_at.micros(),
        updated_at_us: updated_at.micros(),
        json: serde_json::to_vec(user.shown().as_ref()).map_err(Error::internal)?.into(),
    })
}

/// As [`resource`], of a user that is passed on as it was found.
pub(super) fn found(user: Text) -> Result<common::Resource> {
    Ok(common::Resource {
        id: user.id.to_string(),
        version: user.version,
        created_at_us: user.created_at,
        updated_at_us: user.updated_at,
        json: user.into_shown()?.into(),
    })
}

pub(super) fn warnings(warnings: Vec<scim::Warning>) -> Vec<common::Warning> {
    let wire = |scim::Warning { attribute, detail }| common::Warning { attribute, detail };
    warnings.into_iter().map(wire).collect()
}

pub(super) fn differences(differences: Vec<scim::Difference>) -> Vec<common::AttributeChange> {
    let wire = |scim::Difference { path, before, after }| common::AttributeChange {
        path,
        before: before.unwrap_or_default(),
        after: after.unwrap_or_default(),
    };
    differences.into_iter().map(wire).collect()
}

pub(super) fn change(change: Change) -> pb::UserChange {
    let Change { tenant, user, version, state } = change;
    let deleted = state.is_none();
    let state = state.unwrap_or_default();
    let State { user_name, external_id, display_name, active, role, teams, slugs, email: _ } = state;
    pb::UserChange {
        tenant_id: tenant.to_string(),
        user_id: user.to_string(),
        version,
        deleted,
        user_name,
        external_id: external_id.unwrap_or_default(),
        display_name: display_name.unwrap_or_default(),
        active,
        role: role.unwrap_or_default(),
        team_ids: teams.iter().map(ToString::to_string).collect(),
        team_slugs: slugs,
    }
}

/// As [`directory_user`], from the log.
pub(super) fn logged_user(id: UserId, version: i64, state: State) -> pb::User {
    let State { user_name, external_id, display_name, active, role: _, teams: _, slugs: _, email } = state;
    pb::User {
        id: id.to_string(),
        external_id: external_id.unwrap_or_default(),
        user_name,
        display_name: display_name.unwrap_or_default(),
        active,
        version,
        email: email.unwrap_or_default(),
    }
}

pub(super) fn directory_user(user: &User) -> pb::User {
    pb::User {
        id: user.id.to_string(),
        external_id: user.external_id().unwrap_or_default().to_owned(),
        user_name: user.user_name().to_owned(),
        display_name: user.display_name().unwrap_or_default().to_owned(),
        active: user.active(),
        version: user.version,
        email: user.email().unwrap_or_default().to_owned(),
    }
}
