//! Who is in what: names, pages, streams.

use proto::identity::v1::UserChange;
use proto::membership::v1::{self as v1, Depth, group_ref, user_ref};
use scim::ErrorKind;
use serde_json::json;

use crate::support::{App, app, by_id, error, group_by_id, kind, sorted, token, user_id};

async fn groups_of(app: &App, user: &str, page_size: i32, depth: Depth) -> Vec<v1::Group> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListUserGroupsRequest {
            user: Some(v1::UserRef { r#ref: Some(by_id(user)) }),
            depth: depth.into(),
            page_size,
            page_token,
            ..Default::default()
        };
        let page = app.memberships().list_user_groups(app.request(request)).await.unwrap().into_inner();
        all.extend(page.groups);
        if page.next_page_token.is_empty() {
            return all;
        }
        page_token = page.next_page_token;
    }
}

testkit::store_tests! {
    service: Membership;

    async fn users_and_groups_are_found_by_every_name(db: Database) {
        let app = app(db);
        let user = app.user().await;
        let group = app.create(json!({ "displayName": "Vertrieb Süd", "externalId": "g-1" })).await.unwrap().resource.unwrap().id;
        app.add(&group, &[&user]).await;
        let users = [
            by_id(&user),
            user_ref::Ref::ExternalId(format!("ext-{user}")),
            user_ref::Ref::UserName(format!("{user}@EXAMPLE.com")),
        ];
        let groups = [
            group_by_id(&group),
            group_ref::Ref::ExternalId("g-1".into()),
            group_ref::Ref::DisplayName("VERTRIEB SÜD".into()),
        ];
        for user in &users {
            for group in &groups {
                for depth in [Depth::Direct, Depth::Transitive] {
                    assert!(app.ask(user.clone(), group.clone(), depth).await.unwrap(), "{user:?} {group:?}");
                }
            }
        }
        // External ids compare exactly.
        let other_case = user_ref::Ref::ExternalId(format!("EXT-{user}"));
        assert_eq!(kind(app.ask(other_case, group_by_id(&group), Depth::Direct).await), ErrorKind::NotFound);
    }

    async fn who_is_unknown_is_not_found_and_named(db: Database) {
        let app = app(db);
        let (user, group) = (app.user().await, app.group("Sales").await);
        for unknown in [by_id(&user_id()), by_id("x"), by_id(""), user_ref::Ref::UserName("nobody".into())] {
            let refused = error(app.ask(unknown, group_by_id(&group), Depth::Direct).await);
            assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::NotFound, Some("user")));
        }
        for unknown in [group_by_id(&user_id()), group_by_id("x"), group_ref::Ref::DisplayName("none".into())] {
            let refused = error(app.ask(by_id(&user), unknown, Depth::Direct).await);
            assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::NotFound, Some("group")));
        }
        let nameless = user_ref::Ref::ExternalId(String::new());
        assert_eq!(kind(app.ask(nameless, group_by_id(&group), Depth::Direct).await), ErrorKind::InvalidValue);
        let request = v1::CheckRequest::default();
        let refused = app.memberships().check(app.request(request)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::InvalidValue);
        assert_eq!(kind(app.walk(&user_id(), Depth::Direct, false, "").await), ErrorKind::NotFound);
    }

    async fn nobody_is_picked_among_several(db: Database) {
        let app = app(db);
        let group = app.group("Sales").await;
        for _ in 0..2 {
            let change = UserChange { external_id: "twice".into(), user_name: "twice".into(), ..app.change(&user_id()) };
            app.apply(change).await.unwrap();
            let name = user_id();
            app.create(json!({ "displayName": name, "externalId": "twice" })).await.unwrap();
        }
        for user in [user_ref::Ref::ExternalId("twice".into()), user_ref::Ref::UserName("Twice".into())] {
            let refused = error(app.ask(user, group_by_id(&group), Depth::Direct).await);
            assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::Conflict, Some("user")));
        }
        let user = app.user().await;
        let refused = error(app.ask(by_id(&user), group_ref::Ref::ExternalId("twice".into()), Depth::Direct).await);
        assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::Conflict, Some("group")));
    }

    async fn nesting_counts_unless_direct_is_asked_for(db: Database) {
        let app = app(db);
        let (user, inner, outer) = (app.user().await, app.group("Inner").await, app.group("Outer").await);
        app.add(&inner, &[&user]).await;
        app.add(&outer, &[&inner]).await;
        assert!(app.ask(by_id(&user), group_by_id(&outer), Depth::Transitive).await.unwrap());
        assert!(app.ask(by_id(&user), group_by_id(&outer), Depth::Unspecified).await.unwrap());
        assert!(!app.ask(by_id(&user), group_by_id(&outer), Depth::Direct).await.unwrap());
        let groups = groups_of(&app, &user, 0, Depth::Transitive).await;
        let found: Vec<(&str, bool)> = groups.iter().map(|group| (group.id.as_str(), group.direct)).collect();
        let mut expected = [(inner.as_str(), true), (outer.as_str(), false)];
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(groups_of(&app, &user, 0, Depth::Direct).await.len(), 1);
        let (members, _) = app.walk(&outer, Depth::Transitive, false, "").await.unwrap();
        assert_eq!((members.len(), members[0].direct), (1, false));
        assert!(app.walk(&outer, Depth::Direct, false, "").await.unwrap().0.is_empty());
        app.add(&outer, &[&user]).await;
        let (members, _) = app.walk(&outer, Depth::Transitive, false, "").await.unwrap();
        assert_eq!((members.len(), members[0].direct), (1, true), "once, and direct");
    }

    async fn cycles_are_harmless(db: Database) {
        let app = app(db);
        let (a, b, c, user) = (app.group("A").await, app.group("B").await, app.group("C").await, app.user().await);
        app.add(&a, &[&b, &a]).await;
        app.add(&b, &[&c]).await;
        app.add(&c, &[&a, &user]).await;
        for group in [&a, &b, &c] {
            assert!(app.is_in(&user, group).await);
            let (members, _) = app.walk(group, Depth::Transitive, false, "").await.unwrap();
            assert_eq!(members.len(), 1);
        }
        assert_eq!(groups_of(&app, &user, 1, Depth::Transitive).await.len(), 3);
        let (_, members) = app.get(&a).await.unwrap();
        assert_eq!(members.len(), 2, "a group may be a member of itself");
        app.remove(&c, &[&user]).await;
        assert!(!app.is_in(&user, &a).await, "a cycle does not keep anybody in");
    }

    async fn groups_of_a_user_come_in_pages_by_id(db: Database) {
        let app = app(db);
        let user = app.user().await;
        let mut expected = Vec::new();
        for at in 0..7 {
            let group = app.group(&format!("G{at}")).await;
            app.add(&group, &[&user]).await;
            expected.push(group);
        }
        expected.sort();
        for page_size in [1, 3, 7, 8, 5000] {
            for depth in [Depth::Direct, Depth::Transitive] {
                let ids: Vec<String> =
                    groups_of(&app, &user, page_size, depth).await.into_iter().map(|group| group.id).collect();
                assert_eq!(ids, expected, "by id");
            }
        }
        let request = v1::ListUserGroupsRequest {
            user: Some(v1::UserRef { r#ref: Some(by_id(&user)) }),
            page_token: "x".into(),
            ..Default::default()
        };
        let refused = app.memberships().list_user_groups(app.request(request)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::InvalidCursor);
    }

    async fn members_are_streamed_in_order_once_and_resumed(db: Database) {
        let app = app(db);
        let (outer, inner) = (app.group("Outer").await, app.group("Inner").await);
        let ids: Vec<String> = (0..2500).map(|_| user_id()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        // Overlapping: some in both, some in one.
        app.add(&outer, &ids[..1700]).await;
        app.add(&inner, &ids[800..]).await;
        app.add(&outer, &[&inner]).await;
        app.arrive(&ids).await;
        let (members, cursors) = app.walk(&outer, Depth::Transitive, false, "").await.unwrap();
        let walked: Vec<&str> = members.iter().map(|member| member.user_id.as_str()).collect();
        assert_eq!(walked, sorted(&ids), "each once, by id");
        assert_eq!(members.iter().filter(|member| member.direct).count(), 1700);
        assert_eq!(cursors.len(), 3);
        for (run, cursor) in cursors.iter().enumerate() {
            let (rest, _) = app.walk(&outer, Depth::Transitive, false, cursor).await.unwrap();
            let rest: Vec<&str> = rest.iter().map(|member| member.user_id.as_str()).collect();
            assert_eq!(rest, walked[((run + 1) * 1000).min(2500)..]);
        }
        assert_eq!(kind(app.walk(&outer, Depth::Direct, false, "x").await), ErrorKind::InvalidCursor);
        // The group itself shows them in the same order, in chunks.
        assert_eq!(app.member_ids(&inner).await, sorted(&ids[800..]));
    }

    async fn groups_of_users_come_direct_ones_first(db: Database) {
        let app = app(db);
        let users = app.users(3).await;
        let (outer, inner) = (app.group("Outer").await, app.group("Inner").await);
        app.add(&outer, &[&inner, &users[0]]).await;
        app.add(&inner, &[&users[0], &users[1]]).await;
        let user_ids = vec![users[0].clone(), users[1].clone(), users[2].clone(), "x".into(), user_id()];
        let request = v1::ListGroupsOfUsersRequest { context: app.context(), user_ids };
        let answer = app.groups().list_groups_of_users(app.request(request)).await.unwrap().into_inner();
        let group = |id: &str, display: &str, direct| v1::UserGroup { id: id.into(), display: display.into(), direct };
        let mut both = vec![group(&outer, "Outer", true), group(&inner, "Inner", true)];
        both.sort_by(|a, b| a.id.cmp(&b.id));
        let mut expected = [
            (&users[0], both),
            (&users[1], vec![group(&inner, "Inner", true), group(&outer, "Outer", false)]),
        ];
        expected.sort_by_key(|(user, _)| (*user).clone());
        let found: Vec<_> = answer.users.iter().map(|user| (&user.user_id, user.groups.clone())).collect();
        assert_eq!(found, expected);
        let too_many = v1::ListGroupsOfUsersRequest { context: app.context(), user_ids: vec![user_id(); 1001] };
        let refused = app.groups().list_groups_of_users(app.request(too_many)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::TooMany);
    }

    async fn users_of_groups_are_those_whose_groups_show_the_group(db: Database) {
        let app = app(db);
        let users = app.users(4).await;
        let (outer, inner, empty) = (app.group("Outer").await, app.group("Inner").await, app.group("Empty").await);
        app.add(&outer, &[&inner, &users[0], &users[1]]).await;
        // Somebody who has not arrived yet, and somebody who is gone.
        app.add(&inner, &[&users[0], &users[2], &user_id(), &users[3], &outer]).await;
        app.apply(UserChange { version: 2, active: false, ..app.change(&users[2]) }).await.unwrap();
        app.apply(UserChange { version: 2, deleted: true, ..app.change(&users[3]) }).await.unwrap();
        let asked = vec![outer.clone(), empty, "no-id".into(), user_id()];
        let of = async |app: &App| {
            let request = v1::ListUserIdsOfGroupsRequest { context: app.context(), group_ids: asked.clone() };
            let answer = app.groups().list_user_ids_of_groups(app.request(request)).await.unwrap().into_inner();
            let named: Vec<String> = answer.groups.iter().map(|group| group.group_id.clone()).collect();
            assert_eq!(named, asked);
            answer.groups.into_iter().map(|group| group.user_ids).collect::<Vec<_>>()
        };
        let mut found = of(&app).await;
        found[0].sort();
        assert_eq!(found[0], sorted(&[&users[0], &users[1], &users[2]]));
        assert_eq!(found[1..], [[""; 0]; 3]);
        assert_eq!(of(&app.other_tenant()).await, [[""; 0]; 4]);
        let too_many = v1::ListUserIdsOfGroupsRequest { context: app.context(), group_ids: vec![user_id(); 101] };
        let refused = app.groups().list_user_ids_of_groups(app.request(too_many)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::TooMany);
        let mut reader = app.clone();
        reader.token = token(&app.tenant.to_string(), "memberships:read");
        let request = v1::ListUserIdsOfGroupsRequest { context: app.context(), group_ids: vec![outer] };
        let refused = reader.groups().list_user_ids_of_groups(reader.request(request)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Forbidden);
    }

    async fn a_group_with_more_users_than_a_filter_bears_is_too_many(db: Database) {
        let app = app(db);
        let users = app.users(40).await;
        let all: Vec<&str> = users.iter().map(String::as_str).collect();
        let group = app.group("Large").await;
        app.add(&group, &all).await;
        // 500 times the same group is as many ids as one group of 20,000; the request may only name 100.
        let ask = async |times: usize| {
            let request = v1::ListUserIdsOfGroupsRequest { context: app.context(), group_ids: vec![group.clone(); times] };
            app.groups().list_user_ids_of_groups(app.request(request)).await.map_err(platform::Error::from)
        };
        assert_eq!(ask(100).await.unwrap().into_inner().groups[99].user_ids.len(), 40);
        let more = app.users(200).await;
        app.add(&group, &more.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let refused = error(ask(100).await);
        assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::TooMany, Some("groups")));
        assert!(refused.detail.contains("20000"), "{}", refused.detail);
    }

    async fn questions_need_the_scope(db: Database) {
        let app = app(db);
        let (user, group) = (app.user().await, app.group("Sales").await);
        let mut gateway = app.clone();
        gateway.token = token(&app.tenant.to_string(), "scim");
        assert_eq!(kind(gateway.ask(by_id(&user), group_by_id(&group), Depth::Direct).await), ErrorKind::Forbidden);
        assert_eq!(kind(gateway.walk(&group, Depth::Direct, false, "").await), ErrorKind::Forbidden);
    }
}
