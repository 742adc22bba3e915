//! What a process says of its configuration before it runs, and that it does not run on a bad one.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use testkit::postgres;

struct Said {
    ok: bool,
    out: String,
    err: String,
}

fn rollcall(arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn every_fault_is_named_at_once_and_a_process_does_not_start_on_it() {
    let environment = [
        ("ROLLCALL_SERVICES__IDENTITY", "identity:8081"),
        ("ROLLCALL_GRPC__MAX_CALLS", "0"),
        ("ROLLCALL_REDIS__URLS", "http://:hunter2@redis"),
    ];
    for arguments in [&["config", "check", "--role", "gateway"][..], &["gateway"]] {
        let said = rollcall(arguments, &environment);
        assert!(!said.ok, "{arguments:?}: {}", said.out);
        for part in [
            "services.identity: `identity:8081` ",
            "http://identity:8081",
            "services.token is empty",
            "grpc.max_calls is 0",
            "redis.urls: ",
            "secrets.platform_secret is empty",
        ] {
            assert!(said.err.contains(part), "{part} is not in\n{}", said.err);
        }
        assert!(!said.err.contains("hunter2"), "{}", said.err);
    }
}

#[test]
fn a_key_that_is_not_one_and_a_value_of_another_kind_are_named_with_their_source() {
    let said = rollcall(&["config", "check"], &[("ROLLCALL_GRPC__MAX_CALL", "7")]);
    assert!(!said.ok && said.err.contains("max_call") && said.err.contains("max_calls"), "{}", said.err);
    let said = rollcall(&["config", "check"], &[("ROLLCALL_GRPC__MAX_CALLS", "many")]);
    assert!(
        !said.ok && said.err.to_lowercase().contains("max_calls") && said.err.contains("many"),
        "{}",
        said.err
    );
}

#[test]
fn what_is_shown_has_no_secrets() {
    let dir = tempfile();
    let file = dir.path().join("rollcall.toml");
    std::fs::write(
        &file,
        "database.url = \"postgres://u:hunter2@db/rollcall\"\n[redis]\nurls = [\"redis://:hunter2@r\"]\n",
    )
    .unwrap();
    let said = rollcall(
        &["config", "check", "--role", "migrate", "--show", "--config", file.to_str().unwrap()],
        &[("ROLLCALL_SECRETS__ADMIN_TOKEN", "hunter2hunter2")],
    );
    assert!(said.ok, "{}", said.err);
    assert!(said.out.contains("[redacted]") && said.out.contains("max_calls = 1024"), "{}", said.out);
    assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"), "{}", said.out);
}

#[test]
fn secrets_are_made_once_and_for_their_owner_only() {
    let dir = tempfile();
    let path = dir.path().join("secrets");
    let make = || rollcall(&["config", "secrets", "--dir", path.to_str().unwrap()], &[]);
    assert!(make().ok);
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    let names = ["key_encryption_key", "cursor_key", "platform_secret", "admin_token"];
    let first: Vec<String> = names.iter().map(|name| read(name)).collect();
    assert!(first[3].starts_with("rca_"));
    assert!(make().ok);
    assert_eq!(names.iter().map(|name| read(name)).collect::<Vec<_>>(), first);
    for name in names {
        assert_eq!(std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_service_refuses_a_schema_that_is_not_migrated_and_migrating_twice_is_migrating_once() {
    let server = postgres::server();
    let url = server.url("postgres");
    let journal = [
        ("ROLLCALL_DATABASE__URL", url.as_str()),
        ("ROLLCALL_SERVICES__TOKEN", "http://127.0.0.1:1"),
        ("ROLLCALL_LISTEN__GRPC", "127.0.0.1:0"),
        ("ROLLCALL_LISTEN__OPS", "127.0.0.1:0"),
    ];
    let said = rollcall(&["journal"], &journal);
    assert!(!said.ok && said.err.contains("run `rollcall migrate`"), "{}", said.err);

    let said = rollcall(&["migrate", "--service", "journal"], &journal);
    assert!(said.ok && said.out.contains("journal: applied"), "{} {}", said.out, said.err);
    let said = rollcall(&["migrate", "--service", "journal"], &journal);
    assert!(said.ok && said.out.contains("journal: up to date"), "{} {}", said.out, said.err);
    let said = rollcall(&["migrate", "--service", "nonsense"], &journal);
    assert!(!said.ok && said.err.contains("identity"), "{}", said.err);

    // Several at once, schemas and all: one migrates, the others wait for it.
    let all: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || {
                rollcall(&["migrate", "--wait"], &[("ROLLCALL_DATABASE__URL", url.as_str())])
            })
        })
        .collect();
    for one in all {
        let said = one.join().unwrap();
        assert!(said.ok, "{} {}", said.out, said.err);
    }
}

/// What only one of several may do at a time is more than the migrations: the first one here has made the schema and not committed it.
#[tokio::test(flavor = "multi_thread")]
async fn who_migrates_second_waits_from_the_beginning() {
    let server = postgres::server();
    let postgres = sea_orm::Database::connect(server.url("postgres")).await.unwrap();
    postgres.execute_unprepared("CREATE DATABASE migrated_twice").await.unwrap();
    let url = server.url("migrated_twice");
    let first = sea_orm::Database::connect(url.clone()).await.unwrap();
    let turn = first.begin().await.unwrap();
    let lock = "SELECT pg_advisory_xact_lock(hashtext('rollcall migrate of journal'))";
    for sql in [lock, "CREATE SCHEMA journal"] {
        turn.execute_unprepared(sql).await.unwrap();
    }

    let second = tokio::task::spawn_blocking(move || {
        rollcall(&["migrate", "--service", "journal"], &[("ROLLCALL_DATABASE__URL", url.as_str())])
    });
    let waiting =
        "SELECT 1 AS one FROM pg_stat_activity WHERE datname = 'migrated_twice' AND wait_event_type = 'Lock'";
    let until = Instant::now() + Duration::from_secs(30);
    while first.query_one_raw(Statement::from_string(DbBackend::Postgres, waiting)).await.unwrap().is_none() {
        assert!(Instant::now() < until && !second.is_finished(), "the second one did not wait");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    turn.commit().await.unwrap();
    let said = second.await.unwrap();
    assert!(said.ok && said.out.contains("journal: applied"), "{} {}", said.out, said.err);
}

fn tempfile() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
