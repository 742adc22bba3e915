use platform::auth::Scope;
use proto::token::v1::{
    CreateCredentialRequest, DeleteTenantRequest, ListCredentialsRequest, RevokeCredentialRequest,
};
use scim::ErrorKind;
use secrecy::ExposeSecret;
use token::domain::change::Change;
use token::domain::secret::{Kind, mint};
use token::domain::tenant::State;
use token::store::Deed;
use tonic::Code;

use crate::support::{MINUTE, World, assert_refused, secret};

testkit::store_tests! {
    service: Token;

    async fn a_provisioning_secret_speaks_for_its_tenant_only(db: Database) {
        let world = World::start(db).await;
        let (a, secret_of_a) = world.tenant("A").await;
        let (b, _) = world.tenant("B").await;
        let resolved = world.resolve(&secret_of_a).await.unwrap();
        assert_eq!(resolved.scopes, ["scim"]);
        assert_eq!(resolved.credential_expires_at_us, 0);
        let now = world.clock.now();
        assert_eq!(resolved.access_token_expires_at_us, (now.seconds() + 300) * 1_000_000);

        let caller = world.verifier.verify(&resolved.access_token).await.unwrap();
        assert_eq!(caller.subject(), resolved.credential_id);
        assert_eq!(caller.authorize(Scope::Scim, &a).unwrap().to_string(), a);
        assert_eq!(caller.authorize(Scope::Scim, &b).unwrap_err().kind, ErrorKind::Forbidden);
        assert!(caller.authorize_platform(Scope::Admin).is_err());
        world.clock.advance(MINUTE * 5);
        assert!(world.verifier.verify(&resolved.access_token).await.is_err(), "five minutes are over");
    }

    async fn an_admin_secret_speaks_for_the_platform(db: Database) {
        let world = World::start(db).await;
        let resolved = world.resolve(&world.admin_secret).await.unwrap();
        assert_eq!((resolved.tenant, resolved.scopes), (None, vec!["admin".to_owned()]));
        let caller = world.verifier.verify(&resolved.access_token).await.unwrap();
        caller.authorize_platform(Scope::Admin).unwrap();
        assert!(caller.authorize(Scope::Scim, "").is_err());
    }

    async fn every_refusal_reads_the_same(db: Database) {
        let world = World::start(db).await;
        let (tenant, good) = world.tenant("Contoso").await;
        let parsed = token::domain::secret::parse(&secret(&good)).unwrap();
        let (wrong, _) = mint(Kind::Provisioning, parsed.id).unwrap();
        let (unknown, _) = mint(Kind::Provisioning, uuid::Uuid::from_u128(1)).unwrap();
        let (unknown_admin, _) = mint(Kind::Admin, parsed.id).unwrap();
        let (of_client, _) = mint(Kind::Client, parsed.id).unwrap();
        let mut typo = good.clone().into_bytes();
        typo[50] = if typo[50] == b'a' { b'b' } else { b'a' };
        let refused = [
            String::new(),
            "nonsense".to_owned(),
            good[..good.len() - 1].to_owned(),
            format!("{good} "),
            String::from_utf8(typo).unwrap(),
            wrong.expose_secret().to_owned(),
            unknown.expose_secret().to_owned(),
            unknown_admin.expose_secret().to_owned(),
            of_client.expose_secret().to_owned(),
            "x".repeat(100_000),
        ];
        let mut texts = Vec::new();
        for text in &refused {
            let answer = world.resolve(text).await;
            texts.push(assert_refused(answer, Code::Unauthenticated, "Unauthenticated").message().to_owned());
        }
        assert!(world.resolve(&good).await.is_ok());

        // Revoked, expired, disabled, deleting: each on a live secret of its own.
        let new = |expires_at_us| CreateCredentialRequest { tenant_id: tenant.clone(), label: String::new(), expires_at_us };
        let request = world.as_admin(new(0)).await;
        let revoked = world.credentials().create_credential(request).await.unwrap().into_inner();
        let credential_id = revoked.credential.unwrap().id;
        let request = RevokeCredentialRequest { tenant_id: tenant.clone(), credential_id };
        world.credentials().revoke_credential(world.as_admin(request).await).await.unwrap();
        texts.push(world.resolve(&revoked.secret).await.unwrap_err().message().to_owned());

        let request = world.as_admin(new(world.clock.now().plus(MINUTE).micros())).await;
        let expiring = world.credentials().create_credential(request).await.unwrap().into_inner();
        let resolved = world.resolve(&expiring.secret).await.unwrap();
        assert_eq!(resolved.access_token_expires_at_us, resolved.credential_expires_at_us + 15_000_000, "its tokens die with it, but for calls on their way");
        world.clock.advance(MINUTE);
        texts.push(world.resolve(&expiring.secret).await.unwrap_err().message().to_owned());

        let deed = || Deed::system(world.clock.now());
        let id = tenant.parse().unwrap();
        world.store.change_tenant(id, Change::to(State::Disabled), deed()).await.unwrap();
        texts.push(world.resolve(&good).await.unwrap_err().message().to_owned());
        world.store.change_tenant(id, Change::to(State::Active), deed()).await.unwrap();
        assert!(world.resolve(&good).await.is_ok(), "a tenant that is switched on again is let in");
        let request = world.as_admin(DeleteTenantRequest { id: tenant.clone() }).await;
        world.tenants().delete_tenant(request).await.unwrap();
        texts.push(world.resolve(&good).await.unwrap_err().message().to_owned());
        let back = world.store.change_tenant(id, Change::to(State::Active), deed()).await.unwrap_err();
        assert_eq!(back.kind, ErrorKind::Conflict, "nothing leads back from deletion");

        texts.dedup();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(!refused.iter().any(|secret| !secret.is_empty() && texts[0].contains(secret.as_str())));
    }

    async fn a_refused_secret_counts_as_no_use(db: Database) {
        let world = World::start(db).await;
        let (tenant, good) = world.tenant("Contoso").await;
        let id = token::domain::secret::parse(&secret(&good)).unwrap().id;
        let (wrong, _) = mint(Kind::Provisioning, id).unwrap();
        assert!(world.resolve(wrong.expose_secret()).await.is_err());
        world.service.flush().await;
        let request = world.as_admin(ListCredentialsRequest { tenant_id: tenant }).await;
        let listed = world.credentials().list_credentials(request).await.unwrap().into_inner().credentials;
        assert_eq!(listed[0].last_used_at_us, 0);
    }

    async fn the_admin_secret_is_kept_before_it_works(db: Database) {
        let world = World::start(db).await;
        // World::start was the first start. The file is there and the database knows it: nothing to do.
        let nobody_keeps = |_: &_| panic!("there is nothing to keep");
        let kept = Some(secret(&world.admin_secret));
        assert!(world.service.bootstrap_admin(kept, nobody_keeps).await.unwrap().is_none());
        // The operator took the file away: that is no reason for another administrator.
        assert!(world.service.bootstrap_admin(None, nobody_keeps).await.unwrap().is_none());
        // A crash after the file was written and before the database knew: the file's secret is registered.
        let (crashed, _) = mint(Kind::Admin, uuid::Uuid::from_u128(5)).unwrap();
        assert!(world.resolve(crashed.expose_secret()).await.is_err());
        assert!(world.service.bootstrap_admin(Some(crashed.clone()), nobody_keeps).await.unwrap().is_none());
        assert_eq!(world.resolve(crashed.expose_secret()).await.unwrap().scopes, ["admin"]);
        // A file with something else in it stops the start rather than being overwritten, and is not quoted.
        let error = world.service.bootstrap_admin(Some(secret("hunter2")), nobody_keeps).await.unwrap_err();
        assert!(error.detail.contains("rca_") && !error.detail.contains("hunter2"));
    }

    async fn a_secret_that_cannot_be_kept_is_not_registered(db: Database) {
        let clock = platform::clock::Clock::system();
        let deps = token::Deps {
            database: db,
            clock,
            key: token::SecretKey::generate().unwrap(),
            invalidations: platform::cache::Invalidations::default(),
            discovery: token::DiscoveryConfig::default(),
        };
        let service = token::Service::new(deps).await.unwrap();
        let disk_full = |_: &_| Err(std::io::Error::other("disk full"));
        assert!(service.bootstrap_admin(None, disk_full).await.is_err());
        assert!(service.bootstrap_admin(None, |_| Ok(())).await.unwrap().is_some(), "the next start tries again");
    }
}
