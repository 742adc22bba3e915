//! `rollcall.membership.v1.TenantData`: a tenant's end, and everything it has.

use futures::{StreamExt, TryStreamExt, stream};
use platform::auth::{Scope, caller};
use platform::ids::TenantId;
use platform::{Error, Result};
use proto::membership::v1;
use proto::membership::v1::tenant_data_server::TenantData;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Answers;
use crate::Service;
use crate::domain::members::MemberType;
use crate::store::Store;
use crate::store::entity::{group, member};

#[tonic::async_trait]
impl TenantData for Service {
    async fn purge_tenant(
        &self,
        request: Request<v1::PurgeTenantRequest>,
    ) -> Result<Response<v1::PurgeTenantResponse>, Status> {
        let tenant = caller(&request)?.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        self.store.purge(tenant).await?;
        Ok(Response::new(v1::PurgeTenantResponse {}))
    }

    type ExportTenantStream = Answers<v1::ExportTenantResponse>;

    async fn export_tenant(
        &self,
        request: Request<v1::ExportTenantRequest>,
    ) -> Result<Response<Self::ExportTenantStream>, Status> {
        let tenant = caller(&request)?.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let start = Export { store: self.store.clone(), tenant, after: Some(After::Group(Uuid::nil())) };
        let pages = stream::try_unfold(start, |mut export| async move {
            let page = export.next_page().await?;
            Ok::<_, Error>(page.map(|page| (stream::iter(page.into_iter().map(Ok::<_, Error>)), export)))
        });
        Ok(Response::new(pages.try_flatten().err_into().boxed()))
    }
}

/// An export under way: a page per query, no transaction held open.
struct Export {
    store: Store,
    tenant: TenantId,
    /// `None` when everything was sent.
    after: Option<After>,
}

/// How far it came: all groups, then all memberships.
enum After {
    Group(Uuid),
    Membership(Uuid, Uuid),
}

impl Export {
    async fn next_page(&mut self) -> Result<Option<Vec<v1::ExportTenantResponse>>> {
        let mut page = Vec::new();
        match self.after {
            None => return Ok(None),
            Some(After::Group(after)) => {
                let groups = self.store.groups_page(self.tenant, after).await?;
                self.after = Some(match groups.last() {
                    Some(last) => After::Group(last.id),
                    None => After::Membership(Uuid::nil(), Uuid::nil()),
                });
                for group in groups {
                    page.push(item("group", &exported_group(group))?);
                }
            }
            Some(After::Membership(group, member)) => {
                let members = self.store.memberships_page(self.tenant, (group, member)).await?;
                self.after = members.last().map(|last| After::Membership(last.group_id, last.member_id));
                for member in members {
                    page.push(item("member", &exported_member(member))?);
                }
            }
        }
        Ok(Some(page))
    }
}

fn item(kind: &str, value: &Value) -> Result<v1::ExportTenantResponse> {
    let json = serde_json::to_vec(value).map_err(Error::internal)?.into();
    Ok(v1::ExportTenantResponse { kind: kind.to_owned(), json })
}

fn exported_group(group: group::Model) -> Value {
    let group::Model {
        tenant_id: _,
        id,
        display_name: _,
        display_name_key: _,
        external_id: _,
        created_at,
        updated_at,
        version,
        attributes,
        search: _,
    } = group;
    json!({
        "id": id,
        "version": version,
        "created_at_us": created_at,
        "updated_at_us": updated_at,
        "resource": attributes,
    })
}

fn exported_member(member: member::Model) -> Value {
    let member::Model { tenant_id: _, group_id, member_id, member_type, added_at, request_id } = member;
    let kind = match member_type {
        known if known == MemberType::User as i16 => "user",
        known if known == MemberType::Group as i16 => "group",
        // It belongs to nothing in the tenant (yet).
        _ => "unknown",
    };
    json!({
        "group_id": group_id,
        "member_id": member_id,
        "type": kind,
        "added_at_us": added_at,
        "request_id": request_id,
    })
}
