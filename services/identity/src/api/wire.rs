//! Between messages and the service's own types. Every field is named, so that a new one is a compile error here.

use platform::auth::{Caller, Scope};
use platform::ids::TenantId;
use platform::{Error, Result};
use proto::common::v1 as common;
use proto::identity::v1 as pb;
use scim::Dialect;

use crate::domain::{Precondition, User};
use crate::store::{Author, Change, State};

/// The longest correlation id that is recorded.
const REQUEST_ID: usize = 64;

/// A provisioning request's circumstances, once the caller is known to have the right to them.
pub(super) fn context(
    caller: &Caller,
    context: Option<&common::Context>,
) -> Result<(Author, &'static Dialect)> {
    let Some(common::Context { tenant_id, dialect, request_id }) = context else {
        return Err(Error::invalid_value("context is missing: send tenant_id and dialect"));
    };
    let tenant = caller.authorize(Scope::Scim, tenant_id)?;
    let dialect = match common::Dialect::try_from(*dialect) {
        Ok(common::Dialect::Entra) => &Dialect::ENTRA,
        Ok(common::Dialect::Okta) => &Dialect::OKTA,
        Ok(common::Dialect::Rfc) => &Dialect::RFC,
        Ok(common::Dialect::Interop) => &Dialect::INTEROP,
        Ok(common::Dialect::Unspecified) | Err(_) => {
            return Err(Error::invalid_value("context.dialect is not set: send one of the dialects"));
        }
    };
    Ok((author(tenant, request_id), dialect))
}

pub(super) fn author(tenant: TenantId, request_id: &str) -> Author {
    let request_id = request_id.chars().filter(|c| c.is_ascii_graphic()).take(REQUEST_ID).collect();
    Author { tenant, request_id }
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

pub(super) fn warnings(warnings: Vec<scim::Warning>) -> Vec<common::Warning> {
    let wire = |scim::Warning { attribute, detail }| common::Warning { attribute, detail };
    warnings.into_iter().map(wire).collect()
}

pub(super) fn change(change: Change) -> pb::UserChange {
    let Change { tenant, user, version, state } = change;
    let deleted = state.is_none();
    let State { user_name, external_id, display_name, active, role, teams } = state.unwrap_or_default();
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
