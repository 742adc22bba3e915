use platform::auth::Scope;
use platform::cache::Invalidation;
use proto::token::v1::IssueTokenRequest;
use secrecy::{ExposeSecret, SecretString};
use token::SystemClient;
use tonic::Code;

use crate::support::{World, assert_refused, change_log};

fn platform_secret(byte: char) -> SecretString {
    SecretString::from(byte.to_string().repeat(44))
}

/// As a service does that knows the platform secret and nothing else.
fn asks(client: &SystemClient) -> IssueTokenRequest {
    IssueTokenRequest {
        client_id: client.id.to_string(),
        client_secret: client.secret.expose_secret().to_owned(),
        ..IssueTokenRequest::default()
    }
}

testkit::store_tests! {
    service: Token;

    async fn a_service_derives_its_client_and_gets_in(db: Database) {
        let mut world = World::start(db.clone()).await;
        let shared = platform_secret('a');
        let scopes = [Scope::Internal, Scope::DirectoryRead];
        let id = world.service.ensure_system_client("membership", &scopes, &shared).await.unwrap();
        let client = SystemClient::derive("membership", &shared).unwrap();
        assert_eq!(client.id, id);
        let issued = world.oauth().issue_token(asks(&client)).await.unwrap().into_inner();
        assert_eq!(issued.scope, "internal directory:read");
        let stranger = SystemClient::derive("membership", &platform_secret('b')).unwrap();
        assert_refused(world.oauth().issue_token(asks(&stranger)).await, Code::Unauthenticated, "Unauthenticated");

        let lines = change_log(&db).await.len();
        world.told();
        world.service.ensure_system_client("membership", &scopes, &shared).await.unwrap();
        assert_eq!((change_log(&db).await.len(), world.told()), (lines, vec![]), "again changes nothing");
        assert!(!format!("{:?}", change_log(&db).await).contains(client.secret.expose_secret()));
    }

    async fn another_secret_or_other_scopes_replace_it(db: Database) {
        let mut world = World::start(db).await;
        let first = world.service.ensure_system_client("m", &[Scope::Internal], &platform_secret('a')).await.unwrap();
        world.told();
        world.service.ensure_system_client("m", &[Scope::Internal], &platform_secret('b')).await.unwrap();
        assert_eq!(world.told(), [Invalidation::Client(first)]);
        let [old, new] = ['a', 'b'].map(|byte| SystemClient::derive("m", &platform_secret(byte)).unwrap());
        assert_refused(world.oauth().issue_token(asks(&old)).await, Code::Unauthenticated, "Unauthenticated");
        assert_eq!(world.oauth().issue_token(asks(&new)).await.unwrap().into_inner().scope, "internal");
        world.service.ensure_system_client("m", &[Scope::DirectoryRead], &platform_secret('b')).await.unwrap();
        assert_eq!(world.oauth().issue_token(asks(&new)).await.unwrap().into_inner().scope, "directory:read");
    }

    async fn many_replicas_start_at_once(db: Database) {
        let world = World::start(db.clone()).await;
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let service = world.service.clone();
            starts.spawn(async move {
                service.ensure_system_client("membership", &[Scope::Internal], &platform_secret('a')).await.unwrap()
            });
        }
        let mut ids = starts.join_all().await;
        ids.dedup();
        assert_eq!(ids.len(), 1);
        let client = SystemClient::derive("membership", &platform_secret('a')).unwrap();
        assert!(world.oauth().issue_token(asks(&client)).await.is_ok());
        let log = change_log(&db).await;
        assert_eq!(log.iter().filter(|line| line.1.starts_with("client.")).count(), 1);
    }

    async fn a_guessable_platform_secret_is_refused(db: Database) {
        let world = World::start(db).await;
        let short = SecretString::from("hunter2");
        let error = world.service.ensure_system_client("m", &[Scope::Internal], &short).await.unwrap_err();
        assert_eq!(error.kind, scim::ErrorKind::InvalidValue);
    }
}
