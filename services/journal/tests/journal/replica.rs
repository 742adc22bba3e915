//! What a read replica changes for the log: it may lack the last seconds, never what is in between.

use std::time::Duration;

use proto::journal::v1::{Exchange, ListExchangesRequest};
use sea_orm::ConnectionTrait;
use testkit::db::{Backend, Fresh, Service};
use testkit::replicated::Replicated;

use crate::support::{App, app, ids};

const MINUTE: Duration = Duration::from_secs(60);

/// The same tenant, through a database with a replica.
fn with_replica(app: &App, replicated: &Replicated) -> App {
    let through = crate::support::app(replicated.database.clone());
    App { tenant: app.tenant, ..through }
}

fn on_postgres(body: impl AsyncFnOnce(&Fresh)) {
    testkit::db::run_fresh(Backend::Postgres, Service::Journal, body);
}

/// So many exchanges, a second apart, the latest now.
async fn append(app: &App, count: usize) -> Vec<Exchange> {
    let mut all = Vec::new();
    for _ in 0..count {
        app.clock.advance(Duration::from_secs(1));
        all.push(app.exchange());
    }
    app.append(all.clone()).await.unwrap();
    all
}

async fn wait_for(replicated: &Replicated, count: usize) {
    let there = format!("(SELECT count(*) = {count} FROM journal.exchanges)");
    replicated.wait_until(&there).await.unwrap();
}

#[test]
fn a_page_may_be_old_and_the_next_one_leaves_nothing_out() {
    on_postgres(async |fresh: &Fresh| {
        let primary = app(fresh.database.clone());
        let replicated = Replicated::open(fresh, MINUTE).await.unwrap();
        let stale = with_replica(&primary, &replicated);
        let mut written = append(&primary, 2).await;
        wait_for(&replicated, 2).await;
        replicated.pause().await.unwrap();
        written.extend(append(&primary, 4).await);
        written.reverse();

        let page =
            |page_token: String| ListExchangesRequest { page_size: 2, page_token, ..primary.question() };
        let old = stale.page(page(String::new())).await.unwrap();
        assert_eq!(ids(&old.exchanges), ids(&written[4..]), "the replica answers, and lacks the last four");
        assert!(old.next_page_token.is_empty());

        // A first page that the primary answered, and the replica would not know what is between it and its own last.
        let first = primary.page(page(String::new())).await.unwrap();
        assert_eq!(ids(&first.exchanges), ids(&written[..2]));
        let second = stale.page(page(first.next_page_token.clone())).await.unwrap();
        assert_eq!(ids(&second.exchanges), ids(&written[2..4]));
        // Long afterwards one that is asked has caught up, and this one would not be.
        stale.clock.advance(3 * MINUTE);
        let later = stale.page(page(first.next_page_token)).await.unwrap();
        assert_eq!(ids(&later.exchanges), ids(&written[4..]), "the replica is asked again");
    });
}

#[test]
fn exchanges_that_the_replica_lacks_are_read_from_the_primary_that_told_their_places() {
    on_postgres(async |fresh: &Fresh| {
        let primary = app(fresh.database.clone());
        // The replica stays at a moment at which it cannot tell places, but exchanges.
        let rename = |from: &str, to: &str| format!("ALTER TABLE exchanges RENAME COLUMN {from} TO {to}");
        let sql =
            |sql: String| async move { fresh.database.migrator().execute_unprepared(&sql).await.unwrap() };
        let mut written = append(&primary, 1).await;
        sql(rename("bytes", "octets")).await;
        let replicated = Replicated::open(fresh, MINUTE).await.unwrap();
        wait_for(&replicated, 1).await;
        replicated.pause().await.unwrap();
        sql(rename("octets", "bytes")).await;
        let stale = with_replica(&primary, &replicated);
        written.extend(append(&primary, 2).await);
        written.reverse();
        assert_eq!(ids(&stale.find(stale.question()).await), ids(&written));
    });
}
