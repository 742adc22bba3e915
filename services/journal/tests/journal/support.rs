//! A journal in this process, and callers with tokens, as the gateway is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use journal::Service;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use platform::Result;
use platform::auth::{ACCESS_TOKEN_TTL_S, AUDIENCE, Claims, ISSUER, KeySource, Verifier, with_token};
use platform::clock::{Clock, Timestamp};
use platform::db::Database;
use platform::ids::{TenantId, new_uuid};
use platform::transport::{Transport, in_process};
use proto::journal::v1::provisioning_log_client::ProvisioningLogClient;
use proto::journal::v1::tenant_data_client::TenantDataClient;
use proto::journal::v1::{
    AppendExchangesRequest, Exchange, ListExchangesRequest, ListExchangesResponse, Outcome,
    PurgeTenantRequest,
};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;

/// The key pair of RFC 8032, section 7.1, test 1.
const SECRET: &str =
    "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

struct Keys;

impl KeySource for Keys {
    fn fetch(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<JwkSet>> + Send + '_>> {
        let x = URL_SAFE_NO_PAD.encode(bytes(PUBLIC));
        let key =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "test", "alg": "EdDSA", "use": "sig" });
        let set = serde_json::from_value(json!({ "keys": [key] })).unwrap();
        Box::pin(async move { Ok(set) })
    }
}

/// An access token as the token service would issue it.
pub fn token(tenant: &str, scope: &str) -> String {
    let now = Clock::system().now().seconds();
    let claims = Claims {
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: "test".into(),
        tenant: tenant.into(),
        scope: scope.into(),
        iat: now,
        exp: now + ACCESS_TOKEN_TTL_S,
        jti: "test".into(),
    };
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some("test".into());
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&bytes(SECRET))).unwrap()
}

/// The service, its clients, one tenant, and a time that stands still.
#[derive(Clone)]
pub struct App {
    pub service: Service,
    pub transport: Transport,
    pub tenant: TenantId,
    pub clock: Clock,
    /// Of the platform, for everything.
    pub token: String,
}

/// Microseconds of a day.
pub const DAY: i64 = 24 * 3600 * 1_000_000;
/// When the tests begin.
pub const START: i64 = 1_790_000_000_000_000;

pub fn app(db: Database) -> App {
    let clock = Clock::manual(Timestamp::from_micros(START));
    let service = Service::new(db, clock.clone());
    let verifier = Verifier::new(Keys, Clock::system());
    let transport = in_process(platform::server::stack(service.routes(), verifier));
    let token = token("*", "internal admin");
    App { service, transport, tenant: TenantId::new(&Clock::system()), clock, token }
}

impl App {
    /// Another tenant of the same service.
    pub fn other_tenant(&self) -> Self {
        Self { tenant: TenantId::new(&Clock::system()), ..self.clone() }
    }

    /// An exchange that changed something, now; kept for 30 days.
    pub fn exchange(&self) -> Exchange {
        let at_us = self.clock.now().micros();
        Exchange {
            id: new_uuid(&self.clock).to_string(),
            tenant_id: self.tenant.to_string(),
            at_us,
            request_id: "r-1".into(),
            action: "user.patch".into(),
            method: "PATCH".into(),
            target: "/Users/1".into(),
            status: 200,
            outcome: Outcome::Changed.into(),
            expires_at_us: at_us + 30 * DAY,
            ..Exchange::default()
        }
    }

    /// About this user.
    pub fn about(&self, id: &str, name: &str) -> Exchange {
        Exchange {
            resource_type: "User".into(),
            resource_id: id.into(),
            resource_name: name.into(),
            ..self.exchange()
        }
    }

    pub async fn append(&self, exchanges: Vec<Exchange>) -> Result<()> {
        let request = with_token(AppendExchangesRequest { exchanges }, &self.token)?;
        ProvisioningLogClient::new(self.transport.clone())
            .max_encoding_message_size(usize::MAX)
            .append_exchanges(request)
            .await?;
        Ok(())
    }

    /// A question about this tenant, to be narrowed.
    pub fn question(&self) -> ListExchangesRequest {
        ListExchangesRequest { tenant_id: self.tenant.to_string(), ..ListExchangesRequest::default() }
    }

    pub async fn page(&self, question: ListExchangesRequest) -> Result<ListExchangesResponse> {
        let request = with_token(question, &self.token)?;
        Ok(ProvisioningLogClient::new(self.transport.clone()).list_exchanges(request).await?.into_inner())
    }

    /// All that is found, page by page.
    pub async fn find(&self, mut question: ListExchangesRequest) -> Vec<Exchange> {
        let mut found = Vec::new();
        loop {
            let page = self.page(question.clone()).await.unwrap();
            found.extend(page.exchanges);
            if page.next_page_token.is_empty() {
                return found;
            }
            question.page_token = page.next_page_token;
        }
    }

    /// What is found about this user.
    pub async fn about_user(&self, user: &str) -> Vec<Exchange> {
        self.find(ListExchangesRequest { users: vec![user.into()], ..self.question() }).await
    }

    pub async fn purge(&self) -> Result<()> {
        let request = with_token(PurgeTenantRequest { tenant_id: self.tenant.to_string() }, &self.token)?;
        TenantDataClient::new(self.transport.clone()).purge_tenant(request).await?;
        Ok(())
    }
}

/// Rows of a tenant: exchanges, subjects, names.
pub async fn rows(db: &Database, tenant: TenantId) -> [i64; 3] {
    let mut counts = [0; 3];
    for (count, table) in counts.iter_mut().zip(["exchanges", "exchange_subjects", "subject_names"]) {
        let sql = format!("SELECT COUNT(*) AS rows FROM {table} WHERE tenant_id = $1");
        let statement = Statement::from_sql_and_values(db.backend(), sql, [tenant.uuid().into()]);
        *count = db.read().query_one_raw(statement).await.unwrap().unwrap().try_get("", "rows").unwrap();
    }
    counts
}

pub fn ids(exchanges: &[Exchange]) -> Vec<&str> {
    exchanges.iter().map(|exchange| exchange.id.as_str()).collect()
}
