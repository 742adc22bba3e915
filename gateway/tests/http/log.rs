//! What goes into the provisioning log, and how it gets there. Time is paused: what waits for the time to pass waits for nothing
//! else.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use proto::common::v1::{Dialect, Warning};
use proto::journal::v1::{Exchange, Outcome};
use scim::ErrorKind;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake::{CREDENTIAL, Fixture, GROUP, SECRET, USER};

const NOBODY: &str = "01990000-0000-7000-8000-00000000dead";

/// The task that writes the log.
struct Writer {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Writer {
    fn start(fixture: &Fixture) -> Self {
        let stop = CancellationToken::new();
        let (gateway, tokens, stopped) = (fixture.gateway.clone(), fixture.own_tokens(), stop.clone());
        Self { stop, task: tokio::spawn(async move { gateway.write_log(tokens, stopped).await }) }
    }

    /// Ends it as a server that stops does, and gives everything that was ever written.
    async fn finish(self, fixture: &Fixture) -> Vec<Exchange> {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(60), self.task).await.unwrap().unwrap();
        written(fixture)
    }
}

fn written(fixture: &Fixture) -> Vec<Exchange> {
    fixture.world.exchanges.lock().unwrap().clone()
}

/// The one exchange that this request is.
async fn recorded(fixture: &Fixture, method: &str, uri: &str, body: &str) -> Exchange {
    let before = written(fixture).len();
    let answer = fixture.send(method, uri, body).await;
    let all = Writer::start(fixture).finish(fixture).await;
    assert_eq!(all.len(), before + 1, "{method} {uri}: {all:?}");
    let exchange = all.last().unwrap().clone();
    assert_eq!(exchange.status, i32::from(answer.status.as_u16()), "{}", answer.body);
    assert_eq!(exchange.request_id, answer.header("rollcall-request-id"));
    assert_eq!(exchange.request_id, answer.header("x-request-id"));
    exchange
}

#[tokio::test(start_paused = true)]
async fn every_request_of_a_tenant_is_an_exchange() {
    use Outcome::{Changed, Refused, Unchanged};
    let fixture = Fixture::new();
    let anna = r#"{"userName":"anna@contoso.com","externalId":"e-1"}"#;
    let (user, group) = (format!("/Users/{USER}"), format!("/Groups/{GROUP}"));
    for (method, path, body, action, about, outcome) in [
        ("GET", "/Users", "", "user.list", ("User", "", ""), Unchanged),
        ("GET", user.as_str(), "", "user.get", ("User", USER, "anna@contoso.com"), Unchanged),
        ("POST", "/Users", anna, "user.create", ("User", USER, "anna@contoso.com"), Changed),
        ("PUT", user.as_str(), anna, "user.replace", ("User", USER, "anna@contoso.com"), Changed),
        ("DELETE", user.as_str(), "", "user.delete", ("User", USER, ""), Changed),
        ("GET", group.as_str(), "", "group.get", ("Group", GROUP, "Sales"), Unchanged),
        ("POST", "/Groups", r#"{"displayName":"Sales"}"#, "group.create", ("Group", GROUP, "Sales"), Changed),
        ("DELETE", group.as_str(), "", "group.delete", ("Group", GROUP, ""), Changed),
        ("GET", "/Schemas", "", "discovery", ("", "", ""), Unchanged),
        ("GET", "/Nowhere", "", "other", ("", "", ""), Refused),
        ("POST", user.as_str(), "{}", "other", ("User", USER, ""), Refused),
        ("GET", "/Users?count=x", "", "user.list", ("User", "", ""), Refused),
    ] {
        let exchange = recorded(&fixture, method, &format!("/scim/v2{path}"), body).await;
        assert_eq!(
            (exchange.action.as_str(), exchange.outcome()),
            (action, outcome),
            "{method} {path}: {exchange:?}"
        );
        let found = (&*exchange.resource_type, &*exchange.resource_id, &*exchange.resource_name);
        assert_eq!(found, about, "{method} {path}");
        assert_eq!((exchange.method.as_str(), exchange.target.as_str()), (method, path));
        assert_eq!(exchange.error.is_empty(), outcome != Refused, "{exchange:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_says_who_asked_how_it_was_read_and_how_long_it_is_kept() {
    let fixture = Fixture::with(gateway::Config::default(), Dialect::Okta);
    {
        let mut sessions = fixture.world.sessions.lock().unwrap();
        let session = sessions.get_mut(SECRET).unwrap();
        session.label = "entra 2027".into();
        session.tenant.as_mut().unwrap().settings.as_mut().unwrap().log_retention_days = 7;
    }
    let exchange =
        recorded(&fixture, "GET", "/v1/scim/v2/Users?filter=title+pr&access_token=rcs_x", "").await;
    assert_eq!(exchange.tenant_id, fixture.tenant.to_string());
    assert_eq!((exchange.actor_id.as_str(), exchange.actor_label.as_str()), (CREDENTIAL, "entra 2027"));
    assert_eq!(exchange.dialect(), Dialect::Okta);
    assert_eq!(exchange.target, "/Users?filter=title+pr&access_token=(redacted)");
    assert_eq!(exchange.at_us, fixture.clock.now().micros());
    assert_eq!(exchange.expires_at_us - exchange.at_us, 7 * 24 * 3600 * 1_000_000);
    // An older token service does not say how long.
    fixture.tenant_of(SECRET, |tenant| tenant.settings.as_mut().unwrap().log_retention_days = 0);
    fixture.invalidations.publish(platform::cache::Invalidation::Tenant(fixture.tenant));
    let exchange = recorded(&fixture, "GET", "/scim/v2/Users", "").await;
    assert_eq!(exchange.expires_at_us - exchange.at_us, 30 * 24 * 3600 * 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn refusals_say_why_and_about_whom() {
    let fixture = Fixture::new();
    fixture.fail("CreateUser", ErrorKind::Uniqueness);
    let anna = r#"{"userName":"anna","externalId":"e-1"}"#;
    let exchange = recorded(&fixture, "POST", "/scim/v2/Users", anna).await;
    assert_eq!((exchange.outcome(), exchange.error.as_str()), (Outcome::Refused, "uniqueness"));
    assert_eq!(exchange.detail, "CreateUser says no");
    let about = (&*exchange.resource_id, &*exchange.resource_name, &*exchange.resource_external_id);
    assert_eq!(about, ("", "anna", "e-1"));

    fixture.fail("PatchUser", ErrorKind::NotFound);
    let exchange = recorded(&fixture, "PATCH", &format!("/scim/v2/Users/{NOBODY}"), "{}").await;
    assert_eq!((exchange.error.as_str(), exchange.resource_id.as_str()), ("NotFound", NOBODY));
    let exchange = recorded(&fixture, "PATCH", "/scim/v2/Users/no-id", "{}").await;
    assert_eq!((exchange.target.as_str(), exchange.resource_id.as_str()), ("/Users/no-id", ""));

    fixture.fail("GetUser", ErrorKind::Unavailable);
    let exchange = recorded(&fixture, "GET", &format!("/scim/v2/Users/{USER}"), "").await;
    assert_eq!((exchange.outcome(), exchange.status), (Outcome::Failed, 503));
}

#[tokio::test(start_paused = true)]
async fn what_was_skipped_is_a_warning() {
    let fixture = Fixture::new();
    let warning = Warning { attribute: "teams".into(), detail: "no such team".into() };
    fixture.world.warnings.lock().unwrap().push(warning.clone());
    let exchange = recorded(&fixture, "POST", "/scim/v2/Users", r#"{"userName":"anna"}"#).await;
    assert_eq!((exchange.outcome(), exchange.warnings), (Outcome::Warning, vec![warning]));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_no_tenant_is_not_recorded_whoever_asks_too_often_is() {
    let config =
        gateway::Config { rate_limit_per_second: 25, rate_limit_burst: 1, ..gateway::Config::default() };
    let fixture = Fixture::with(config, Dialect::Entra);
    let answer = fixture.send_with("GET", "/scim/v2/Users", "", &[("authorization", "Bearer nobody")]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(!answer.header("rollcall-request-id").is_empty(), "this too can be asked about");
    assert_eq!(fixture.send("GET", "/admin/v1/tenants", "").await.status, StatusCode::OK);
    assert_eq!(fixture.send("GET", "/healthz", "").await.status, StatusCode::OK);
    let mut refused = 0;
    for _ in 0..5 {
        let answer = fixture.send("GET", "/scim/v2/Users", "").await;
        refused += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused > 0);
    let exchanges = Writer::start(&fixture).finish(&fixture).await;
    assert_eq!(exchanges.len(), 5);
    let of_rate: Vec<&Exchange> = exchanges.iter().filter(|exchange| exchange.status == 429).collect();
    assert_eq!(of_rate.len(), refused);
    assert!(
        of_rate
            .iter()
            .all(|exchange| exchange.outcome() == Outcome::Refused && exchange.error == "RateLimited")
    );
}

#[tokio::test(start_paused = true)]
async fn operations_of_a_bulk_are_exchanges_of_the_same_request() {
    let fixture = Fixture::new();
    fixture.fail("DeleteGroup", ErrorKind::NotFound);
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "POST", "path": "/Users", "bulkId": "1", "data": {"userName": "anna@contoso.com"}},
            {"method": "DELETE", "path": format!("/Groups/{GROUP}")},
        ],
    });
    let answer = fixture.send("POST", "/scim/v2/Bulk", &bulk.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let exchanges = Writer::start(&fixture).finish(&fixture).await;
    let id = answer.header("rollcall-request-id");
    let mut told: Vec<(&str, &str, i32, Outcome)> = exchanges
        .iter()
        .map(|exchange| {
            assert_eq!(exchange.request_id, id);
            (&*exchange.action, &*exchange.resource_id, exchange.status, exchange.outcome())
        })
        .collect();
    told.sort_by_key(|(action, ..)| *action);
    assert_eq!(
        told,
        [
            ("bulk", "", 200, Outcome::Unchanged),
            ("group.delete", GROUP, 404, Outcome::Refused),
            ("user.create", USER, 201, Outcome::Changed),
        ]
    );
    let bulk = exchanges.iter().find(|exchange| exchange.action == "bulk").unwrap();
    assert!(bulk.detail.starts_with("1 operations done, 1 failed"), "{}", bulk.detail);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_and_a_handler_that_panics_leave_an_exchange() {
    let fixture = Fixture::new();
    let endless = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = http::Request::post("/scim/v2/Users")
        .header("host", "scim.test")
        .header("authorization", format!("Bearer {SECRET}"))
        .header("content-type", "application/scim+json")
        .body(endless)
        .unwrap();
    tokio::time::timeout(Duration::from_secs(5), fixture.raw(request))
        .await
        .err()
        .expect("nobody answers that");
    fixture.world.panicking.store(true, Ordering::SeqCst);
    let answer = fixture.send("GET", &format!("/scim/v2/Users/{USER}"), "").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let mut exchanges = Writer::start(&fixture).finish(&fixture).await;
    exchanges.sort_by_key(|exchange| exchange.status);
    let told: Vec<(i32, &str, Outcome)> =
        exchanges.iter().map(|exchange| (exchange.status, &*exchange.action, exchange.outcome())).collect();
    assert_eq!(told, [(499, "user.create", Outcome::Failed), (500, "user.get", Outcome::Failed)]);
    assert!(exchanges[0].detail.contains("hung up"), "{}", exchanges[0].detail);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_writes_everything_first() {
    let config = gateway::Config { rate_limit_burst: 100_000, ..gateway::Config::default() };
    let fixture = Fixture::with(config, Dialect::Entra);
    let writer = Writer::start(&fixture);
    for _ in 0..3_000 {
        assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::OK);
    }
    let exchanges = writer.finish(&fixture).await;
    let ids: std::collections::HashSet<&str> = exchanges.iter().map(|exchange| &*exchange.id).collect();
    assert_eq!((exchanges.len(), ids.len()), (3_000, 3_000));
    let calls = fixture.calls("AppendExchanges");
    assert!(calls.len() < 60, "in batches: {}", calls.len());
    assert_eq!(calls[0].metadata("authorization"), "Bearer jwt", "as the gateway itself, not as the client");
}

#[tokio::test(start_paused = true)]
async fn while_the_journal_is_away_requests_go_on_and_nothing_is_lost() {
    let config = gateway::Config { rate_limit_burst: 100_000, ..gateway::Config::default() };
    let fixture = Fixture::with(config, Dialect::Entra);
    let writer = Writer::start(&fixture);
    fixture.fail("AppendExchanges", ErrorKind::Unavailable);
    for _ in 0..700 {
        assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::OK);
    }
    while fixture.calls("AppendExchanges").len() < 3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(
        fixture.send("GET", "/readyz", "").await.status,
        StatusCode::OK,
        "the gateway is not less ready"
    );
    assert!(written(&fixture).is_empty());
    fixture.world.failing.lock().unwrap().remove("AppendExchanges");
    while written(&fixture).len() < 700 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(writer.finish(&fixture).await.len(), 700, "each once");
}

#[tokio::test(start_paused = true)]
async fn what_the_journal_refuses_holds_nothing_up() {
    let fixture = Fixture::new();
    let writer = Writer::start(&fixture);
    fixture.fail("AppendExchanges", ErrorKind::InvalidValue);
    fixture.send("GET", "/scim/v2/Users", "").await;
    while fixture.calls("AppendExchanges").is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    fixture.world.failing.lock().unwrap().remove("AppendExchanges");
    fixture.send("GET", "/scim/v2/Schemas", "").await;
    let exchanges = writer.finish(&fixture).await;
    assert_eq!(exchanges.iter().map(|exchange| &*exchange.action).collect::<Vec<_>>(), ["discovery"]);
}

#[tokio::test(start_paused = true)]
async fn the_admin_api_asks_for_what_the_administrator_asks() {
    let fixture = Fixture::new();
    let query = "user=anna%40contoso.com&group=Sales&outcome=refused,failed&from=2023-11-14T00:00:00Z&notable=true&request_id=r-1";
    let answer = fixture.send("GET", &format!("/admin/v1/tenants/contoso/log?{query}"), "").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"exchanges": []})), "{}", answer.body);
    let message = fixture.one_call("ListExchanges").message;
    for part in [
        // As they were named, and who has the name now.
        &format!(r#"users: ["anna@contoso.com", "{USER}""#),
        &format!(r#"groups: ["Sales", "{GROUP}""#),
        "outcomes: [Refused, Failed]",
        "from_us: 1699920000000000",
        "only_notable: true",
        r#"request_id: "r-1""#,
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let filter = fixture.one_call("ListUsers").message;
    assert!(filter.contains(r#"userName eq \"anna@contoso.com\" or externalId eq"#), "{filter}");

    for (query, part) in [
        ("outcome=bad", "outcome must be"),
        ("from=yesterday", "from must be"),
        ("page_size=-1", "page_size"),
        ("notable=maybe", "notable"),
        ("usr=anna", "usr"),
    ] {
        let answer = fixture.send("GET", &format!("/admin/v1/tenants/contoso/log?{query}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(part), "{query}: {}", answer.body);
    }
    // It answers by what the log knows when nobody else does.
    fixture.fail("ListUsers", ErrorKind::Unavailable);
    let answer = fixture.send("GET", "/admin/v1/tenants/contoso/log?user=anna", "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_deleted_takes_its_log_along() {
    let fixture = Fixture::new();
    fixture.send("DELETE", "/admin/v1/tenants/contoso", "").await;
    let calls = fixture.all_calls();
    let place = |rpc: &str| calls.iter().position(|call| *call == rpc);
    assert!(place("journal.PurgeTenant").is_some(), "{calls:?}");
    assert!(place("journal.PurgeTenant") < place("token.PurgeTenant"), "{calls:?}");
}
