//! The follower, against a change log that breaks off, repeats itself and does not always answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::{Stream, StreamExt, stream};
use platform::auth::TokenSource;
use platform::clock::Clock;
use platform::transport::in_process;
use proto::identity::v1::changes_client::ChangesClient;
use proto::identity::v1::changes_server::{Changes, ChangesServer};
use proto::identity::v1::{UserChange, WatchChangesRequest, WatchChangesResponse};
use proto::token::v1::o_auth_server::{OAuth, OAuthServer};
use proto::token::v1::{IssueTokenRequest, IssueTokenResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use crate::support::{app, token, user_id};

/// A log that gives a few changes per connection and then breaks off; it reports the cursors it was asked for.
#[derive(Clone)]
struct BrokenLog {
    changes: Arc<Mutex<Vec<UserChange>>>,
    asked: mpsc::UnboundedSender<String>,
}

const PER_CONNECTION: usize = 3;

#[tonic::async_trait]
impl Changes for BrokenLog {
    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        platform::auth::caller(&request)?.authorize_platform(platform::auth::Scope::Internal)?;
        let after = request.into_inner().after_cursor;
        self.asked.send(after.clone()).unwrap();
        let start: usize = if after.is_empty() { 0 } else { after.parse().unwrap() };
        let mut answers = Vec::new();
        for (at, change) in self.changes.lock().unwrap().iter().enumerate().skip(start).take(PER_CONNECTION) {
            answers.push(Ok(WatchChangesResponse {
                cursor: (at + 1).to_string(),
                change: Some(change.clone()),
                is_reset: false,
            }));
        }
        if answers.len() == PER_CONNECTION {
            answers.push(Err(Status::unavailable("the connection broke")));
            return Ok(Response::new(stream::iter(answers).boxed()));
        }
        // The end of the log: stays open, as a watch does.
        Ok(Response::new(stream::iter(answers).chain(stream::pending()).boxed()))
    }
}

type Script = mpsc::Receiver<Result<WatchChangesResponse, Status>>;

/// A log that says what the test tells it to.
#[derive(Clone)]
struct ScriptedLog {
    answers: Arc<Mutex<Option<Script>>>,
    asked: mpsc::UnboundedSender<String>,
}

#[tonic::async_trait]
impl Changes for ScriptedLog {
    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        self.asked.send(request.into_inner().after_cursor).unwrap();
        let answers = self.answers.lock().unwrap().take();
        let answers = answers.ok_or_else(|| Status::unavailable("one connection is all there is"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

struct Issuer;

#[tonic::async_trait]
impl OAuth for Issuer {
    async fn issue_token(
        &self,
        _: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let answer = IssueTokenResponse {
            access_token: token("*", "internal"),
            expires_in_s: 300,
            scope: "internal".into(),
        };
        Ok(Response::new(answer))
    }
}

testkit::store_tests! {
    service: Membership;

    async fn the_log_is_applied_whole_across_broken_connections_and_restarts(db: Database) {
        let app = app(db.clone());
        let group = app.group("Sales").await;
        let users: Vec<String> = (0..7).map(|_| user_id()).collect();
        let mut changes: Vec<UserChange> = users.iter().map(|user| app.change(user)).collect();
        // One that is not valid must not stop the log.
        changes.insert(2, UserChange { user_id: "nonsense".into(), ..app.change(&users[0]) });
        for user in &users {
            app.add(&group, &[user]).await;
        }

        let (asked, mut cursors) = mpsc::unbounded_channel();
        let log = BrokenLog { changes: Arc::new(Mutex::new(changes)), asked };
        let mut routes = RoutesBuilder::default();
        routes.add_service(ChangesServer::new(log.clone())).add_service(OAuthServer::new(Issuer));
        let verifier = testkit::tokens::verifier();
        let transport = in_process(platform::server::stack(routes.routes(), verifier));
        let follow = || {
            let stop = CancellationToken::new();
            let tokens = TokenSource::client_credentials(transport.clone(), "membership", "s".into(), Clock::system());
            let client = ChangesClient::new(transport.clone());
            let task = membership::follower::follow(db.clone(), Clock::system(), client, tokens, stop.clone());
            (tokio::spawn(task), stop)
        };

        let (task, stop) = follow();
        for expected in ["", "3", "6"] {
            assert_eq!(cursors.recv().await.unwrap(), expected, "it goes on where the connection broke");
        }
        let mut commits = db.commits();
        while app.member_ids(&group).await.len() < users.len() {
            commits.changed().await.unwrap();
        }
        stop.cancel();
        task.await.unwrap();

        log.changes.lock().unwrap().push(UserChange { version: 2, deleted: true, ..app.change(&users[0]) });
        let (task, stop) = follow();
        assert_eq!(cursors.recv().await.unwrap(), "8", "the cursor survives a restart");
        while app.member_ids(&group).await.contains(&users[0]) {
            commits.changed().await.unwrap();
        }
        stop.cancel();
        task.await.unwrap();
    }

    /// After a snapshot whoever is not in it is gone, but for those who changed since it was asked for.
    async fn a_snapshot_takes_away_who_is_not_in_it(db: Database) {
        let app = app(db.clone());
        let other = app.other_tenant();
        let group = app.group("Sales").await;
        // In the order of their ids; more than are compared at once.
        let mut users: Vec<String> = (0..1300).map(|_| user_id()).collect();
        users.sort();
        app.arrive(&users).await;
        let theirs = other.user().await;
        let ids: Vec<&str> = users.iter().map(String::as_str).collect();
        app.add(&group, &ids).await;

        let (asked, mut cursors) = mpsc::unbounded_channel();
        let (log, answers) = mpsc::channel(8);
        let scripted = ScriptedLog { answers: Arc::new(Mutex::new(Some(answers))), asked };
        let mut routes = RoutesBuilder::default();
        routes.add_service(ChangesServer::new(scripted)).add_service(OAuthServer::new(Issuer));
        let verifier = testkit::tokens::verifier();
        let transport = in_process(platform::server::stack(routes.routes(), verifier));
        let stop = CancellationToken::new();
        let tokens = TokenSource::client_credentials(transport.clone(), "membership", "s".into(), Clock::system());
        let client = ChangesClient::new(transport);
        let task = tokio::spawn(membership::follower::follow(db.clone(), Clock::system(), client, tokens, stop.clone()));
        cursors.recv().await.unwrap();

        // Written by the gateway while the snapshot is under way, behind the place where it came by already.
        let newer = user_id();
        app.apply(app.change(&newer)).await.unwrap();
        app.add(&group, &[&newer]).await;
        let say = async |answer| log.send(Ok(answer)).await.unwrap();
        say(WatchChangesResponse { is_reset: true, ..Default::default() }).await;
        let kept: Vec<&String> = users.iter().step_by(2).collect();
        let mut snapshot: Vec<UserChange> = kept.iter().map(|user| app.change(user)).collect();
        snapshot.sort_by(|a, b| (&a.tenant_id, &a.user_id).cmp(&(&b.tenant_id, &b.user_id)));
        for change in snapshot {
            say(WatchChangesResponse { change: Some(change), ..Default::default() }).await;
        }
        say(WatchChangesResponse { cursor: "7".into(), ..Default::default() }).await;
        let last = user_id();
        say(WatchChangesResponse { cursor: "8".into(), change: Some(app.change(&last)), ..Default::default() }).await;

        let mut commits = db.commits();
        app.add(&group, &[&last]).await;
        while !app.member_ids(&group).await.contains(&last) {
            commits.changed().await.unwrap();
        }
        let mut expected: Vec<String> = kept.into_iter().cloned().chain([newer, last]).collect();
        expected.sort();
        assert_eq!(app.member_ids(&group).await, expected);
        // Of another tenant nobody was in it.
        let left = other.get(&other.group("Theirs").await).await.unwrap();
        other.add(&left.0.id, &[&theirs]).await;
        assert_eq!(other.member_ids(&left.0.id).await, Vec::<String>::new());
        stop.cancel();
        task.await.unwrap();
    }
}
