//! A membership service in this process, and callers with tokens, as the gateway and internal services are.

use futures::{StreamExt, TryStreamExt, stream};
use membership::Service;
use platform::auth::with_token;
use platform::clock::Clock;
use platform::db::Database;
use platform::db::cursor::Cursors;
use platform::db::page::PageSize;
use platform::ids::{TenantId, UserId};
use platform::transport::{Transport, in_process};
use platform::{Error, Result};
use proto::common::v1 as common;
use proto::identity::v1::UserChange;
use proto::membership::v1::groups_client::GroupsClient;
use proto::membership::v1::memberships_client::MembershipsClient;
use proto::membership::v1::projection_client::ProjectionClient;
use proto::membership::v1::tenant_data_client::TenantDataClient;
use proto::membership::v1::{self as v1, get_group_response, group_ref, list_groups_response, user_ref};
use serde_json::{Value, json};
pub use testkit::tokens::access_token as token;
use testkit::tokens::verifier;
use tokio_util::sync::CancellationToken;

/// The service, its clients, and one tenant.
#[derive(Clone)]
pub struct App {
    pub transport: Transport,
    pub tenant: TenantId,
    pub dialect: common::Dialect,
    pub token: String,
    pub request_id: String,
}

pub fn app(db: Database) -> App {
    app_until(db, CancellationToken::new())
}

/// The same, whose endless streams end when `stop` is cancelled.
pub fn app_until(db: Database, stop: CancellationToken) -> App {
    app_of(&service(db).with_stop(stop))
}

pub fn service(db: Database) -> Service {
    let cursors = Cursors::new(&"a key of the tests".into());
    let page_size = PageSize { default: 10, max: 50 };
    Service::new(db, Clock::system(), cursors).with_page_size(page_size)
}

pub fn app_of(service: &Service) -> App {
    let transport = in_process(platform::server::stack(service.routes(), verifier()));
    App::of(transport)
}

impl App {
    fn of(transport: Transport) -> Self {
        let tenant = TenantId::new(&Clock::system());
        let token = token(&tenant.to_string(), "scim memberships:read admin internal");
        Self { transport, tenant, dialect: common::Dialect::Entra, token, request_id: "test".into() }
    }

    /// Another tenant of the same service.
    pub fn other_tenant(&self) -> Self {
        Self::of(self.transport.clone())
    }

    pub fn dialect(&self, dialect: common::Dialect) -> Self {
        Self { dialect, ..self.clone() }
    }

    pub fn groups(&self) -> GroupsClient<Transport> {
        GroupsClient::new(self.transport.clone())
    }

    pub fn memberships(&self) -> MembershipsClient<Transport> {
        MembershipsClient::new(self.transport.clone())
    }

    pub fn projection(&self) -> ProjectionClient<Transport> {
        ProjectionClient::new(self.transport.clone())
    }

    pub fn tenant_data(&self) -> TenantDataClient<Transport> {
        TenantDataClient::new(self.transport.clone())
    }

    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        with_token(message, &self.token).unwrap()
    }

    pub fn context(&self) -> Option<common::Context> {
        let tenant_id = self.tenant.to_string();
        Some(common::Context { tenant_id, dialect: self.dialect.into(), request_id: self.request_id.clone() })
    }

    pub async fn create(&self, body: Value) -> Result<v1::CreateGroupResponse> {
        let body = body.to_string().into();
        let request = self.request(v1::CreateGroupRequest { context: self.context(), body });
        Ok(self.groups().create_group(request).await?.into_inner())
    }

    /// A new group of that name; its id.
    pub async fn group(&self, name: &str) -> String {
        let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name });
        self.create(body).await.unwrap().resource.unwrap().id
    }

    pub async fn get(&self, id: &str) -> Result<(common::Resource, Vec<v1::Member>)> {
        let request = v1::GetGroupRequest { context: self.context(), id: id.into(), with_members: true };
        let parts: Vec<_> =
            self.groups().get_group(self.request(request)).await?.into_inner().try_collect().await?;
        let mut parts = parts.into_iter().map(|part: v1::GetGroupResponse| part.part.unwrap());
        let Some(get_group_response::Part::Group(group)) = parts.next() else {
            panic!("the group comes first")
        };
        let mut members = Vec::new();
        for part in parts {
            let get_group_response::Part::Members(chunk) = part else { panic!("a second group") };
            assert!(!chunk.members.is_empty() && chunk.members.len() <= 1000);
            members.extend(chunk.members);
        }
        Ok((group, members))
    }

    /// The ids of a group's members, in the order they came.
    pub async fn member_ids(&self, id: &str) -> Vec<String> {
        self.get(id).await.unwrap().1.into_iter().map(|member| member.id).collect()
    }

    pub async fn version(&self, id: &str) -> i64 {
        self.get(id).await.unwrap().0.version
    }

    pub async fn patch_if(
        &self,
        id: &str,
        operations: Value,
        precondition: Option<common::Precondition>,
    ) -> Result<v1::PatchGroupResponse> {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": operations,
        });
        let (context, body) = (self.context(), body.to_string().into());
        let request = v1::PatchGroupRequest { context, id: id.into(), body, precondition };
        Ok(self.groups().patch_group(self.request(request)).await?.into_inner())
    }

    pub async fn patch(&self, id: &str, operations: Value) -> Result<v1::PatchGroupResponse> {
        self.patch_if(id, operations, None).await
    }

    pub async fn add(&self, id: &str, members: &[&str]) -> v1::PatchGroupResponse {
        self.patch(id, json!([{ "op": "add", "path": "members", "value": values(members) }])).await.unwrap()
    }

    pub async fn remove(&self, id: &str, members: &[&str]) -> v1::PatchGroupResponse {
        self.patch(id, json!([{ "op": "Remove", "path": "members", "value": values(members) }]))
            .await
            .unwrap()
    }

    pub async fn replace(&self, id: &str, body: Value) -> Result<v1::ReplaceGroupResponse> {
        let (context, body) = (self.context(), body.to_string().into());
        let request = v1::ReplaceGroupRequest { context, id: id.into(), body, precondition: None };
        Ok(self.groups().replace_group(self.request(request)).await?.into_inner())
    }

    pub async fn delete(&self, id: &str) -> Result<v1::DeleteGroupResponse> {
        let request = v1::DeleteGroupRequest { context: self.context(), id: id.into(), precondition: None };
        Ok(self.groups().delete_group(self.request(request)).await?.into_inner())
    }

    pub async fn apply(&self, change: UserChange) -> Result<v1::ApplyUserChangeResponse> {
        let request = self.request(v1::ApplyUserChangeRequest { change: Some(change) });
        Ok(self.projection().apply_user_change(request).await?.into_inner())
    }

    /// Version 1 of an active user.
    pub fn change(&self, user: &str) -> UserChange {
        UserChange {
            tenant_id: self.tenant.to_string(),
            user_id: user.into(),
            version: 1,
            deleted: false,
            user_name: format!("{user}@Example.com"),
            external_id: format!("ext-{user}"),
            display_name: String::new(),
            active: true,
            role: String::new(),
            team_ids: Vec::new(),
            team_slugs: Vec::new(),
        }
    }

    /// A new active user; its id.
    pub async fn user(&self) -> String {
        let id = user_id();
        self.apply(self.change(&id)).await.unwrap();
        id
    }

    pub async fn users(&self, count: usize) -> Vec<String> {
        let ids: Vec<String> = (0..count).map(|_| user_id()).collect();
        self.arrive(&ids).await;
        ids
    }

    /// These users come into being, several at a time.
    pub async fn arrive<S: AsRef<str>>(&self, users: &[S]) {
        let mut arrivals = Vec::with_capacity(users.len());
        for user in users {
            arrivals.push(self.apply(self.change(user.as_ref())));
        }
        let outcomes: Vec<_> = stream::iter(arrivals).buffer_unordered(32).collect().await;
        for outcome in outcomes {
            outcome.unwrap();
        }
    }

    pub async fn ask(&self, user: user_ref::Ref, group: group_ref::Ref, depth: v1::Depth) -> Result<bool> {
        let request = v1::CheckRequest {
            tenant_id: String::new(),
            user: Some(v1::UserRef { r#ref: Some(user) }),
            group: Some(v1::GroupRef { r#ref: Some(group) }),
            depth: depth.into(),
            ..Default::default()
        };
        Ok(self.memberships().check(self.request(request)).await?.into_inner().member)
    }

    /// Whether the user is in the group, directly or not.
    pub async fn is_in(&self, user: &str, group: &str) -> bool {
        self.ask(by_id(user), group_by_id(group), v1::Depth::Transitive).await.unwrap()
    }

    /// The users in a group, with the cursor behind each run.
    pub async fn walk(
        &self,
        group: &str,
        depth: v1::Depth,
        include_inactive: bool,
        after_cursor: &str,
    ) -> Result<(Vec<v1::GroupMember>, Vec<String>)> {
        let request = v1::ListGroupMembersRequest {
            tenant_id: String::new(),
            group: Some(v1::GroupRef { r#ref: Some(group_by_id(group)) }),
            depth: depth.into(),
            include_inactive,
            after_cursor: after_cursor.into(),
            consistency: None,
        };
        let runs: Vec<v1::ListGroupMembersResponse> = self
            .memberships()
            .list_group_members(self.request(request))
            .await?
            .into_inner()
            .try_collect()
            .await?;
        let cursors = runs.iter().map(|run| run.cursor.clone()).collect();
        Ok((runs.into_iter().flat_map(|run| run.members).collect(), cursors))
    }

    pub async fn list(&self, request: v1::ListGroupsRequest) -> Result<Listed> {
        let request = self.request(v1::ListGroupsRequest { context: self.context(), ..request });
        let parts: Vec<v1::ListGroupsResponse> =
            self.groups().list_groups(request).await?.into_inner().try_collect().await?;
        let mut listed = Listed::default();
        for part in parts {
            match part.part.unwrap() {
                list_groups_response::Part::Head(head) => listed.head = head,
                list_groups_response::Part::Group(group) => listed.groups.push((group, Vec::new())),
                list_groups_response::Part::Members(chunk) => {
                    listed.groups.last_mut().unwrap().1.extend(chunk.members);
                }
            }
        }
        assert_eq!(listed.head.items, listed.groups.len() as i64);
        Ok(listed)
    }

    /// The ids of the groups that satisfy the filter, by order of creation.
    pub async fn find(&self, filter: &str) -> Result<Vec<String>> {
        let listed = self.list(v1::ListGroupsRequest { filter: filter.into(), ..Default::default() }).await?;
        assert_eq!(listed.head.total_results, listed.head.items);
        Ok(listed.ids())
    }
}

#[derive(Default)]
pub struct Listed {
    pub head: v1::ListHead,
    pub groups: Vec<(common::Resource, Vec<v1::Member>)>,
}

impl Listed {
    pub fn ids(&self) -> Vec<String> {
        self.groups.iter().map(|(group, _)| group.id.clone()).collect()
    }
}

/// Small numbers in an order that a seed decides.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % sides as u64).unwrap()
    }
}

pub fn user_id() -> String {
    UserId::new(&Clock::system()).to_string()
}

/// `[{"value": …}, …]`.
pub fn values(members: &[&str]) -> Value {
    members.iter().map(|member| json!({ "value": member })).collect()
}

pub fn by_id(user: &str) -> user_ref::Ref {
    user_ref::Ref::Id(user.into())
}

pub fn group_by_id(group: &str) -> group_ref::Ref {
    group_ref::Ref::Id(group.into())
}

pub fn sorted(ids: &[&str]) -> Vec<String> {
    let mut ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    ids.sort();
    ids
}

/// The kind of error of a call that must fail.
pub fn kind<T>(outcome: Result<T>) -> scim::ErrorKind {
    match outcome {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error.kind,
    }
}

/// The error of a call that must fail.
pub fn error<T>(outcome: Result<T>) -> Error {
    match outcome {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error,
    }
}
