//! Between the wire's form and the domain's. Every field is named in both directions: a new one does not compile until it is
//! thought about.

use platform::clock::Timestamp;
use platform::{Error, Result};
use proto::common::v1::{AttributeChange, Warning as WireWarning};
use proto::journal::v1::{Exchange as WireExchange, Outcome as WireOutcome};
use uuid::Uuid;

use crate::domain::exchange::{Change, Exchange, Facts, Outcome, Warning};

/// An outcome of a query; none stands for any.
///
/// # Errors
/// `InvalidValue` when this version does not know it.
pub(super) fn outcome(number: i32) -> Result<Option<Outcome>> {
    let known = WireOutcome::try_from(number)
        .map_err(|_| Error::invalid_value(format!("there is no outcome of the number {number}")))?;
    Ok(match known {
        WireOutcome::Unspecified => None,
        WireOutcome::Changed => Some(Outcome::Changed),
        WireOutcome::Unchanged => Some(Outcome::Unchanged),
        WireOutcome::Warning => Some(Outcome::Warning),
        WireOutcome::Refused => Some(Outcome::Refused),
        WireOutcome::Failed => Some(Outcome::Failed),
    })
}

fn wire_outcome(outcome: Outcome) -> WireOutcome {
    match outcome {
        Outcome::Changed => WireOutcome::Changed,
        Outcome::Unchanged => WireOutcome::Unchanged,
        Outcome::Warning => WireOutcome::Warning,
        Outcome::Refused => WireOutcome::Refused,
        Outcome::Failed => WireOutcome::Failed,
    }
}

/// # Errors
/// `InvalidValue` for an exchange without id, tenant or outcome.
pub(super) fn read(sent: WireExchange) -> Result<Exchange> {
    let WireExchange {
        id,
        tenant_id,
        at_us,
        request_id,
        actor_id,
        actor_label,
        action,
        method,
        target,
        status,
        outcome: number,
        error,
        detail,
        dialect,
        resource_type,
        resource_id,
        resource_name,
        version,
        warnings,
        changes,
        members_added,
        members_removed,
        members_truncated,
        latency_us,
        expires_at_us,
        resource_external_id,
    } = sent;
    let missing = |what: &str| Error::invalid_value(format!("an exchange needs {what}"));
    let facts = Facts {
        actor_id,
        actor_label,
        action,
        method,
        target,
        status,
        error,
        detail,
        dialect,
        resource_type,
        resource_id,
        resource_external_id,
        resource_name,
        version,
        warnings: warnings
            .into_iter()
            .map(|WireWarning { attribute, detail }| Warning { attribute, detail })
            .collect(),
        changes: changes
            .into_iter()
            .map(|AttributeChange { path, before, after }| Change { path, before, after })
            .collect(),
        members_added,
        members_removed,
        members_truncated,
        latency_us,
    };
    Ok(Exchange {
        tenant: tenant_id.parse().map_err(|_| missing("the id of its tenant, a UUID in lower case"))?,
        id: Uuid::try_parse(&id).map_err(|_| missing("an id, a UUID"))?,
        at: Timestamp::from_micros(at_us),
        outcome: outcome(number)?.ok_or_else(|| missing("an outcome"))?,
        // PostgreSQL has no text with NUL in it.
        request_id: request_id.replace('\0', "\u{fffd}"),
        expires_at: Timestamp::from_micros(expires_at_us),
        facts,
    })
}

pub(super) fn write(exchange: Exchange) -> WireExchange {
    let Exchange { tenant, id, at, outcome, request_id, expires_at, facts } = exchange;
    let Facts {
        actor_id,
        actor_label,
        action,
        method,
        target,
        status,
        error,
        detail,
        dialect,
        resource_type,
        resource_id,
        resource_external_id,
        resource_name,
        version,
        warnings,
        changes,
        members_added,
        members_removed,
        members_truncated,
        latency_us,
    } = facts;
    WireExchange {
        id: id.to_string(),
        tenant_id: tenant.to_string(),
        at_us: at.micros(),
        request_id,
        actor_id,
        actor_label,
        action,
        method,
        target,
        status,
        outcome: wire_outcome(outcome).into(),
        error,
        detail,
        dialect,
        resource_type,
        resource_id,
        resource_name,
        version,
        warnings: warnings
            .into_iter()
            .map(|Warning { attribute, detail }| WireWarning { attribute, detail })
            .collect(),
        changes: changes
            .into_iter()
            .map(|Change { path, before, after }| AttributeChange { path, before, after })
            .collect(),
        members_added,
        members_removed,
        members_truncated,
        latency_us,
        expires_at_us: expires_at.micros(),
        resource_external_id,
    }
}
