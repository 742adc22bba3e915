//! Members of a group as sets of rows.

use std::time::{Duration, Instant};

use proto::common::v1::Dialect;
use proto::membership::v1::MemberType;
use scim::ErrorKind;
use serde_json::json;

use crate::support::{app, error, kind, sorted, user_id, values};

testkit::store_tests! {
    service: Membership;

    async fn adding_and_removing_twice_is_once(db: Database) {
        let app = app(db);
        let (id, users) = (app.group("Sales").await, app.users(2).await);
        let first = app.add(&id, &[&users[0], &users[1], &users[0]]).await;
        assert_eq!(first.resource.unwrap().version, 2);
        assert!(first.warnings.is_empty());
        let again = app.add(&id, &[&users[1], &users[0]]).await;
        assert_eq!(again.resource.unwrap().version, 2, "nothing changed");
        assert_eq!(app.member_ids(&id).await, sorted(&[&users[0], &users[1]]));

        assert_eq!(app.remove(&id, &[&users[0]]).await.resource.unwrap().version, 3);
        assert_eq!(app.remove(&id, &[&users[0]]).await.resource.unwrap().version, 3);
        assert_eq!(app.member_ids(&id).await, [users[1].clone()]);
    }

    async fn both_styles_of_removal_remove_only_what_they_name(db: Database) {
        let app = app(db);
        let (id, users) = (app.group("Sales").await, app.users(4).await);
        let all: Vec<&str> = users.iter().map(String::as_str).collect();
        app.add(&id, &all).await;
        // Entra without the compliance flag.
        app.patch(&id, json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": users[0] }] }])).await.unwrap();
        assert_eq!(app.member_ids(&id).await, sorted(&all[1..]));
        // And with it.
        app.patch(&id, json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", users[1]) }])).await.unwrap();
        assert_eq!(app.member_ids(&id).await, sorted(&all[2..]));
        // One who is not in.
        app.patch(&id, json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", users[1]) }])).await.unwrap();
        assert_eq!(app.version(&id).await, 4);
        // Several, by a filter.
        let path = format!("members[value eq \"{}\" or value eq \"{}\"]", users[2], users[0]);
        app.patch(&id, json!([{ "op": "remove", "path": path }])).await.unwrap();
        assert_eq!(app.member_ids(&id).await, [users[3].clone()]);
    }

    /// Each of them looks at every member, while everybody's writes wait.
    async fn removals_by_filter_are_few(db: Database) {
        let app = app(db);
        let (id, users, nested) = (app.group("Sales").await, app.users(2).await, app.group("East").await);
        app.add(&id, &[&users[0], &users[1], &nested]).await;
        let remove = |path: String| json!({ "op": "remove", "path": path });
        let others = (0..11).map(|_| remove(format!("members[value ne \"{}\" and type eq \"Group\"]", user_id())));
        let error = error(app.patch(&id, others.collect()).await);
        assert_eq!((error.kind, error.attribute.as_deref()), (ErrorKind::TooMany, Some("members")));
        assert_eq!(app.version(&id).await, 2);

        let same = (0..4000).map(|_| remove("members[type eq \"Group\"]".to_owned()));
        app.patch(&id, same.collect()).await.unwrap();
        assert_eq!(app.member_ids(&id).await, sorted(&[&users[0], &users[1]]));
    }

    async fn an_empty_list_of_members_to_remove_does_not_empty_the_group(db: Database) {
        let app = app(db);
        let (id, users) = (app.group("Sales").await, app.users(2).await);
        app.add(&id, &[&users[0], &users[1]]).await;
        app.patch(&id, json!([{ "op": "Remove", "path": "members", "value": [] }])).await.unwrap();
        assert_eq!(app.member_ids(&id).await.len(), 2);
        assert_eq!(app.version(&id).await, 2);
    }

    async fn without_a_value_removal_means_all(db: Database) {
        let app = app(db);
        let (id, users) = (app.group("Sales").await, app.users(3).await);
        let all: Vec<&str> = users.iter().map(String::as_str).collect();
        app.add(&id, &all).await;
        let rfc = app.dialect(Dialect::Rfc);
        rfc.patch(&id, json!([{ "op": "remove", "path": "members" }])).await.unwrap();
        assert_eq!(app.member_ids(&id).await, Vec::<String>::new());
    }

    async fn members_are_selected_by_type(db: Database) {
        let app = app(db);
        let (id, nested, user) = (app.group("Sales").await, app.group("East").await, app.user().await);
        app.add(&id, &[&nested, &user]).await;
        let (_, members) = app.get(&id).await.unwrap();
        let type_of = |wanted: &str| members.iter().find(|member| member.id == wanted).unwrap().r#type();
        assert_eq!((type_of(&nested), type_of(&user)), (MemberType::Group, MemberType::User));
        let by_display = json!([{ "op": "remove", "path": "members[display eq \"East\"]" }]);
        assert_eq!(kind(app.dialect(Dialect::Rfc).patch(&id, by_display).await), ErrorKind::InvalidFilter);
        app.patch(&id, json!([{ "op": "remove", "path": "members[type ne \"User\"]" }])).await.unwrap();
        assert_eq!(app.member_ids(&id).await, [user]);
    }

    async fn replace_sets_exactly_these(db: Database) {
        let app = app(db);
        let (id, users) = (app.group("Sales").await, app.users(4).await);
        app.add(&id, &[&users[0], &users[1]]).await;
        let replace = json!([{ "op": "replace", "path": "members", "value": values(&[&users[1], &users[2]]) }]);
        assert_eq!(app.patch(&id, replace.clone()).await.unwrap().resource.unwrap().version, 3);
        assert_eq!(app.member_ids(&id).await, sorted(&[&users[1], &users[2]]));
        assert_eq!(app.patch(&id, replace).await.unwrap().resource.unwrap().version, 3, "nothing changed");
        let one_of_each = json!([
            { "op": "add", "path": "members", "value": values(&[&users[3]]) },
            { "op": "remove", "path": "members", "value": values(&[&users[1]]) },
        ]);
        assert_eq!(app.patch(&id, one_of_each).await.unwrap().resource.unwrap().version, 4);
        assert_eq!(app.member_ids(&id).await, sorted(&[&users[2], &users[3]]));
    }

    /// As Entra does without the compliance flag: one operation per member.
    async fn a_thousand_operations_are_one_change(db: Database) {
        let app = app(db);
        let (id, users) = (app.group("Sales").await, app.users(1000).await);
        let operation = |op: &str, user: &String| json!({ "op": op, "path": "members", "value": values(&[user]) });
        let mut operations: Vec<_> = users.iter().map(|user| operation("Add", user)).collect();
        operations.push(operation("Remove", &users[0]));
        let added = app.patch(&id, operations.into()).await.unwrap();
        assert_eq!(added.resource.unwrap().version, 2);
        let rest: Vec<&str> = users[1..].iter().map(String::as_str).collect();
        assert!(app.member_ids(&id).await == sorted(&rest), "all but the one that was removed again");
        // Came and went within one request: nothing happened.
        let passing = json!([operation("Add", &users[0]), operation("Remove", &users[0])]);
        assert_eq!(app.patch(&id, passing).await.unwrap().resource.unwrap().version, 2);
    }

    async fn replace_of_many_crosses_pages_and_chunks(db: Database) {
        let app = app(db);
        let id = app.group("Sales").await;
        let ids: Vec<String> = (0..2600).map(|_| user_id()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        app.add(&id, &ids[..2100]).await;
        let replace = json!([{ "op": "replace", "path": "members", "value": values(&ids[300..]) }]);
        app.patch(&id, replace).await.unwrap();
        // They show when they arrive.
        app.arrive(&[ids[0], ids[299], ids[300], ids[2099], ids[2100], ids[2599]]).await;
        assert_eq!(app.member_ids(&id).await, sorted(&[ids[300], ids[2099], ids[2100], ids[2599]]));
    }

    async fn members_who_do_not_exist_yet_wait_and_heal(db: Database) {
        let app = app(db);
        let (id, early) = (app.group("Sales").await, user_id());
        let answer = app.add(&id, &[&early]).await;
        assert_eq!(answer.resource.unwrap().version, 2);
        assert_eq!(answer.warnings.len(), 1);
        assert!(answer.warnings[0].detail.contains(&early), "{}", answer.warnings[0].detail);
        assert_eq!(app.member_ids(&id).await, Vec::<String>::new());
        assert_eq!(app.find(&format!("members.value eq \"{early}\"")).await.unwrap(), Vec::<String>::new());

        app.apply(app.change(&early)).await.unwrap();
        assert_eq!(app.member_ids(&id).await, [early.as_str()]);
        assert!(app.is_in(&early, &id).await);
        assert_eq!(app.find(&format!("members.value eq \"{early}\"")).await.unwrap(), [id.as_str()]);
        assert_eq!(app.walk(&id, proto::membership::v1::Depth::Direct, false, "").await.unwrap().0[0].user_id, early);

        // Also in the strict dialects, for what has the form of an id.
        let (rfc, late) = (app.dialect(Dialect::Rfc), user_id());
        rfc.add(&id, &[&late]).await;
        app.apply(app.change(&late)).await.unwrap();
        assert_eq!(app.member_ids(&id).await, sorted(&[&early, &late]));
    }

    async fn what_is_no_id_is_skipped_or_refused(db: Database) {
        let app = app(db);
        let (id, user) = (app.group("Sales").await, app.user().await);
        let answer = app.add(&id, &["bob", &user]).await;
        assert_eq!(answer.warnings.len(), 1);
        assert_eq!(app.member_ids(&id).await, [user.as_str()]);
        let bob = json!([{ "op": "add", "path": "members", "value": values(&["bob"]) }]);
        assert_eq!(app.dialect(Dialect::Rfc).patch(&id, bob.clone()).await.unwrap().warnings.len(), 1);
        assert_eq!(kind(app.dialect(Dialect::Interop).patch(&id, bob).await), ErrorKind::InvalidValue);
    }

    async fn the_type_a_client_gives_is_a_hint(db: Database) {
        let app = app(db);
        let (id, user) = (app.group("Sales").await, app.user().await);
        let wrong = json!([{ "op": "add", "path": "members", "value": [{ "value": user, "type": "Group" }] }]);
        app.patch(&id, wrong).await.unwrap();
        assert_eq!(app.get(&id).await.unwrap().1[0].r#type(), MemberType::User);
    }

    async fn a_deleted_group_leaves_the_groups_it_was_in(db: Database) {
        let app = app(db);
        let (outer, inner, user) = (app.group("Outer").await, app.group("Inner").await, app.user().await);
        app.add(&outer, &[&inner]).await;
        app.add(&inner, &[&user]).await;
        assert!(app.is_in(&user, &outer).await);
        app.delete(&inner).await.unwrap();
        assert!(!app.is_in(&user, &outer).await);
        assert_eq!(app.member_ids(&outer).await, Vec::<String>::new());
    }

    /// Fifty thousand members: adding one costs what it costs in a group of ten.
    async fn adding_to_a_large_group_is_not_slower(db: Database) {
        let app = app(db);
        let (small, large) = (app.group("Small").await, app.group("Large").await);
        let many: Vec<String> = (0..50_000).map(|_| user_id()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        app.add(&small, &many[..10]).await;
        for run in many.chunks(5000) {
            app.add(&large, run).await;
        }
        let users = app.users(60).await;
        let mut took = [Vec::new(), Vec::new()];
        // In turns, so that both meet the same disturbances.
        for user in &users {
            for (which, group) in [&small, &large].into_iter().enumerate() {
                let start = Instant::now();
                app.add(group, &[user]).await;
                app.remove(group, &[user]).await;
                took[which].push(start.elapsed());
            }
        }
        let median = |times: &mut Vec<Duration>| {
            times.sort();
            times[times.len() / 2]
        };
        let [mut small, mut large] = took;
        let (small, large) = (median(&mut small), median(&mut large));
        println!("add and remove one: {small:?} in a group of 10, {large:?} in one of 50,000");
        assert!(large < small * 3 + Duration::from_millis(2), "{large:?} in the large group, {small:?} in the small one");
    }
}
