//! The client against a Rollcall that misbehaves on purpose.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::routing::post;
use futures::{Stream, StreamExt, TryStreamExt};
use proto::membership::v1::memberships_server::{Memberships, MembershipsServer};
use proto::membership::v1::{
    BatchCheckRequest, BatchCheckResponse, CheckRequest, CheckResponse, ExplainRequest, ExplainResponse,
    GetUserMembershipRequest, GetUserMembershipResponse, GroupMember, ListGroupMembersRequest,
    ListGroupMembersResponse, ListUserGroupsRequest, ListUserGroupsResponse, WatchRequest, WatchResponse,
};
use rollcall_client::{Client, Config, Error, group, user};
use serde_json::json;
use tokio::net::TcpListener;
use tonic::{Code, Request, Response, Status};

/// What the fake answers to each question in turn; then yes.
type Script = Arc<Mutex<VecDeque<Code>>>;

#[derive(Clone, Default)]
struct Fake {
    script: Script,
    tokens: Arc<AtomicUsize>,
    questions: Arc<AtomicUsize>,
    cursors: Arc<Mutex<Vec<String>>>,
    never_answers: bool,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Fake {
    fn saying(codes: &[Code]) -> Self {
        Self { script: Arc::new(Mutex::new(codes.iter().copied().collect())), ..Self::default() }
    }

    async fn serve(&self) -> Client {
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (grpc_at, http_at) = (grpc.local_addr().unwrap(), http.local_addr().unwrap());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(grpc);
        let server = tonic::transport::Server::builder().add_service(MembershipsServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        let tokens = self.tokens.clone();
        let issue = move |headers: axum::http::HeaderMap| async move {
            // Basic of "id:secret".
            if headers.get("authorization").is_none_or(|basic| basic != "Basic aWQ6c2VjcmV0") {
                return (axum::http::StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"})));
            }
            let number = tokens.fetch_add(1, Ordering::SeqCst);
            let token = json!({"access_token": format!("token-{number}"), "expires_in": 300});
            (axum::http::StatusCode::OK, Json(token))
        };
        let router = axum::Router::new().route("/oauth2/token", post(issue));
        tokio::spawn(async move { axum::serve(http, router).await });
        Client::new(config(&format!("http://{http_at}"), &format!("http://{grpc_at}"), "secret")).unwrap()
    }

    fn next(&self) -> Result<(), Status> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        match self.script.lock().unwrap().pop_front() {
            None | Some(Code::Ok) => Ok(()),
            Some(code) => Err(Status::new(code, "as the script says")),
        }
    }

    fn asked(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    fn issued(&self) -> usize {
        self.tokens.load(Ordering::SeqCst)
    }
}

fn config(http: &str, grpc: &str, secret: &str) -> Config {
    let mut config = Config::new(http, grpc, "id", secret);
    config.deadline = Duration::from_secs(20);
    config
}

#[tonic::async_trait]
impl Memberships for Fake {
    type ListGroupMembersStream = Answers<ListGroupMembersResponse>;
    type WatchStream = Answers<WatchResponse>;

    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        assert!(request.metadata().contains_key("grpc-timeout"), "every question has a deadline");
        if self.never_answers {
            std::future::pending::<()>().await;
        }
        self.next()?;
        Ok(Response::new(CheckResponse { member: true, revision: String::new() }))
    }

    /// Three runs of one member, of which the script may cut off any.
    async fn list_group_members(
        &self,
        request: Request<ListGroupMembersRequest>,
    ) -> Result<Response<Self::ListGroupMembersStream>, Status> {
        let after = request.into_inner().after_cursor;
        self.cursors.lock().unwrap().push(after.clone());
        let first: usize = if after.is_empty() { 0 } else { after.parse::<usize>().unwrap() + 1 };
        let fake = self.clone();
        let runs = futures::stream::iter(first..3).map(move |number| {
            fake.next()?;
            let member = GroupMember { user_id: number.to_string(), ..GroupMember::default() };
            let cursor = number.to_string();
            Ok(ListGroupMembersResponse {
                members: vec![member],
                cursor,
                ..ListGroupMembersResponse::default()
            })
        });
        Ok(Response::new(Box::pin(runs)))
    }

    /// Two events without cursor, one with, and then what the script says.
    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let after = request.into_inner().after_cursor;
        self.cursors.lock().unwrap().push(after.clone());
        let cursors = if after.is_empty() { vec!["", "", "1"] } else { vec!["2", "3"] };
        let fake = self.clone();
        let events = futures::stream::iter(cursors).map(move |cursor| {
            fake.next()?;
            Ok(WatchResponse { cursor: cursor.to_owned(), event: None })
        });
        Ok(Response::new(Box::pin(events)))
    }

    async fn list_user_groups(
        &self,
        _: Request<ListUserGroupsRequest>,
    ) -> Result<Response<ListUserGroupsResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn batch_check(
        &self,
        _: Request<BatchCheckRequest>,
    ) -> Result<Response<BatchCheckResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn get_user_membership(
        &self,
        _: Request<GetUserMembershipRequest>,
    ) -> Result<Response<GetUserMembershipResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn explain(&self, _: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}

async fn ask(client: &Client) -> Result<bool, Error> {
    client.check(user::name("anna"), group::name("Sales")).await
}

#[tokio::test]
async fn many_questions_share_one_token() {
    let fake = Fake::default();
    let client = fake.serve().await;
    let answers = futures::future::join_all((0..50).map(|_| ask(&client))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap()));
    assert_eq!((fake.asked(), fake.issued()), (50, 1));
}

#[tokio::test]
async fn what_was_unavailable_is_asked_again() {
    let fake = Fake::saying(&[Code::Unavailable, Code::Unavailable, Code::Ok]);
    assert!(ask(&fake.serve().await).await.unwrap());
    assert_eq!(fake.asked(), 3);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let fake = Fake::saying(&[Code::Unauthenticated, Code::Ok]);
    assert!(ask(&fake.serve().await).await.unwrap());
    assert_eq!((fake.asked(), fake.issued()), (2, 2));

    let fake = Fake::saying(&[Code::Unauthenticated; 5]);
    assert!(matches!(ask(&fake.serve().await).await, Err(Error::Refused(_))));
    assert_eq!((fake.asked(), fake.issued()), (2, 2), "a client that is refused does not hammer");
}

#[tokio::test]
async fn an_unknown_user_is_an_error_and_is_asked_once() {
    let fake = Fake::saying(&[Code::NotFound]);
    assert!(matches!(ask(&fake.serve().await).await, Err(Error::NotFound(_))));
    assert_eq!(fake.asked(), 1);
}

#[tokio::test]
async fn who_never_answers_is_unavailable_at_the_deadline() {
    let fake = Fake { never_answers: true, ..Fake::default() };
    let client = fake.serve().await.with_deadline(Duration::from_millis(300));
    assert!(matches!(ask(&client).await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let fake = Fake::default();
    let good = fake.serve().await;
    drop(good);
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = http.local_addr().unwrap();
    let refuse = || async {
        (
            axum::http::StatusCode::UNAUTHORIZED,
            Json(json!({"error": "invalid_client", "error_description": "no"})),
        )
    };
    tokio::spawn(
        async move { axum::serve(http, axum::Router::new().route("/oauth2/token", post(refuse))).await },
    );
    let client = Client::new(config(&format!("http://{at}"), "http://127.0.0.1:1", "wrong")).unwrap();
    let error = ask(&client).await.unwrap_err();
    assert_eq!(error.to_string(), "Rollcall refuses this client: invalid_client: no");
}

#[tokio::test]
async fn a_list_goes_on_where_it_was_cut_off() {
    let fake = Fake::saying(&[Code::Ok, Code::Unavailable]);
    let client = fake.serve().await;
    let runs: Vec<Vec<GroupMember>> = client.members_of(group::name("Sales")).try_collect().await.unwrap();
    let ids: Vec<String> = runs.into_iter().flatten().map(|member| member.user_id).collect();
    assert_eq!(ids, ["0", "1", "2"]);
    assert_eq!(*fake.cursors.lock().unwrap(), ["", "0"]);
}

#[tokio::test]
async fn a_watch_goes_on_but_a_snapshot_does_not() {
    let fake = Fake::saying(&[Code::Ok, Code::Ok, Code::Ok]);
    let client = fake.serve().await;
    let events: Vec<WatchResponse> = client.watch("").take(5).try_collect().await.unwrap();
    let cursors: Vec<&str> = events.iter().map(|event| event.cursor.as_str()).collect();
    assert_eq!(cursors, ["", "", "1", "2", "3"]);
    assert_eq!(
        *fake.cursors.lock().unwrap(),
        ["", "1"],
        "the server ended the stream: asked again behind it"
    );

    let fake = Fake::saying(&[Code::Ok, Code::Unavailable]);
    let client = fake.serve().await;
    let events: Vec<Result<WatchResponse, Error>> = client.watch("").collect().await;
    assert!(matches!(events.as_slice(), [Ok(_), Err(Error::Unavailable(_))]), "{events:?}");
}

#[test]
fn an_address_that_is_none_is_named() {
    let error = Client::new(config("http://localhost", "not an address", "secret")).unwrap_err();
    assert!(matches!(&error, Error::Config(what) if what.contains("`not an address`")), "{error}");
    let error = Client::new(config("http://localhost", "https://localhost:1", "secret")).unwrap_err();
    assert!(matches!(&error, Error::Config(what) if what.contains("ca_pem")), "{error}");
}
