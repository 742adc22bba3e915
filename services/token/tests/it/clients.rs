use platform::auth::{Scope, TokenSource};
use platform::cache::Invalidation;
use proto::token::v1::{
    CreateClientRequest, CreateClientResponse, CredentialKind, DeleteClientRequest, DeleteTenantRequest,
    DisableScimRequest, EnableScimRequest, IssueTokenRequest, IssueTokenResponse, ListClientsRequest,
    RotateClientSecretRequest,
};
use secrecy::{ExposeSecret, SecretString};
use token::SystemClient;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{MINUTE, World, assert_refused};

async fn create(
    world: &World,
    name: &str,
    tenant: &str,
    scopes: &[&str],
) -> Result<CreateClientResponse, Status> {
    let request = CreateClientRequest {
        name: name.to_owned(),
        tenant_id: tenant.to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..CreateClientRequest::default()
    };
    Ok(world.clients().create_client(world.as_admin(request).await).await?.into_inner())
}

async fn issue(world: &World, id: &str, secret: &str, scope: &str) -> Result<IssueTokenResponse, Status> {
    let request = IssueTokenRequest {
        client_id: id.to_owned(),
        client_secret: secret.to_owned(),
        scope: scope.to_owned(),
        ..IssueTokenRequest::default()
    };
    Ok(world.oauth().issue_token(request).await?.into_inner())
}

async fn names(world: &World) -> Vec<String> {
    let request = world.as_admin(ListClientsRequest::default()).await;
    let page = world.clients().list_clients(request).await.unwrap().into_inner();
    page.clients.into_iter().map(|client| client.name).collect()
}

/// The error of RFC 6749, section 5.2.
fn oauth_error(answer: Result<IssueTokenResponse, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    let mut info = status.get_details_error_info().unwrap();
    (status.code(), info.metadata.remove("oauth_error").unwrap())
}

testkit::store_tests! {
    service: Token;

    async fn a_client_gets_a_token_for_what_it_may(db: Database) {
        let world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        let (other, _) = world.tenant("Fabrikam").await;
        let created = create(&world, "crm", &tenant, &["memberships:read", "directory:read"]).await.unwrap();
        let (client, secret) = (created.client.unwrap(), created.client_secret);

        let all = issue(&world, &client.id, &secret, "").await.unwrap();
        assert_eq!((all.scope.as_str(), all.expires_in_s), ("memberships:read directory:read", 300));
        let some = issue(&world, &client.id, &secret, "directory:read").await.unwrap();
        assert_eq!(some.scope, "directory:read");
        let caller = world.verifier.verify(&some.access_token).await.unwrap();
        assert_eq!(caller.subject(), client.id);
        assert!(caller.authorize(Scope::DirectoryRead, &tenant).is_ok());
        assert!(caller.authorize(Scope::DirectoryRead, &other).is_err());
        assert!(caller.authorize(Scope::MembershipsRead, &tenant).is_err(), "it did not ask for that");

        let created = create(&world, "billing", "", &["memberships:read"]).await.unwrap();
        let token = issue(&world, &created.client.unwrap().id, &created.client_secret, "").await.unwrap();
        let caller = world.verifier.verify(&token.access_token).await.unwrap();
        for tenant in [&tenant, &other] {
            assert!(caller.authorize(Scope::MembershipsRead, tenant).is_ok(), "a client for all tenants");
        }
    }

    async fn refusals_are_those_of_rfc_6749(db: Database) {
        let world = World::start(db).await;
        let (tenant, provisioning) = world.tenant("Contoso").await;
        let created = create(&world, "crm", &tenant, &["memberships:read"]).await.unwrap();
        let other = create(&world, "other", "", &["memberships:read"]).await.unwrap();
        let (id, secret) = (created.client.unwrap().id, created.client_secret);
        let client = (Code::Unauthenticated, "invalid_client".to_owned());
        let scope = (Code::InvalidArgument, "invalid_scope".to_owned());
        for (wrong_id, wrong_secret) in [
            (id.as_str(), other.client_secret.as_str()),
            (&other.client.unwrap().id, &secret),
            (&id, &provisioning),
            (&id, &world.admin_secret),
            (&id, ""),
            (&id, &secret[1..]),
            ("crm", &secret),
        ] {
            assert_eq!(oauth_error(issue(&world, wrong_id, wrong_secret, "").await), client, "{wrong_id}");
        }
        for wrong in ["admin", "internal", "scim", "directory:read", "memberships:read nonsense"] {
            assert_eq!(oauth_error(issue(&world, &id, &secret, wrong).await), scope, "{wrong}");
        }
        let missing = (Code::InvalidArgument, "invalid_request".to_owned());
        assert_eq!(oauth_error(issue(&world, "", &secret, "").await), missing);

        let request = world.as_admin(DeleteTenantRequest { id: tenant }).await;
        world.tenants().delete_tenant(request).await.unwrap();
        assert_eq!(oauth_error(issue(&world, &id, &secret, "").await), client, "its tenant is going");
    }

    async fn a_client_cannot_resolve_and_is_not_given_more_than_reading(db: Database) {
        let world = World::start(db).await;
        let created = create(&world, "crm", "", &["directory:read"]).await.unwrap();
        let answer = world.resolve(&created.client_secret).await;
        assert_refused(answer, Code::Unauthenticated, "Unauthenticated");
        for wrong in [&["admin"][..], &["internal"], &["scim", "directory:read"], &["scim"], &[], &["directory:read", "nonsense"]] {
            assert_refused(create(&world, "x", "", wrong).await, Code::InvalidArgument, "InvalidValue");
        }
        assert_refused(create(&world, "CRM", "", &["directory:read"]).await, Code::AlreadyExists, "Uniqueness");
        let unknown = "0198f3c2-a1b4-7c3d-8e9f-001122334455";
        assert_refused(create(&world, "y", unknown, &["directory:read"]).await, Code::NotFound, "NotFound");
        assert_eq!(names(&world).await, ["crm"]);
    }

    async fn secrets_rotate_with_an_overlap(db: Database) {
        let world = World::start(db).await;
        let created = create(&world, "crm", "", &["directory:read"]).await.unwrap();
        let (id, first) = (created.client.unwrap().id, created.client_secret);
        let works = async |secret: &str| issue(&world, &id, secret, "").await.is_ok();
        let rotate = async |overlap_s: i64| -> Result<String, Status> {
            let request = RotateClientSecretRequest { id: id.clone(), overlap_s };
            let answer = world.clients().rotate_client_secret(world.as_admin(request).await).await?.into_inner();
            assert!(answer.client.unwrap().has_secret);
            Ok(answer.client_secret)
        };
        let second = rotate(3600).await.unwrap();
        assert!(works(&first).await && works(&second).await);
        world.clock.advance(MINUTE * 30);
        // A shorter overlap shortens the one before; a longer one does not lengthen it.
        let third = rotate(60).await.unwrap();
        let fourth = rotate(7200).await.unwrap();
        for secret in [&first, &second, &third, &fourth] {
            assert!(works(secret).await);
        }
        world.clock.advance(MINUTE);
        assert!(!works(&first).await && !works(&second).await);
        assert!(works(&third).await && works(&fourth).await);
        let last = rotate(0).await.unwrap();
        assert!(!works(&third).await && !works(&fourth).await && works(&last).await);
        world.clock.advance(MINUTE * 60 * 24 * 365);
        assert!(works(&last).await, "the newest does not end");

        for wrong in [-1, 90 * 24 * 3600 + 1] {
            assert_refused(rotate(wrong).await, Code::InvalidArgument, "InvalidValue");
        }
        for _ in 0..9 {
            rotate(3600).await.unwrap();
        }
        let full = assert_refused(rotate(3600).await, Code::FailedPrecondition, "Conflict");
        assert!(full.message().contains("10 secrets"), "{}", full.message());
        rotate(0).await.unwrap();
        let request = RotateClientSecretRequest { id: "0198f3c2-a1b4-7c3d-8e9f-001122334455".to_owned(), overlap_s: 0 };
        let unknown = world.clients().rotate_client_secret(world.as_admin(request).await).await;
        assert_refused(unknown, Code::NotFound, "NotFound");
    }

    async fn a_client_that_provisions_is_for_one_tenant_and_its_token_for_the_gateway_alone(db: Database) {
        let mut world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        assert_refused(create(&world, "idp", "", &["scim"]).await, Code::InvalidArgument, "InvalidValue");
        let created = create(&world, "idp", &tenant, &["scim"]).await.unwrap();
        let (id, secret) = (created.client.unwrap().id, created.client_secret);
        let issued = issue(&world, &id, &secret, "").await.unwrap();
        assert_eq!((issued.scope.as_str(), issued.expires_in_s), ("scim", 3600));
        assert!(world.verifier.verify(&issued.access_token).await.is_err(), "no service takes it");

        let resolved = world.resolve(&issued.access_token).await.unwrap();
        assert_eq!((resolved.kind(), resolved.label.as_str()), (CredentialKind::Client, "idp"));
        assert_eq!((resolved.credential_id.as_str(), resolved.scopes.as_slice()), (id.as_str(), &["scim".to_owned()][..]));
        assert_eq!(resolved.tenant.unwrap().id, tenant);
        assert_eq!(resolved.credential_expires_at_us, (world.clock.now().seconds() + 3600) * 1_000_000);
        let caller = world.verifier.verify(&resolved.access_token).await.unwrap();
        assert_eq!(caller.authorize(Scope::Scim, "").unwrap().to_string(), tenant);
        assert!(world.resolve(&resolved.access_token).await.is_err(), "a token for services is no bearer token");

        // With an overlap, tokens live on; without, they end.
        let rotate = async |overlap_s: i64| {
            let request = RotateClientSecretRequest { id: id.clone(), overlap_s };
            world.clients().rotate_client_secret(world.as_admin(request).await).await.unwrap().into_inner().client_secret
        };
        rotate(60).await;
        assert!(world.resolve(&issued.access_token).await.is_ok());
        let secret = rotate(0).await;
        assert!(world.resolve(&issued.access_token).await.is_err());
        let issued = issue(&world, &id, &secret, "scim").await.unwrap();
        assert!(world.resolve(&issued.access_token).await.is_ok());
        world.clock.advance(MINUTE * 60);
        assert!(world.resolve(&issued.access_token).await.is_err(), "its hour is over");

        let issued = issue(&world, &id, &secret, "").await.unwrap();
        world.told();
        let request = world.as_admin(DeleteClientRequest { id: id.clone() }).await;
        world.clients().delete_client(request).await.unwrap();
        assert_eq!(world.told(), [Invalidation::Client(id.parse().unwrap())]);
        assert!(world.resolve(&issued.access_token).await.is_err(), "at once");
    }

    async fn switching_provisioning_off_and_on_ends_the_tokens_of_before(db: Database) {
        let world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        let created = create(&world, "idp", &tenant, &["scim"]).await.unwrap();
        let (id, secret) = (created.client.unwrap().id, created.client_secret);
        let before = issue(&world, &id, &secret, "").await.unwrap().access_token;
        assert!(world.resolve(&before).await.is_ok());
        let off = DisableScimRequest { tenant_id: tenant.clone() };
        world.tenants().disable_scim(world.as_admin(off).await).await.unwrap();
        assert!(world.resolve(&before).await.is_err());
        assert_eq!(oauth_error(issue(&world, &id, &secret, "").await).1, "invalid_client");
        world.clock.advance(std::time::Duration::from_micros(1));
        let on = EnableScimRequest { tenant_id: tenant, ..Default::default() };
        world.tenants().enable_scim(world.as_admin(on).await).await.unwrap();
        assert!(world.resolve(&before).await.is_err(), "issued before, in the same second");
        let after = issue(&world, &id, &secret, "").await.unwrap().access_token;
        assert!(world.resolve(&after).await.is_ok());
    }

    async fn a_deleted_client_is_gone(db: Database) {
        let mut world = World::start(db).await;
        let created = create(&world, "crm", "", &["directory:read"]).await.unwrap();
        let id = created.client.unwrap().id;
        world.told();
        for told in [vec![Invalidation::Client(id.parse().unwrap())], vec![]] {
            let request = world.as_admin(DeleteClientRequest { id: id.clone() }).await;
            world.clients().delete_client(request).await.unwrap();
            assert_eq!(world.told(), told);
        }
        let (_, error) = oauth_error(issue(&world, &id, &created.client_secret, "").await);
        assert_eq!(error, "invalid_client");
    }

    async fn the_platforms_own_clients_are_replaced_and_not_in_reach(db: Database) {
        let mut world = World::start(db).await;
        let scopes = [Scope::Internal, Scope::DirectoryRead];
        let [first_platform, second_platform] = ["a", "b"].map(|byte| SecretString::from(byte.repeat(44)));
        let first = world.service.ensure_system_client("membership", &scopes, &first_platform).await.unwrap();
        let second = world.service.ensure_system_client("membership", &scopes, &second_platform).await.unwrap();
        let [first_secret, second_secret] = [&first_platform, &second_platform]
            .map(|platform| SystemClient::derive("membership", platform).unwrap().secret);
        assert_eq!(world.told(), [Invalidation::Client(first)]);
        let (_, error) = oauth_error(issue(&world, &first.to_string(), first_secret.expose_secret(), "").await);
        assert_eq!(error, "invalid_client");

        // The API neither lists nor deletes it, and may use its name.
        assert!(names(&world).await.is_empty());
        let request = world.as_admin(DeleteClientRequest { id: second.to_string() }).await;
        world.clients().delete_client(request).await.unwrap();
        create(&world, "Membership", "", &["directory:read"]).await.unwrap();
        let source = TokenSource::client_credentials(
            world.transport.clone(),
            second.to_string(),
            second_secret,
            world.clock.clone(),
        );
        let token = source.token().await.unwrap();
        world.verifier.verify(&token).await.unwrap().authorize_platform(Scope::Internal).unwrap();
    }
}
