//! The settings that are numbers, and the lock on local changes.

use proto::token::v1::{Limits, Settings, SettingsChange, Tenant, UpdateTenantRequest};
use sea_orm::ConnectionTrait;
use serde_json::json;
use tonic::{Code, Status};

use crate::support::{World, assert_refused, change_log};

async fn change(world: &World, id: &str, settings: SettingsChange) -> Result<Tenant, Status> {
    let request =
        UpdateTenantRequest { id: id.to_owned(), settings: Some(settings), ..UpdateTenantRequest::default() };
    Ok(world.tenants().update_tenant(world.as_admin(request).await).await?.into_inner().tenant.unwrap())
}

fn limits(requests_per_second: i32, burst: i32, concurrent: i32) -> SettingsChange {
    let limits = Limits { requests_per_second, burst, concurrent };
    SettingsChange { limits: Some(limits), ..SettingsChange::default() }
}

fn days(keep_deleted: Option<i32>, log: Option<i32>) -> SettingsChange {
    SettingsChange { keep_deleted_days: keep_deleted, log_retention_days: log, ..SettingsChange::default() }
}

testkit::store_tests! {
    service: Token;

    async fn numbers_and_the_lock_change_and_the_audit_tells(db: Database) {
        let world = World::start(db.clone()).await;
        let (id, secret) = world.tenant("Contoso").await;
        let wanted = SettingsChange {
            lock_local_changes: Some(true),
            limits: Some(Limits { requests_per_second: -1, burst: 0, concurrent: 8 }),
            ..days(Some(30), Some(3650))
        };
        let changed = change(&world, &id, wanted).await.unwrap();
        let settings = changed.settings.unwrap();
        let expected = Settings {
            lock_local_changes: true,
            keep_deleted_days: 30,
            log_retention_days: 3650,
            limits: wanted.limits,
            ..settings
        };
        assert_eq!((settings, changed.version), (expected, 2));
        assert_eq!(world.resolve(&secret).await.unwrap().tenant.unwrap(), changed);
        let again = change(&world, &id, SettingsChange::default()).await.unwrap();
        assert_eq!(again, changed, "what is absent stays");

        let log = change_log(&db).await;
        let none = json!({"requests_per_second": 0, "burst": 0, "concurrent": 0});
        let before = json!({"lock_local_changes": false, "keep_deleted_days": 0, "log_retention_days": 30, "limits": none});
        assert_eq!(log.last().unwrap().2["before"], before);
        let some = json!({"requests_per_second": -1, "burst": 0, "concurrent": 8});
        let after = json!({"lock_local_changes": true, "keep_deleted_days": 30, "log_retention_days": 3650, "limits": some});
        assert_eq!(log.last().unwrap().2["after"], after);
    }

    async fn what_is_out_of_bounds_is_refused_by_name(db: Database) {
        let world = World::start(db).await;
        let (id, _) = world.tenant("Contoso").await;
        let wrong = [
            (days(Some(-1), None), "keep_deleted_days must be 0 to 3650"),
            (days(Some(3651), None), "keep_deleted_days must be 0 to 3650"),
            (days(None, Some(0)), "log_retention_days must be 1 to 3650"),
            (days(None, Some(3651)), "log_retention_days must be 1 to 3650"),
            (limits(24, 0, 0), "limits.requests_per_second must be 25 to 1000000"),
            (limits(-2, 0, 0), "limits.requests_per_second must be 25"),
            (limits(0, 24, 0), "limits.burst must be 25"),
            (limits(0, 0, -1), "limits.concurrent must be 1"),
        ];
        for (wrong, words) in wrong {
            let status = assert_refused(change(&world, &id, wrong).await, Code::InvalidArgument, "InvalidValue");
            assert!(status.message().starts_with(words), "{}", status.message());
        }
        assert_eq!(change(&world, &id, limits(25, 25, 1)).await.unwrap().version, 2);
    }

    async fn rows_of_the_version_before_have_the_defaults(db: Database) {
        let world = World::start(db.clone()).await;
        let (id, secret) = world.tenant("Contoso").await;
        let written = r#"{"groups":true,"lock_local_changes":true,"users":{"create":true,"update":true,"delete":false}}"#;
        let sql = format!("UPDATE tenants SET settings = '{written}'");
        db.write(move |txn| {
            let sql = sql.clone();
            Box::pin(async move { Ok(txn.execute_unprepared(&sql).await.map(|_| ())?) })
        })
        .await
        .unwrap();
        let read = world.resolve(&secret).await.unwrap().tenant.unwrap();
        let settings = read.settings.unwrap();
        assert_eq!((settings.keep_deleted_days, settings.log_retention_days), (0, 30));
        assert_eq!(settings.limits, Some(Limits::default()));
        assert!(settings.lock_local_changes && !settings.user_delete);
        let changed = change(&world, &id, days(Some(7), None)).await.unwrap();
        assert_eq!(changed.settings.unwrap(), Settings { keep_deleted_days: 7, ..settings });
    }
}
