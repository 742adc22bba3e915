//! What is past its time goes.

use std::time::Duration;

use proto::journal::v1::Exchange;

use crate::support::{DAY, START, app, ids, rows};

const ANNA: &str = "01990000-0000-7000-8000-000000000001";
const BERT: &str = "01990000-0000-7000-8000-000000000002";

testkit::store_tests! {
    service: Journal;

    async fn each_goes_at_its_time(db: Database) {
        let app = app(db.clone());
        let other = app.other_tenant();
        let short = |exchange: Exchange| Exchange { expires_at_us: START + DAY, ..exchange };
        let kept = app.about(ANNA, "anna");
        let mut batch = vec![kept.clone(), other.about(BERT, "bert"), short(other.about(ANNA, "anna"))];
        // More than are deleted at once.
        batch.extend((0..450).map(|_| short(app.about(BERT, "bert"))));
        batch.push(Exchange { members_removed: vec![ANNA.into(); 1], ..short(app.exchange()) });
        app.append(batch).await.unwrap();

        assert_eq!(app.service.expire().await.unwrap(), 0);
        app.clock.advance(Duration::from_secs(24 * 3600));
        assert_eq!(app.service.expire().await.unwrap(), 452);
        assert_eq!(ids(&app.find(app.question()).await), [kept.id.as_str()]);
        // A name stays a day longer at most.
        app.clock.advance(Duration::from_secs(24 * 3600));
        assert_eq!(app.service.expire().await.unwrap(), 0);
        assert_eq!(rows(&db, app.tenant).await, [1, 1, 1]);
        assert_eq!(rows(&db, other.tenant).await, [1, 1, 1]);
        assert_eq!(app.about_user("anna").await.len(), 1);

        app.clock.advance(Duration::from_secs(31 * 24 * 3600));
        assert_eq!(app.service.expire().await.unwrap(), 2);
        for tenant in [app.tenant, other.tenant] {
            assert_eq!(rows(&db, tenant).await, [0; 3]);
        }
    }

    async fn a_name_lives_as_long_as_what_shows_it(db: Database) {
        let app = app(db.clone());
        app.append(vec![app.about(ANNA, "anna")]).await.unwrap();
        app.clock.advance(Duration::from_secs(20 * 24 * 3600));
        app.append(vec![app.about(ANNA, "anna")]).await.unwrap();
        app.clock.advance(Duration::from_secs(20 * 24 * 3600));
        assert_eq!(app.service.expire().await.unwrap(), 1);
        assert_eq!(app.about_user("anna").await.len(), 1);
        assert_eq!(rows(&db, app.tenant).await, [1, 1, 1]);
    }

    async fn two_replicas_at_once_do_no_harm(db: Database) {
        let app = app(db.clone());
        for _ in 0..3 {
            let batch = (0..300).map(|n| app.about(if n % 2 == 0 { ANNA } else { BERT }, "anna")).collect();
            app.append(batch).await.unwrap();
        }
        app.clock.advance(Duration::from_secs(40 * 24 * 3600));
        let kept = app.about(ANNA, "anna");
        app.append(vec![kept.clone()]).await.unwrap();
        let (one, two) = tokio::join!(app.service.expire(), app.service.expire());
        assert_eq!(one.unwrap() + two.unwrap(), 900, "each was deleted by one of them");
        assert_eq!(ids(&app.find(app.question()).await), [kept.id.as_str()]);
        assert_eq!(rows(&db, app.tenant).await[..2], [1, 1]);
    }
}
