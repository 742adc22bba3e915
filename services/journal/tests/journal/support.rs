//! A journal in this process, and callers with tokens, as the gateway is.

use journal::Service;
use platform::Result;
use platform::auth::with_token;
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
pub use testkit::tokens::access_token as token;
use testkit::tokens::verifier;

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
    let transport = in_process(platform::server::stack(service.routes(), verifier()));
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
