//! Whether membership agrees with identity, with itself, and with its index.

use std::time::Duration;

use axum::Json as JsonBody;
use axum::extract::State;
use bytes::Bytes;
use proto::membership::v1::{Difference, VerifyTenantRequest, VerifyTenantResponse};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::{Answer, text_if_any};
use super::export;
use super::request::{self, Named};
use crate::App;
use crate::error::{Error, Result};
use crate::tenant::Administrator;

/// A service may take this long over one run.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Users of one run.
const RUN: usize = 500;
/// The most differences that are told.
const MOST_DIFFERENCES: usize = 1000;

/// What was compared, and what does not agree.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Verification {
    users: i64,
    groups: i64,
    memberships: i64,
    /// Whether the tenant was in the index of the replica that compared; else the database answers for it anyway.
    index_compared: bool,
    /// At most 1,000; empty when everything agrees.
    differences: Vec<ShownDifference>,
    /// There are more.
    truncated: bool,
}

/// Two things that do not agree.
#[derive(Serialize, ToSchema)]
#[schema(as = Difference)]
pub(crate) struct ShownDifference {
    /// `user.missing`, `user.behind`, `user.different`, `user.surplus`, `member.orphan`, `member.type`, `index.user`,
    /// `index.active`, `index.groups`.
    what: String,
    /// The user; of a membership the member.
    #[schema(format = "uuid")]
    id: String,
    /// The group of a membership.
    #[schema(format = "uuid")]
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<String>,
    /// What is here and what should be.
    detail: String,
}

/// Compares the memberships of a tenant with its users, and the index with the rows.
///
/// Changes nothing. Takes time in proportion to the tenant.
#[utoipa::path(
    post, path = "/tenants/{tenant}/verify", operation_id = "verifyTenant", tag = "Tenants",
    responses((status = 200, description = "What was found.", body = Verification)),
)]
pub(crate) async fn run(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
) -> Answer<JsonBody<Verification>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let mut found = Verification::default();
    let mut next = VerifyTenantRequest { tenant_id: tenant_id.clone(), ..VerifyTenantRequest::default() };
    // Before identity is asked: membership notes from where on it may be newer.
    compare(&app, &administrator, &mut next, &mut found).await?;
    let mut exported = export::users(&app, &administrator, &tenant_id).await?;
    while let Some(item) = exported.message().await.map_err(platform::Error::from)? {
        if item.kind != "user" {
            continue;
        }
        found.users += 1;
        next.users.push(item.json);
        if next.users.len() == RUN {
            compare(&app, &administrator, &mut next, &mut found).await?;
        }
    }
    next.is_last = true;
    compare(&app, &administrator, &mut next, &mut found).await?;
    Ok(JsonBody(found))
}

/// Has a run compared, and makes the next one ready.
async fn compare(
    app: &App,
    administrator: &Administrator,
    next: &mut VerifyTenantRequest,
    found: &mut Verification,
) -> Result<()> {
    let mut request = administrator.call(next.clone())?;
    request.set_timeout(PATIENCE);
    let answer = app.clients.maintenance.clone().verify_tenant(request).await?.into_inner();
    let VerifyTenantResponse { since, groups, memberships, index_compared, differences, truncated } = answer;
    if let Some(last) = next.users.last() {
        next.after_id = id(last)?;
    }
    next.users.clear();
    next.since = since;
    found.groups = groups;
    found.memberships = memberships;
    found.index_compared = index_compared;
    found.truncated |= truncated;
    for difference in differences {
        if found.differences.len() == MOST_DIFFERENCES {
            found.truncated = true;
            break;
        }
        let Difference { what, id, group_id, detail } = difference;
        found.differences.push(ShownDifference { what, id, group_id: text_if_any(group_id), detail });
    }
    Ok(())
}

fn id(user: &Bytes) -> Result<String> {
    let user: Value = serde_json::from_slice(user).map_err(platform::Error::internal)?;
    let id = user["id"].as_str().ok_or_else(|| Error::broken_contract("an exported user has no id"))?;
    Ok(id.to_owned())
}
