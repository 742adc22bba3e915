//! A POST that is repeated with its Idempotency-Key is answered as the first time.

use std::sync::Arc;

use http::StatusCode;
use scim::ErrorKind;
use tokio::sync::Semaphore;

use crate::fake::{Answer, Fixture};

const TENANTS: &str = "/admin/v1/tenants";

async fn create(fixture: &Fixture, key: &str, name: &str) -> Answer {
    let body = format!(r#"{{"name":"{name}"}}"#);
    fixture.send_with("POST", TENANTS, &body, &[("idempotency-key", key)]).await
}

#[tokio::test]
async fn the_answer_is_that_of_the_first_time() {
    let fixture = Fixture::new();
    let first = create(&fixture, "k1", "fabrikam").await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::CREATED, ""));
    let again = create(&fixture, "k1", "fabrikam").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, "true"));
    assert_eq!(again.body, first.body);
    for header in ["content-type", "location", "cache-control"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
        assert!(!again.header(header).is_empty(), "{header}");
    }
    assert_eq!(fixture.calls("CreateTenant").len(), 1);
    create(&fixture, "k2", "fabrikam").await;
    fixture.send("POST", TENANTS, r#"{"name":"fabrikam"}"#).await;
    assert_eq!(fixture.calls("CreateTenant").len(), 3, "another key, and none at all");
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let fixture = Fixture::new();
    create(&fixture, "k1", "fabrikam").await;
    let other = create(&fixture, "k1", "northwind").await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", other.body);
    assert_eq!(
        (other.header("content-type"), &other.json()["status"]),
        ("application/problem+json", &422.into())
    );
    let elsewhere = [("idempotency-key", "k1")];
    let answer = fixture.send_with("POST", "/admin/v1/admins", r#"{"name":"fabrikam"}"#, &elsewhere).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(fixture.calls("CreateTenant").len(), 1);
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out() {
    let fixture = Fixture::new();
    let gate = Arc::new(Semaphore::new(0));
    *fixture.world.creation_gate.lock().unwrap() = Some(gate.clone());
    let (one, others) = tokio::join!(create(&fixture, "k1", "fabrikam"), async {
        while fixture.calls("CreateTenant").is_empty() {
            tokio::task::yield_now().await;
        }
        let (a, b) = tokio::join!(create(&fixture, "k1", "fabrikam"), create(&fixture, "k1", "fabrikam"));
        gate.add_permits(9);
        [a, b]
    });
    assert_eq!(one.status, StatusCode::CREATED);
    for other in others {
        assert_eq!(other.status, StatusCode::CONFLICT, "{}", other.body);
        assert_eq!(other.header("retry-after"), "7", "as the token service says");
    }
    assert_eq!(fixture.calls("CreateTenant").len(), 1);
    assert_eq!(create(&fixture, "k1", "fabrikam").await.body, one.body);
}

/// That is what keys are for: the client does not know what became of its request.
#[tokio::test]
async fn a_client_that_hung_up_finds_the_answer() {
    let fixture = Fixture::new();
    let gate = Arc::new(Semaphore::new(0));
    *fixture.world.creation_gate.lock().unwrap() = Some(gate.clone());
    {
        let request = create(&fixture, "k1", "fabrikam");
        tokio::pin!(request);
        while fixture.calls("CreateTenant").is_empty() {
            assert!(futures::poll!(&mut request).is_pending());
            tokio::task::yield_now().await;
        }
    }
    gate.add_permits(1);
    while fixture.calls("FinishRequest").is_empty() {
        tokio::task::yield_now().await;
    }
    let again = create(&fixture, "k1", "fabrikam").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, "true"));
    assert_eq!(fixture.calls("CreateTenant").len(), 1);
}

#[tokio::test]
async fn what_was_refused_can_be_tried_again() {
    let fixture = Fixture::new();
    for kind in [ErrorKind::InvalidValue, ErrorKind::NotFound, ErrorKind::Uniqueness, ErrorKind::RateLimited]
    {
        fixture.fail("CreateTenant", kind);
        let failed = create(&fixture, "k1", "fabrikam").await;
        assert_eq!(failed.status.as_u16(), kind.http_status());
        fixture.world.failing.lock().unwrap().clear();
    }
    assert_eq!(create(&fixture, "k1", "fabrikam").await.status, StatusCode::CREATED);
    assert_eq!(create(&fixture, "k1", "fabrikam").await.header("idempotency-replayed"), "true");
}

/// The answer may have been lost after the commit.
#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Internal] {
        let fixture = Fixture::new();
        fixture.fail("CreateTenant", kind);
        assert_eq!(create(&fixture, "k1", "fabrikam").await.status.as_u16(), kind.http_status());
        fixture.world.failing.lock().unwrap().clear();
        let again = create(&fixture, "k1", "fabrikam").await;
        assert_eq!(
            (again.status, again.header("retry-after")),
            (StatusCode::CONFLICT, "7"),
            "{}",
            again.body
        );
        assert_eq!(fixture.calls("CreateTenant").len(), 1);
        assert!(fixture.calls("AbandonRequest").is_empty());
    }
}

#[tokio::test]
async fn a_key_is_settled_by_the_attempt_that_took_it() {
    let fixture = Fixture::new();
    fixture.fail("CreateTenant", ErrorKind::Uniqueness);
    create(&fixture, "k1", "fabrikam").await;
    fixture.world.failing.lock().unwrap().clear();
    create(&fixture, "k1", "fabrikam").await;
    for (rpc, attempt) in [("AbandonRequest", "attempt-1"), ("FinishRequest", "attempt-2")] {
        let calls = fixture.calls(rpc);
        assert_eq!(calls.len(), 1);
        assert!(calls[0].message.contains(attempt), "{}", calls[0].message);
    }
}

#[tokio::test]
async fn without_the_store_nothing_is_done() {
    let fixture = Fixture::new();
    fixture.fail("BeginRequest", ErrorKind::Unavailable);
    let answer = create(&fixture, "k1", "fabrikam").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(fixture.calls("CreateTenant").is_empty());
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_is_given_all_the_same() {
    let fixture = Fixture::new();
    fixture.fail("FinishRequest", ErrorKind::Unavailable);
    assert_eq!(create(&fixture, "k1", "fabrikam").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_key_is_one_short_word_and_for_post_alone() {
    let fixture = Fixture::new();
    for bad in ["with space", &"x".repeat(256), "ünïcode"] {
        let answer = create(&fixture, bad, "fabrikam").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let two = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(fixture.send_with("POST", TENANTS, "{}", &two).await.status, StatusCode::BAD_REQUEST);
    let key = [("idempotency-key", "k1")];
    assert_eq!(fixture.send_with("GET", TENANTS, "", &key).await.status, StatusCode::OK);
    assert!(fixture.calls("BeginRequest").is_empty());
    let nobody = [("idempotency-key", "k1"), ("authorization", "Bearer wrong")];
    assert_eq!(fixture.send_with("POST", TENANTS, "{}", &nobody).await.status, StatusCode::UNAUTHORIZED);
    assert!(fixture.calls("BeginRequest").is_empty(), "401 before anything else");
}
