//! Many questions in one call.

use std::collections::BTreeSet;

use proto::identity::v1::UserChange;
use proto::membership::v1::check_result::Outcome;
use proto::membership::v1::{self as v1, Depth, group_ref, user_ref};
use scim::ErrorKind;
use serde_json::json;

use crate::support::{App, Dice, app, by_id, group_by_id, kind, user_id};

fn item(user: user_ref::Ref, group: group_ref::Ref) -> v1::CheckItem {
    v1::CheckItem {
        user: Some(v1::UserRef { r#ref: Some(user) }),
        group: Some(v1::GroupRef { r#ref: Some(group) }),
    }
}

async fn ask(app: &App, request: v1::BatchCheckRequest) -> platform::Result<Vec<Outcome>> {
    let answer = app.memberships().batch_check(app.request(request)).await?.into_inner();
    assert!(!answer.revision.is_empty());
    Ok(answer.results.iter().map(v1::CheckResult::outcome).collect())
}

testkit::store_tests! {
    service: Membership;

    /// 600 users are more than one statement takes; groups are nested at random, in circles too.
    async fn thousands_of_pairs_are_answered_as_one_by_one(db: Database) {
        const GROUPS: usize = 24;
        let app = app(db);
        let mut dice = Dice::new(7);
        let users = app.users(600).await;
        let mut groups = Vec::new();
        for n in 0..GROUPS {
            groups.push(app.group(&format!("G{n}")).await);
        }
        let mut edges: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut direct: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); GROUPS];
        for group in 0..GROUPS {
            let mut members = Vec::new();
            for _ in 0..2 {
                let nested = dice.roll(GROUPS);
                edges.insert((group, nested));
                members.push(groups[nested].as_str());
            }
            for _ in 0..20 {
                let user = dice.roll(users.len());
                direct[group].insert(user);
                members.push(&users[user]);
            }
            app.add(&groups[group], &members).await;
        }
        let is_in = |user: usize, group: usize| {
            let (mut seen, mut waiting) = (BTreeSet::from([group]), vec![group]);
            while let Some(at) = waiting.pop() {
                if direct[at].contains(&user) {
                    return true;
                }
                waiting.extend(edges.iter().filter(|(from, _)| *from == at).map(|(_, to)| *to).filter(|to| seen.insert(*to)));
            }
            false
        };
        let (mut items, mut pairs) = (Vec::new(), Vec::new());
        for (user, id) in users.iter().enumerate() {
            for _ in 0..4 {
                let group = dice.roll(GROUPS);
                pairs.push((user, group));
                items.push(item(by_id(id), group_by_id(&groups[group])));
            }
        }
        for depth in [Depth::Transitive, Depth::Direct] {
            let request = v1::BatchCheckRequest { items: items.clone(), depth: depth.into(), ..Default::default() };
            let answers = ask(&app, request).await.unwrap();
            let mut members = 0;
            for ((user, group), answer) in pairs.iter().zip(answers) {
                let expected = if depth == Depth::Direct { direct[*group].contains(user) } else { is_in(*user, *group) };
                assert_eq!(answer == Outcome::Member, expected, "{depth:?}: user {user} in group {group}");
                members += usize::from(expected);
            }
            assert!(members > 0 && members < pairs.len(), "the graph says something");
        }
    }

    async fn one_bad_name_does_not_spoil_the_others(db: Database) {
        let app = app(db);
        let users = app.users(2).await;
        let idle = user_id();
        app.apply(UserChange { active: false, ..app.change(&idle) }).await.unwrap();
        // Two users of one external id: identity lets them.
        for _ in 0..2 {
            let id = user_id();
            app.apply(UserChange { external_id: "twin".into(), ..app.change(&id) }).await.unwrap();
        }
        let body = json!({ "displayName": "Sales", "externalId": "g-1" });
        let group = app.create(body).await.unwrap().resource.unwrap().id;
        app.add(&group, &[&users[0], &idle]).await;
        let sales = || group_ref::Ref::DisplayName("SALES".into());
        let external = |id: &str| user_ref::Ref::ExternalId(id.into());
        let items = vec![
            item(user_ref::Ref::UserName(format!("{}@EXAMPLE.com", users[0])), sales()),
            item(external(&format!("ext-{}", users[0])), group_ref::Ref::ExternalId("g-1".into())),
            item(by_id(&users[1]), sales()),
            item(by_id(&user_id()), sales()),
            item(by_id("nobody"), sales()),
            item(by_id(&users[0]), group_ref::Ref::DisplayName("Marketing".into())),
            item(external("twin"), sales()),
            item(by_id(&idle), sales()),
            item(by_id(&users[0]), group_by_id(&group)),
        ];
        use Outcome::*;
        let expected = [Member, Member, NotMember, UnknownUser, UnknownUser, UnknownGroup, Ambiguous, NotMember, Member];
        let request = v1::BatchCheckRequest { items, ..Default::default() };
        assert_eq!(ask(&app, request.clone()).await.unwrap(), expected);
        let answers = ask(&app, v1::BatchCheckRequest { include_inactive: true, ..request }).await.unwrap();
        assert_eq!(answers[7], Member);

        // Nobody of another tenant.
        let request = v1::BatchCheckRequest { items: vec![item(by_id(&users[0]), sales())], ..Default::default() };
        assert_eq!(ask(&app.other_tenant(), request).await.unwrap(), [UnknownUser]);
        assert_eq!(ask(&app, v1::BatchCheckRequest::default()).await.unwrap(), []);
        let nobody = v1::BatchCheckRequest { items: vec![v1::CheckItem::default()], ..Default::default() };
        assert_eq!(kind(ask(&app, nobody).await), ErrorKind::InvalidValue);
        let many = vec![item(by_id(&users[0]), sales()); 10_001];
        assert_eq!(kind(ask(&app, v1::BatchCheckRequest { items: many, ..Default::default() }).await), ErrorKind::TooMany);
    }
}
