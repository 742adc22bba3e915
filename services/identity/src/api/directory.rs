//! `rollcall.identity.v1.Directory`.

use platform::auth::{self, Scope};
use platform::clock::Timestamp;
use platform::db::changelog::Position;
use platform::ids::TenantId;
use platform::{Error, Result};
use proto::identity::v1::directory_server::Directory;
use proto::identity::v1::watch_users_response::Event;
use proto::identity::v1::{
    Heartbeat, LookupUserRequest, LookupUserResponse, SnapshotComplete, WatchUsersRequest,
    WatchUsersResponse, lookup_user_request,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::tail::{self, Caller, Ended, Place};
use super::{Api, Stream, wire};
use crate::store::{Change, Named, Store};

/// Users of a snapshot that are read at once.
const PAGE: u64 = 100;

#[tonic::async_trait]
impl Directory for Api {
    type WatchUsersStream = Stream<WatchUsersResponse>;

    async fn lookup_user(
        &self,
        request: Request<LookupUserRequest>,
    ) -> Result<Response<LookupUserResponse>, Status> {
        let LookupUserRequest { tenant_id, user } = request.get_ref();
        let tenant = auth::caller(&request)?.authorize(Scope::DirectoryRead, tenant_id)?;

        let folded;
        let named = match user {
            Some(lookup_user_request::User::Id(id)) => Named::Id(id.parse()?),
            Some(lookup_user_request::User::ExternalId(id)) => Named::ExternalId(id),
            Some(lookup_user_request::User::UserName(name)) => {
                folded = scim::fold_str(name);
                Named::UserName(&folded)
            }
            None => {
                let detail = "user is not set: send one of id, external_id, user_name";
                return Err(Error::invalid_value(detail).into());
            }
        };
        let user = self.shared.store.find(tenant, named).await?;
        let user = user.ok_or_else(|| Error::not_found("no user of this tenant is known by that"))?;
        Ok(Response::new(LookupUserResponse { user: Some(wire::directory_user(&user)) }))
    }

    async fn watch_users(
        &self,
        request: Request<WatchUsersRequest>,
    ) -> Result<Response<Self::WatchUsersStream>, Status> {
        let WatchUsersRequest { tenant_id, after_cursor } = request.get_ref();
        let caller = auth::caller(&request)?;
        let tenant = caller.authorize(Scope::DirectoryRead, tenant_id)?;
        let expires_at = Timestamp::from_micros(caller.expires_at_s().saturating_mul(1_000_000));
        let after = if after_cursor.is_empty() { None } else { Some(after_cursor.parse()?) };
        let turn = self.stream_of(tenant).await?;
        if let Some(after) = after
            && !self.shared.store.keeps(after).await?
        {
            // Told at once, not within the stream.
            return Err(tail::not_kept().into());
        }

        let (answers, stream) = mpsc::channel(tail::AHEAD);
        let caller = Caller::new(answers, self.shared.stop.clone());
        let store = self.shared.store.clone();
        tokio::spawn(tail::run(caller, async move |caller| {
            let _turn = turn;
            watch(&store, tenant, after, expires_at, caller).await
        }));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

async fn watch(
    store: &Store,
    tenant: TenantId,
    after: Option<Position>,
    expires_at: Timestamp,
    caller: &Caller<WatchUsersResponse>,
) -> Result<(), Ended> {
    let position = match after {
        Some(after) => after,
        None => everybody(store, tenant, caller).await?,
    };
    let answer = |position: Position, change: Option<Change>| {
        let event = match change {
            Some(Change { tenant: _, user, version, state: Some(state) }) => {
                Event::User(wire::logged_user(user, version, state))
            }
            Some(Change { tenant: _, user, version: _, state: None }) => {
                Event::DeletedUserId(user.to_string())
            }
            None => Event::Heartbeat(Heartbeat {}),
        };
        WatchUsersResponse { cursor: position.to_string(), event: Some(event) }
    };
    let place = Place { tenant: Some(tenant), position, expires_at: Some(expires_at) };
    tail::follow(store, place, caller, answer).await
}

/// Sends every user there is, and returns from where the log tells the rest.
async fn everybody(
    store: &Store,
    tenant: TenantId,
    caller: &Caller<WatchUsersResponse>,
) -> Result<Position, Ended> {
    // Before the table is read: what changes meanwhile comes again, and the higher version wins.
    let position = store.end_of_log().await?;
    let mut after = None;
    loop {
        let users = store.everybody_of(tenant, after, PAGE).await?;
        for user in &users {
            let event = Some(Event::User(wire::directory_user(user)));
            caller.send(WatchUsersResponse { cursor: String::new(), event }).await?;
        }
        after = users.last().map(|last| last.id);
        if after.is_none() {
            break;
        }
    }
    let event = Some(Event::SnapshotComplete(SnapshotComplete {}));
    caller.send(WatchUsersResponse { cursor: position.to_string(), event }).await?;
    Ok(position)
}
