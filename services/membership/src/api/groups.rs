//! `rollcall.membership.v1.Groups`.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use platform::db::page::Wanted;
use platform::ids::{GroupId, TenantId, UserId};
use platform::{Error, Result};
use proto::common::v1::SortOrder;
use proto::membership::v1::groups_server::Groups;
use proto::membership::v1::{self as v1, get_group_response, list_groups_response};
use scim::filter::Filter;
use scim::patch::PatchRequest;
use scim::{Dialect, ErrorKind, Limits};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Answers, body, changes, group_id, pieces, precondition, provisioning, resource, warnings};
use crate::Service;
use crate::domain::group::{Attributes, resource_type};
use crate::domain::members::Plan;
use crate::store::{MEMBER_PAGE, MemberEntry, MembersChange, Patch, Sorting, Store};

/// The most users one ListGroupsOfUsers asks about.
const MOST_USERS: usize = 1000;
/// The most groups one ListUserIdsOfGroups asks about.
const MOST_GROUPS: usize = 100;
/// The most ids one ListUserIdsOfGroups answers with: more would be a filter in memory, and a megabyte on its way.
const MOST_USER_IDS: usize = 20_000;

#[tonic::async_trait]
impl Groups for Service {
    async fn create_group(
        &self,
        request: Request<v1::CreateGroupRequest>,
    ) -> Result<Response<v1::CreateGroupResponse>, Status> {
        let (author, dialect) = provisioning(&request, request.get_ref().context.as_ref())?;
        let body = body(&request.get_ref().body)?;
        let mut decoded = scim::resource::create(resource_type(), &dialect, &body).map_err(Error::from)?;
        let members =
            scim::resource::take_members(resource_type(), &mut decoded.resource).map_err(Error::from)?;
        let mut plan = Plan::create(members, &dialect)?;
        plan.warnings.splice(0..0, decoded.warnings);
        let written = self.store.create(author, Attributes::new(decoded.resource)?, plan).await?;
        Ok(Response::new(v1::CreateGroupResponse {
            resource: Some(resource(written.group)?),
            revision: written.revision.to_string(),
            warnings: warnings(written.warnings),
            changes: changes(written.changes),
            members: Some(members_change(written.members)),
        }))
    }

    type GetGroupStream = Answers<v1::GetGroupResponse>;

    async fn get_group(
        &self,
        request: Request<v1::GetGroupRequest>,
    ) -> Result<Response<Self::GetGroupStream>, Status> {
        let (author, _) = provisioning(&request, request.get_ref().context.as_ref())?;
        let request = request.into_inner();
        let id = group_id(&request.id)?;
        let tenant = author.tenant;
        let group = self.store.get(tenant, id).await?;
        let head = stream::iter([Ok(get_group_response::Part::Group(resource(group)?))]);
        let members = member_chunks(self.store.clone(), tenant, id, request.with_members);
        let parts = head.chain(members.map_ok(get_group_response::Part::Members));
        Ok(Response::new(parts.map_ok(|part| v1::GetGroupResponse { part: Some(part) }).err_into().boxed()))
    }

    type ListGroupsStream = Answers<v1::ListGroupsResponse>;

    async fn list_groups(
        &self,
        request: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<Self::ListGroupsStream>, Status> {
        use list_groups_response::Part;

        let (author, dialect) = provisioning(&request, request.get_ref().context.as_ref())?;
        let request = request.into_inner();
        let tenant = author.tenant;
        let query = match request.filter.as_str() {
            "" => None,
            text => Some(query(text, &dialect)?),
        };
        let sorting = Sorting {
            key: match request.sort_by.as_str() {
                "" => None,
                attribute => Some(scim::sort::resolve(attribute, resource_type()).map_err(Error::from)?),
            },
            descending: request.sort_order() == SortOrder::Descending,
        };
        let order = if sorting.descending { "descending" } else { "ascending" };
        let tenant_text = tenant.to_string();
        let bound_to = ["Group", &tenant_text, &request.filter, &request.sort_by, order];
        let wanted = Wanted::read(request.page.as_ref(), self.page_size, &self.cursors, &bound_to)?;
        let listing =
            self.store.list(tenant, query.as_ref(), &sorting, &wanted, &self.cursors, &bound_to).await?;

        let head = v1::ListHead {
            total_results: listing.total,
            items: i64::try_from(listing.groups.len()).unwrap_or(i64::MAX),
            next_cursor: listing.next_cursor,
        };
        let store = self.store.clone();
        let groups = stream::iter(listing.groups).flat_map(move |group| {
            let id = GroupId::from_uuid(group.id);
            let members = member_chunks(store.clone(), tenant, id, request.with_members);
            stream::iter([resource(group).map(Part::Group)]).chain(members.map_ok(Part::Members))
        });
        let parts = stream::iter([Ok(Part::Head(head))]).chain(groups);
        Ok(Response::new(parts.map_ok(|part| v1::ListGroupsResponse { part: Some(part) }).err_into().boxed()))
    }

    async fn replace_group(
        &self,
        request: Request<v1::ReplaceGroupRequest>,
    ) -> Result<Response<v1::ReplaceGroupResponse>, Status> {
        let (author, dialect) = provisioning(&request, request.get_ref().context.as_ref())?;
        let request = request.into_inner();
        let id = group_id(&request.id)?;
        let body = body(&request.body)?;
        let written =
            self.store.replace(author, id, body, dialect, precondition(request.precondition)).await?;
        Ok(Response::new(v1::ReplaceGroupResponse {
            resource: Some(resource(written.group)?),
            revision: written.revision.to_string(),
            warnings: warnings(written.warnings),
            changes: changes(written.changes),
            members: Some(members_change(written.members)),
        }))
    }

    async fn patch_group(
        &self,
        request: Request<v1::PatchGroupRequest>,
    ) -> Result<Response<v1::PatchGroupResponse>, Status> {
        let (author, dialect) = provisioning(&request, request.get_ref().context.as_ref())?;
        let request = request.into_inner();
        let id = group_id(&request.id)?;
        let patch = patch(&request.body, dialect)?;
        let written = self.store.patch(author, id, patch, precondition(request.precondition)).await?;
        Ok(Response::new(v1::PatchGroupResponse {
            resource: Some(resource(written.group)?),
            revision: written.revision.to_string(),
            warnings: warnings(written.warnings),
            changes: changes(written.changes),
            members: Some(members_change(written.members)),
        }))
    }

    async fn delete_group(
        &self,
        request: Request<v1::DeleteGroupRequest>,
    ) -> Result<Response<v1::DeleteGroupResponse>, Status> {
        let (author, _) = provisioning(&request, request.get_ref().context.as_ref())?;
        let request = request.into_inner();
        let id = group_id(&request.id)?;
        let deleted = self.store.delete(author, id, precondition(request.precondition)).await?;
        Ok(Response::new(v1::DeleteGroupResponse {
            revision: deleted.revision.to_string(),
            changes: changes(deleted.changes),
            members: Some(members_change(deleted.members)),
        }))
    }

    async fn list_groups_of_users(
        &self,
        request: Request<v1::ListGroupsOfUsersRequest>,
    ) -> Result<Response<v1::ListGroupsOfUsersResponse>, Status> {
        let (author, _) = provisioning(&request, request.get_ref().context.as_ref())?;
        let asked = &request.get_ref().user_ids;
        if asked.len() > MOST_USERS {
            let detail =
                format!("user_ids has {} entries: at most {MOST_USERS} can be asked about", asked.len());
            return Err(Error::new(ErrorKind::TooMany, detail).into());
        }
        // What can be no user's id is in no group.
        let users: Vec<Uuid> = asked.iter().filter_map(|id| id.parse().ok()).map(UserId::uuid).collect();
        let found = self.store.groups_of_users(author.tenant, &users).await?;
        let mut users: Vec<v1::GroupsOfUser> = Vec::new();
        for group in found {
            let user_id = group.user_id.to_string();
            if users.last().is_none_or(|last| last.user_id != user_id) {
                users.push(v1::GroupsOfUser { user_id, groups: Vec::new() });
            }
            let entry =
                v1::UserGroup { id: group.id.to_string(), display: group.display_name, direct: group.direct };
            if let Some(last) = users.last_mut() {
                last.groups.push(entry);
            }
        }
        Ok(Response::new(v1::ListGroupsOfUsersResponse { users }))
    }

    async fn list_user_ids_of_groups(
        &self,
        request: Request<v1::ListUserIdsOfGroupsRequest>,
    ) -> Result<Response<v1::ListUserIdsOfGroupsResponse>, Status> {
        let (author, _) = provisioning(&request, request.get_ref().context.as_ref())?;
        let asked = request.into_inner().group_ids;
        if asked.len() > MOST_GROUPS {
            let detail = format!("{} groups are asked about: at most {MOST_GROUPS} can be", asked.len());
            return Err(Error::new(ErrorKind::TooMany, detail).into());
        }
        let mut groups = Vec::with_capacity(asked.len());
        let mut room = MOST_USER_IDS;
        for group_id in asked {
            // What can be no group's id has nobody in it.
            let users = match group_id.parse().map(GroupId::uuid) {
                Ok(id) => self.store.users_of_group(author.tenant, id, room + 1).await?,
                Err(_) => Vec::new(),
            };
            room = room.checked_sub(users.len()).ok_or_else(|| {
                let detail = format!(
                    "the groups named have more than {MOST_USER_IDS} users in them, those of nested groups included: too \
                     many to filter users by; read the members of the group instead"
                );
                Error::new(ErrorKind::TooMany, detail).with_attribute("groups")
            })?;
            let user_ids = users.iter().map(ToString::to_string).collect();
            groups.push(v1::UserIdsOfGroup { group_id, user_ids });
        }
        Ok(Response::new(v1::ListUserIdsOfGroupsResponse { groups }))
    }
}

fn members_change(change: MembersChange) -> v1::MembersChange {
    let MembersChange { added, removed, truncated } = change;
    let texts = |ids: BTreeSet<Uuid>| ids.iter().map(Uuid::to_string).collect();
    v1::MembersChange { added: texts(added), removed: texts(removed), truncated }
}

fn query(filter: &str, dialect: &Dialect) -> Result<scim::filter::Query> {
    let filter = Filter::parse(filter, &Limits::DEFAULT)?;
    Ok(scim::filter::resolve(&filter, resource_type(), dialect)?)
}

fn patch(bytes: &[u8], dialect: Dialect) -> Result<Patch> {
    let mut attributes = PatchRequest::parse(&body(bytes)?, &dialect, &Limits::DEFAULT)?;
    let operations = attributes.take_set(resource_type(), "members")?;
    let members = Plan::patch(&operations, &dialect)?;
    Ok(Patch { attributes, members, dialect })
}

/// The members of a group in chunks, read as they are sent: a page per query, no transaction held open. A page of long names is
/// more than one chunk.
fn member_chunks(
    store: Store,
    tenant: TenantId,
    group: GroupId,
    wanted: bool,
) -> impl futures::Stream<Item = Result<v1::MemberChunk>> + Send {
    let start = wanted.then_some(Uuid::nil());
    stream::try_unfold((store, start), move |(store, after)| async move {
        let Some(after) = after else { return Ok::<_, Error>(None) };
        let page = store.members_page(tenant, group, after).await?;
        let full = page.len() as u64 == MEMBER_PAGE;
        let next = page.last().filter(|_| full).map(|last| last.id);
        // A page may hold only members that do not exist yet: then there is no chunk of it.
        let members = page.into_iter().filter_map(member);
        let chunks = pieces(members, |member| member.id.len() + member.display.len());
        let chunks = chunks.into_iter().map(|members| Ok(v1::MemberChunk { members }));
        Ok(Some((stream::iter(chunks.collect::<Vec<_>>()), (store, next))))
    })
    .try_flatten()
}

fn member(entry: MemberEntry) -> Option<v1::Member> {
    let MemberEntry { id, is_user, is_group, display } = entry;
    let member_type = match (is_user, is_group) {
        (true, _) => v1::MemberType::User,
        (_, true) => v1::MemberType::Group,
        (false, false) => return None,
    };
    Some(v1::Member { id: id.to_string(), r#type: member_type.into(), display: display.unwrap_or_default() })
}
