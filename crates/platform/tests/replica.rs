//! `Database::read_stale` on a real streaming replica: what it answers, and that the primary answers when it does not do.
#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::time::Duration;

use platform::clock::Timestamp;
use platform::db::{Config, Database, Reader, Replica};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use testkit::db::{Backend, Fresh, Service};
use testkit::replicated::{Replicated, is_so};

const PATIENCE: Duration = Duration::from_secs(30);

/// A database with a table of numbers, opened with and without its replica.
struct Setup {
    primary: Database,
    both: Replicated,
}

impl Setup {
    async fn new(fresh: &Fresh, max_lag: Duration) -> Self {
        let primary = fresh.database.clone();
        primary.migrator().execute_unprepared("CREATE TABLE numbers (n INT PRIMARY KEY)").await.unwrap();
        let both = Replicated::open(fresh, max_lag).await.unwrap();
        both.wait_until("to_regclass('identity.numbers') IS NOT NULL").await.unwrap();
        Self { primary, both }
    }

    async fn wait(&self, asked: bool) {
        self.both.wait_until_asked(asked).await.unwrap();
    }

    fn stale(&self) -> &Reader {
        self.both.database.read_stale()
    }

    async fn add(&self, n: i32) {
        let sql = format!("INSERT INTO numbers VALUES ({n})");
        self.primary.migrator().execute_unprepared(&sql).await.unwrap();
    }
}

/// A server and the processes of its connections, none of which does anything until this is dropped.
struct Silent(Vec<String>);

impl Silent {
    fn new(server: u32) -> Self {
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap();
        let all: Vec<String> =
            children.split_whitespace().map(str::to_owned).chain([server.to_string()]).collect();
        assert!(all.len() > 1, "a server has a process for each connection");
        let silent = Self(all);
        silent.signal("-STOP");
        silent
    }

    fn signal(&self, signal: &str) {
        let done = std::process::Command::new("kill").arg(signal).args(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "kill {signal}");
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

fn sql(sql: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, sql)
}

async fn text(db: &Reader, query: &str) -> String {
    db.query_one_raw(sql(query)).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

async fn yes(db: &impl ConnectionTrait, what: &str) -> bool {
    is_so(db, what).await.unwrap()
}

async fn is_replica(db: &Reader) -> bool {
    yes(db, "pg_is_in_recovery()").await
}

async fn numbers(db: &impl ConnectionTrait) -> Vec<i32> {
    let rows = db.query_all_raw(sql("SELECT n FROM numbers ORDER BY n")).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

async fn each_number(db: &Reader) -> Vec<i32> {
    let mut found = Vec::new();
    let row = |row: sea_orm::QueryResult| {
        found.push(row.try_get_by_index(0).unwrap());
        Ok(std::ops::ControlFlow::Continue(()))
    };
    db.each(sql("SELECT n FROM numbers ORDER BY n"), row).await.unwrap();
    found
}

fn on_postgres(body: impl AsyncFnOnce(&Fresh)) {
    testkit::db::run_fresh(Backend::Postgres, Service::Identity, body);
}

#[test]
fn a_replica_answers_what_may_be_old_and_nothing_else() {
    on_postgres(async |fresh: &Fresh| {
        let setup = Setup::new(fresh, PATIENCE).await;
        let (stale, fresh) = (setup.stale(), setup.both.database.read());
        setup.add(1).await;
        setup.both.wait_until("EXISTS (SELECT FROM identity.numbers)").await.unwrap();
        setup.both.pause().await.unwrap();
        setup.add(2).await;
        assert_eq!(numbers(fresh).await, [1, 2]);
        assert_eq!(numbers(stale).await, [1]);
        assert_eq!(each_number(stale).await, [1]);
        assert_eq!(each_number(fresh).await, [1, 2]);
        let snapshot = stale.snapshot().await.unwrap();
        assert_eq!(numbers(&snapshot).await, [1]);
        snapshot.end().await.unwrap();
        assert!(!is_replica(fresh).await);

        // Nothing is written this way: neither by a question nor where the primary would be asked instead.
        assert_eq!(text(stale, "SHOW default_transaction_read_only").await, "on");
        assert_eq!(text(stale, "SHOW statement_timeout").await, "5s");
        assert!(stale.execute_unprepared("INSERT INTO numbers VALUES (3)").await.is_err());
        assert_eq!(numbers(fresh).await, [1, 2]);

        setup.both.resume().await.unwrap();
        setup.both.wait_until("(SELECT count(*) = 2 FROM identity.numbers)").await.unwrap();
        assert_eq!(numbers(stale).await, [1, 2]);
    });
}

#[test]
fn the_primary_answers_while_the_replica_is_stopped_and_nobody_hears_an_error() {
    on_postgres(async |fresh: &Fresh| {
        let mut setup = Setup::new(fresh, PATIENCE).await;
        setup.add(1).await;
        setup.both.server.process().stop("KILL").unwrap();
        // At once, before anybody can have looked: the first connections are those that broke.
        for _ in 0..20 {
            assert_eq!(numbers(setup.stale()).await, [1]);
        }
        assert_eq!(each_number(setup.stale()).await, [1]);
        let snapshot = setup.stale().snapshot().await.unwrap();
        assert_eq!(numbers(&snapshot).await, [1]);
        setup.wait(false).await;
        setup.both.server.process().start_again().unwrap();
        setup.wait(true).await;
        setup.both.wait_until("EXISTS (SELECT FROM identity.numbers)").await.unwrap();
        assert_eq!(numbers(setup.stale()).await, [1]);

        // One that is not there when the process starts keeps nobody from starting.
        setup.both.server.process().stop("KILL").unwrap();
        let late = Database::connect(&setup.both.config).await.unwrap();
        assert_eq!(numbers(late.read_stale()).await, [1]);
        late.close().await.unwrap();
    });
}

/// It takes the question and never says a word, as one does whose machine is gone.
#[test]
fn a_question_under_way_goes_to_the_primary_when_the_replica_turns_silent() {
    on_postgres(async |fresh: &Fresh| {
        let mut setup = Setup::new(fresh, PATIENCE).await;
        setup.add(1).await;
        let slow = setup.both.database.clone();
        let asked = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_sleep(4)::text ELSE 'primary' END";
        let question = tokio::spawn(async move { text(slow.read_stale(), asked).await });
        let under_way = "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' \
                         AND query LIKE 'SELECT CASE WHEN pg_is_in_recovery()%')";
        setup.both.wait_until(under_way).await.unwrap();
        let silent = Silent::new(setup.both.server.process().id().unwrap());
        assert_eq!(question.await.unwrap(), "primary");
        assert_eq!(numbers(setup.stale()).await, [1]);
        drop(silent);
        setup.wait(true).await;
    });
}

#[test]
fn one_that_is_too_far_behind_is_not_asked_until_it_has_caught_up() {
    on_postgres(async |fresh: &Fresh| {
        let setup = Setup::new(fresh, Duration::from_secs(1)).await;
        setup.both.pause().await.unwrap();
        setup.add(1).await;
        setup.wait(false).await;
        assert_eq!(numbers(setup.stale()).await, [1]);
        setup.both.resume().await.unwrap();
        setup.wait(true).await;
        setup.both.wait_until("EXISTS (SELECT FROM identity.numbers)").await.unwrap();
        assert_eq!(numbers(setup.stale()).await, [1]);
    });
}

/// A table that a migration has just made may not have reached the replica.
#[test]
fn the_primary_answers_what_the_replica_cannot() {
    on_postgres(async |fresh: &Fresh| {
        let setup = Setup::new(fresh, PATIENCE).await;
        setup.both.pause().await.unwrap();
        setup.primary.migrator().execute_unprepared("CREATE TABLE news (n INT)").await.unwrap();
        let stale = setup.stale();
        assert!(!yes(stale, "EXISTS (SELECT FROM news)").await);
        assert!(is_replica(stale).await, "it is asked all the same");
        // What took too long there would take as long here.
        let error = stale.query_one_raw(sql("SELECT pg_sleep(6)")).await.unwrap_err();
        assert!(error.to_string().contains("statement timeout"), "{error}");
    });
}

#[test]
fn a_primary_taken_for_a_replica_is_not_asked() {
    on_postgres(async |fresh: &Fresh| {
        let Config::Postgres { url, schema, pool, .. } = fresh.config.clone() else { unreachable!() };
        let replica = Replica { look_every: Duration::from_millis(50), ..Replica::at(url.clone(), PATIENCE) };
        let config = Config::Postgres { url, schema, pool, replica: Some(replica) };
        let both = Database::connect(&config).await.unwrap();
        both.observe("replica-test");
        let fallbacks = r#"rollcall_db_replica_fallbacks_total{reason="unfit",service="replica-test"}"#;
        assert!(!is_replica(both.read_stale()).await);
        let metrics = platform::metrics::metrics().text().unwrap();
        assert!(metrics.contains(&format!("{fallbacks} 1")), "{metrics}");
        assert!(metrics.contains("rollcall_db_replica_lag_seconds"), "{metrics}");
    });
}

/// Pages of a log, latest first: one that goes on at a late place may need what the replica lacks.
#[test]
fn a_page_that_goes_on_at_a_late_place_is_read_from_the_primary() {
    on_postgres(async |fresh: &Fresh| {
        let setup = Setup::new(fresh, Duration::from_secs(30)).await;
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let ago = |seconds| Some(now.minus(Duration::from_secs(seconds)));
        for (behind, from_replica) in [(None, true), (ago(0), false), (ago(89), false), (ago(91), true)] {
            let reader = setup.both.database.read_page_of_log(behind, now);
            assert_eq!(is_replica(reader).await, from_replica, "{behind:?}");
        }
        assert!(!is_replica(setup.primary.read_page_of_log(ago(91), now)).await);
    });
}
