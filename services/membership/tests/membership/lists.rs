//! Lists of groups: filters, order, pages.

use proto::common::v1::{Dialect, Page, SortOrder};
use proto::membership::v1;
use scim::ErrorKind;
use serde_json::json;

use crate::support::{App, app, kind, sorted, user_id};

async fn page(app: &App, page: Page) -> crate::support::Listed {
    app.list(v1::ListGroupsRequest { page: Some(page), ..Default::default() }).await.unwrap()
}

testkit::store_tests! {
    service: Membership;

    async fn filters_find_what_they_say(db: Database) {
        let app = app(db);
        let (user, other) = (app.user().await, app.user().await);
        let sales = app.create(json!({ "displayName": "Sales EMEA", "externalId": "E-1" })).await.unwrap().resource.unwrap().id;
        let it = app.group("IT").await;
        app.add(&sales, &[&user, &it]).await;
        app.add(&it, &[&other]).await;
        let cases = [
            ("displayName eq \"sales emea\"".to_owned(), vec![&sales]),
            ("displayName eq \"none\"".to_owned(), vec![]),
            ("displayName sw \"SALES\"".to_owned(), vec![&sales]),
            ("displayName co \"t\" or displayName ew \"emea\"".to_owned(), vec![&sales, &it]),
            ("externalId eq \"E-1\"".to_owned(), vec![&sales]),
            ("externalId eq \"e-1\"".to_owned(), vec![]),
            ("not (externalId pr)".to_owned(), vec![&it]),
            (format!("id eq \"{sales}\""), vec![&sales]),
            (format!("id eq \"{sales}\" and members eq \"{user}\""), vec![&sales]),
            (format!("id eq \"{sales}\" and members eq \"{other}\""), vec![]),
            (format!("members.value eq \"{user}\""), vec![&sales]),
            (format!("members[value eq \"{user}\"]"), vec![&sales]),
            (format!("members.value eq \"{it}\""), vec![&sales]),
            (format!("members[value eq \"{user}\" and type eq \"User\"]"), vec![&sales]),
            (format!("members[value eq \"{user}\" and type eq \"Group\"]"), vec![]),
            ("members[type eq \"group\"]".to_owned(), vec![&sales]),
            ("members.value eq \"bob\"".to_owned(), vec![]),
            (format!("members.value eq \"{}\"", user_id()), vec![]),
            (format!("not (members.value eq \"{user}\")"), vec![&it]),
            ("members pr".to_owned(), vec![&sales, &it]),
            ("meta.created gt \"2020-01-01T00:00:00Z\"".to_owned(), vec![&sales, &it]),
            ("meta.resourceType eq \"Group\" and meta.version eq \"W/\\\"2\\\"\"".to_owned(), vec![&sales, &it]),
            ("meta.version eq \"W/\\\"1\\\"\"".to_owned(), vec![]),
            ("meta.lastModified lt \"2020-01-01T00:00:00Z\"".to_owned(), vec![]),
        ];
        for (filter, expected) in cases {
            let expected: Vec<&str> = expected.into_iter().map(String::as_str).collect();
            assert_eq!(app.find(&filter).await.unwrap(), sorted(&expected), "{filter}");
        }
        let created = platform::clock::Timestamp::from_micros(app.get(&it).await.unwrap().0.created_at_us).to_rfc3339();
        let found = app.find(&format!("meta.created eq \"{created}\" and displayName eq \"it\"")).await;
        assert_eq!(found.unwrap(), [it], "what was shown can be compared with");
        for refused in ["members.display eq \"x\"", "displayName eq", "((", "members[value eq \"x\""] {
            assert_eq!(kind(app.find(refused).await), ErrorKind::InvalidFilter, "{refused}");
        }
        assert_eq!(kind(app.dialect(Dialect::Rfc).find("nonsense eq \"x\"").await), ErrorKind::InvalidFilter);
    }

    async fn members_follow_their_group(db: Database) {
        let app = app(db);
        let users = app.users(3).await;
        let mut expected = Vec::new();
        for (at, user) in users.iter().enumerate() {
            let group = app.group(&format!("G{at}")).await;
            app.add(&group, &[user]).await;
            expected.push((group, vec![user.clone()]));
        }
        let empty = app.group("Empty").await;
        expected.push((empty, vec![]));
        expected.sort();
        let listed = app.list(v1::ListGroupsRequest { with_members: true, ..Default::default() }).await.unwrap();
        let found: Vec<(String, Vec<String>)> = listed
            .groups
            .into_iter()
            .map(|(group, members)| (group.id, members.into_iter().map(|member| member.id).collect()))
            .collect();
        assert_eq!(found, expected);
        let listed = app.list(v1::ListGroupsRequest::default()).await.unwrap();
        assert!(listed.groups.iter().all(|(_, members)| members.is_empty()));
    }

    async fn pages_by_index_have_the_true_total(db: Database) {
        let app = app(db);
        let mut ids = Vec::new();
        for at in 0..12 {
            ids.push(app.group(&format!("G{at:02}")).await);
        }
        ids.sort();
        let by_index = |start_index, count| Page { start_index, count, cursor: None };
        for (asked, expected) in [
            (by_index(0, None), &ids[..10]),
            (by_index(1, Some(5)), &ids[..5]),
            (by_index(11, Some(5)), &ids[10..]),
            (by_index(13, Some(5)), &[]),
            (by_index(-3, Some(2)), &ids[..2]),
            (by_index(1, Some(0)), &[]),
            (by_index(1, Some(-1)), &[]),
            (by_index(1, Some(1000)), &ids[..]),
        ] {
            let listed = page(&app, asked.clone()).await;
            assert_eq!(listed.head.total_results, 12);
            assert_eq!(listed.ids(), expected, "{asked:?}");
            assert_eq!(listed.head.next_cursor, "");
        }
    }

    async fn a_cursor_walks_through_changes_and_belongs_to_its_query(db: Database) {
        let app = app(db);
        let mut ids = Vec::new();
        for at in 0..11 {
            ids.push(app.group(&format!("G{at:02}")).await);
        }
        let ask = |cursor: String, filter: &str, order: SortOrder| v1::ListGroupsRequest {
            filter: filter.into(),
            sort_by: "displayName".into(),
            sort_order: order.into(),
            page: Some(Page { start_index: 0, count: Some(4), cursor: Some(cursor) }),
            ..Default::default()
        };
        for order in [SortOrder::Ascending, SortOrder::Descending] {
            let (mut cursor, mut seen) = (String::new(), Vec::new());
            loop {
                let listed = app.list(ask(cursor, "displayName sw \"g\"", order)).await.unwrap();
                seen.extend(listed.ids());
                cursor = listed.head.next_cursor;
                if cursor.is_empty() {
                    break;
                }
                // What comes and goes around the walk does not disturb it.
                let passing = app.group(&format!("G{}", user_id())).await;
                app.delete(&passing).await.unwrap();
                let other = app.list(ask(cursor.clone(), "displayName sw \"G0\"", order)).await;
                assert_eq!(kind(other), ErrorKind::InvalidCursor, "a cursor opens its own query only");
                assert_eq!(kind(app.other_tenant().list(ask(cursor.clone(), "displayName sw \"g\"", order)).await), ErrorKind::InvalidCursor);
            }
            let mut expected = ids.clone();
            if order == SortOrder::Descending {
                expected.reverse();
            }
            assert_eq!(seen, expected);
        }
    }

    async fn lists_are_sorted_as_asked(db: Database) {
        let app = app(db);
        let b = app.create(json!({ "displayName": "beta", "externalId": "1" })).await.unwrap().resource.unwrap().id;
        let a = app.create(json!({ "displayName": "Alpha", "externalId": "2" })).await.unwrap().resource.unwrap().id;
        let c = app.group("Gamma").await;
        let sorted_by = async |sort_by: &str, order: SortOrder| {
            let request = v1::ListGroupsRequest { sort_by: sort_by.into(), sort_order: order.into(), ..Default::default() };
            app.list(request).await.map(|listed| listed.ids())
        };
        let by_id = sorted(&[&a, &b, &c]);
        assert_eq!(sorted_by("", SortOrder::Unspecified).await.unwrap(), by_id);
        assert_eq!(sorted_by("id", SortOrder::Ascending).await.unwrap(), by_id);
        let mut descending = by_id;
        descending.reverse();
        assert_eq!(sorted_by("", SortOrder::Descending).await.unwrap(), descending);
        assert_eq!(sorted_by("displayName", SortOrder::Ascending).await.unwrap(), [a.clone(), b.clone(), c.clone()]);
        assert_eq!(sorted_by("displayName", SortOrder::Descending).await.unwrap(), [c.clone(), b.clone(), a.clone()]);
        assert_eq!(sorted_by("externalId", SortOrder::Ascending).await.unwrap(), [b.clone(), a.clone(), c.clone()], "without a value comes last");
        // Moved behind the others by a change.
        let moved = json!([{ "op": "replace", "path": "externalId", "value": "3" }]);
        let changed = app.patch(&b, moved).await.unwrap().resource.unwrap().updated_at_us;
        let last = sorted_by("meta.lastModified", SortOrder::Ascending).await.unwrap().pop().unwrap();
        assert_eq!(app.get(&last).await.unwrap().0.updated_at_us, changed);
        assert!(sorted_by("nonsense", SortOrder::Ascending).await.is_err());
    }
}
