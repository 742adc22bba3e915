//! How long a member that was added is not seen yet.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use platform::auth::with_token;
use platform::clock::Clock;
use proto::common::v1 as common_v1;
use proto::membership::v1::groups_client::GroupsClient;
use proto::membership::v1::memberships_client::MembershipsClient;
use proto::membership::v1::{
    CheckRequest, Consistency, CreateGroupRequest, GroupRef, PatchGroupRequest, consistency, group_ref,
};
use serde_json::json;
use tonic::transport::Channel;

use super::Bench;
use super::questions::user;
use crate::common::time;
use crate::tenant::user_id;

/// Adds users to a new group, one after the other, and asks for each until it is seen. Answers from the moment of the
/// acknowledgement count; the question itself is in the time.
pub async fn visible(bench: &Bench, channel: Channel, token: &str) -> Result<()> {
    let tenant_id = bench.tenant.id().to_string();
    let context = || {
        Some(common_v1::Context {
            tenant_id: tenant_id.clone(),
            dialect: common_v1::Dialect::Entra.into(),
            request_id: "bench".into(),
        })
    };
    let mut groups = GroupsClient::new(channel.clone());
    let mut memberships = MembershipsClient::new(channel);
    let name = format!("bench of process {} at {}", std::process::id(), Clock::system().now().micros());
    let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name });
    let request = CreateGroupRequest { context: context(), body: body.to_string().into() };
    let created = groups.create_group(with_token(request, token)?).await?.into_inner();
    let group = created.resource.context("the group")?.id;

    let (mut writes, mut seen, mut at_once) = (Vec::new(), Vec::new(), 0);
    let count = if bench.quick { 100 } else { 1000 };
    for number in 0..count {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "add", "path": "members", "value": [{ "value": user_id(number) }] }],
        });
        let request = PatchGroupRequest {
            context: context(),
            id: group.clone(),
            body: body.to_string().into(),
            precondition: None,
        };
        let begun = Instant::now();
        groups.patch_group(with_token(request, token)?).await?;
        let written = Instant::now();
        writes.push(written - begun);
        for attempt in 0.. {
            let request = CheckRequest {
                tenant_id: tenant_id.clone(),
                user: user(number),
                group: Some(GroupRef { r#ref: Some(group_ref::Ref::Id(group.clone())) }),
                consistency: Some(Consistency {
                    requirement: Some(consistency::Requirement::MinimizeLatency(true)),
                }),
                ..Default::default()
            };
            if memberships.check(with_token(request, token)?).await?.into_inner().member {
                at_once += i64::from(attempt == 0);
                break;
            }
            ensure!(written.elapsed().as_secs() < 10, "a write is not seen after 10 s");
        }
        seen.push(written.elapsed());
    }
    writes.sort_unstable();
    seen.sort_unstable();
    let of = |times: &[std::time::Duration]| {
        let at = |hundredths: usize| times.get((times.len() * hundredths).div_ceil(100).saturating_sub(1));
        format!(
            "{}, {}",
            time(at(50).copied().unwrap_or_default()),
            time(at(99).copied().unwrap_or_default())
        )
    };
    println!("| one member added by PATCH (durable): p50, p99 | {} | |", of(&writes));
    println!(
        "| … then seen by a Check (minimize_latency), its own time included: p50, p99 | {} | |",
        of(&seen)
    );
    println!("| … seen by the first Check | {at_once} of {count} | |");
    Ok(())
}
