//! Many at once.

use std::sync::Arc;

use futures::future::join_all;
use scim::ErrorKind;
use serde_json::json;

use crate::support::{Asked, app, attributes, kind, replicas, versions};

testkit::store_tests! {
    service: Identity;

    /// Two replicas, eight clients, one name in eight spellings: one wins, and everybody else hears why not.
    async fn of_many_creators_of_one_name_one_succeeds(fresh: &Fresh) {
        let apps = replicas(fresh).await;
        for round in 0..5 {
            let spelled = |n: usize| {
                let name = format!("anna{round}@contoso.com");
                let upper = name.char_indices().map(|(at, c)| if at == n { c.to_ascii_uppercase() } else { c });
                upper.collect::<String>()
            };
            let creations = (0..8).map(|n| apps[n % 2].create(json!({ "userName": spelled(n) })));
            let outcomes = join_all(creations).await;
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
            for refused in outcomes.into_iter().filter(Result::is_err) {
                assert_eq!(kind(refused), ErrorKind::Uniqueness);
            }
        }
        assert_eq!(apps[0].list(Asked::default()).await.unwrap().total_results, 5);
    }

    /// PATCHes of different attributes, by many clients of two replicas: every one takes effect, each has its version.
    async fn no_patch_is_lost(fresh: &Fresh) {
        let apps = replicas(fresh).await;
        let id = apps[0].user("anna").await;
        let names = ["title", "nickName", "userType", "locale", "timezone", "preferredLanguage", "displayName", "externalId"];
        for round in 0..5 {
            let patches = names.iter().enumerate().map(|(n, name)| {
                let set = json!([{ "op": "replace", "path": name, "value": format!("{name} {round}") }]);
                apps[n % 2].patch(&id, set)
            });
            let mut seen: Vec<i64> = Vec::new();
            for outcome in join_all(patches).await {
                seen.push(outcome.unwrap().change.unwrap().version);
            }
            seen.sort_unstable();
            let first = 2 + round * 8;
            assert_eq!(seen, (first..first + 8).collect::<Vec<i64>>());
            let user = attributes(&apps[0].get(&id).await.unwrap());
            for name in names {
                assert_eq!(user[name], format!("{name} {round}"));
            }
        }
    }

    /// Of many writers who saw the same version, one gets to write.
    async fn if_match_lets_one_through(fresh: &Fresh) {
        let apps = replicas(fresh).await;
        let id = apps[0].user("anna").await;
        let patches = (0..8).map(|n| {
            let set = json!([{ "op": "replace", "path": "title", "value": format!("title {n}") }]);
            apps[n % 2].patch_if(&id, set, versions(&[1]))
        });
        let outcomes = join_all(patches).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        for refused in outcomes.into_iter().filter(Result::is_err) {
            assert_eq!(kind(refused), ErrorKind::VersionMismatch);
        }
        assert_eq!(apps[1].get(&id).await.unwrap().version, 2);
    }

    /// Deleting while others patch and recreate: never an internal error, and in the end the name is there once.
    async fn deleting_under_change_is_clean(db: Database) {
        let app = Arc::new(app(db));
        for _ in 0..10 {
            let id = app.user("anna").await;
            let patch = app.patch(&id, json!([{ "op": "replace", "path": "title", "value": "t" }]));
            let again = app.create(json!({ "userName": "ANNA" }));
            let (patched, deleted, created) = tokio::join!(patch, app.delete(&id), again);
            deleted.unwrap();
            if let Err(error) = patched {
                assert_eq!(error.kind, ErrorKind::NotFound);
            }
            match created {
                Ok(created) => drop(app.delete(&created.resource.unwrap().id).await.unwrap()),
                Err(error) => assert_eq!(error.kind, ErrorKind::Uniqueness),
            }
        }
    }
}
