//! Compares what membership keeps of a tenant with where it comes from: its users with identity's, its rows with one another,
//! its index with its rows. Reads only, a page at a time, beside whatever else goes on: what seems to differ is looked at
//! again a little later, when a change under way has arrived.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use platform::db::changelog::Position;
use platform::ids::{TenantId, UserId};
use platform::{Error, Result};
use uuid::Uuid;

use crate::domain::members::MemberType;
use crate::domain::refs::{Depth, UserRef};
use crate::domain::verify::{Expected, Report};
use crate::index::{Found, Index};
use crate::store::Store;
use crate::store::entity::{member, user};

/// How often something is looked at before it is a difference.
const LOOKS: u32 = 4;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the index may take to load the tenant.
const LOADING: u32 = 20;

/// A verification under way.
pub(crate) struct Verification {
    store: Store,
    index: Index,
    tenant: TenantId,
    /// Our own log at the beginning: users that changed behind it may be newer than what identity exported.
    since: Position,
    /// Identity's users came up to here.
    place: Uuid,
    report: Report,
}

impl Verification {
    /// `since` is the place of our own log before identity was asked for its users, `place` the id of the last one that was
    /// compared.
    pub(crate) fn new(store: Store, index: Index, tenant: TenantId, since: Position, place: Uuid) -> Self {
        Self { store, index, tenant, since, place, report: Report::default() }
    }

    /// Compares a run of identity's users, and with the last one everything else.
    pub(crate) async fn run(mut self, expected: Vec<Expected>, is_last: bool) -> Result<Report> {
        self.users(expected).await?;
        if is_last {
            self.rest().await?;
        }
        Ok(self.report)
    }

    /// Compares users, which come ordered by id.
    async fn users(&mut self, expected: Vec<Expected>) -> Result<()> {
        let mut last = self.place;
        for user in &expected {
            if user.id <= last {
                return Err(Error::invalid_value("users must come in the order of their ids"));
            }
            last = user.id;
        }
        if expected.is_empty() {
            return Ok(());
        }
        self.surplus(Some(last), expected.iter().map(|user| user.id).collect()).await?;
        self.place = last;

        let mut open = expected;
        for look in 1..=LOOKS {
            let ids = open.iter().map(|user| user.id).collect();
            let present = self.store.users_or_tombstones(self.tenant, ids).await?;
            let present: HashMap<Uuid, user::Model> =
                present.into_iter().map(|user| (user.user_id, user)).collect();
            let problem = |user: &Expected| compared(user, present.get(&user.id));
            open.retain(|user| problem(user).is_some());
            if open.is_empty() {
                return Ok(());
            }
            if look < LOOKS {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            for user in &open {
                if let Some((what, detail)) = problem(user) {
                    self.report.note(what, user.id, None, detail);
                }
            }
        }
        Ok(())
    }

    /// Users behind `place` that are not in `expected`, and did not come or change meanwhile.
    async fn surplus(&mut self, until: Option<Uuid>, expected: HashSet<Uuid>) -> Result<()> {
        let mut after = self.place;
        loop {
            let (users, next) = self.store.users_page(self.tenant, after).await?;
            let within = |id: Uuid| until.is_none_or(|until| id <= until);
            let mut surplus: Vec<Uuid> = users.iter().map(|user| user.user_id).collect();
            surplus.retain(|id| within(*id) && !expected.contains(id));
            for look in 1..=LOOKS {
                if surplus.is_empty() {
                    break;
                }
                if look > 1 {
                    tokio::time::sleep(PAUSE).await;
                }
                let newer = self.store.users_changed_behind(self.tenant, self.since).await?;
                surplus.retain(|id| !newer.contains(id));
            }
            for id in surplus {
                self.report.note("user.surplus", id, None, "identity has no such user");
            }
            match next {
                Some(next) if within(next) => after = next,
                _ => return Ok(()),
            }
        }
    }

    async fn rest(&mut self) -> Result<()> {
        self.surplus(None, HashSet::new()).await?;
        let mut after = Uuid::nil();
        loop {
            let groups = self.store.groups_page(self.tenant, after).await?;
            let Some(last) = groups.last() else { break };
            after = last.id;
            self.report.groups += i64::try_from(groups.len()).unwrap_or(i64::MAX);
        }
        self.memberships().await?;
        self.index().await
    }

    async fn memberships(&mut self) -> Result<()> {
        let mut after = (Uuid::nil(), Uuid::nil());
        loop {
            let page = self.store.memberships_page(self.tenant, after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.group_id, last.member_id);
            self.report.memberships += i64::try_from(page.len()).unwrap_or(i64::MAX);
            let mut open = page;
            for look in 1..=LOOKS {
                let problems = self.misfits(&open).await?;
                if problems.is_empty() {
                    break;
                }
                if look == LOOKS {
                    for ((group, member), (what, detail)) in problems {
                        self.report.note(what, member, Some(group), detail);
                    }
                    break;
                }
                tokio::time::sleep(PAUSE).await;
                let again = problems.into_keys().collect();
                open = self.store.memberships_now(self.tenant, again).await?;
            }
        }
    }

    /// Memberships whose row does not say what there is.
    async fn misfits(
        &self,
        rows: &[member::Model],
    ) -> Result<BTreeMap<(Uuid, Uuid), (&'static str, String)>> {
        let members: Vec<Uuid> = rows.iter().map(|row| row.member_id).collect();
        let groups = members.iter().copied().chain(rows.iter().map(|row| row.group_id));
        let groups: BTreeSet<Uuid> = groups.collect();
        let users = self.store.users_now(self.tenant, members).await?;
        let users: HashSet<Uuid> = users.into_iter().map(|user| user.user_id).collect();
        let groups = self.store.groups_now(self.tenant, groups.into_iter().collect()).await?;
        let groups: HashSet<Uuid> = groups.into_iter().map(|group| group.id).collect();
        let mut misfits = BTreeMap::new();
        for row in rows {
            let is = match (users.contains(&row.member_id), groups.contains(&row.member_id)) {
                (true, _) => MemberType::User as i16,
                (_, true) => MemberType::Group as i16,
                (false, false) => MemberType::Unknown as i16,
            };
            let problem = if !groups.contains(&row.group_id) {
                Some(("member.orphan", "the group does not exist".to_owned()))
            } else if row.member_type == is {
                None
            } else if is == MemberType::Unknown as i16 {
                Some(("member.orphan", "the member does not exist any more; it counts nowhere".to_owned()))
            } else {
                let detail = format!("member_type is {} and should be {is}", row.member_type);
                Some(("member.type", detail))
            };
            if let Some(problem) = problem {
                misfits.insert((row.group_id, row.member_id), problem);
            }
        }
        Ok(misfits)
    }

    /// Who is a direct member of what, and active: in memory and in the rows. What follows from it, the index computes.
    async fn index(&mut self) -> Result<()> {
        for _ in 0..LOADING {
            if self.index.holds(self.tenant) {
                break;
            }
            self.index.want(self.tenant);
            tokio::time::sleep(PAUSE / 5).await;
        }
        self.report.index_compared = self.index.holds(self.tenant);
        let mut after = Uuid::nil();
        loop {
            let (users, next) = self.store.users_page(self.tenant, after).await?;
            let mut open: Vec<Uuid> = users.iter().map(|user| user.user_id).collect();
            for look in 1..=LOOKS {
                let Some(problems) = self.unlike(&open).await? else {
                    // Evicted, or its feed is lost: the database answers now.
                    self.report.index_compared = false;
                    return Ok(());
                };
                if problems.is_empty() {
                    break;
                }
                if look == LOOKS {
                    for (id, (what, detail)) in problems {
                        self.report.note(what, id, None, detail);
                    }
                    break;
                }
                open = problems.into_keys().collect();
                tokio::time::sleep(PAUSE).await;
            }
            let Some(next) = next else { return Ok(()) };
            after = next;
        }
    }

    /// Of these users, those whose place in the index is not that of the rows; `None` when the tenant is not in it.
    async fn unlike(&self, ids: &[Uuid]) -> Result<Option<BTreeMap<Uuid, (&'static str, String)>>> {
        self.index.reaches(self.store.revision().await?).await;
        let users = self.store.users_now(self.tenant, ids.to_vec()).await?;
        let mut groups: HashMap<Uuid, BTreeSet<Uuid>> = HashMap::new();
        for (user, group) in self.store.direct_groups_of(self.tenant, ids).await? {
            groups.entry(user).or_default().insert(group);
        }
        let compared = self.index.ask(self.tenant, |graph| {
            let mut problems = BTreeMap::new();
            for user in &users {
                let id = user.user_id;
                let Found::One(place) = graph.find_user(&UserRef::Id(UserId::from_uuid(id))) else {
                    problems.insert(id, ("index.user", "the index does not know the user".to_owned()));
                    continue;
                };
                if graph.is_active(place) != user.active {
                    let detail = format!("active is {} and should be {}", !user.active, user.active);
                    problems.insert(id, ("index.active", detail));
                }
                let listed = graph.groups_of(place, Depth::Direct, Uuid::nil(), usize::MAX);
                let listed: BTreeSet<Uuid> = listed.into_iter().map(|(group, _)| group).collect();
                let rows = groups.remove(&id).unwrap_or_default();
                if let Some(group) = listed.symmetric_difference(&rows).next() {
                    let differ = listed.symmetric_difference(&rows).count();
                    let detail = format!("{differ} groups differ, one is {group}");
                    problems.insert(id, ("index.groups", detail));
                }
            }
            problems
        });
        Ok(compared.map(|(problems, _)| problems))
    }
}

/// What is wrong with a user of the projection. One that is newer than the export is right.
fn compared(expected: &Expected, present: Option<&user::Model>) -> Option<(&'static str, String)> {
    let Some(present) = present else {
        return Some(("user.missing", "the projection has no such user".to_owned()));
    };
    if present.version > expected.version {
        return None;
    }
    if present.version < expected.version {
        let detail = format!("version {} is here, identity has {}", present.version, expected.version);
        return Some(("user.behind", detail));
    }
    let facts = [
        ("deleted", !present.deleted),
        ("userName", present.user_name == expected.user_name),
        ("externalId", present.external_id == expected.external_id),
        ("displayName", present.display_name == expected.display_name),
        ("active", expected.active.is_none_or(|active| present.active == active)),
    ];
    let differ: Vec<&str> = facts.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
    if differ.is_empty() {
        return None;
    }
    Some(("user.different", format!("of the same version, and not the same: {}", differ.join(", "))))
}
