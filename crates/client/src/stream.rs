//! The questions with very many answers: streams that go on where they stopped when the connection is lost.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, try_unfold};
use proto::membership::v1::{
    GroupMember, GroupRef, ListGroupMembersRequest, ListGroupMembersResponse, WatchRequest, WatchResponse,
};
use tonic::{Code, Request, Status, Streaming};

use crate::{Client, Error};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A list that makes no progress is given up after so many tries.
const TRIES: u32 = 5;

impl Client {
    /// The users in the group and in groups nested in it, ordered by id, in runs. Complete when it ends without an error.
    pub fn members_of(&self, group: GroupRef) -> BoxStream<'static, Result<Vec<GroupMember>, Error>> {
        let start = Members { client: self.clone(), group, cursor: String::new(), open: None };
        try_unfold(start, |mut members| async move {
            let mut pause = FIRST_PAUSE;
            for _ in 1..TRIES {
                match members.next().await {
                    Ok(Some(run)) => return Ok(Some((run, members))),
                    Ok(None) => return Ok(None),
                    Err(Error::Unavailable(_)) => {}
                    Err(error) => return Err(error),
                }
                members.open = None;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            match members.next().await {
                Ok(run) => Ok(run.map(|run| (run, members))),
                Err(error) => Err(error),
            }
        })
        .boxed()
    }

    /// Everything of the tenant, and then every change of it, in order and without a gap, for as long as it is polled; goes on
    /// by itself when the connection is lost. Begins with a snapshot when `after_cursor` is empty; keep the cursor of the
    /// last event that you have dealt with, to go on behind it after a restart.
    ///
    /// Ends with [`Error::Status`] of `OUT_OF_RANGE` when the log no longer keeps the cursor: start again with an empty one.
    /// Ends with [`Error::Unavailable`] when the connection is lost within the snapshot, which can only be taken as a whole.
    pub fn watch(&self, after_cursor: impl Into<String>) -> BoxStream<'static, Result<WatchResponse, Error>> {
        let start =
            Watching { client: self.clone(), cursor: after_cursor.into(), in_snapshot: false, open: None };
        try_unfold(start, |mut watching| async move {
            let mut pause = FIRST_PAUSE;
            loop {
                match watching.next().await {
                    Ok(event) => return Ok(Some((event, watching))),
                    Err(Error::Unavailable(_)) if !watching.in_snapshot => {}
                    Err(error) => return Err(error),
                }
                watching.open = None;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        })
        .boxed()
    }

    /// A request with a token, without a deadline: a stream takes as long as its reader.
    async fn streaming<T>(&self, message: T) -> Result<Request<T>, Error> {
        let token = self.tokens.token(None).await?;
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", token.bearer);
        Ok(request)
    }
}

struct Members {
    client: Client,
    group: GroupRef,
    cursor: String,
    open: Option<Streaming<ListGroupMembersResponse>>,
}

impl Members {
    async fn next(&mut self) -> Result<Option<Vec<GroupMember>>, Error> {
        if self.open.is_none() {
            let question = ListGroupMembersRequest {
                tenant_id: self.client.tenant.clone(),
                group: Some(self.group.clone()),
                after_cursor: self.cursor.clone(),
                consistency: self.client.consistency.clone(),
                ..ListGroupMembersRequest::default()
            };
            let request = self.client.streaming(question).await?;
            let answer = self.client.memberships.list_group_members(request).await.map_err(broken)?;
            self.open = Some(answer.into_inner());
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        let Some(run) = open.message().await.map_err(broken)? else { return Ok(None) };
        self.cursor = run.cursor;
        Ok(Some(run.members))
    }
}

struct Watching {
    client: Client,
    cursor: String,
    /// Some of the snapshot was handed out, and not yet all.
    in_snapshot: bool,
    open: Option<Streaming<WatchResponse>>,
}

impl Watching {
    async fn next(&mut self) -> Result<WatchResponse, Error> {
        if self.open.is_none() {
            let question =
                WatchRequest { tenant_id: self.client.tenant.clone(), after_cursor: self.cursor.clone() };
            let request = self.client.streaming(question).await?;
            self.open = Some(self.client.memberships.watch(request).await.map_err(broken)?.into_inner());
        }
        let ended = || Error::Unavailable("the server ended the watch".to_owned());
        let Some(open) = &mut self.open else { return Err(ended()) };
        let event = open.message().await.map_err(broken)?.ok_or_else(ended)?;
        self.in_snapshot = event.cursor.is_empty();
        if !self.in_snapshot {
            self.cursor.clone_from(&event.cursor);
        }
        Ok(event)
    }
}

/// What a lost connection looks like in the middle of a stream: also `UNKNOWN` and `INTERNAL` of the transport, and the
/// server's shutting down.
fn broken(status: Status) -> Error {
    match status.code() {
        Code::Unknown | Code::Internal | Code::Aborted => Error::Unavailable(status.message().to_owned()),
        _ => status.into(),
    }
}
