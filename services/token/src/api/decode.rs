//! Wire to domain.

use platform::{Error, Result};
use proto::common::v1::Dialect;
use proto::token::v1 as pb;

use crate::domain::change::Change;
use crate::domain::dialect::Choice;
use crate::domain::issuer::{Federation, Pins};
use crate::domain::settings::Limits;
use crate::domain::tenant::State;

/// The name of a dialect that a client may be recognised as.
pub(super) fn dialect(dialect: Dialect) -> Result<&'static str> {
    Ok(match dialect {
        Dialect::Entra => scim::Dialect::ENTRA.name,
        Dialect::Okta => scim::Dialect::OKTA.name,
        Dialect::Rfc => scim::Dialect::RFC.name,
        Dialect::Interop => scim::Dialect::INTEROP.name,
        Dialect::Unspecified => {
            return Err(Error::invalid_value("dialect is missing").with_attribute("dialect"));
        }
    })
}

/// What is to change. Numbers that this version does not know are refused rather than taken for "leave it".
pub(super) fn change(request: pb::UpdateTenantRequest) -> Result<Change> {
    let pb::UpdateTenantRequest { id: _, expected_version, state, dialect_setting, settings } = request;
    let state = match pb::TenantState::try_from(state) {
        Ok(pb::TenantState::Unspecified) => None,
        Ok(pb::TenantState::Active) => Some(State::Active),
        Ok(pb::TenantState::Disabled) => Some(State::Disabled),
        Ok(pb::TenantState::Deleting) | Err(_) => {
            let detail = "state can be set to ACTIVE or DISABLED; DeleteTenant deletes";
            return Err(Error::invalid_value(detail).with_attribute("state"));
        }
    };
    let dialect = match pb::DialectSetting::try_from(dialect_setting) {
        Ok(pb::DialectSetting::Unspecified) => None,
        Ok(pb::DialectSetting::Entra) => Some(Choice::Fixed(scim::Dialect::ENTRA.name)),
        Ok(pb::DialectSetting::Okta) => Some(Choice::Fixed(scim::Dialect::OKTA.name)),
        Ok(pb::DialectSetting::Rfc) => Some(Choice::Fixed(scim::Dialect::RFC.name)),
        Ok(pb::DialectSetting::Interop) => Some(Choice::Fixed(scim::Dialect::INTEROP.name)),
        Ok(pb::DialectSetting::Auto) => Some(Choice::Auto),
        Err(_) => {
            let detail = "this version does not know that dialect";
            return Err(Error::invalid_value(detail).with_attribute("dialect_setting"));
        }
    };
    let pb::SettingsChange {
        groups,
        user_create,
        user_update,
        user_delete,
        lock_local_changes,
        keep_deleted_days,
        log_retention_days,
        limits,
    } = settings.unwrap_or_default();
    let limits = limits.map(|pb::Limits { requests_per_second, burst, concurrent }| Limits {
        requests_per_second,
        burst,
        concurrent,
    });
    let expected_version = Some(expected_version).filter(|version| *version != 0);
    Ok(Change {
        expected_version,
        state,
        dialect,
        groups,
        user_create,
        user_update,
        user_delete,
        lock_local_changes,
        keep_deleted_days,
        log_retention_days,
        limits,
    })
}

pub(super) fn federation(federation: pb::Federation) -> Federation {
    let pb::Federation { issuer, audience, subject } = federation;
    Federation { issuer, audience, subject }
}

/// What a token of a trusted issuer must say, and the label.
pub(super) fn issuer(issuer: pb::TrustedIssuer) -> (String, Pins) {
    let pb::TrustedIssuer {
        id: _,
        tenant_id: _,
        label,
        issuer,
        audience,
        directory_id,
        app_id,
        subject,
        created_at_us: _,
    } = issuer;
    (label, Pins { issuer, audience, directory_id, app_id, subject })
}
