//! A token service under test, and its clients.

use std::time::Duration;

use platform::auth::{Verifier, with_token};
use platform::cache::{Invalidation, Invalidations};
use platform::clock::{Clock, Timestamp};
use platform::db::Database;
use platform::transport::Transport;
use proto::token::v1::admins_client::AdminsClient;
use proto::token::v1::audit_client::AuditClient;
use proto::token::v1::clients_client::ClientsClient;
use proto::token::v1::credentials_client::CredentialsClient;
use proto::token::v1::idempotency_client::IdempotencyClient;
use proto::token::v1::issuers_client::IssuersClient;
use proto::token::v1::keys_client::KeysClient;
use proto::token::v1::o_auth_client::OAuthClient;
use proto::token::v1::tenants_client::TenantsClient;
use proto::token::v1::{CreateTenantRequest, CreateTenantResponse, ResolveRequest, ResolveResponse};
use sea_orm::{ConnectionTrait, Statement};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use token::{Deps, DiscoveryConfig, SecretKey, Service};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) store: token::store::Store,
    pub(crate) clock: Clock,
    pub(crate) key: SecretKey,
    pub(crate) told: tokio::sync::broadcast::Receiver<Invalidation>,
    pub(crate) admin_secret: String,
    pub(crate) transport: Transport,
    pub(crate) verifier: Verifier,
}

impl World {
    pub(crate) async fn start(database: Database) -> World {
        let clock = Clock::manual(Timestamp::from_micros(1_790_000_000_000_000));
        let key = SecretKey::generate().unwrap();
        let invalidations = Invalidations::default();
        let told = invalidations.subscribe();
        let deps = Deps {
            database: database.clone(),
            clock: clock.clone(),
            key: key.clone(),
            invalidations,
            discovery: DiscoveryConfig { allow_inside: true },
        };
        let service = Service::new(deps).await.unwrap();
        let admin = service.bootstrap_admin(None, |_| Ok(())).await.unwrap().unwrap();
        let verifier = Verifier::new(service.key_source(), clock.clone());
        let served = platform::server::stack(service.routes(), verifier.clone());
        World {
            service,
            store: token::store::Store::new(database),
            clock,
            key,
            told,
            admin_secret: admin.expose_secret().to_owned(),
            transport: platform::transport::in_process(served),
            verifier,
        }
    }

    pub(crate) fn tenants(&self) -> TenantsClient<Transport> {
        TenantsClient::new(self.transport.clone())
    }

    pub(crate) fn credentials(&self) -> CredentialsClient<Transport> {
        CredentialsClient::new(self.transport.clone())
    }

    pub(crate) fn clients(&self) -> ClientsClient<Transport> {
        ClientsClient::new(self.transport.clone())
    }

    pub(crate) fn oauth(&self) -> OAuthClient<Transport> {
        OAuthClient::new(self.transport.clone())
    }

    pub(crate) fn issuers(&self) -> IssuersClient<Transport> {
        IssuersClient::new(self.transport.clone())
    }

    pub(crate) fn admins(&self) -> AdminsClient<Transport> {
        AdminsClient::new(self.transport.clone())
    }

    pub(crate) fn audit(&self) -> AuditClient<Transport> {
        AuditClient::new(self.transport.clone())
    }

    pub(crate) fn idempotency(&self) -> IdempotencyClient<Transport> {
        IdempotencyClient::new(self.transport.clone())
    }

    pub(crate) fn keys(&self) -> KeysClient<Transport> {
        KeysClient::new(self.transport.clone())
    }

    pub(crate) async fn resolve(&self, secret: &str) -> Result<ResolveResponse, Status> {
        let request = ResolveRequest { secret: secret.to_owned() };
        Ok(self.credentials().resolve(request).await?.into_inner())
    }

    /// A request with an administrator's access token.
    pub(crate) async fn as_admin<T>(&self, message: T) -> Request<T> {
        let token = self.resolve(&self.admin_secret).await.unwrap().access_token;
        with_token(message, &token).unwrap()
    }

    pub(crate) async fn create_tenant(&self, name: &str) -> Result<CreateTenantResponse, Status> {
        let request = CreateTenantRequest { name: name.to_owned(), preset: String::new() };
        Ok(self.tenants().create_tenant(self.as_admin(request).await).await?.into_inner())
    }

    /// A tenant of this preset.
    pub(crate) async fn tenant_of(&self, preset: &str) -> CreateTenantResponse {
        let request = CreateTenantRequest { name: preset.to_owned(), preset: preset.to_owned() };
        self.tenants().create_tenant(self.as_admin(request).await).await.unwrap().into_inner()
    }

    /// A tenant's id and its first secret.
    pub(crate) async fn tenant(&self, name: &str) -> (String, String) {
        let created = self.create_tenant(name).await.unwrap();
        (created.tenant.unwrap().id, created.secret)
    }

    /// What gateways were told since the last time.
    pub(crate) fn told(&mut self) -> Vec<Invalidation> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }
}

/// Asserts the code and the reason of ErrorInfo.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    reason: &str,
) -> Status {
    let status = answer.expect_err("it should have been refused");
    assert_eq!(status.code(), code, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, reason);
    status
}

/// The claims with this one otherwise, or without it (`null`).
pub(crate) fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

/// A line of the change log: tenant, kind, payload.
pub(crate) type Line = (String, String, Value);

/// The change log as it rests. (`changelog::read_after` holds lines back while any transaction of the server is open, and
/// the server is shared with the tests beside.)
pub(crate) async fn change_log(db: &Database) -> Vec<Line> {
    let sql = "SELECT tenant_id, kind, payload FROM change_log ORDER BY seq";
    let rows = db.read().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
    let line = |row: &sea_orm::QueryResult| {
        let tenant: uuid::Uuid = row.try_get("", "tenant_id").unwrap();
        (tenant.to_string(), row.try_get("", "kind").unwrap(), row.try_get("", "payload").unwrap())
    };
    rows.iter().map(line).collect()
}
