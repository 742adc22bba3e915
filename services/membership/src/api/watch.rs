//! Watch: one tenant as it is, then every change of it.
//!
//! The place in the log is taken before the snapshot is read, so whatever changes while it is read is told again behind it:
//! nothing is missed, and every event says what is so now or who came or went, so that twice is as good as once. Of groups
//! and users the log names only ids; they are sent as they are when the event is sent, which is never older than the event.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use platform::auth::{Scope, caller};
use platform::db::changelog::{Position, Record};
use platform::ids::TenantId;
use platform::{Error, Result};
use proto::membership::v1::watch_response::Event;
use proto::membership::v1::{self as v1, WatchResponse};
use scim::ErrorKind;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Answers;
use crate::Service;
use crate::store::Store;
use crate::store::entity::{group, user};
use crate::store::log::Change;

/// Rows of the log read at once.
const BATCH: u64 = 256;
/// Events that wait for a slow caller; behind that, reading waits too.
const AHEAD: usize = 64;
/// How often it looks for what other replicas committed.
const INTERVAL: Duration = Duration::from_millis(500);
/// Between two looks, however much is written: a tenant's changes come in runs, and others' commits wake it too.
const PAUSE: Duration = Duration::from_millis(10);
/// After this long without an event a heartbeat shows that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The caller hung up: there is nobody to tell.
struct HungUp;

/// Why a watch ends.
enum End {
    HungUp,
    Error(Error),
}

impl From<HungUp> for End {
    fn from(_: HungUp) -> Self {
        Self::HungUp
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Service {
    pub(super) async fn watch_tenant(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Answers<WatchResponse>>, Status> {
        let caller = caller(&request)?;
        let tenant = caller.authorize(Scope::MembershipsRead, &request.get_ref().tenant_id)?;
        let expires_at_s = caller.expires_at_s();
        let after = match request.get_ref().after_cursor.as_str() {
            "" => None,
            text => Some(cursor(text)?),
        };
        let turn = self.watches.turn(tenant).await.map_err(|_| too_many())?;
        if let Some(after) = after {
            // Told at once, not within the stream.
            self.store.changes_of(tenant, after, 1).await?.ok_or_else(expired)?;
        }
        let (sender, events) = mpsc::channel(AHEAD);
        let watch = Watch { store: self.store.clone(), tenant, expires_at_s, events: sender.clone() };
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let _turn = turn;
            tokio::select! {
                // A caller that does not take its events must not hold up the end.
                () = stop.cancelled() => drop(sender.try_send(Err(stopping().into()))),
                end = watch.run(after) => if let End::Error(error) = end {
                    let _ = sender.send(Err(error.into())).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(events))))
    }
}

struct Watch {
    store: Store,
    tenant: TenantId,
    expires_at_s: i64,
    events: mpsc::Sender<Result<WatchResponse, Status>>,
}

impl Watch {
    async fn run(&self, after: Option<Position>) -> End {
        let followed = async {
            let position = match after {
                Some(position) => position,
                None => self.snapshot().await?,
            };
            self.tail(position).await
        };
        match followed.await {
            Ok(()) => End::HungUp,
            Err(end) => end,
        }
    }

    /// Sends everything there is; the place in the log behind which to go on.
    async fn snapshot(&self) -> Result<Position, End> {
        let position = self.store.revision().await?;
        let mut after = Uuid::nil();
        loop {
            let groups = self.store.groups_page(self.tenant, after).await?;
            let Some(last) = groups.last() else { break };
            after = last.id;
            for group in groups {
                self.send(String::new(), Event::Group(watched_group(group))).await?;
            }
        }
        let mut after = Uuid::nil();
        loop {
            let (users, next) = self.store.users_page(self.tenant, after).await?;
            for user in users {
                self.send(String::new(), Event::User(watched_user(user))).await?;
            }
            let Some(next) = next else { break };
            after = next;
        }
        let mut after = (Uuid::nil(), Uuid::nil());
        loop {
            let page = self.store.memberships_page(self.tenant, after).await?;
            let Some(last) = page.last() else { break };
            after = (last.group_id, last.member_id);
            for members in page.chunk_by(|a, b| a.group_id == b.group_id) {
                let ids = members.iter().map(|member| member.member_id).collect();
                self.send(String::new(), Event::MembersAdded(watched_members(members[0].group_id, ids)))
                    .await?;
            }
        }
        self.send(position.to_string(), Event::SnapshotComplete(v1::SnapshotComplete {})).await?;
        Ok(position)
    }

    /// Sends what comes behind `position` until the caller hangs up. Commits of this process wake it at once, those of
    /// others are found by looking every [`INTERVAL`].
    async fn tail(&self, mut position: Position) -> Result<(), End> {
        let mut commits = self.store.commits();
        let mut last_sent = Instant::now();
        loop {
            // Whether or not there is something to tell. A snapshot is told to its end: a large one outlasts a token.
            if self.store.seconds() >= self.expires_at_s {
                let detail = "the access token has expired: go on behind the last cursor with a new one";
                return Err(Error::unavailable(detail).into());
            }
            // Before reading: what is committed from here on wakes us below.
            commits.borrow_and_update();
            // Before the tenant's rows: when there are none behind it, the cursor may move here, so that a quiet tenant's
            // does not fall behind what the log keeps.
            let end = self.store.revision().await?;
            let records = self.store.changes_of(self.tenant, position, BATCH).await?.ok_or_else(expired)?;
            if let Some(last) = records.last() {
                let before = position;
                position = last.position;
                self.tell(before, records).await?;
                last_sent = Instant::now();
                continue;
            }
            position = position.max(end);
            if last_sent.elapsed() >= HEARTBEAT {
                self.send(position.to_string(), Event::Heartbeat(v1::Heartbeat {})).await?;
                last_sent = Instant::now();
            }
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                () = self.events.closed() => return Ok(()),
                // The database handle is gone: the service stops.
                committed = commits.changed() => if committed.is_err() { return Err(stopping().into()) },
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Sends what these rows say, in their order.
    async fn tell(&self, mut before: Position, records: Vec<Record>) -> Result<(), End> {
        let (mut group_ids, mut user_ids) = (HashSet::new(), HashSet::new());
        let mut changes = Vec::with_capacity(records.len());
        for record in records {
            let Some(change) = Change::of(&record) else { continue };
            match change {
                Change::GroupCreated | Change::GroupUpdated => drop(group_ids.insert(record.resource)),
                Change::UserProjected { .. } => drop(user_ids.insert(record.resource)),
                _ => {}
            }
            changes.push((record.position, record.resource, change));
        }
        let groups = self.store.groups_now(self.tenant, group_ids.into_iter().collect()).await?;
        let users = self.store.users_now(self.tenant, user_ids.into_iter().collect()).await?;
        let groups: HashMap<Uuid, group::Model> = groups.into_iter().map(|group| (group.id, group)).collect();
        let users: HashMap<Uuid, user::Model> = users.into_iter().map(|user| (user.user_id, user)).collect();
        for (position, id, change) in changes {
            let behind = std::mem::replace(&mut before, position);
            let event = match change {
                Change::GroupCreated | Change::GroupUpdated => match groups.get(&id) {
                    Some(group) => Event::Group(watched_group(group.clone())),
                    // Deleted since; the log says so further on.
                    None => continue,
                },
                Change::GroupDeleted => Event::DeletedGroupId(id.to_string()),
                Change::MembersAdded(ids) => Event::MembersAdded(watched_members(id, ids)),
                Change::MembersRemoved(ids) => Event::MembersRemoved(watched_members(id, ids)),
                Change::Emptied(_) => Event::EmptiedGroupId(id.to_string()),
                Change::UserProjected { deleted: true, .. } => {
                    // Also of one that is back by now: its memberships went.
                    let gone = Event::DeletedUserId(id.to_string());
                    match users.get(&id) {
                        Some(user) => {
                            self.send(behind.to_string(), gone).await?;
                            Event::User(watched_user(user.clone()))
                        }
                        None => gone,
                    }
                }
                Change::UserProjected { deleted: false, .. } => match users.get(&id) {
                    Some(user) => Event::User(watched_user(user.clone())),
                    None => Event::DeletedUserId(id.to_string()),
                },
                Change::TenantPurged => {
                    return Err(Error::unauthenticated("the tenant of this token was deleted").into());
                }
            };
            self.send(position.to_string(), event).await?;
        }
        Ok(())
    }

    async fn send(&self, cursor: String, event: Event) -> Result<(), HungUp> {
        let step = WatchResponse { cursor, event: Some(event) };
        self.events.send(Ok(step)).await.map_err(|_| HungUp)
    }
}

fn cursor(text: &str) -> Result<Position> {
    text.parse().map_err(|error: Error| {
        Error::new(ErrorKind::InvalidCursor, error.detail).with_attribute("after_cursor")
    })
}

fn expired() -> Error {
    let detail = "the log no longer keeps what came behind this cursor: start without one";
    Error::new(ErrorKind::ExpiredCursor, detail).with_attribute("after_cursor")
}

fn too_many() -> Error {
    let detail = "too many watches of this tenant are open on this replica: close one, or share it";
    Error::new(ErrorKind::RateLimited, detail)
}

fn stopping() -> Error {
    Error::unavailable("the service is shutting down: go on behind the last cursor at another replica")
}

fn watched_group(group: group::Model) -> v1::WatchedGroup {
    v1::WatchedGroup {
        id: group.id.to_string(),
        display_name: group.display_name,
        external_id: group.external_id.unwrap_or_default(),
    }
}

fn watched_members(group: Uuid, members: Vec<Uuid>) -> v1::WatchedMembers {
    v1::WatchedMembers {
        group_id: group.to_string(),
        member_ids: members.iter().map(Uuid::to_string).collect(),
    }
}

fn watched_user(user: user::Model) -> v1::WatchedUser {
    v1::WatchedUser {
        id: user.user_id.to_string(),
        teams: super::teams(&user),
        user_name: user.user_name,
        external_id: user.external_id.unwrap_or_default(),
        active: user.active,
        role: user.role.unwrap_or_default(),
    }
}
