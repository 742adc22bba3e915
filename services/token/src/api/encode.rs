//! Domain to wire.

use platform::clock::Timestamp;
use proto::common::v1::Dialect;
use proto::token::v1 as pb;

use crate::domain::admin::Admin;
use crate::domain::authority::CredentialKind;
use crate::domain::client::{Client, Proofs};
use crate::domain::credential::Credential;
use crate::domain::issuer::{Federation, Pins, TrustedIssuer};
use crate::domain::settings::{Limits, Settings, UserActions};
use crate::domain::tenant::{State, Tenant};

pub(super) fn tenant(tenant: Tenant) -> pb::Tenant {
    let Tenant {
        id,
        name,
        state,
        preset,
        dialect,
        scim_path,
        settings,
        scim_enabled,
        scim_enabled_at: _,
        version,
        created_at,
    } = tenant;
    let state = match state {
        State::Active => pb::TenantState::Active,
        State::Disabled => pb::TenantState::Disabled,
        State::Deleting => pb::TenantState::Deleting,
    };
    // A dialect of a later version stays unspecified, which services refuse rather than guess.
    let (in_force, setting) = match dialect.name.as_str() {
        "entra" => (Dialect::Entra, pb::DialectSetting::Entra),
        "okta" => (Dialect::Okta, pb::DialectSetting::Okta),
        "rfc" => (Dialect::Rfc, pb::DialectSetting::Rfc),
        "interop" => (Dialect::Interop, pb::DialectSetting::Interop),
        _ => (Dialect::Unspecified, pb::DialectSetting::Unspecified),
    };
    let recognised = dialect.recognised.map(|found| pb::Recognition {
        dialect: in_force.into(),
        sign: found.sign,
        at_us: found.at.micros(),
    });
    let setting = if dialect.auto { pb::DialectSetting::Auto } else { setting };
    pb::Tenant {
        id: id.to_string(),
        name,
        state: state.into(),
        preset,
        dialect: in_force.into(),
        created_at_us: created_at.micros(),
        scim_path,
        version,
        dialect_setting: setting.into(),
        recognised,
        settings: Some(self::settings(settings)),
        scim_enabled,
    }
}

fn settings(settings: Settings) -> pb::Settings {
    let Settings {
        groups,
        lock_local_changes,
        keep_deleted_days,
        log_retention_days,
        limits,
        users,
        role_and_teams: _,
    } = settings;
    let Limits { requests_per_second, burst, concurrent } = limits;
    let UserActions { create, update, delete } = users;
    pb::Settings {
        groups,
        user_create: create,
        user_update: update,
        user_delete: delete,
        lock_local_changes,
        keep_deleted_days,
        log_retention_days,
        limits: Some(pb::Limits { requests_per_second, burst, concurrent }),
    }
}

pub(super) fn admin(admin: Admin) -> pb::Admin {
    let Admin { id, label, created_at, last_used_at, revoked_at } = admin;
    pb::Admin {
        id: id.to_string(),
        label,
        created_at_us: created_at.micros(),
        last_used_at_us: time(last_used_at),
        revoked_at_us: time(revoked_at),
    }
}

pub(super) fn credential(credential: Credential) -> pb::Credential {
    let replaces = credential.replacing().map(|id| id.to_string()).unwrap_or_default();
    let Credential { id, tenant, label, created_at, expires_at, last_used_at, revoked_at, rotation: _ } =
        credential;
    pb::Credential {
        id: id.to_string(),
        tenant_id: tenant.to_string(),
        label,
        created_at_us: created_at.micros(),
        expires_at_us: time(expires_at),
        last_used_at_us: time(last_used_at),
        revoked_at_us: time(revoked_at),
        replaces,
    }
}

pub(super) fn client(client: Client) -> pb::Client {
    let Client { id, name, tenant, scopes, proofs, version: _, token_epoch: _, created_at } = client;
    let Proofs { secret, jwks, federation } = proofs;
    pb::Client {
        id: id.to_string(),
        name,
        tenant_id: tenant.map(|tenant| tenant.to_string()).unwrap_or_default(),
        scopes: scopes.iter().map(|scope| scope.name().to_owned()).collect(),
        created_at_us: created_at.micros(),
        has_secret: secret,
        jwks: jwks.unwrap_or_default().into(),
        federation: federation.map(|Federation { issuer, audience, subject }| pb::Federation {
            issuer,
            audience,
            subject,
        }),
    }
}

pub(super) fn issuer(issuer: TrustedIssuer) -> pb::TrustedIssuer {
    let TrustedIssuer { id, tenant, label, pins, created_at } = issuer;
    let Pins { issuer, audience, directory_id, app_id, subject } = pins;
    pb::TrustedIssuer {
        id: id.to_string(),
        tenant_id: tenant.to_string(),
        label,
        issuer,
        audience,
        directory_id,
        app_id,
        subject,
        created_at_us: created_at.micros(),
    }
}

pub(super) fn kind(kind: CredentialKind) -> pb::CredentialKind {
    match kind {
        CredentialKind::Secret => pb::CredentialKind::Secret,
        CredentialKind::Admin => pb::CredentialKind::Admin,
        CredentialKind::Client => pb::CredentialKind::Client,
        CredentialKind::Issuer => pb::CredentialKind::Issuer,
    }
}

/// 0 for none.
pub(super) fn time(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::micros)
}
