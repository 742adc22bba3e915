//! One tenant can neither see nor touch what is another's, in any call, knowing its ids.

use futures::TryStreamExt;
use proto::membership::v1::{self as v1, Depth, group_ref, user_ref};
use scim::ErrorKind;
use serde_json::json;

use crate::support::{app, by_id, group_by_id, kind, user_id, values};

testkit::store_tests! {
    service: Membership;

    async fn ids_of_another_tenant_lead_nowhere(db: Database) {
        let theirs = app(db);
        let ours = theirs.other_tenant();
        let (user, group) = (theirs.user().await, theirs.create(json!({ "displayName": "Secret", "externalId": "s-1" })).await.unwrap().resource.unwrap().id);
        theirs.add(&group, &[&user]).await;
        let before = theirs.get(&group).await.unwrap();

        assert_eq!(kind(ours.get(&group).await), ErrorKind::NotFound);
        assert_eq!(kind(ours.delete(&group).await), ErrorKind::NotFound);
        assert_eq!(kind(ours.replace(&group, json!({ "displayName": "Ours" })).await), ErrorKind::NotFound);
        assert_eq!(kind(ours.patch(&group, json!([{ "op": "remove", "path": "members", "value": values(&[&user]) }])).await), ErrorKind::NotFound);
        for filter in ["", "displayName eq \"Secret\"", "externalId pr", &format!("id eq \"{group}\""), &format!("members.value eq \"{user}\"")] {
            assert_eq!(ours.find(filter).await.unwrap(), Vec::<String>::new(), "{filter}");
        }
        let request = v1::ListGroupsOfUsersRequest { context: ours.context(), user_ids: vec![user.clone()] };
        let answer = ours.groups().list_groups_of_users(ours.request(request)).await.unwrap().into_inner();
        assert!(answer.users.is_empty());

        let (own_user, own_group) = (ours.user().await, ours.group("Secret").await);
        for named in [by_id(&user), user_ref::Ref::ExternalId(format!("ext-{user}")), user_ref::Ref::UserName(format!("{user}@example.com"))] {
            assert_eq!(kind(ours.ask(named, group_by_id(&own_group), Depth::Transitive).await), ErrorKind::NotFound);
        }
        for named in [group_by_id(&group), group_ref::Ref::ExternalId("s-1".into())] {
            assert_eq!(kind(ours.ask(by_id(&own_user), named, Depth::Transitive).await), ErrorKind::NotFound);
        }
        assert_eq!(kind(ours.walk(&group, Depth::Transitive, true, "").await), ErrorKind::NotFound);
        let request = v1::ListUserGroupsRequest { user: Some(v1::UserRef { r#ref: Some(by_id(&user)) }), ..Default::default() };
        let refused = ours.memberships().list_user_groups(ours.request(request)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::NotFound);

        // Their user and group named as our members: nothing of theirs shows, now or later.
        ours.add(&own_group, &[&user, &group]).await;
        assert_eq!(ours.member_ids(&own_group).await, Vec::<String>::new());
        assert!(ours.walk(&own_group, Depth::Transitive, true, "").await.unwrap().0.is_empty());
        theirs.apply(proto::identity::v1::UserChange { version: 2, ..theirs.change(&user) }).await.unwrap();
        assert_eq!(ours.member_ids(&own_group).await, Vec::<String>::new());
        // The same id is another user here.
        ours.apply(ours.change(&user)).await.unwrap();
        assert_eq!(ours.member_ids(&own_group).await, [user.as_str()]);
        let deleted = proto::identity::v1::UserChange { version: 9, deleted: true, ..ours.change(&user) };
        ours.apply(deleted).await.unwrap();

        assert_eq!(theirs.get(&group).await.unwrap(), before);
        assert!(theirs.is_in(&user, &group).await);
    }

    async fn a_token_is_good_for_its_tenant_only(db: Database) {
        let theirs = app(db);
        let mut thief = theirs.other_tenant();
        let (user, group) = (theirs.user().await, theirs.group("Secret").await);
        let own = thief.tenant;
        // Names their tenant, with a token of another.
        thief.tenant = theirs.tenant;
        assert_eq!(kind(thief.get(&group).await), ErrorKind::Forbidden);
        assert_eq!(kind(thief.create(json!({ "displayName": "x" })).await), ErrorKind::Forbidden);
        assert_eq!(kind(thief.replace(&group, json!({ "displayName": "x" })).await), ErrorKind::Forbidden);
        assert_eq!(kind(thief.patch(&group, json!([])).await), ErrorKind::Forbidden);
        assert_eq!(kind(thief.delete(&group).await), ErrorKind::Forbidden);
        assert_eq!(kind(thief.find("").await), ErrorKind::Forbidden);
        assert_eq!(kind(thief.apply(theirs.change(&user_id())).await), ErrorKind::Forbidden);
        let request = v1::ListGroupsOfUsersRequest { context: thief.context(), user_ids: vec![user.clone()] };
        let refused = thief.groups().list_groups_of_users(thief.request(request)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Forbidden);
        let tenant_id = theirs.tenant.to_string();
        let request = v1::PurgeTenantRequest { tenant_id: tenant_id.clone() };
        let refused = thief.tenant_data().purge_tenant(thief.request(request)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Forbidden);
        let request = v1::CheckRequest { tenant_id: tenant_id.clone(), ..Default::default() };
        let refused = thief.memberships().check(thief.request(request)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Forbidden);
        let request = v1::ListUserGroupsRequest { tenant_id: tenant_id.clone(), ..Default::default() };
        let refused = thief.memberships().list_user_groups(thief.request(request)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Forbidden);
        let request = v1::ListGroupMembersRequest { tenant_id, ..Default::default() };
        let refused = thief.memberships().list_group_members(thief.request(request)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Forbidden);
        assert_ne!(own, theirs.tenant);
    }

    async fn without_a_token_nothing_is_answered(db: Database) {
        let app = app(db);
        let group = app.group("Sales").await;
        let request = v1::GetGroupRequest { context: app.context(), id: group, with_members: true };
        let refused = app.groups().get_group(request).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Unauthenticated);
        let refused = app.memberships().check(v1::CheckRequest::default()).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Unauthenticated);
        let refused = app.tenant_data().purge_tenant(v1::PurgeTenantRequest::default()).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Unauthenticated);
    }

    async fn purging_a_tenant_leaves_the_others(db: Database) {
        let gone = app(db);
        let kept = gone.other_tenant();
        for app in [&gone, &kept] {
            let (user, group) = (app.user().await, app.group("Sales").await);
            app.add(&group, &[&user]).await;
        }
        for _ in 0..2 {
            let request = v1::PurgeTenantRequest { tenant_id: gone.tenant.to_string() };
            gone.tenant_data().purge_tenant(gone.request(request)).await.unwrap();
            assert_eq!(gone.find("").await.unwrap(), Vec::<String>::new());
        }
        let group = kept.find("displayName eq \"sales\"").await.unwrap().remove(0);
        assert_eq!(kept.member_ids(&group).await.len(), 1);
        let request = v1::GetGroupRequest { context: kept.context(), id: group, with_members: false };
        let parts: Vec<_> = kept.groups().get_group(kept.request(request)).await.unwrap().into_inner().try_collect().await.unwrap();
        assert_eq!(parts.len(), 1, "no members unless asked for");
    }
}
