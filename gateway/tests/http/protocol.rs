//! What HTTP and SCIM ask of every endpoint alike.

use axum::body::Body;
use gateway::Config;
use http::StatusCode;
use proto::common::v1::Dialect;
use scim::ErrorKind;

use crate::fake::{Answer, Fixture, SECRET, USER};

fn assert_scim_error(answer: &Answer, status: StatusCode, scim_type: Option<&str>) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/scim+json");
    let body = answer.json();
    assert_eq!(body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error");
    assert_eq!(body["status"], status.as_u16().to_string());
    assert_eq!(body.get("scimType").and_then(|value| value.as_str()), scim_type);
    assert!(!body["detail"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn the_test_connection_of_entra() {
    let fixture = Fixture::new();
    let uri = "/scim/v2/Users?aadOptscim062020&filter=userName+eq+%22nobody-0000%22";
    let answer =
        fixture.send_with("GET", uri, "", &[("content-type", ""), ("adscimversion", "Date:x")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/scim+json");
    let body = answer.json();
    assert_eq!(body["totalResults"], 0);
    assert_eq!(body["startIndex"], 1);
    assert_eq!(*fixture.world.list_filter.lock().unwrap(), r#"userName eq "nobody-0000""#);
    assert_eq!(fixture.all_calls(), ["ListUsers"], "no groups are fetched for nobody");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_scim_errors() {
    let fixture = Fixture::new();
    for uri in [
        "/scim/v2",
        "/scim/v2/",
        "/scim/v2/Nothing",
        "/scim/v2/users",
        "/scim/v2/Users/a/b",
        "/scim/v2/Users/%FF",
        "/scim/v2/Schemas/%FF",
        "/",
        "/scim",
        "/nowhere",
    ] {
        assert_scim_error(&fixture.send("GET", uri, "").await, StatusCode::NOT_FOUND, None);
    }
    let wrong = [
        ("DELETE", "/scim/v2/Users", "GET,HEAD,POST"),
        ("POST", "/scim/v2/Groups/x", "GET,HEAD,PUT,PATCH,DELETE"),
        ("POST", "/scim/v2/ServiceProviderConfig", "GET,HEAD"),
        ("PUT", "/scim/v2/ResourceTypes", "GET,HEAD"),
        ("PATCH", "/scim/v2/Schemas/x", "GET,HEAD"),
        ("DELETE", "/scim/v2/Schemas", "GET,HEAD"),
        ("GET", "/scim/v2/Users/.search", "POST"),
    ];
    for (method, uri, allow) in wrong {
        let answer = fixture.send(method, uri, "{}").await;
        assert_scim_error(&answer, StatusCode::METHOD_NOT_ALLOWED, None);
        assert_eq!(answer.header("allow"), allow, "{method} {uri}");
    }
    let options = fixture.send("OPTIONS", "/scim/v2/Users", "").await;
    assert_eq!((options.status, options.header("allow")), (StatusCode::NO_CONTENT, "GET,HEAD,POST"));
}

#[tokio::test]
async fn what_is_not_offered_is_501() {
    let fixture = Fixture::new();
    for (method, uri) in [("GET", "/scim/v2/Me"), ("PATCH", "/scim/v2/Me"), ("DELETE", "/scim/v2/Me")] {
        assert_scim_error(&fixture.send(method, uri, "{}").await, StatusCode::NOT_IMPLEMENTED, None);
    }
}

#[tokio::test]
async fn slashes_too_many_are_forgiven() {
    let fixture = Fixture::new();
    for (method, uri) in [
        ("GET", "/scim/v2//Users"),
        ("GET", "/scim/v2/Users/?count=1"),
        ("GET", "//scim/v2/Groups//"),
        ("GET", "/scim/v2/ServiceProviderConfig/"),
        ("GET", "/healthz/"),
    ] {
        let answer = fixture.send(method, uri, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{uri}: {}", answer.body);
    }
    let created = fixture.send("POST", "/scim/v2//Users/", "{}").await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.header("location"), format!("http://scim.test/scim/v2/Users/{USER}"));
    // An id that is missing is none.
    let answer = fixture.send("DELETE", "/scim/v2/Users/", "").await;
    assert_scim_error(&answer, StatusCode::METHOD_NOT_ALLOWED, None);
}

#[tokio::test]
async fn what_a_client_accepts_matters_only_to_the_letter_of_the_rfc() {
    let answer = async |dialect, accept: &str| {
        let fixture = Fixture::with(Config::default(), dialect);
        fixture.send_with("GET", &format!("/scim/v2/Users/{USER}"), "", &[("accept", accept)]).await
    };
    for dialect in [Dialect::Entra, Dialect::Okta, Dialect::Interop] {
        assert_eq!(answer(dialect, "text/html").await.status, StatusCode::OK, "{dialect:?}");
    }
    for accept in ["application/json", "*/*", ""] {
        assert_eq!(answer(Dialect::Rfc, accept).await.status, StatusCode::OK, "{accept}");
    }
    assert_scim_error(&answer(Dialect::Rfc, "text/html").await, StatusCode::NOT_ACCEPTABLE, None);
}

#[tokio::test]
async fn options_and_head_are_for_every_endpoint() {
    let fixture = Fixture::new();
    let one = |kind: &str| format!("/scim/v2/{kind}/{USER}");
    for (uri, allow) in [
        ("/scim/v2/Users".to_owned(), "GET,HEAD,POST"),
        (one("Users"), "GET,HEAD,PUT,PATCH,DELETE"),
        (one("Groups"), "GET,HEAD,PUT,PATCH,DELETE"),
        ("/scim/v2/Bulk".to_owned(), "POST"),
        ("/scim/v2/.search".to_owned(), "POST"),
        ("/scim/v2/Schemas".to_owned(), "GET,HEAD"),
    ] {
        let options = fixture.send("OPTIONS", &uri, "").await;
        assert_eq!((options.status, options.header("allow")), (StatusCode::NO_CONTENT, allow), "{uri}");
        if allow.contains("HEAD") {
            let head = fixture.send("HEAD", &uri, "").await;
            assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""), "{uri}");
        }
    }
}

#[tokio::test]
async fn bodies_are_json_and_within_the_limit() {
    let fixture = Fixture::with(Config { body_limit_bytes: 100, ..Config::default() }, Dialect::Entra);
    for bad in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let answer = fixture.send_with("POST", "/scim/v2/Users", "{}", &[("content-type", bad)]).await;
        assert_scim_error(&answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, None);
    }
    let zipped = fixture.send_with("POST", "/scim/v2/Users", "{}", &[("content-encoding", "gzip")]).await;
    assert_scim_error(&zipped, StatusCode::UNSUPPORTED_MEDIA_TYPE, None);

    let large = "x".repeat(101);
    assert_scim_error(
        &fixture.send("PUT", "/scim/v2/Groups/x", &large).await,
        StatusCode::PAYLOAD_TOO_LARGE,
        None,
    );
    // Without Content-Length the limit is found out while reading.
    let pieces = futures::stream::iter((0..11).map(|_| Ok::<_, std::io::Error>("x".repeat(10))));
    let request = http::Request::post("/scim/v2/Users")
        .header("host", "h")
        .header("authorization", format!("Bearer {SECRET}"));
    let answer = fixture.raw(request.body(Body::from_stream(pieces)).unwrap()).await;
    assert_scim_error(&answer, StatusCode::PAYLOAD_TOO_LARGE, None);
    assert!(fixture.all_calls().is_empty());

    for good in ["", "application/json", "application/scim+json; charset=utf-8", "APPLICATION/SCIM+JSON"] {
        let answer =
            fixture.send_with("POST", "/scim/v2/Users", &"x".repeat(100), &[("content-type", good)]).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{good}");
    }
}

#[tokio::test]
async fn every_kind_of_error_keeps_its_status_and_type() {
    for kind in ErrorKind::ALL {
        let fixture = Fixture::new();
        fixture.fail("GetUser", *kind);
        let answer = fixture.send("GET", &format!("/scim/v2/Users/{USER}"), "").await;
        // Our own access token was refused: see auth.rs.
        let expected = if *kind == ErrorKind::Unauthenticated { ErrorKind::Unavailable } else { *kind };
        assert_scim_error(
            &answer,
            StatusCode::from_u16(expected.http_status()).unwrap(),
            expected.scim_type(),
        );
    }
}

#[tokio::test]
async fn discovery_takes_no_filter_and_speaks_scim() {
    let fixture = Fixture::new();
    for uri in ["ServiceProviderConfig", "ResourceTypes", "ResourceTypes/User", "Schemas"] {
        let answer = fixture.send("GET", &format!("/scim/v2/{uri}"), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{uri}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/scim+json");
        assert!(!answer.body.contains("null"), "{}", answer.body);
        assert!(answer.body.contains("http://scim.test/scim/v2/"), "{}", answer.body);
        let filtered = fixture.send("GET", &format!("/scim/v2/{uri}?filter=id+pr"), "").await;
        assert_scim_error(&filtered, StatusCode::FORBIDDEN, None);
    }
    let bulk = fixture.send("GET", "/scim/v2/ServiceProviderConfig", "").await.json()["bulk"].clone();
    assert_eq!(
        bulk,
        serde_json::json!({"supported": true, "maxOperations": 1000, "maxPayloadSize": 1_048_576})
    );

    let schemas = fixture.send("GET", "/scim/v2/Schemas", "").await.json();
    assert_eq!(schemas["totalResults"], 3);
    for schema in schemas["Resources"].as_array().unwrap() {
        let urn = schema["id"].as_str().unwrap();
        let answer = fixture.send("GET", &format!("/scim/v2/Schemas/{}", urn.to_lowercase()), "").await;
        assert_eq!(answer.json(), *schema);
    }
    for unknown in ["Schemas/urn:nothing", "ResourceTypes/Device"] {
        assert_scim_error(
            &fixture.send("GET", &format!("/scim/v2/{unknown}"), "").await,
            StatusCode::NOT_FOUND,
            None,
        );
    }
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let fixture = Fixture::new();
    let answer = fixture.send_with("GET", "/scim/v2/Users", "", &[("x-request-id", "abc")]).await;
    assert_eq!(answer.header("x-request-id"), "abc");
    let answer = fixture.send_with("GET", "/nowhere", "", &[("x-request-id", "has space")]).await;
    assert_eq!(answer.header("x-request-id").len(), 36);
}

#[tokio::test]
async fn locations_are_under_the_url_the_client_used() {
    let user_at = async |config: Config, prefix: &str, headers: &[(&str, &str)]| {
        let fixture = Fixture::with(config, Dialect::Entra);
        let answer = fixture.send_with("GET", &format!("{prefix}/Users/{USER}"), "", headers).await;
        assert_eq!(answer.json()["meta"]["location"], answer.header("location"));
        answer.header("location").to_owned()
    };
    let proxied = [("x-forwarded-proto", "https"), ("x-forwarded-host", "outer.test")];
    let id = USER;
    assert_eq!(
        user_at(Config::default(), "/scim/v2", &proxied).await,
        format!("http://scim.test/scim/v2/Users/{id}")
    );
    assert_eq!(
        user_at(Config::default(), "/v1/scim/v2", &[]).await,
        format!("http://scim.test/v1/scim/v2/Users/{id}")
    );
    let trusting = Config { trust_forwarded: true, ..Config::default() };
    assert_eq!(
        user_at(trusting, "/scim/v2", &proxied).await,
        format!("https://outer.test/scim/v2/Users/{id}")
    );
    let set = Config { public_url: "https://public.test".into(), ..Config::default() };
    assert_eq!(user_at(set, "/scim/v2", &proxied).await, format!("https://public.test/scim/v2/Users/{id}"));
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let fixture = Fixture::new();
    fixture.world.panicking.store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = fixture.send("GET", &format!("/scim/v2/Users/{USER}"), "").await;
    assert_scim_error(&answer, StatusCode::INTERNAL_SERVER_ERROR, None);
    assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    assert_ne!(answer.header("x-request-id"), "");
}

#[tokio::test]
async fn probes_need_no_token() {
    let fixture = Fixture::new();
    let bare = [("authorization", "")];
    assert_eq!(fixture.send_with("GET", "/healthz", "", &bare).await.status, StatusCode::OK);
    let ready = fixture.send_with("GET", "/readyz", "", &bare).await;
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.body);
    assert_eq!(ready.json()["services"]["membership"], "ok");
}

#[tokio::test]
async fn a_service_that_is_away_makes_the_gateway_unready() {
    use platform::transport::remote;
    let nobody = remote("http://127.0.0.1:1").unwrap();
    let clients = gateway::Clients::new(nobody.clone(), nobody.clone(), nobody.clone(), nobody);
    let fixture = Fixture::new();
    let router = gateway::Gateway::new(
        clients,
        Config::default(),
        fixture.invalidations.clone(),
        fixture.clock.clone(),
    )
    .router();
    let fixture = Fixture { router, ..fixture };
    let ready = fixture.send("GET", "/readyz", "").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["services"]["token"], "unavailable");
    assert_eq!(fixture.send("GET", "/healthz", "").await.status, StatusCode::OK);
    let answer = fixture.send("GET", "/scim/v2/Users", "").await;
    assert_scim_error(&answer, StatusCode::SERVICE_UNAVAILABLE, None);
    assert!(!answer.body.contains("127.0.0.1"), "{}", answer.body);
}
