//! An identity service in this process, and callers with tokens, as the gateway and internal services are.

use identity::Service;
use platform::auth::with_token;
use platform::clock::Clock;
use platform::db::Database;
use platform::db::cursor::Cursors;
use platform::db::page::PageSize;
use platform::ids::TenantId;
use platform::transport::{MAX_MESSAGE_BYTES, Transport, in_process};
use platform::{Error, Result};
use proto::common::v1::{Context, Dialect, Page, Precondition, Resource, SortOrder};
use proto::identity::v1;
use proto::identity::v1::audit_client::AuditClient;
use proto::identity::v1::changes_client::ChangesClient;
use proto::identity::v1::directory_client::DirectoryClient;
use proto::identity::v1::suspended_users_client::SuspendedUsersClient;
use proto::identity::v1::tenant_data_client::TenantDataClient;
use proto::identity::v1::users_client::UsersClient;
use scim::ErrorKind;
use serde_json::{Value, json};
use testkit::db::Fresh;
pub use testkit::tokens::access_token as token;
use testkit::tokens::verifier;

/// The service and one tenant.
#[derive(Clone)]
pub struct App {
    pub transport: Transport,
    pub tenant: TenantId,
    pub token: String,
    pub dialect: Dialect,
}

/// Pages hold 10 and at most 50.
pub fn app(db: Database) -> App {
    App::of(serve(db, Clock::system()))
}

pub fn serve(db: Database, clock: Clock) -> Transport {
    transport(&service(db, clock))
}

pub fn service(db: Database, clock: Clock) -> Service {
    let cursors = Cursors::new(&"a key of the tests".into());
    Service::new(db, clock, cursors).with_page_size(PageSize { default: 10, max: 50 })
}

pub fn transport(service: &Service) -> Transport {
    in_process(platform::server::stack(service.routes(), verifier()))
}

/// The same tenant through two services on one database. SQLite has one process, so both are the same there.
pub async fn replicas(fresh: &Fresh) -> [App; 2] {
    let first = app(fresh.database.clone());
    let mut second = first.clone();
    if matches!(fresh.config, testkit::db::Config::Postgres { .. }) {
        let database = Database::connect(&fresh.config).await.unwrap();
        second.transport = serve(database, Clock::system());
    }
    [first, second]
}

/// What a list asks for, as a request has it.
#[derive(Clone, Default)]
pub struct Asked<'a> {
    pub filter: &'a str,
    pub sort_by: &'a str,
    pub descending: bool,
    pub page: Option<Page>,
    /// What membership answered: the group, the users in it.
    pub members: Vec<(&'a str, &'a [String])>,
}

impl App {
    pub fn of(transport: Transport) -> Self {
        let tenant = TenantId::new(&Clock::system());
        let token = token(&tenant.to_string(), "scim directory:read admin");
        Self { transport, tenant, token, dialect: Dialect::Entra }
    }

    /// Another tenant of the same service.
    pub fn other_tenant(&self) -> Self {
        Self::of(self.transport.clone())
    }

    /// The same tenant with a token of these scopes.
    pub fn with(&self, scope: &str) -> Self {
        Self { token: token(&self.tenant.to_string(), scope), ..self.clone() }
    }

    /// The platform's own token, for every tenant.
    pub fn platform(&self, scope: &str) -> Self {
        Self { token: token("*", scope), ..self.clone() }
    }

    pub fn dialect(&self, dialect: Dialect) -> Self {
        Self { dialect, ..self.clone() }
    }

    pub fn users(&self) -> UsersClient<Transport> {
        // As the gateway's.
        UsersClient::new(self.transport.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub fn directory(&self) -> DirectoryClient<Transport> {
        DirectoryClient::new(self.transport.clone())
    }

    pub fn changes(&self) -> ChangesClient<Transport> {
        ChangesClient::new(self.transport.clone())
    }

    pub fn suspended(&self) -> SuspendedUsersClient<Transport> {
        SuspendedUsersClient::new(self.transport.clone())
    }

    pub fn audit(&self) -> AuditClient<Transport> {
        AuditClient::new(self.transport.clone())
    }

    pub fn tenant_data(&self) -> TenantDataClient<Transport> {
        TenantDataClient::new(self.transport.clone())
    }

    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        with_token(message, &self.token).unwrap()
    }

    pub fn context(&self) -> Option<Context> {
        let tenant_id = self.tenant.to_string();
        Some(Context { tenant_id, dialect: self.dialect.into(), request_id: "test".into() })
    }

    pub async fn create(&self, body: Value) -> Result<v1::CreateUserResponse> {
        let message = v1::CreateUserRequest { context: self.context(), body: body.to_string().into() };
        Ok(self.users().create_user(self.request(message)).await?.into_inner())
    }

    /// A user of that name, and its id.
    pub async fn user(&self, user_name: &str) -> String {
        self.create(json!({ "userName": user_name })).await.unwrap().resource.unwrap().id
    }

    /// Its JSON is spelled as answers to writes are: PostgreSQL has another order and spaces.
    pub async fn get(&self, id: &str) -> Result<Resource> {
        let message = v1::GetUserRequest { context: self.context(), id: id.into() };
        let user = self.users().get_user(self.request(message)).await?.into_inner().resource.unwrap();
        let json: Value = serde_json::from_slice(&user.json).unwrap();
        Ok(Resource { json: json.to_string().into(), ..user })
    }

    pub async fn list(&self, asked: Asked<'_>) -> Result<v1::ListUsersResponse> {
        let order = if asked.descending { SortOrder::Descending } else { SortOrder::Ascending };
        let message = v1::ListUsersRequest {
            context: self.context(),
            filter: asked.filter.into(),
            sort_by: asked.sort_by.into(),
            sort_order: order.into(),
            page: asked.page,
            resolved_terms: asked.members.iter().map(|(group, users)| in_group(group, users)).collect(),
        };
        Ok(self.users().list_users(self.request(message)).await?.into_inner())
    }

    /// The userNames of those who match, in order of creation.
    pub async fn matching(&self, filter: &str) -> Vec<String> {
        let page = Some(Page { start_index: 1, count: Some(50), cursor: None });
        let found = self.list(Asked { filter, page, ..Asked::default() }).await.unwrap();
        assert_eq!(found.total_results, i64::try_from(found.resources.len()).unwrap(), "{filter}");
        names(&found.resources)
    }

    pub async fn replace(&self, id: &str, body: Value) -> Result<v1::ReplaceUserResponse> {
        let (context, body) = (self.context(), body.to_string().into());
        let message = v1::ReplaceUserRequest { context, id: id.into(), body, precondition: None };
        Ok(self.users().replace_user(self.request(message)).await?.into_inner())
    }

    pub async fn patch(&self, id: &str, operations: Value) -> Result<v1::PatchUserResponse> {
        self.patch_if(id, operations, None).await
    }

    pub async fn patch_if(
        &self,
        id: &str,
        operations: Value,
        precondition: Option<Precondition>,
    ) -> Result<v1::PatchUserResponse> {
        let body =
            json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        let (context, body) = (self.context(), body.to_string().into());
        let message = v1::PatchUserRequest { context, id: id.into(), body, precondition };
        Ok(self.users().patch_user(self.request(message)).await?.into_inner())
    }

    pub async fn delete(&self, id: &str) -> Result<v1::DeleteUserResponse> {
        self.delete_if(id, None).await
    }

    /// Deletes a user that is kept for so many days.
    pub async fn suspend(&self, id: &str, keep_days: i32) -> Result<v1::DeleteUserResponse> {
        let context = self.context();
        let message = v1::DeleteUserRequest { context, id: id.into(), precondition: None, keep_days };
        Ok(self.users().delete_user(self.request(message)).await?.into_inner())
    }

    pub async fn restore(&self, id: &str) -> Result<v1::RestoreUserResponse> {
        let (tenant_id, user_id) = (self.tenant.to_string(), id.into());
        let message = v1::RestoreUserRequest { tenant_id, user_id, request_id: "test".into() };
        Ok(self.suspended().restore_user(self.request(message)).await?.into_inner())
    }

    pub async fn delete_if(
        &self,
        id: &str,
        precondition: Option<Precondition>,
    ) -> Result<v1::DeleteUserResponse> {
        let context = self.context();
        let message = v1::DeleteUserRequest { context, id: id.into(), precondition, keep_days: 0 };
        Ok(self.users().delete_user(self.request(message)).await?.into_inner())
    }

    pub async fn lookup(&self, user: v1::lookup_user_request::User) -> Result<v1::User> {
        let message = v1::LookupUserRequest { tenant_id: String::new(), user: Some(user) };
        Ok(self.directory().lookup_user(self.request(message)).await?.into_inner().user.unwrap())
    }

    pub async fn purge(&self) {
        let message = v1::PurgeTenantRequest { tenant_id: self.tenant.to_string() };
        self.tenant_data().purge_tenant(self.request(message)).await.unwrap();
    }
}

fn in_group(group: &str, users: &[String]) -> v1::ResolvedTerm {
    let (attribute, value) = ("groups.value".into(), group.into());
    v1::ResolvedTerm { attribute, value, user_ids: users.to_vec() }
}

pub fn attributes(resource: &Resource) -> Value {
    serde_json::from_slice(&resource.json).unwrap()
}

pub fn names(resources: &[Resource]) -> Vec<String> {
    resources.iter().map(|resource| attributes(resource)["userName"].as_str().unwrap().to_owned()).collect()
}

pub fn versions(versions: &[i64]) -> Option<Precondition> {
    Some(Precondition { any: false, versions: versions.to_vec() })
}

/// Of which kind the refusal is.
#[track_caller]
pub fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    error(outcome).kind
}

#[track_caller]
pub fn error<T: std::fmt::Debug>(outcome: Result<T>) -> Error {
    outcome.expect_err("it should have been refused")
}
