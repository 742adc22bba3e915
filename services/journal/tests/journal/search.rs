//! Finding again, by what an administrator asks.

use platform::clock::Clock;
use platform::ids::UserId;
use proto::common::v1::AttributeChange;
use proto::journal::v1::{Exchange, ListExchangesRequest, Outcome};
use scim::ErrorKind;

use crate::support::{START, app, ids};

fn id() -> String {
    UserId::new(&Clock::system()).to_string()
}

testkit::store_tests! {
    service: Journal;

    async fn a_person_who_is_gone_is_found_by_every_name(db: Database) {
        let app = app(db);
        let (anna, group) = (id(), id());
        let created = Exchange { resource_external_id: "E-1".into(), ..app.about(&anna, "Anna@Example.com") };
        let married = Exchange {
            changes: vec![AttributeChange {
                path: "userName".into(),
                before: "\"Anna@Example.com\"".into(),
                after: "\"Married@Example.com\"".into(),
            }],
            at_us: START + 1,
            ..app.about(&anna, "Married@Example.com")
        };
        let removed = Exchange {
            resource_type: "Group".into(),
            resource_id: group.clone(),
            resource_name: "Sales".into(),
            members_removed: vec![anna.clone()],
            at_us: START + 2,
            ..app.exchange()
        };
        let deleted = Exchange { at_us: START + 3, ..app.about(&anna, "") };
        let other = Exchange { at_us: START + 4, ..app.about(&id(), "bert") };
        let story = [&deleted, &removed, &married, &created].map(|exchange| exchange.id.as_str());
        app.append(vec![created.clone(), married.clone(), removed.clone(), deleted.clone(), other]).await.unwrap();
        for name in [&anna, "anna@example.com", "MARRIED@EXAMPLE.COM", "E-1"] {
            assert_eq!(ids(&app.about_user(name).await), story, "{name}");
        }
        let page = app.page(ListExchangesRequest { users: vec!["anna@example.com".into()], ..app.question() }).await.unwrap();
        assert_eq!(page.user_ids, [anna.as_str()]);
        // Ids of the identity provider are compared exactly; a group's name is nobody's userName.
        for nobody in ["e-1", "sales", "nobody"] {
            assert!(app.about_user(nobody).await.is_empty(), "{nobody}");
        }
        let of_group = ListExchangesRequest { groups: vec!["SALES".into()], ..app.question() };
        assert_eq!(ids(&app.find(of_group.clone()).await), [removed.id.as_str()]);
        let both = ListExchangesRequest { users: vec!["anna@example.com".into()], ..of_group };
        assert_eq!(ids(&app.find(both.clone()).await), [removed.id.as_str()]);
        let not_both = ListExchangesRequest { users: vec!["bert".into()], ..both };
        assert!(app.find(not_both).await.is_empty());
    }

    async fn who_never_came_to_be_is_found_by_name(db: Database) {
        let app = app(db);
        let refused = Exchange { outcome: Outcome::Refused.into(), status: 409, ..app.about("", "anna") };
        app.append(vec![refused.clone(), app.about(&id(), "bert")]).await.unwrap();
        assert_eq!(app.about_user("ANNA").await, [refused]);
    }

    async fn a_name_that_went_to_somebody_else_finds_both(db: Database) {
        let app = app(db);
        let (first, second) = (app.about(&id(), "anna"), app.about(&id(), "anna"));
        app.append(vec![first, second]).await.unwrap();
        assert_eq!(app.about_user("anna").await.len(), 2);
    }

    async fn by_outcome_time_and_request(db: Database) {
        let app = app(db);
        let outcomes = [Outcome::Changed, Outcome::Unchanged, Outcome::Warning, Outcome::Refused, Outcome::Failed];
        let anna = id();
        let exchanges: Vec<Exchange> = (0..10_i64)
            .map(|n| Exchange {
                at_us: START + n,
                outcome: outcomes[usize::try_from(n % 5).unwrap()].into(),
                request_id: format!("r-{}", n / 5),
                ..app.about(&anna, "anna")
            })
            .collect();
        app.append(exchanges).await.unwrap();
        for users in [Vec::new(), vec!["anna".to_owned()]] {
            let question = ListExchangesRequest { users, ..app.question() };
            let times = async |question: ListExchangesRequest| -> Vec<i64> {
                app.find(question).await.iter().map(|exchange| exchange.at_us - START).collect()
            };
            let all = question.clone();
            assert_eq!(times(all).await, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
            let outcomes = vec![Outcome::Refused.into(), Outcome::Failed.into()];
            let bad = ListExchangesRequest { outcomes, ..question.clone() };
            assert_eq!(times(bad.clone()).await, [9, 8, 4, 3]);
            let bad_of_one = ListExchangesRequest { request_id: "r-1".into(), ..bad };
            assert_eq!(times(bad_of_one).await, [9, 8]);
            let notable = ListExchangesRequest { only_notable: true, ..question.clone() };
            assert_eq!(times(notable).await, [9, 8, 7, 5, 4, 3, 2, 0]);
            let some_time = ListExchangesRequest { from_us: START + 3, until_us: START + 6, ..question.clone() };
            assert_eq!(times(some_time).await, [5, 4, 3]);
            let one = ListExchangesRequest { request_id: "r-0".into(), ..question.clone() };
            assert_eq!(times(one).await, [4, 3, 2, 1, 0]);
            let nothing = vec![Outcome::Unchanged.into()];
            let nothing = ListExchangesRequest { outcomes: nothing, only_notable: true, ..question.clone() };
            assert!(times(nothing).await.is_empty());
        }
    }

    async fn bad_questions_are_refused(db: Database) {
        let app = app(db);
        for (question, kind) in [
            (ListExchangesRequest { page_token: "x".into(), ..app.question() }, ErrorKind::InvalidCursor),
            (ListExchangesRequest { outcomes: vec![77], ..app.question() }, ErrorKind::InvalidValue),
            (ListExchangesRequest { users: vec!["x".into(); 6], ..app.question() }, ErrorKind::InvalidValue),
            (ListExchangesRequest::default(), ErrorKind::InvalidValue),
        ] {
            assert_eq!(app.page(question.clone()).await.unwrap_err().kind, kind, "{question:?}");
        }
        // As many as can be asked for.
        let many: Vec<String> = (0..5).map(|n| format!("user {n}")).collect();
        let question = ListExchangesRequest { users: many.clone(), groups: many, ..app.question() };
        assert!(app.page(question).await.unwrap().exchanges.is_empty());
    }
}
