//! The audits of two services as one.

use http::StatusCode;
use proto::common::v1::AuditEvent;
use scim::ErrorKind;
use serde_json::{Value, json};

use crate::fake::Fixture;

const START: i64 = 1_600_000_000_000_000;

/// One event of that second after the start.
fn event(id: &str, second: i64) -> AuditEvent {
    AuditEvent {
        id: id.to_owned(),
        at_us: START + second * 1_000_000,
        actor: "a".into(),
        action: "tenant.updated".into(),
        after: r#"{"groups":false}"#.into(),
        ..AuditEvent::default()
    }
}

fn ids(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().unwrap();
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// Walks to the end in pages of this size.
async fn walk(fixture: &Fixture, query: &str, size: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let uri = format!("/admin/v1/audit?page_size={size}&page_token={token}{query}");
        let answer = fixture.send("GET", &uri, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let page = answer.json();
        let here = ids(&page);
        assert!(here.len() <= size);
        assert!(!here.is_empty() || page.get("next_page_token").is_none(), "a page of nothing");
        seen.extend(here);
        match page.get("next_page_token") {
            None => return seen,
            Some(next) => token = next.as_str().unwrap().to_owned(),
        }
    }
}

fn fill(fixture: &Fixture) -> Vec<String> {
    let mut token = Vec::new();
    let mut identity = Vec::new();
    let mut all = Vec::new();
    for second in (0..40_i64).rev() {
        // In turns, in runs of one, and both at once.
        if second % 3 != 0 || second > 30 {
            token.push(event(&format!("t{second}"), second));
            all.push(format!("t{second}"));
        }
        if second % 3 == 0 || second == 7 {
            identity.push(event(&format!("i{second}"), second));
            all.push(format!("i{second}"));
        }
    }
    *fixture.world.token_audit.lock().unwrap() = token;
    *fixture.world.identity_audit.lock().unwrap() = identity;
    all
}

#[tokio::test]
async fn pages_of_any_size_show_every_event_once_and_in_order() {
    let fixture = Fixture::new();
    let all = fill(&fixture);
    for size in [1, 2, 3, 5, 7, 20, 100] {
        assert_eq!(walk(&fixture, "", size).await, all, "in pages of {size}");
    }
}

#[tokio::test]
async fn what_happens_during_a_walk_does_not_move_it() {
    let fixture = Fixture::new();
    let all = fill(&fixture);
    let first = fixture.send("GET", "/admin/v1/audit?page_size=5", "").await.json();
    for number in 0..7 {
        fixture.world.token_audit.lock().unwrap().insert(0, event(&format!("new{number}"), 100 + number));
    }
    let token = first["next_page_token"].as_str().unwrap();
    let uri = format!("/admin/v1/audit?page_size=100&page_token={token}");
    let rest = fixture.send("GET", &uri, "").await.json();
    assert_eq!([ids(&first), ids(&rest)].concat(), all);
}

#[tokio::test]
async fn events_are_found_by_tenant_and_time() {
    let fixture = Fixture::new();
    fill(&fixture);
    let mut of_tenant = event("mine", 12);
    of_tenant.tenant_id = fixture.tenant.to_string();
    fixture.world.identity_audit.lock().unwrap().push(of_tenant);
    let page = fixture.send("GET", "/admin/v1/tenants/contoso/audit", "").await.json();
    let expected = json!({"events": [{
        "id": "mine", "service": "identity", "at": "2020-09-13T12:26:52.000Z", "actor": "a",
        "action": "tenant.updated", "tenant_id": fixture.tenant.to_string(), "after": {"groups": false},
    }]});
    assert_eq!(page, expected);
    assert_eq!(fixture.send("GET", "/admin/v1/audit?tenant=contoso", "").await.json(), expected);
    let span = "&from=2020-09-13T12:26:46Z&until=2020-09-13T12:26:49Z";
    assert_eq!(walk(&fixture, span, 2).await, ["t8", "t7", "i7", "i6"]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_half_an_audit_is_none() {
    let fixture = Fixture::new();
    fill(&fixture);
    for bad in ["page_token=x", "from=yesterday", "page_size=-1", "page_token=e30"] {
        let answer = fixture.send("GET", &format!("/admin/v1/audit?{bad}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}: {}", answer.body);
    }
    fixture.fail("identity.ListAuditEvents", ErrorKind::Unavailable);
    let answer = fixture.send("GET", "/admin/v1/audit", "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}
