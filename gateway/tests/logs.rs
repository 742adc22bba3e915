//! What stands in the log, and what never does. A process of its own: tracing remembers for the whole process which lines
//! somebody listens to, and the other tests listen to none.
#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, these are their helpers")]

#[path = "http/fake/mod.rs"]
#[expect(dead_code, reason = "the other tests need more of it")]
mod fake;

use std::io::Write;
use std::sync::{Arc, Mutex};

use proto::common::v1::Dialect;
use tracing_subscriber::fmt::MakeWriter;

use fake::{ADMIN, Fixture, SECRET, USER};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

/// At the most talkative level, from requests that go well and requests that fail.
#[tokio::test]
async fn a_line_says_what_happened_and_nothing_secret_or_personal() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let fixture = Fixture::new();
    let id = [("x-request-id", "corr-77")];
    fixture.send_with("GET", "/scim/v2/Users?filter=userName+eq+%22private-person%22", "", &id).await;
    fixture.send("POST", "/scim/v2/Users", r#"{"userName":"private-person"}"#).await;
    fixture.fail("GetUser", scim::ErrorKind::Internal);
    fixture.send("GET", &format!("/scim/v2/Users/{USER}?attributes=private-person"), "").await;
    fixture.send_with("GET", "/scim/v2/Users", "", &[("authorization", "Bearer wrong-secret")]).await;
    fixture.send("POST", "/admin/v1/tenants", r#"{"name":"fabrikam"}"#).await;
    let form = "grant_type=client_credentials&client_id=c&client_secret=s%26cret%3A%2B";
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", "")];
    fixture.send_with("POST", "/oauth2/token", form, &headers).await;
    fixture.fail("Resolve", scim::ErrorKind::Internal);
    fixture.credential("other-secret", Some((fixture.tenant, Dialect::Entra)), "scim");
    fixture.send_with("GET", "/scim/v2/Users", "", &[("authorization", "Bearer other-secret")]).await;

    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let first =
        log.lines().find(|line| line.contains("GET /scim/v2/Users 200")).unwrap_or_else(|| panic!("{log}"));
    for part in ["corr-77", &fixture.tenant.to_string(), "status=200", "took_ms="] {
        assert!(first.contains(part), "{part} in {first}");
    }
    assert!(log.contains("GET /scim/v2/Users/{id} 500"), "{log}");
    let secrets = [
        SECRET,
        ADMIN,
        "wrong-secret",
        "other-secret",
        "jwt-for",
        "rcs_first",
        "s&cret",
        "s%26cret",
        "\"jwt\"",
    ];
    for never in secrets.into_iter().chain(["private-person", "anna@contoso.com"]) {
        assert!(!log.contains(never), "{never} in {log}");
    }
}
