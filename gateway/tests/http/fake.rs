//! The three services as fakes on in-process transports, and a gateway in front of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use gateway::{Clients, Config, Gateway};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use platform::cache::Invalidations;
use platform::clock::{Clock, Timestamp};
use platform::ids::TenantId;
use platform::transport::{Transport, in_process};
use proto::common::v1::{Dialect, Resource, Warning};
use proto::identity::v1 as identity;
use proto::membership::v1 as membership;
use proto::token::v1 as token;
use scim::ErrorKind;
use serde_json::Value;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

pub const USER: &str = "01990000-0000-7000-8000-000000000001";
pub const GROUP: &str = "01990000-0000-7000-8000-00000000000a";
pub const CREDENTIAL: &str = "01990000-0000-7000-8000-0000000000c1";
pub const SECRET: &str = "secret-of-contoso";
pub const ADMIN: &str = "secret-of-admin";

/// What the services know, what they were asked, and what they are to fail with.
pub struct World {
    pub clock: Clock,
    pub calls: Mutex<Vec<Call>>,
    /// Errors to answer with, by RPC.
    pub failing: Mutex<HashMap<&'static str, ErrorKind>>,
    pub sessions: Mutex<HashMap<String, token::ResolveResponse>>,
    pub user: Mutex<Resource>,
    pub group: Mutex<Resource>,
    /// The groups that every user is in.
    pub groups_of_users: Mutex<Vec<membership::UserGroup>>,
    /// How many members the group has, and in which pieces they are sent.
    pub members: Mutex<(usize, usize)>,
    /// Pieces that somebody asked for so far.
    pub chunks_pulled: AtomicUsize,
    /// After how many pieces the stream breaks.
    pub break_after: Mutex<Option<usize>>,
    /// How many groups a list announces; it sends two.
    pub announced: Mutex<i64>,
    pub warnings: Mutex<Vec<Warning>>,
    /// The extension schemas of every tenant.
    pub extensions: Mutex<Vec<identity::Extension>>,
    pub list_filter: Mutex<String>,
    /// GetUser panics, which in process reaches the gateway.
    pub panicking: AtomicBool,
    /// Resolve waits for a permit when there is a gate.
    pub gate: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
}

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Call {
    pub rpc: &'static str,
    metadata: MetadataMap,
    pub message: String,
}

impl Call {
    /// A header that came with it; empty when there was none.
    pub fn metadata(&self, name: &str) -> &str {
        self.metadata.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone)]
pub struct Fake(pub Arc<World>);

pub struct Fixture {
    pub world: Arc<World>,
    pub invalidations: Invalidations,
    pub clock: Clock,
    pub tenant: TenantId,
    pub router: Router,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(Config::default(), Dialect::Entra)
    }

    pub fn with(config: Config, dialect: Dialect) -> Self {
        let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        let tenant = TenantId::new(&clock);
        let stored = |id: &str, json: &str| Resource {
            id: id.to_owned(),
            version: 3,
            created_at_us: 1_600_000_000_000_000,
            updated_at_us: 1_600_000_001_500_000,
            json: json.to_owned().into(),
        };
        let world = Arc::new(World {
            clock: clock.clone(),
            calls: Mutex::default(),
            failing: Mutex::default(),
            sessions: Mutex::default(),
            user: Mutex::new(stored(
                USER,
                r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"anna@contoso.com","displayName":"Anna"}"#,
            )),
            group: Mutex::new(stored(
                GROUP,
                r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Sales"}"#,
            )),
            groups_of_users: Mutex::new(vec![user_group(GROUP, true), user_group("parent", false)]),
            members: Mutex::new((2, 1)),
            chunks_pulled: AtomicUsize::new(0),
            break_after: Mutex::default(),
            announced: Mutex::new(2),
            warnings: Mutex::default(),
            extensions: Mutex::default(),
            list_filter: Mutex::default(),
            panicking: AtomicBool::new(false),
            gate: Mutex::default(),
        });
        let invalidations = Invalidations::default();
        let fake = Fake(world.clone());
        let clients = Clients::new(fake.identity(), fake.membership(), fake.token());
        let router = Gateway::new(clients, config, invalidations.clone(), clock.clone()).router();
        let fixture = Self { world, invalidations, clock, tenant, router };
        fixture.credential(SECRET, Some((tenant, dialect)), "scim");
        fixture.credential(ADMIN, None, "admin");
        fixture
    }

    /// Makes a secret that resolves.
    pub fn credential(&self, secret: &str, tenant: Option<(TenantId, Dialect)>, scope: &str) {
        let tenant = tenant.map(|(id, dialect)| token::Tenant {
            id: id.to_string(),
            name: "contoso".into(),
            state: token::TenantState::Active.into(),
            preset: "entra".into(),
            dialect: dialect.into(),
            created_at_us: 1_600_000_000_000_000,
            scim_path: "/scim/v2".into(),
            version: 1,
            dialect_setting: token::DialectSetting::Entra.into(),
            recognised: None,
            settings: Some(token::Settings {
                groups: true,
                user_create: true,
                user_update: true,
                user_delete: true,
            }),
        });
        let session = token::ResolveResponse {
            tenant,
            credential_id: CREDENTIAL.into(),
            scopes: vec![scope.into()],
            access_token: format!("jwt-for-{secret}"),
            access_token_expires_at_us: self.clock.now().plus(Duration::from_secs(300)).micros(),
            credential_expires_at_us: 0,
        };
        self.world.sessions.lock().unwrap().insert(secret.to_owned(), session);
    }

    /// Changes the tenant that a secret stands for.
    pub fn tenant_of(&self, secret: &str, change: impl FnOnce(&mut token::Tenant)) {
        let mut sessions = self.world.sessions.lock().unwrap();
        change(sessions.get_mut(secret).unwrap().tenant.as_mut().unwrap());
    }

    /// Sends a request as the tenant's client does.
    pub async fn send(&self, method: &str, uri: &str, body: &str) -> Answer {
        self.send_with(method, uri, body, &[]).await
    }

    pub async fn send_with(&self, method: &str, uri: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let token = format!("Bearer {}", if uri.starts_with("/admin") { ADMIN } else { SECRET });
        let content_type =
            if uri.starts_with("/admin") { "application/json" } else { "application/scim+json" };
        let mut request =
            http::Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(uri);
        for (name, value) in
            [("host", "scim.test"), ("authorization", &token), ("content-type", content_type)]
        {
            if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
                request = request.header(name, value);
            }
        }
        // An empty value stands for leaving the header out.
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        self.raw(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub async fn raw(&self, request: http::Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub fn fail(&self, rpc: &'static str, kind: ErrorKind) {
        self.world.failing.lock().unwrap().insert(rpc, kind);
    }

    pub fn calls(&self, rpc: &str) -> Vec<Call> {
        self.world.calls.lock().unwrap().iter().filter(|call| call.rpc == rpc).cloned().collect()
    }

    pub fn all_calls(&self) -> Vec<&'static str> {
        let calls = self.world.calls.lock().unwrap();
        // What the gateway remembers is asked for by whoever comes first.
        calls
            .iter()
            .map(|call| call.rpc)
            .filter(|rpc| !matches!(*rpc, "Resolve" | "ListExtensions"))
            .collect()
    }

    pub fn one_call(&self, rpc: &str) -> Call {
        let calls = self.calls(rpc);
        assert_eq!(calls.len(), 1, "{rpc} was called {} times", calls.len());
        calls[0].clone()
    }
}

impl Fake {
    fn identity(&self) -> Transport {
        transport(
            Routes::new(identity::users_server::UsersServer::new(self.clone()))
                .add_service(identity::tenant_data_server::TenantDataServer::new(self.clone()))
                .add_service(identity::schemas_server::SchemasServer::new(self.clone())),
        )
    }

    fn membership(&self) -> Transport {
        transport(
            Routes::new(membership::groups_server::GroupsServer::new(self.clone()))
                .add_service(membership::projection_server::ProjectionServer::new(self.clone()))
                .add_service(membership::tenant_data_server::TenantDataServer::new(self.clone())),
        )
    }

    fn token(&self) -> Transport {
        transport(
            Routes::new(token::tenants_server::TenantsServer::new(self.clone()))
                .add_service(token::credentials_server::CredentialsServer::new(self.clone()))
                .add_service(token::clients_server::ClientsServer::new(self.clone()))
                .add_service(token::o_auth_server::OAuthServer::new(self.clone()))
                .add_service(token::keys_server::KeysServer::new(self.clone()))
                .add_service(token::admins_server::AdminsServer::new(self.clone())),
        )
    }

    /// Records the call, then fails if it is to fail.
    fn take<T: std::fmt::Debug>(&self, rpc: &'static str, request: Request<T>) -> Result<T, Status> {
        let call =
            Call { rpc, metadata: request.metadata().clone(), message: format!("{:?}", request.get_ref()) };
        self.0.calls.lock().unwrap().push(call);
        match self.0.failing.lock().unwrap().get(rpc) {
            Some(kind) => Err(platform::Error::new(*kind, format!("{rpc} says no")).into()),
            None => Ok(request.into_inner()),
        }
    }

    fn user(&self) -> Option<Resource> {
        Some(self.0.user.lock().unwrap().clone())
    }

    fn group(&self) -> Option<Resource> {
        Some(self.0.group.lock().unwrap().clone())
    }

    fn warnings(&self) -> Vec<Warning> {
        self.0.warnings.lock().unwrap().clone()
    }

    /// The members, made one piece at a time, when somebody asks.
    fn chunks(&self) -> BoxStream<'static, Result<membership::MemberChunk, Status>> {
        let (total, size) = *self.0.members.lock().unwrap();
        let break_after = *self.0.break_after.lock().unwrap();
        let world = self.0.clone();
        stream::iter((0..total).step_by(size).enumerate())
            .map(move |(index, first)| {
                if break_after == Some(index) {
                    return Err(Status::unavailable("gone"));
                }
                world.chunks_pulled.fetch_add(1, Ordering::SeqCst);
                let members = (first..total.min(first + size)).map(member).collect();
                Ok(membership::MemberChunk { members })
            })
            .boxed()
    }
}

pub fn member_id(index: usize) -> String {
    format!("01990000-0000-7000-9000-{index:012}")
}

fn member(index: usize) -> membership::Member {
    let r#type = match index % 3 {
        0 => membership::MemberType::User,
        1 => membership::MemberType::Group,
        _ => membership::MemberType::Unspecified,
    };
    membership::Member { id: member_id(index), r#type: r#type.into(), display: format!("Member \"{index}\"") }
}

pub fn user_group(id: &str, direct: bool) -> membership::UserGroup {
    membership::UserGroup { id: id.into(), display: "Sales".into(), direct }
}

fn change(version: i64, deleted: bool) -> Option<identity::UserChange> {
    let user_id = USER.to_owned();
    Some(identity::UserChange { user_id, version, deleted, ..identity::UserChange::default() })
}

fn transport(routes: Routes) -> Transport {
    let routes = routes.add_service(tonic_health::server::health_reporter().1);
    let service = ServiceExt::<http::Request<tonic::body::Body>>::map_err(routes, |never| match never {});
    in_process(BoxCloneSyncService::new(service))
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl identity::users_server::Users for Fake {
    async fn create_user(
        &self,
        request: Request<identity::CreateUserRequest>,
    ) -> Reply<identity::CreateUserResponse> {
        self.take("CreateUser", request)?;
        let (resource, warnings) = (self.user(), self.warnings());
        let revision = "i.42".into();
        Ok(Response::new(identity::CreateUserResponse {
            resource,
            revision,
            warnings,
            change: change(1, false),
        }))
    }

    async fn get_user(&self, request: Request<identity::GetUserRequest>) -> Reply<identity::GetUserResponse> {
        let request = self.take("GetUser", request)?;
        assert!(!self.0.panicking.load(Ordering::SeqCst), "password=hunter2");
        if request.id != USER {
            return Err(platform::Error::not_found("no user has this id").into());
        }
        Ok(Response::new(identity::GetUserResponse { resource: self.user() }))
    }

    async fn list_users(
        &self,
        request: Request<identity::ListUsersRequest>,
    ) -> Reply<identity::ListUsersResponse> {
        let request = self.take("ListUsers", request)?;
        *self.0.list_filter.lock().unwrap() = request.filter.clone();
        let resources: Vec<Resource> =
            if request.filter.contains("nobody") { Vec::new() } else { self.user().into_iter().collect() };
        let total_results = i64::try_from(resources.len()).unwrap() * 7;
        let next_cursor =
            if request.page.unwrap().cursor.is_some() { "next".to_owned() } else { String::new() };
        Ok(Response::new(identity::ListUsersResponse { resources, total_results, next_cursor }))
    }

    async fn replace_user(
        &self,
        request: Request<identity::ReplaceUserRequest>,
    ) -> Reply<identity::ReplaceUserResponse> {
        self.take("ReplaceUser", request)?;
        let (resource, warnings) = (self.user(), self.warnings());
        let revision = "i.43".into();
        Ok(Response::new(identity::ReplaceUserResponse {
            resource,
            revision,
            warnings,
            change: change(2, false),
        }))
    }

    async fn patch_user(
        &self,
        request: Request<identity::PatchUserRequest>,
    ) -> Reply<identity::PatchUserResponse> {
        self.take("PatchUser", request)?;
        let (resource, warnings) = (self.user(), self.warnings());
        // Nothing changed, so there is no change to apply.
        Ok(Response::new(identity::PatchUserResponse {
            resource,
            revision: "i.43".into(),
            warnings,
            change: None,
        }))
    }

    async fn delete_user(
        &self,
        request: Request<identity::DeleteUserRequest>,
    ) -> Reply<identity::DeleteUserResponse> {
        self.take("DeleteUser", request)?;
        Ok(Response::new(identity::DeleteUserResponse { revision: "i.44".into(), change: change(4, true) }))
    }
}

#[tonic::async_trait]
impl identity::schemas_server::Schemas for Fake {
    async fn list_extensions(
        &self,
        request: Request<identity::ListExtensionsRequest>,
    ) -> Result<Response<identity::ListExtensionsResponse>, Status> {
        self.take("ListExtensions", request)?;
        let extensions = self.0.extensions.lock().unwrap().clone();
        Ok(Response::new(identity::ListExtensionsResponse { extensions }))
    }

    async fn get_extension(
        &self,
        request: Request<identity::GetExtensionRequest>,
    ) -> Result<Response<identity::GetExtensionResponse>, Status> {
        self.take("GetExtension", request)?;
        let extension = self.0.extensions.lock().unwrap().first().cloned();
        Ok(Response::new(identity::GetExtensionResponse { extension }))
    }

    async fn put_extension(
        &self,
        request: Request<identity::PutExtensionRequest>,
    ) -> Result<Response<identity::PutExtensionResponse>, Status> {
        let identity::PutExtensionRequest { document, required, .. } = self.take("PutExtension", request)?;
        let extension = identity::Extension { document, required, version: 1, ..Default::default() };
        *self.0.extensions.lock().unwrap() = vec![extension.clone()];
        let (extension, revision) = (Some(extension), "1".into());
        Ok(Response::new(identity::PutExtensionResponse { extension, revision }))
    }

    async fn delete_extension(
        &self,
        request: Request<identity::DeleteExtensionRequest>,
    ) -> Result<Response<identity::DeleteExtensionResponse>, Status> {
        self.take("DeleteExtension", request)?;
        self.0.extensions.lock().unwrap().clear();
        Ok(Response::new(identity::DeleteExtensionResponse { revision: "2".into() }))
    }
}

#[tonic::async_trait]
impl identity::tenant_data_server::TenantData for Fake {
    async fn purge_tenant(
        &self,
        request: Request<identity::PurgeTenantRequest>,
    ) -> Reply<identity::PurgeTenantResponse> {
        self.take("identity.PurgeTenant", request)?;
        Ok(Response::new(identity::PurgeTenantResponse {}))
    }
}

#[tonic::async_trait]
impl membership::groups_server::Groups for Fake {
    type GetGroupStream = BoxStream<'static, Result<membership::GetGroupResponse, Status>>;
    type ListGroupsStream = BoxStream<'static, Result<membership::ListGroupsResponse, Status>>;

    async fn create_group(
        &self,
        request: Request<membership::CreateGroupRequest>,
    ) -> Reply<membership::CreateGroupResponse> {
        self.take("CreateGroup", request)?;
        let (resource, warnings) = (self.group(), self.warnings());
        Ok(Response::new(membership::CreateGroupResponse { resource, revision: "m.7".into(), warnings }))
    }

    async fn get_group(&self, request: Request<membership::GetGroupRequest>) -> Reply<Self::GetGroupStream> {
        use membership::get_group_response::Part;
        let request = self.take("GetGroup", request)?;
        let group = self.group().map(Part::Group);
        let head = stream::iter([Ok(membership::GetGroupResponse { part: group })]);
        let members =
            self.chunks().map(|chunk| Ok(membership::GetGroupResponse { part: Some(Part::Members(chunk?)) }));
        Ok(Response::new(if request.with_members { head.chain(members).boxed() } else { head.boxed() }))
    }

    async fn list_groups(
        &self,
        request: Request<membership::ListGroupsRequest>,
    ) -> Reply<Self::ListGroupsStream> {
        use membership::list_groups_response::Part;
        let request = self.take("ListGroups", request)?;
        let part = |part| Ok(membership::ListGroupsResponse { part: Some(part) });
        let head = membership::ListHead {
            total_results: 5,
            items: *self.0.announced.lock().unwrap(),
            next_cursor: String::new(),
        };
        let group = || part(Part::Group(self.group().unwrap()));
        if !request.with_members {
            return Ok(Response::new(stream::iter([part(Part::Head(head)), group(), group()]).boxed()));
        }
        let members = || self.chunks().map(move |chunk| part(Part::Members(chunk?)));
        let pieces = stream::iter([part(Part::Head(head)), group()]).chain(members());
        Ok(Response::new(pieces.chain(stream::iter([group()])).chain(members()).boxed()))
    }

    async fn replace_group(
        &self,
        request: Request<membership::ReplaceGroupRequest>,
    ) -> Reply<membership::ReplaceGroupResponse> {
        self.take("ReplaceGroup", request)?;
        let (resource, warnings) = (self.group(), self.warnings());
        Ok(Response::new(membership::ReplaceGroupResponse { resource, revision: "m.8".into(), warnings }))
    }

    async fn patch_group(
        &self,
        request: Request<membership::PatchGroupRequest>,
    ) -> Reply<membership::PatchGroupResponse> {
        self.take("PatchGroup", request)?;
        let (resource, warnings) = (self.group(), self.warnings());
        Ok(Response::new(membership::PatchGroupResponse { resource, revision: "m.9".into(), warnings }))
    }

    async fn delete_group(
        &self,
        request: Request<membership::DeleteGroupRequest>,
    ) -> Reply<membership::DeleteGroupResponse> {
        self.take("DeleteGroup", request)?;
        Ok(Response::new(membership::DeleteGroupResponse { revision: "m.10".into() }))
    }

    async fn list_groups_of_users(
        &self,
        request: Request<membership::ListGroupsOfUsersRequest>,
    ) -> Reply<membership::ListGroupsOfUsersResponse> {
        let request = self.take("ListGroupsOfUsers", request)?;
        let groups = self.0.groups_of_users.lock().unwrap().clone();
        let users = request
            .user_ids
            .into_iter()
            .map(|user_id| membership::GroupsOfUser { user_id, groups: groups.clone() });
        Ok(Response::new(membership::ListGroupsOfUsersResponse { users: users.collect() }))
    }

    /// The one user there is is in every group.
    async fn list_user_ids_of_groups(
        &self,
        request: Request<membership::ListUserIdsOfGroupsRequest>,
    ) -> Reply<membership::ListUserIdsOfGroupsResponse> {
        let request = self.take("ListUserIdsOfGroups", request)?;
        let groups = request
            .group_ids
            .into_iter()
            .map(|group_id| membership::UserIdsOfGroup { group_id, user_ids: vec![USER.to_owned()] });
        Ok(Response::new(membership::ListUserIdsOfGroupsResponse { groups: groups.collect() }))
    }
}

#[tonic::async_trait]
impl membership::projection_server::Projection for Fake {
    async fn apply_user_change(
        &self,
        request: Request<membership::ApplyUserChangeRequest>,
    ) -> Reply<membership::ApplyUserChangeResponse> {
        self.take("ApplyUserChange", request)?;
        Ok(Response::new(membership::ApplyUserChangeResponse { revision: "m.11".into() }))
    }
}

#[tonic::async_trait]
impl membership::tenant_data_server::TenantData for Fake {
    async fn purge_tenant(
        &self,
        request: Request<membership::PurgeTenantRequest>,
    ) -> Reply<membership::PurgeTenantResponse> {
        self.take("membership.PurgeTenant", request)?;
        Ok(Response::new(membership::PurgeTenantResponse {}))
    }
}

#[tonic::async_trait]
impl token::credentials_server::Credentials for Fake {
    async fn resolve(&self, request: Request<token::ResolveRequest>) -> Reply<token::ResolveResponse> {
        let gate = self.0.gate.lock().unwrap().clone();
        let request = self.take("Resolve", request)?;
        let session = self.0.sessions.lock().unwrap().get(&request.secret).cloned();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        let refused = || platform::Error::unauthenticated("no credential has this secret");
        let mut session = session.ok_or_else(refused)?;
        session.access_token_expires_at_us = self.0.clock.now().plus(Duration::from_secs(300)).micros();
        Ok(Response::new(session))
    }

    async fn create_credential(
        &self,
        request: Request<token::CreateCredentialRequest>,
    ) -> Reply<token::CreateCredentialResponse> {
        let request = self.take("CreateCredential", request)?;
        let credential = token::Credential {
            id: CREDENTIAL.into(),
            tenant_id: request.tenant_id,
            label: request.label,
            created_at_us: 1_600_000_000_000_000,
            expires_at_us: request.expires_at_us,
            last_used_at_us: 0,
            revoked_at_us: 0,
        };
        let secret = "rcs_new".into();
        Ok(Response::new(token::CreateCredentialResponse { credential: Some(credential), secret }))
    }

    async fn list_credentials(
        &self,
        request: Request<token::ListCredentialsRequest>,
    ) -> Reply<token::ListCredentialsResponse> {
        self.take("ListCredentials", request)?;
        let credential = token::Credential { id: CREDENTIAL.into(), ..token::Credential::default() };
        Ok(Response::new(token::ListCredentialsResponse { credentials: vec![credential] }))
    }

    async fn revoke_credential(
        &self,
        request: Request<token::RevokeCredentialRequest>,
    ) -> Reply<token::RevokeCredentialResponse> {
        self.take("RevokeCredential", request)?;
        Ok(Response::new(token::RevokeCredentialResponse { credential: None }))
    }
}

impl Fake {
    fn tenant(&self) -> Option<token::Tenant> {
        self.0.sessions.lock().unwrap()[SECRET].tenant.clone()
    }
}

#[tonic::async_trait]
impl token::tenants_server::Tenants for Fake {
    async fn create_tenant(
        &self,
        request: Request<token::CreateTenantRequest>,
    ) -> Reply<token::CreateTenantResponse> {
        let request = self.take("CreateTenant", request)?;
        let mut tenant = self.tenant();
        if let Some(tenant) = &mut tenant {
            tenant.name = request.name;
            if request.preset == "ziflow" {
                tenant.scim_path = "/v1/scim/v2".into();
            }
        }
        let secret = "rcs_first".into();
        Ok(Response::new(token::CreateTenantResponse {
            tenant,
            secret,
            credential: None,
            role_and_teams: String::new(),
        }))
    }

    async fn get_tenant(&self, request: Request<token::GetTenantRequest>) -> Reply<token::GetTenantResponse> {
        let request = self.take("GetTenant", request)?;
        if let Some(token::get_tenant_request::Tenant::Name(name)) = request.tenant
            && name != "contoso"
        {
            return Err(platform::Error::not_found("no tenant has this name").into());
        }
        Ok(Response::new(token::GetTenantResponse { tenant: self.tenant() }))
    }

    async fn list_tenants(
        &self,
        request: Request<token::ListTenantsRequest>,
    ) -> Reply<token::ListTenantsResponse> {
        self.take("ListTenants", request)?;
        let tenants = self.tenant().into_iter().collect();
        Ok(Response::new(token::ListTenantsResponse { tenants, next_page_token: "more".into() }))
    }

    /// Changes the state and `groups` of the one tenant there is.
    async fn update_tenant(
        &self,
        request: Request<token::UpdateTenantRequest>,
    ) -> Reply<token::UpdateTenantResponse> {
        let request = self.take("UpdateTenant", request)?;
        let mut sessions = self.0.sessions.lock().unwrap();
        let tenant = sessions.get_mut(SECRET).unwrap().tenant.as_mut().unwrap();
        if request.state() != token::TenantState::Unspecified {
            tenant.state = request.state;
        }
        if let (Some(settings), Some(change)) = (&mut tenant.settings, request.settings) {
            settings.groups = change.groups.unwrap_or(settings.groups);
        }
        tenant.version += 1;
        Ok(Response::new(token::UpdateTenantResponse { tenant: Some(tenant.clone()) }))
    }

    /// The first one stays.
    async fn pin_dialect(
        &self,
        request: Request<token::PinDialectRequest>,
    ) -> Reply<token::PinDialectResponse> {
        let request = self.take("PinDialect", request)?;
        let mut sessions = self.0.sessions.lock().unwrap();
        let tenant = sessions.get_mut(SECRET).unwrap().tenant.as_mut().unwrap();
        if tenant.recognised.is_none() {
            tenant.dialect = request.dialect;
            tenant.recognised =
                Some(token::Recognition { dialect: request.dialect, sign: request.sign, at_us: 1 });
        }
        Ok(Response::new(token::PinDialectResponse { tenant: Some(tenant.clone()) }))
    }

    async fn delete_tenant(
        &self,
        request: Request<token::DeleteTenantRequest>,
    ) -> Reply<token::DeleteTenantResponse> {
        self.take("DeleteTenant", request)?;
        Ok(Response::new(token::DeleteTenantResponse { tenant: self.tenant() }))
    }

    async fn purge_tenant(
        &self,
        request: Request<token::PurgeTenantRequest>,
    ) -> Reply<token::PurgeTenantResponse> {
        self.take("token.PurgeTenant", request)?;
        Ok(Response::new(token::PurgeTenantResponse {}))
    }
}

#[tonic::async_trait]
impl token::clients_server::Clients for Fake {
    async fn create_client(
        &self,
        request: Request<token::CreateClientRequest>,
    ) -> Reply<token::CreateClientResponse> {
        let token::CreateClientRequest { name, tenant_id, scopes } = self.take("CreateClient", request)?;
        let client = token::Client { id: "c-1".into(), name, tenant_id, scopes, created_at_us: 0 };
        Ok(Response::new(token::CreateClientResponse { client: Some(client), client_secret: "shh".into() }))
    }

    async fn list_clients(
        &self,
        request: Request<token::ListClientsRequest>,
    ) -> Reply<token::ListClientsResponse> {
        self.take("ListClients", request)?;
        Ok(Response::new(token::ListClientsResponse { clients: Vec::new(), next_page_token: String::new() }))
    }

    async fn delete_client(
        &self,
        request: Request<token::DeleteClientRequest>,
    ) -> Reply<token::DeleteClientResponse> {
        self.take("DeleteClient", request)?;
        Ok(Response::new(token::DeleteClientResponse {}))
    }
}

#[tonic::async_trait]
impl token::o_auth_server::OAuth for Fake {
    async fn issue_token(
        &self,
        request: Request<token::IssueTokenRequest>,
    ) -> Reply<token::IssueTokenResponse> {
        use tonic_types::{ErrorDetails, StatusExt};
        let request = self.take("IssueToken", request)?;
        if request.client_secret != "s&cret:+" {
            return Err(platform::Error::unauthenticated("no client has this id and secret").into());
        }
        if request.scope == "everything" {
            let metadata = BTreeMap::from([("oauth_error".to_owned(), "invalid_scope".to_owned())]);
            let details = ErrorDetails::with_error_info(
                "InvalidValue",
                "rollcall",
                metadata.into_iter().collect::<HashMap<_, _>>(),
            );
            return Err(Status::with_error_details(
                tonic::Code::InvalidArgument,
                "no such scope: everything",
                details,
            ));
        }
        let (access_token, scope) = ("jwt".into(), "memberships:read".into());
        Ok(Response::new(token::IssueTokenResponse { access_token, expires_in_s: 300, scope }))
    }
}

#[tonic::async_trait]
impl token::keys_server::Keys for Fake {
    async fn list_keys(&self, request: Request<token::ListKeysRequest>) -> Reply<token::ListKeysResponse> {
        self.take("ListKeys", request)?;
        Ok(Response::new(token::ListKeysResponse { jwks: r#"{"keys":[]}"#.into() }))
    }
    async fn rotate_signing_key(
        &self,
        request: Request<token::RotateSigningKeyRequest>,
    ) -> Reply<token::RotateSigningKeyResponse> {
        self.take("RotateSigningKey", request)?;
        let signs_from_us = 1_700_000_600_000_000;
        Ok(Response::new(token::RotateSigningKeyResponse { signs_from_us }))
    }
}

#[tonic::async_trait]
impl token::admins_server::Admins for Fake {
    async fn create_admin(
        &self,
        request: Request<token::CreateAdminRequest>,
    ) -> Reply<token::CreateAdminResponse> {
        let label = self.take("CreateAdmin", request)?.label;
        let admin = token::Admin { id: CREDENTIAL.into(), label, ..token::Admin::default() };
        Ok(Response::new(token::CreateAdminResponse { admin: Some(admin), secret: "rca_new".into() }))
    }

    async fn list_admins(
        &self,
        request: Request<token::ListAdminsRequest>,
    ) -> Reply<token::ListAdminsResponse> {
        self.take("ListAdmins", request)?;
        let admin = token::Admin { id: CREDENTIAL.into(), ..token::Admin::default() };
        Ok(Response::new(token::ListAdminsResponse { admins: vec![admin] }))
    }

    async fn revoke_admin(
        &self,
        request: Request<token::RevokeAdminRequest>,
    ) -> Reply<token::RevokeAdminResponse> {
        self.take("RevokeAdmin", request)?;
        Ok(Response::new(token::RevokeAdminResponse { admin: None }))
    }
}
