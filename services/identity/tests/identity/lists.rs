//! Lists: totals, order, pages.

use proto::common::v1::{Dialect, Page};
use proto::identity::v1::ListUsersResponse;
use scim::ErrorKind;
use serde_json::json;

use crate::support::{App, Asked, app, kind, names};

testkit::store_tests! {
    service: Identity;

    async fn pages_by_index_have_the_true_total(db: Database) {
        let app = app(db);
        assert_eq!(app.list(Asked::default()).await.unwrap(), ListUsersResponse::default(), "nobody is an empty list");
        for n in 0..25 {
            app.user(&format!("u{n:02}")).await;
        }
        let by_default = app.list(Asked::default()).await.unwrap();
        assert_eq!((by_default.total_results, by_default.resources.len()), (25, 10));
        assert_eq!(names(&by_default.resources)[..2], ["u00", "u01"], "in order of creation");

        let mut seen = Vec::new();
        for start_index in [1, 8, 15, 22, 29] {
            let page = Some(Page { start_index, count: Some(7), cursor: None });
            let found = app.list(Asked { page, ..Asked::default() }).await.unwrap();
            assert_eq!((found.total_results, found.next_cursor.as_str()), (25, ""));
            seen.extend(names(&found.resources));
        }
        assert_eq!(seen, (0..25).map(|n| format!("u{n:02}")).collect::<Vec<_>>());

        for (start_index, count, expected) in [(-3, Some(1), 1), (0, Some(0), 0), (1, Some(-1), 0), (1, Some(9000), 25), (i64::MAX, None, 0)] {
            let page = Some(Page { start_index, count, cursor: None });
            let found = app.list(Asked { page, filter: "userName sw \"U\"", ..Asked::default() }).await.unwrap();
            assert_eq!((found.total_results, found.resources.len()), (25, expected), "{start_index} {count:?}");
        }
    }

    /// A page must fit into a message: it ends before, however many were asked for, and the next one goes on behind it.
    async fn pages_end_when_they_are_large(db: Database) {
        let app = app(db);
        let photo = "x".repeat(250_000);
        for n in 0..40 {
            let body = json!({ "userName": format!("u{n:02}"), "photos": [{ "value": photo }] });
            app.create(body).await.unwrap();
        }
        let all: Vec<String> = (0..40).map(|n| format!("u{n:02}")).collect();
        let mut seen = Vec::new();
        for fit in [33, 7] {
            let start_index = i64::try_from(seen.len()).unwrap() + 1;
            let page = Some(Page { start_index, count: Some(50), cursor: None });
            let found = app.list(Asked { page, ..Asked::default() }).await.unwrap();
            assert_eq!((found.total_results, found.resources.len()), (40, fit));
            seen.extend(names(&found.resources));
        }
        assert_eq!(seen, all);

        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for fit in [33, 7] {
            let page = Some(Page { start_index: 0, count: Some(50), cursor: Some(cursor) });
            let found = app.list(Asked { page, descending: true, sort_by: "userName", ..Asked::default() }).await.unwrap();
            assert_eq!((found.total_results, found.resources.len()), (40, fit));
            seen.extend(names(&found.resources));
            cursor = found.next_cursor;
        }
        seen.reverse();
        assert_eq!((seen, cursor.as_str()), (all, ""));
    }

    async fn any_attribute_sorts_and_the_absent_come_last(db: Database) {
        let app = app(db);
        let people = [
            json!({ "userName": "b", "title": "Zeta", "active": true, "emails": [{ "value": "m@x" }, { "value": "a@x", "primary": true }] }),
            json!({ "userName": "A", "title": "alpha", "active": false, "emails": [{ "value": "C@x" }] }),
            json!({ "userName": "ä", "active": true, "emails": [{ "type": "work", "value": "b@x" }] }),
            json!({ "userName": "C", "title": "Alpha", "externalId": "1", "active": false }),
        ];
        for person in people {
            app.create(person).await.unwrap();
        }
        let cases: [(&str, [&str; 4]); 9] = [
            ("userName", ["A", "b", "C", "ä"]),
            ("USERNAME", ["A", "b", "C", "ä"]),
            ("title", ["A", "C", "b", "ä"]),
            ("externalId", ["C", "b", "A", "ä"]),
            ("active", ["A", "C", "b", "ä"]),
            ("emails", ["b", "ä", "A", "C"]),
            ("emails.value", ["b", "ä", "A", "C"]),
            ("meta.created", ["b", "A", "ä", "C"]),
            ("id", ["b", "A", "ä", "C"]),
        ];
        for (sort_by, expected) in cases {
            for descending in [false, true] {
                let mut expected: Vec<String> = expected.map(String::from).into();
                if descending {
                    expected.reverse();
                }
                let asked = Asked { sort_by, descending, ..Asked::default() };
                let whole = app.list(asked.clone()).await.unwrap();
                // Created within one millisecond, they tie, and ids are in the order of creation only between milliseconds.
                if !["meta.created", "id"].contains(&sort_by) {
                    assert_eq!(stable(&names(&whole.resources), sort_by), stable(&expected, sort_by), "{sort_by} descending {descending}");
                }
                for count in [1, 3] {
                    let walked = walk(&app, asked.clone(), count).await;
                    assert_eq!(walked, names(&whole.resources), "{sort_by} by cursor");
                }
            }
        }
        for sort_by in ["nonsense", "name", "password"] {
            assert_eq!(kind(app.list(Asked { sort_by, ..Asked::default() }).await), ErrorKind::InvalidPath, "{sort_by}");
        }
    }

    async fn a_cursor_is_good_for_its_list_only(db: Database) {
        let app = app(db);
        for n in 0..5 {
            app.user(&format!("u{n}")).await;
        }
        let cursor = |cursor: &str| Some(Page { start_index: 0, count: Some(2), cursor: Some(cursor.into()) });
        let asked = Asked { filter: "userName pr", sort_by: "userName", page: cursor(""), ..Asked::default() };
        let first = app.list(asked.clone()).await.unwrap();
        assert_eq!((first.total_results, first.resources.len()), (5, 2));
        let next = first.next_cursor;
        let second = app.list(Asked { page: cursor(&next), ..asked.clone() }).await.unwrap();
        assert_eq!(names(&second.resources), ["u2", "u3"]);

        let other_filter = Asked { filter: "userName sw \"u\"", page: cursor(&next), ..asked.clone() };
        assert_eq!(kind(app.list(other_filter).await), ErrorKind::InvalidCursor);
        let other_order = Asked { descending: true, page: cursor(&next), ..asked.clone() };
        assert_eq!(kind(app.list(other_order).await), ErrorKind::InvalidCursor);
        let same = Asked { page: cursor(&next), ..asked.clone() };
        assert_eq!(kind(app.other_tenant().list(same.clone()).await), ErrorKind::InvalidCursor);
        assert_eq!(kind(app.dialect(Dialect::Rfc).list(Asked { page: cursor("made up"), ..asked.clone() }).await), ErrorKind::InvalidCursor);
        let both = Some(Page { start_index: 2, count: None, cursor: Some(next) });
        assert_eq!(kind(app.list(Asked { page: both, ..asked }).await), ErrorKind::InvalidValue);
    }

    /// While a client walks, others are created, changed and deleted around it: whoever is there from first to last
    /// page is met exactly once, in the default order and by userName.
    async fn a_walk_misses_nobody_who_was_there_throughout(db: Database) {
        let app = app(db);
        let mut lasting = Vec::new();
        let mut fleeting = Vec::new();
        for n in 0..20 {
            lasting.push(app.user(&format!("m{n:02}-stays")).await);
            fleeting.push(app.user(&format!("m{n:02}-goes")).await);
        }
        for sort_by in ["", "userName"] {
            let mut seen: Vec<String> = Vec::new();
            let mut cursor = String::new();
            for round in 0.. {
                let page = Some(Page { start_index: 0, count: Some(3), cursor: Some(cursor) });
                let found = app.list(Asked { sort_by, page, ..Asked::default() }).await.unwrap();
                seen.extend(found.resources.into_iter().map(|resource| resource.id));
                cursor = found.next_cursor;
                if cursor.is_empty() {
                    break;
                }
                // Before, at and behind the place where the walk is.
                if let Some(id) = fleeting.pop() {
                    app.delete(&id).await.unwrap();
                }
                if !fleeting.is_empty() {
                    let id = fleeting.remove(0);
                    app.delete(&id).await.unwrap();
                }
                fleeting.push(app.user(&format!("a{sort_by}{round}")).await);
                app.user(&format!("z{sort_by}{round}")).await;
                let title = json!([{ "op": "replace", "path": "title", "value": format!("{sort_by}{round}") }]);
                app.patch(&lasting[round % lasting.len()], title).await.unwrap();
                if round == 200 {
                    // Without end only because new users keep coming.
                    break;
                }
            }
            for id in &lasting {
                assert_eq!(seen.iter().filter(|seen| *seen == id).count(), 1, "sorted by {sort_by:?}");
            }
        }
    }
}

/// The names met by walking with a cursor.
async fn walk(app: &App, asked: Asked<'_>, count: i64) -> Vec<String> {
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = Some(Page { start_index: 0, count: Some(count), cursor: Some(cursor) });
        let found = app.list(Asked { page, ..asked.clone() }).await.unwrap();
        seen.extend(names(&found.resources));
        cursor = found.next_cursor;
        if cursor.is_empty() {
            return seen;
        }
    }
}

/// Users with the same key in a fixed order: among themselves they stand by id, which is random within a millisecond.
fn stable(names: &[String], sort_by: &str) -> Vec<Vec<String>> {
    let ties: &[&[&str]] = match sort_by {
        "title" => &[&["A", "C"], &["b"], &["ä"]],
        "externalId" => &[&["C"], &["A", "b", "ä"]],
        "active" => &[&["A", "C"], &["b", "ä"]],
        _ => &[&["A"], &["b"], &["C"], &["ä"]],
    };
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut last: Option<&&[&str]> = None;
    for name in names {
        let tie = ties.iter().find(|tie| tie.contains(&name.as_str()));
        match groups.last_mut() {
            Some(group) if tie == last => group.push(name.clone()),
            _ => groups.push(vec![name.clone()]),
        }
        last = tie;
    }
    for group in &mut groups {
        group.sort();
    }
    groups
}
