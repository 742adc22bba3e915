//! The bearer token comes before everything else, and what it stands for is remembered no longer than it is true.

use std::sync::Arc;
use std::time::Duration;

use gateway::Config;
use http::StatusCode;
use platform::cache::Invalidation;
use platform::ids::TenantId;
use proto::common::v1::Dialect;
use scim::ErrorKind;

use crate::fake::{ADMIN, CREDENTIAL, Fixture, SECRET};

#[tokio::test]
async fn without_a_good_token_nothing_else_is_looked_at() {
    let fixture = Fixture::new();
    let huge = "x".repeat(5 * 1024 * 1024);
    let requests = [
        ("GET", "/scim/v2/Users", ""),
        ("GET", "/scim/v2/Users?filter=%00&count=nonsense", ""),
        ("POST", "/scim/v2/Users", huge.as_str()),
        ("GET", "/scim/v2/NoSuchThing", ""),
        ("GET", "/scim/v2", ""),
        ("PATCH", "/scim/v2/Schemas", "{}"),
        ("OPTIONS", "/scim/v2/Users", ""),
        ("GET", "/v1/scim/v2/ServiceProviderConfig", ""),
    ];
    for sent in ["", "Bearer wrong", "Bearer ", "Bearer", "Basic c2VjcmV0", SECRET] {
        for (method, uri, body) in requests {
            let headers = [("authorization", sent), ("content-type", "text/plain")];
            let answer = fixture.send_with(method, uri, body, &headers).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {uri} with `{sent}`");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"rollcall\"");
            assert_eq!(answer.header("content-type"), "application/scim+json");
            assert_eq!(answer.json()["status"], "401");
            assert!(!answer.body.contains("wrong"), "the secret must not come back: {}", answer.body);
        }
    }
    assert!(fixture.all_calls().is_empty(), "{:?}", fixture.all_calls());
}

#[tokio::test]
async fn two_authorization_headers_are_none() {
    let fixture = Fixture::new();
    let headers = [("authorization", "Bearer secret-of-contoso"), ("authorization", "Bearer wrong")];
    assert_eq!(
        fixture.send_with("GET", "/scim/v2/Users", "", &headers).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn the_scheme_is_written_in_any_case() {
    let fixture = Fixture::new();
    let headers = [("authorization", "bEARER secret-of-contoso")];
    assert_eq!(fixture.send_with("GET", "/scim/v2/Users", "", &headers).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_call_carries_the_tenants_access_token_and_context() {
    let fixture = Fixture::with(Config::default(), Dialect::Okta);
    let headers = [("x-request-id", "corr-1")];
    fixture.send_with("GET", "/scim/v2/Users?filter=userName+eq+%22a%22", "", &headers).await;
    let call = fixture.one_call("ListUsers");
    assert_eq!(call.metadata("authorization"), format!("Bearer jwt-for-{SECRET}"));
    for part in [&*fixture.tenant.to_string(), "Okta", "corr-1", r#"userName eq \"a\""#] {
        assert!(call.message.contains(part), "{part} in {}", call.message);
    }
}

#[tokio::test]
async fn a_session_is_remembered_for_its_time_and_no_longer() {
    let fixture = Fixture::new();
    for _ in 0..3 {
        fixture.send("GET", "/scim/v2/Users", "").await;
    }
    assert_eq!(fixture.calls("Resolve").len(), 1);
    fixture.clock.advance(Duration::from_secs(29));
    fixture.send("GET", "/scim/v2/Users", "").await;
    assert_eq!(fixture.calls("Resolve").len(), 1);
    fixture.clock.advance(Duration::from_secs(1));
    fixture.send("GET", "/scim/v2/Users", "").await;
    assert_eq!(fixture.calls("Resolve").len(), 2);
}

#[tokio::test]
async fn a_session_is_not_remembered_beyond_its_credential_and_its_access_token() {
    let fixture =
        Fixture::with(Config { context_cache_ttl_seconds: 3600, ..Config::default() }, Dialect::Entra);
    fixture.send("GET", "/scim/v2/Users", "").await;
    fixture.clock.advance(Duration::from_secs(289));
    fixture.send("GET", "/scim/v2/Users", "").await;
    assert_eq!(fixture.calls("Resolve").len(), 1);
    fixture.clock.advance(Duration::from_secs(1));
    fixture.send("GET", "/scim/v2/Users", "").await;
    assert_eq!(
        fixture.calls("Resolve").len(),
        2,
        "the access token lives 300 s and is not used in its last 10"
    );

    let soon = fixture.clock.now().plus(Duration::from_secs(20)).micros();
    fixture.world.sessions.lock().unwrap().get_mut(SECRET).unwrap().credential_expires_at_us = soon;
    fixture.invalidations.publish(Invalidation::Tenant(fixture.tenant));
    fixture.send("GET", "/scim/v2/Users", "").await;
    fixture.world.sessions.lock().unwrap().remove(SECRET);
    fixture.clock.advance(Duration::from_secs(19));
    assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::OK);
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_revocation_is_heeded_by_the_very_next_request() {
    let revocations =
        |tenant| [Invalidation::Credential(CREDENTIAL.parse().unwrap()), Invalidation::Tenant(tenant)];
    for index in 0..2 {
        let fixture = Fixture::new();
        assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::OK);
        fixture.world.sessions.lock().unwrap().remove(SECRET);
        // Somebody else's revocation changes nothing.
        fixture.invalidations.publish(Invalidation::Tenant(TenantId::new(&fixture.clock)));
        assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::OK);
        fixture.invalidations.publish(revocations(fixture.tenant)[index]);
        assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::UNAUTHORIZED);
    }
}

/// A body may take its time. Whoever lost the right meanwhile does not write any more.
#[tokio::test]
async fn a_revocation_is_heeded_by_a_request_whose_body_is_on_its_way() {
    for (uri, token) in [("/scim/v2/Users", SECRET), ("/scim/v2/Bulk", SECRET), ("/admin/v1/tenants", ADMIN)]
    {
        let fixture = Arc::new(Fixture::new());
        let (sender, body) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::convert::Infallible>>(1);
        let body = futures::stream::unfold(body, |mut body| async { Some((body.recv().await?, body)) });
        let request = http::Request::post(uri)
            .header("host", "scim.test")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(axum::body::Body::from_stream(body))
            .unwrap();
        let answer = tokio::spawn({
            let fixture = fixture.clone();
            async move { fixture.raw(request).await }
        });
        while fixture.calls("Resolve").is_empty() {
            tokio::task::yield_now().await;
        }
        // The second piece fits into the channel once the gateway took the first: it is reading the body.
        for piece in ["{", "}"] {
            sender.send(Ok(piece.into())).await.unwrap();
        }
        fixture.world.sessions.lock().unwrap().remove(token);
        fixture.invalidations.publish(Invalidation::Tenant(fixture.tenant));
        fixture.invalidations.publish(Invalidation::Credential(CREDENTIAL.parse().unwrap()));
        drop(sender);
        assert_eq!(answer.await.unwrap().status, StatusCode::UNAUTHORIZED, "{uri}");
        assert!(fixture.all_calls().is_empty(), "{:?}", fixture.all_calls());
    }
}

#[tokio::test]
async fn more_revocations_than_the_channel_holds_drop_everything() {
    let fixture = Fixture::new();
    fixture.send("GET", "/scim/v2/Users", "").await;
    fixture.world.sessions.lock().unwrap().remove(SECRET);
    fixture.invalidations.publish(Invalidation::Tenant(fixture.tenant));
    for _ in 0..5000 {
        fixture.invalidations.publish(Invalidation::Tenant(TenantId::new(&fixture.clock)));
    }
    assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_revocation_that_overtakes_a_lookup_is_not_forgotten() {
    let fixture = Arc::new(Fixture::new());
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    *fixture.world.gate.lock().unwrap() = Some(gate.clone());
    let first = tokio::spawn({
        let fixture = fixture.clone();
        async move { fixture.send("GET", "/scim/v2/Users", "").await.status }
    });
    // The lookup has read the secret as good and is on its way back.
    while fixture.calls("Resolve").is_empty() {
        tokio::task::yield_now().await;
    }
    fixture.world.sessions.lock().unwrap().remove(SECRET);
    fixture.invalidations.publish(Invalidation::Tenant(fixture.tenant));
    gate.add_permits(10);
    first.await.unwrap();
    assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::UNAUTHORIZED);
}

/// It asked after the revocation, of which the answer that others wait for knows nothing.
#[tokio::test]
async fn whoever_asks_after_a_revocation_does_not_take_the_answer_of_a_lookup_from_before() {
    let fixture = Fixture::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    *fixture.world.gate.lock().unwrap() = Some(gate.clone());
    let mut before = std::pin::pin!(fixture.send("GET", "/scim/v2/Users", ""));
    while fixture.calls("Resolve").is_empty() {
        assert!(futures::poll!(&mut before).is_pending());
        tokio::task::yield_now().await;
    }
    fixture.world.sessions.lock().unwrap().remove(SECRET);
    fixture.invalidations.publish(Invalidation::Tenant(fixture.tenant));
    let mut after = std::pin::pin!(fixture.send("GET", "/scim/v2/Users", ""));
    // It waits with the first one by now.
    assert!(futures::poll!(&mut after).is_pending());
    assert_eq!(fixture.calls("Resolve").len(), 1);
    gate.add_permits(10);
    let (_, after) = tokio::join!(before, after);
    assert_eq!(after.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_crowd_with_one_token_asks_once() {
    let fixture = Arc::new(Fixture::new());
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    *fixture.world.gate.lock().unwrap() = Some(gate.clone());
    let crowd: Vec<_> = (0..50)
        .map(|_| {
            let fixture = fixture.clone();
            tokio::spawn(async move { fixture.send("GET", "/scim/v2/Users", "").await.status })
        })
        .collect();
    while fixture.calls("Resolve").is_empty() {
        tokio::task::yield_now().await;
    }
    gate.add_permits(50);
    for one in crowd {
        assert_eq!(one.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(fixture.calls("Resolve").len(), 1);
}

#[tokio::test]
async fn a_refusal_is_remembered_for_a_second() {
    let fixture = Fixture::new();
    let wrong = [("authorization", "Bearer wrong")];
    for _ in 0..5 {
        fixture.send_with("GET", "/scim/v2/Users", "", &wrong).await;
    }
    assert_eq!(fixture.calls("Resolve").len(), 1);
    fixture.clock.advance(Duration::from_secs(1));
    fixture.send_with("GET", "/scim/v2/Users", "", &wrong).await;
    assert_eq!(fixture.calls("Resolve").len(), 2);
}

#[tokio::test]
async fn an_outage_is_503_and_not_remembered() {
    let fixture = Fixture::new();
    fixture.fail("Resolve", ErrorKind::Unavailable);
    let answer = fixture.send("GET", "/scim/v2/Users", "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_ne!(answer.header("retry-after"), "");
    assert_eq!(answer.header("www-authenticate"), "");
    fixture.world.failing.lock().unwrap().clear();
    assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_refused_access_token_is_not_the_clients_fault() {
    let fixture = Fixture::new();
    fixture.fail("ListUsers", ErrorKind::Unauthenticated);
    assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn tokens_are_for_what_they_are_for() {
    let fixture = Fixture::new();
    let admin = format!("Bearer {ADMIN}");
    let answer = fixture.send_with("GET", "/scim/v2/Users", "", &[("authorization", &admin)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let tenants = format!("Bearer {SECRET}");
    let answer = fixture.send_with("GET", "/admin/v1/tenants", "", &[("authorization", &tenants)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.header("content-type"), "application/problem+json");

    // A scope alone does not reach across: a tenant's credential with scope admin is still a tenant's.
    fixture.credential("odd", Some((fixture.tenant, Dialect::Entra)), "admin");
    let odd = [("authorization", "Bearer odd")];
    assert_eq!(fixture.send_with("GET", "/admin/v1/tenants", "", &odd).await.status, StatusCode::FORBIDDEN);
    assert_eq!(fixture.send_with("GET", "/scim/v2/Users", "", &odd).await.status, StatusCode::FORBIDDEN);
    assert!(fixture.all_calls().is_empty(), "{:?}", fixture.all_calls());
}

#[tokio::test]
async fn a_tenant_that_asks_too_much_waits_and_others_do_not() {
    let config = Config {
        rate_limit_per_second: 1,
        rate_limit_floor_per_second: 1,
        rate_limit_burst: 3,
        ..Config::default()
    };
    let fixture = Fixture::with(config, Dialect::Entra);
    let mut served = 0;
    let refused = loop {
        let answer = fixture.send("GET", "/scim/v2/Users", "").await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        served += 1;
        assert!(served < 1000, "never limited");
    };
    assert!(served >= 3, "the burst was cut short at {served}");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
    assert_eq!(refused.json()["status"], "429");

    fixture.credential("other", Some((TenantId::new(&fixture.clock), Dialect::Entra)), "scim");
    let other = [("authorization", "Bearer other")];
    assert_eq!(fixture.send_with("GET", "/scim/v2/Users", "", &other).await.status, StatusCode::OK);
}
