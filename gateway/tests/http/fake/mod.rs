//! The services as fakes on in-process transports, and a gateway in front of them. What each answers stands in a file of its own.

mod identity_service;
mod journal_service;
mod membership_service;
mod token_service;

use std::collections::HashMap;
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
use platform::auth::TokenSource;
use platform::cache::Invalidations;
use platform::clock::{Clock, Timestamp};
use platform::ids::TenantId;
use platform::transport::{Transport, in_process};
use proto::common::v1::{AuditEvent, AuditQuery, Dialect, Resource, Warning};
use proto::identity::v1 as identity;
use proto::journal::v1 as journal;
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
pub const SUCCESSOR: &str = "01990000-0000-7000-8000-0000000000c2";
pub const SECRET: &str = "secret-of-contoso";
pub const ADMIN: &str = "secret-of-admin";

/// What a tenant may do that nobody has refused anything.
pub const SETTINGS: token::Settings = token::Settings {
    groups: true,
    user_create: true,
    user_update: true,
    user_delete: true,
    lock_local_changes: false,
    keep_deleted_days: 0,
    log_retention_days: 30,
    limits: Some(token::Limits { requests_per_second: 0, burst: 0, concurrent: 0 }),
};

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
    /// What was written into the provisioning log.
    pub exchanges: Mutex<Vec<journal::Exchange>>,
    /// The extension schemas of every tenant.
    pub extensions: Mutex<Vec<identity::Extension>>,
    pub list_filter: Mutex<String>,
    /// GetUser panics, which in process reaches the gateway.
    pub panicking: AtomicBool,
    /// Resolve waits for a permit when there is a gate.
    pub gate: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
    /// As do creations of tenants.
    pub creation_gate: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
    /// As do lists of users, by tenant.
    pub list_gates: Mutex<HashMap<String, Arc<tokio::sync::Semaphore>>>,
    pub idempotency_keys: Mutex<HashMap<String, TakenKey>>,
    /// The audits of token and identity, latest first.
    pub token_audit: Mutex<Vec<AuditEvent>>,
    pub identity_audit: Mutex<Vec<AuditEvent>>,
}

/// An Idempotency-Key that is taken.
pub struct TakenKey {
    pub fingerprint: Vec<u8>,
    /// Once there is one.
    pub answer: Option<Vec<u8>>,
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
    pub gateway: Gateway,
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
            exchanges: Mutex::default(),
            extensions: Mutex::default(),
            list_filter: Mutex::default(),
            panicking: AtomicBool::new(false),
            gate: Mutex::default(),
            creation_gate: Mutex::default(),
            list_gates: Mutex::default(),
            idempotency_keys: Mutex::default(),
            token_audit: Mutex::default(),
            identity_audit: Mutex::default(),
        });
        let invalidations = Invalidations::default();
        let fake = Fake(world.clone());
        let clients = Clients::new(fake.identity(), fake.membership(), fake.token(), fake.journal());
        let gateway = Gateway::new(clients, config, invalidations.clone(), clock.clone());
        let router = gateway.router();
        let fixture = Self { world, invalidations, clock, tenant, gateway, router };
        fixture.credential(SECRET, Some((tenant, dialect)), "scim");
        fixture.credential(ADMIN, None, "admin");
        fixture
    }

    /// Access tokens as the gateway writes the provisioning log with.
    pub fn own_tokens(&self) -> TokenSource {
        let token = Fake(self.world.clone()).token();
        TokenSource::client_credentials(token, "gateway", "s&cret:+".into(), self.clock.clone())
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
            settings: Some(SETTINGS),
            scim_enabled: true,
        });
        let session = token::ResolveResponse {
            tenant,
            credential_id: CREDENTIAL.into(),
            scopes: vec![scope.into()],
            access_token: format!("jwt-for-{secret}"),
            access_token_expires_at_us: self.clock.now().plus(Duration::from_secs(300)).micros(),
            credential_expires_at_us: 0,
            kind: token::CredentialKind::Secret.into(),
            label: "Entra".into(),
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
                .add_service(identity::schemas_server::SchemasServer::new(self.clone()))
                .add_service(identity::suspended_users_server::SuspendedUsersServer::new(self.clone()))
                .add_service(identity::teams_server::TeamsServer::new(self.clone()))
                .add_service(identity::roles_server::RolesServer::new(self.clone()))
                .add_service(identity::audit_server::AuditServer::new(self.clone())),
        )
    }

    fn membership(&self) -> Transport {
        transport(
            Routes::new(membership::groups_server::GroupsServer::new(self.clone()))
                .add_service(membership::projection_server::ProjectionServer::new(self.clone()))
                .add_service(membership::maintenance_server::MaintenanceServer::new(self.clone()))
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
                .add_service(token::admins_server::AdminsServer::new(self.clone()))
                .add_service(token::issuers_server::IssuersServer::new(self.clone()))
                .add_service(token::idempotency_server::IdempotencyServer::new(self.clone()))
                .add_service(token::audit_server::AuditServer::new(self.clone())),
        )
    }

    fn journal(&self) -> Transport {
        transport(
            Routes::new(journal::provisioning_log_server::ProvisioningLogServer::new(self.clone()))
                .add_service(journal::tenant_data_server::TenantDataServer::new(self.clone())),
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

/// A page of an audit, as services give it: its token counts the events before it.
fn audit_page(events: &[AuditEvent], query: Option<AuditQuery>) -> (Vec<AuditEvent>, String) {
    let query = query.unwrap();
    let wanted = |event: &&AuditEvent| {
        (query.tenant_id.is_empty() || event.tenant_id == query.tenant_id)
            && event.at_us >= query.from_us
            && (query.until_us == 0 || event.at_us < query.until_us)
    };
    let wanted: Vec<AuditEvent> = events.iter().filter(wanted).cloned().collect();
    let start: usize = if query.page_token.is_empty() { 0 } else { query.page_token.parse().unwrap() };
    let end = wanted.len().min(start + usize::try_from(query.page_size).unwrap());
    let next = if end < wanted.len() { end.to_string() } else { String::new() };
    (wanted[start..end].to_vec(), next)
}

/// Waits for a permit, if there is a gate.
async fn pass(gate: Option<Arc<tokio::sync::Semaphore>>) {
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
}

fn transport(routes: Routes) -> Transport {
    let routes = routes.add_service(tonic_health::server::health_reporter().1);
    let service = ServiceExt::<http::Request<tonic::body::Body>>::map_err(routes, |never| match never {});
    in_process(BoxCloneSyncService::new(service))
}

type Reply<T> = Result<Response<T>, Status>;
