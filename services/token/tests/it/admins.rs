use platform::auth::with_token;
use platform::cache::Invalidation;
use proto::token::v1::{
    Admin, CreateAdminRequest, CreateAdminResponse, ListAdminsRequest, RevokeAdminRequest,
    RotateSigningKeyRequest,
};
use tonic::{Code, Status};

use crate::support::{MINUTE, World, assert_refused, change_log, secret};

async fn create(world: &World, label: &str) -> Result<CreateAdminResponse, Status> {
    let request = world.as_admin(CreateAdminRequest { label: label.to_owned() }).await;
    Ok(world.admins().create_admin(request).await?.into_inner())
}

async fn list(world: &World) -> Vec<Admin> {
    let request = world.as_admin(ListAdminsRequest {}).await;
    world.admins().list_admins(request).await.unwrap().into_inner().admins
}

async fn revoke(world: &World, by: &str, id: &str) -> Result<Admin, Status> {
    let token = world.resolve(by).await?.access_token;
    let request = with_token(RevokeAdminRequest { id: id.to_owned() }, &token).unwrap();
    Ok(world.admins().revoke_admin(request).await?.into_inner().admin.unwrap())
}

testkit::store_tests! {
    service: Token;

    async fn admin_secrets_are_made_listed_and_revoked(db: Database) {
        let mut world = World::start(db.clone()).await;
        world.clock.advance(MINUTE);
        let created = create(&world, "second").await.unwrap();
        let admin = created.admin.unwrap();
        assert_eq!(world.resolve(&created.secret).await.unwrap().scopes, ["admin"]);
        world.service.flush().await;
        assert_eq!(list(&world).await.into_iter().map(|admin| admin.label).collect::<Vec<_>>(), ["second", "first"]);
        world.told();

        let revoked = revoke(&world, &world.admin_secret, &admin.id).await.unwrap();
        assert_eq!(revoked.revoked_at_us, world.clock.now().micros());
        assert_eq!(world.told(), [Invalidation::Credential(admin.id.parse().unwrap())]);
        assert_refused(world.resolve(&created.secret).await, Code::Unauthenticated, "Unauthenticated");
        world.clock.advance(MINUTE);
        assert_eq!(revoke(&world, &world.admin_secret, &admin.id).await.unwrap(), revoked, "twice is once");
        assert_eq!(list(&world).await[0].revoked_at_us, revoked.revoked_at_us);

        let log = change_log(&db).await;
        let kinds: Vec<&str> = log.iter().map(|(_, kind, _)| kind.as_str()).collect();
        assert_eq!(kinds[kinds.len() - 2..], ["admin_credential.created", "admin_credential.revoked"]);
        let random = created.secret.split('_').nth(2).unwrap();
        assert!(!format!("{log:?}").contains(random));
    }

    async fn the_last_administrator_stays(db: Database) {
        let world = World::start(db).await;
        let first = list(&world).await.remove(0).id;
        assert_refused(revoke(&world, &world.admin_secret, &first).await, Code::FailedPrecondition, "Conflict");
        let unknown = "0198f3c2-a1b4-7c3d-8e9f-001122334455";
        assert_refused(revoke(&world, &world.admin_secret, unknown).await, Code::NotFound, "NotFound");
        assert_refused(create(&world, "a\nb").await, Code::InvalidArgument, "InvalidValue");
    }

    async fn of_two_that_revoke_each_other_one_stays(db: Database) {
        let world = World::start(db).await;
        let first = list(&world).await.remove(0).id;
        let second = create(&world, "second").await.unwrap();
        let second_id = second.admin.clone().unwrap().id;
        let token = world.resolve(&world.admin_secret).await.unwrap().access_token;
        let ask = |id: &str| {
            let (mut admins, request) = (world.admins(), RevokeAdminRequest { id: id.to_owned() });
            let request = with_token(request, &token).unwrap();
            async move { admins.revoke_admin(request).await }
        };
        let answers = tokio::join!(ask(&first), ask(&second_id));
        assert_eq!([answers.0.is_ok(), answers.1.is_ok()].iter().filter(|ok| **ok).count(), 1, "{answers:?}");
        let alive = [&world.admin_secret, &second.secret];
        let mut let_in = 0;
        for secret in alive {
            let_in += usize::from(world.resolve(secret).await.is_ok());
        }
        assert_eq!(let_in, 1);
    }

    async fn a_revoked_first_secret_does_not_come_back_from_its_file(db: Database) {
        let world = World::start(db).await;
        let first = list(&world).await.remove(0).id;
        let second = create(&world, "second").await.unwrap();
        revoke(&world, &second.secret, &first).await.unwrap();
        // The next start finds the file as it was.
        let nobody_keeps = |_: &_| panic!("there is nothing to keep");
        let kept = Some(secret(&world.admin_secret));
        assert!(world.service.bootstrap_admin(kept, nobody_keeps).await.unwrap().is_none());
        assert_refused(world.resolve(&world.admin_secret).await, Code::Unauthenticated, "Unauthenticated");
        // And without the file there is an administrator all the same.
        assert!(world.service.bootstrap_admin(None, nobody_keeps).await.unwrap().is_none());
        assert!(world.resolve(&second.secret).await.is_ok());
    }

    async fn only_an_administrator_of_the_platform_makes_another_or_rotates(db: Database) {
        let world = World::start(db).await;
        let (_, of_tenant) = world.tenant("Contoso").await;
        let token = world.resolve(&of_tenant).await.unwrap().access_token;
        let request = with_token(CreateAdminRequest::default(), &token).unwrap();
        assert_refused(world.admins().create_admin(request).await, Code::PermissionDenied, "Forbidden");
        let request = with_token(RotateSigningKeyRequest {}, &token).unwrap();
        assert_refused(world.keys().rotate_signing_key(request).await, Code::PermissionDenied, "Forbidden");
        assert_refused(world.admins().list_admins(ListAdminsRequest {}).await, Code::Unauthenticated, "Unauthenticated");
    }

    async fn a_rotation_says_when_the_next_key_signs(db: Database) {
        let world = World::start(db.clone()).await;
        let request = world.as_admin(RotateSigningKeyRequest {}).await;
        let answer = world.keys().rotate_signing_key(request).await.unwrap().into_inner();
        assert_eq!(answer.signs_from_us, world.clock.now().plus(MINUTE * 10).micros());
        let request = world.as_admin(RotateSigningKeyRequest {}).await;
        assert_eq!(world.keys().rotate_signing_key(request).await.unwrap().into_inner().signs_from_us, 0, "under way");
        let log = change_log(&db).await;
        let (_, kind, payload) = log.last().unwrap();
        assert_eq!(kind, "signing_key.created");
        let admin = world.admin_secret.split('_').nth(1).unwrap();
        assert_eq!(payload["by"].as_str().unwrap().replace('-', ""), admin);
    }
}
