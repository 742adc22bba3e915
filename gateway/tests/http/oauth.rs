//! The token endpoint and what is published beside it.

use gateway::Config;
use http::StatusCode;
use proto::common::v1::Dialect;
use scim::ErrorKind;
use serde_json::json;

use crate::fake::{Answer, Fixture};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
/// `c%201:s%26cret%3A%2B`: id `c 1`, secret `s&cret:+`, each form-encoded.
const BASIC: &str = "Basic YyUyMDE6cyUyNmNyZXQlM0ElMkI=";

async fn ask(fixture: &Fixture, authorization: &str, body: &str) -> Answer {
    fixture.send_with("POST", "/oauth2/token", body, &[FORM, ("authorization", authorization)]).await
}

#[tokio::test]
async fn a_client_gets_a_token_by_basic_or_body() {
    let fixture = Fixture::new();
    let in_body =
        "grant_type=client_credentials&client_id=c+1&client_secret=s%26cret%3A%2B&scope=memberships%3Aread";
    for (authorization, body) in
        [(BASIC, "grant_type=client_credentials&scope=memberships:read"), ("", in_body)]
    {
        let answer = ask(&fixture, authorization, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(
            answer.json(),
            json!({"access_token": "jwt", "token_type": "Bearer", "expires_in": 300, "scope": "memberships:read"})
        );
        assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for call in fixture.calls("IssueToken") {
        assert!(call.message.contains("client_id: \"c 1\""), "{}", call.message);
        assert!(call.message.contains("scope: \"memberships:read\""), "{}", call.message);
    }
}

#[tokio::test]
async fn refusals_are_those_of_the_rfc() {
    let fixture = Fixture::new();
    let grant = "grant_type=client_credentials";
    let own = "client_id=c+1&client_secret=s%26cret%3A%2B";
    for (authorization, body, status, error) in [
        (BASIC, "", 400, "invalid_request"),
        (BASIC, "grant_type=", 400, "invalid_request"),
        (BASIC, "grant_type=password", 400, "unsupported_grant_type"),
        (BASIC, "grant_type=client_credentials&grant_type=client_credentials", 400, "invalid_request"),
        (BASIC, &format!("{grant}&{own}"), 400, "invalid_request"),
        (BASIC, &format!("{grant}&client_id=other"), 400, "invalid_request"),
        (BASIC, &format!("{grant}&client_assertion=a.b.c"), 400, "invalid_request"),
        ("", &format!("{grant}&{own}&client_assertion=a.b.c"), 400, "invalid_request"),
        ("", &format!("{grant}&client_assertion=a.b.c&client_assertion=a.b.c"), 400, "invalid_request"),
        ("", &format!("{grant}&client_assertion=wrong"), 401, "invalid_client"),
        (BASIC, &format!("{grant}&scope=everything"), 400, "invalid_scope"),
        ("", grant, 401, "invalid_client"),
        ("", &format!("{grant}&client_id=a"), 401, "invalid_client"),
        ("", &format!("{grant}&client_id=a&client_secret=wrong"), 401, "invalid_client"),
        ("Basic d3Jvbmc6d3Jvbmc=", grant, 401, "invalid_client"),
        ("Basic ???", grant, 401, "invalid_client"),
        ("Bearer x", grant, 401, "invalid_client"),
    ] {
        let answer = ask(&fixture, authorization, body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]),
            (status, &json!(error)),
            "{authorization} {body}"
        );
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("www-authenticate").starts_with("Basic realm="), status == 401);
        assert!(!answer.body.contains("wrong"), "{}", answer.body);
    }
    let json_body =
        fixture.send_with("POST", "/oauth2/token", "{}", &[("content-type", "application/json")]).await;
    assert_eq!(
        (json_body.status, &json_body.json()["error"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_request"))
    );
    fixture.fail("IssueToken", ErrorKind::Unavailable);
    assert_eq!(ask(&fixture, BASIC, grant).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let get = fixture.send("GET", "/oauth2/token", "").await;
    assert_eq!((get.status, get.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
}

#[tokio::test]
async fn keys_and_metadata_are_public() {
    let fixture = Fixture::new();
    let bare = [("authorization", "")];
    let keys = fixture.send_with("GET", "/.well-known/jwks.json", "", &bare).await;
    assert_eq!((keys.status, keys.json()), (StatusCode::OK, json!({"keys": []})));
    let metadata =
        fixture.send_with("GET", "/.well-known/oauth-authorization-server", "", &bare).await.json();
    assert_eq!(metadata["issuer"], "http://scim.test");
    assert_eq!(metadata["token_endpoint"], "http://scim.test/oauth2/token");
    assert_eq!(metadata["jwks_uri"], "http://scim.test/.well-known/jwks.json");
    assert_eq!(metadata["grant_types_supported"], json!(["client_credentials"]));
    assert_eq!(metadata["scopes_supported"], json!(["scim", "memberships:read", "directory:read"]));
    assert_eq!(
        metadata["token_endpoint_auth_methods_supported"],
        json!(["client_secret_basic", "client_secret_post"]),
        "a name that comes from the request is no audience"
    );
}

#[tokio::test]
async fn an_assertion_is_passed_on_with_what_we_are_called() {
    const OWN: &str = "https://scim.example.com";
    let named = Config { public_url: format!("{OWN}/"), ..Config::default() };
    let body =
        "grant_type=client_credentials&client_assertion=a.b.c&client_assertion_type=urn%3Aietf&scope=scim";
    for (config, host, expected) in [
        (named, "evil.example", vec![OWN.to_owned(), format!("{OWN}/oauth2/token")]),
        (Config::default(), "evil.example", vec![]),
        (Config::default(), "evil.example:8080", vec![]),
        (Config::default(), "localhost.evil.example", vec![]),
        (
            Config::default(),
            "127.0.0.1:8080",
            vec!["http://127.0.0.1:8080".to_owned(), "http://127.0.0.1:8080/oauth2/token".to_owned()],
        ),
        (Config::default(), "[::1]", vec!["http://[::1]".to_owned(), "http://[::1]/oauth2/token".to_owned()]),
    ] {
        let is_known = !expected.is_empty();
        let fixture = Fixture::with(config, Dialect::Entra);
        let sent = [FORM, ("authorization", ""), ("host", host)];
        let answer = fixture.send_with("POST", "/oauth2/token", body, &sent).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "the fake knows no assertion: {}", answer.body);
        let asked = fixture.one_call("IssueToken").message;
        assert!(asked.contains("client_assertion: \"a.b.c\""), "{asked}");
        assert!(asked.contains("client_assertion_type: \"urn:ietf\""), "{asked}");
        assert!(asked.contains(&format!("audiences: {expected:?}")), "{host}: {asked}");

        let metadata = "/.well-known/oauth-authorization-server";
        let metadata = fixture.send_with("GET", metadata, "", &sent[1..]).await.json();
        let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
        assert_eq!(methods.contains(&json!("private_key_jwt")), is_known, "{host}");
        if is_known {
            assert_eq!(metadata["issuer"], *expected[0]);
            assert_eq!(metadata["token_endpoint"], *expected[1]);
        }
    }
}
