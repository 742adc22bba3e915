//! The gRPC clients of the gateway.

use platform::transport::{MAX_MESSAGE_BYTES, Transport};
use proto::identity::v1::roles_client::RolesClient;
use proto::identity::v1::schemas_client::SchemasClient;
use proto::identity::v1::suspended_users_client::SuspendedUsersClient;
use proto::identity::v1::teams_client::TeamsClient;
use proto::identity::v1::users_client::UsersClient;
use proto::journal::v1::provisioning_log_client::ProvisioningLogClient;
use proto::membership::v1::groups_client::GroupsClient;
use proto::membership::v1::maintenance_client::MaintenanceClient;
use proto::membership::v1::projection_client::ProjectionClient;
use proto::token::v1::admins_client::AdminsClient;
use proto::token::v1::clients_client::ClientsClient;
use proto::token::v1::credentials_client::CredentialsClient;
use proto::token::v1::idempotency_client::IdempotencyClient;
use proto::token::v1::issuers_client::IssuersClient;
use proto::token::v1::keys_client::KeysClient;
use proto::token::v1::o_auth_client::OAuthClient;
use proto::token::v1::tenants_client::TenantsClient;
use proto::{identity, journal, membership, token};
use tonic_health::pb::health_client::HealthClient;

/// One client of each service the gateway calls. Cheap to clone.
#[derive(Clone)]
pub struct Clients {
    /// Provisioning of users.
    pub users: UsersClient<Transport>,
    /// Extension schemas.
    pub schemas: SchemasClient<Transport>,
    /// The registry of teams.
    pub teams: TeamsClient<Transport>,
    /// Role and teams.
    pub roles: RolesClient<Transport>,
    /// Users that were deleted and are kept for a while.
    pub suspended: SuspendedUsersClient<Transport>,
    /// Who changed what of schemas, teams and users.
    pub identity_audit: identity::v1::audit_client::AuditClient<Transport>,
    /// Purging and exporting users.
    pub identity_data: identity::v1::tenant_data_client::TenantDataClient<Transport>,
    /// Provisioning of groups.
    pub groups: GroupsClient<Transport>,
    /// Membership's copy of the users.
    pub projection: ProjectionClient<Transport>,
    /// Purging and exporting groups.
    pub membership_data: membership::v1::tenant_data_client::TenantDataClient<Transport>,
    /// Comparing what membership keeps.
    pub maintenance: MaintenanceClient<Transport>,
    /// Tenants.
    pub tenants: TenantsClient<Transport>,
    /// Bearer secrets.
    pub credentials: CredentialsClient<Transport>,
    /// Admin secrets.
    pub admins: AdminsClient<Transport>,
    /// OAuth clients.
    pub clients: ClientsClient<Transport>,
    /// Trusted issuers.
    pub issuers: IssuersClient<Transport>,
    /// Idempotency keys.
    pub idempotency: IdempotencyClient<Transport>,
    /// Who changed what of tenants and credentials.
    pub token_audit: token::v1::audit_client::AuditClient<Transport>,
    /// Token endpoint.
    pub oauth: OAuthClient<Transport>,
    /// Public keys.
    pub keys: KeysClient<Transport>,
    /// The provisioning log.
    pub log: ProvisioningLogClient<Transport>,
    /// Purging the provisioning log.
    pub log_data: journal::v1::tenant_data_client::TenantDataClient<Transport>,
    /// Health of each service, with the name it goes by. Not of the journal: requests are answered without it.
    pub health: [(&'static str, HealthClient<Transport>); 3],
}

impl Clients {
    /// Clients of the four services on these transports.
    pub fn new(identity: Transport, membership: Transport, token: Transport, journal: Transport) -> Self {
        // A page of a thousand users is larger than tonic's default of 4 MiB for one message.
        let users = UsersClient::new(identity.clone());
        let groups = GroupsClient::new(membership.clone());
        Self {
            users: users.max_decoding_message_size(MAX_MESSAGE_BYTES),
            schemas: SchemasClient::new(identity.clone()),
            teams: TeamsClient::new(identity.clone()),
            roles: RolesClient::new(identity.clone()),
            suspended: SuspendedUsersClient::new(identity.clone()),
            identity_audit: identity::v1::audit_client::AuditClient::new(identity.clone()),
            identity_data: identity::v1::tenant_data_client::TenantDataClient::new(identity.clone()),
            groups: groups.max_decoding_message_size(MAX_MESSAGE_BYTES),
            projection: ProjectionClient::new(membership.clone()),
            membership_data: membership::v1::tenant_data_client::TenantDataClient::new(membership.clone()),
            maintenance: MaintenanceClient::new(membership.clone()),
            tenants: TenantsClient::new(token.clone()),
            credentials: CredentialsClient::new(token.clone()),
            admins: AdminsClient::new(token.clone()),
            clients: ClientsClient::new(token.clone()),
            issuers: IssuersClient::new(token.clone()),
            idempotency: IdempotencyClient::new(token.clone()),
            token_audit: token::v1::audit_client::AuditClient::new(token.clone()),
            oauth: OAuthClient::new(token.clone()),
            keys: KeysClient::new(token.clone()),
            log: ProvisioningLogClient::new(journal.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES),
            log_data: journal::v1::tenant_data_client::TenantDataClient::new(journal),
            health: [
                ("identity", HealthClient::new(identity)),
                ("membership", HealthClient::new(membership)),
                ("token", HealthClient::new(token)),
            ],
        }
    }
}
