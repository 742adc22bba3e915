//! The end of a tenant while exchanges of it are still on their way.

use crate::support::{app, rows};

const SOMEBODY: &str = "01990000-0000-7000-8000-000000000001";

testkit::store_tests! {
    service: Journal;

    async fn nothing_comes_after_the_end(db: Database) {
        let gone = app(db.clone());
        let kept = gone.other_tenant();
        gone.append(vec![gone.about(SOMEBODY, "anna"), kept.about(SOMEBODY, "anna")]).await.unwrap();
        for _ in 0..2 {
            gone.purge().await.unwrap();
            // What is late is left out without a word: it must not hold up what comes with it.
            gone.append(vec![gone.about(SOMEBODY, "anna"), kept.about(SOMEBODY, "anna")]).await.unwrap();
        }
        assert_eq!(rows(&db, gone.tenant).await, [0; 3]);
        assert_eq!(rows(&db, kept.tenant).await, [3, 3, 1]);
    }

    async fn a_purge_under_load_leaves_nothing(db: Database) {
        let app = app(db.clone());
        let mut load = tokio::task::JoinSet::new();
        let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
        let stop = tokio_util::sync::CancellationToken::new();
        for _ in 0..4 {
            let (app, begun, stop) = (app.clone(), begun.clone(), stop.clone());
            load.spawn(async move {
                while !stop.is_cancelled() {
                    let batch = (0..20).map(|n| app.about(SOMEBODY, &format!("name {n}"))).collect();
                    app.append(batch).await.unwrap();
                    let _ = begun.try_send(());
                }
            });
        }
        has_begun.recv().await.unwrap();
        app.purge().await.unwrap();
        assert_eq!(rows(&db, app.tenant).await, [0; 3]);
        stop.cancel();
        load.join_all().await;
        assert_eq!(rows(&db, app.tenant).await, [0; 3]);
    }
}
