//! A cluster whose processes speak mutual TLS, and whose certificates are renewed while it works.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::authority::{Authority, Mounted};
use testkit::cluster::{Cluster, Options, ROLES};
use testkit::server::Tenant;

/// Creates a user.
async fn provision(tenant: &Tenant, name: &str) {
    let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name});
    let answer = tenant.client().post("/Users", &body).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text);
}

/// For how many days the certificate of a process is still valid.
async fn days_left(cluster: &Cluster, role: &str) -> f64 {
    let url = format!("http://{}/metrics", cluster.ops(role, 0).unwrap());
    let text = testkit::http_client().get(url).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("rollcall_tls_certificate_expiry_seconds "));
    let seconds: f64 = line.unwrap_or_else(|| panic!("{role} does not say:\n{text}")).parse().unwrap();
    seconds / 86_400.0
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_under_a_running_cluster() {
    let authority = Authority::new().unwrap();
    let files = Mounted::new(&authority.issue(&["localhost"], 2098).unwrap()).unwrap();
    // Connections that are made anew all the time.
    let mut settings = "database.max_connections = 8\ngrpc.max_connection_age_seconds = 1\n".to_owned();
    for (key, file) in [("ca_file", "ca.crt"), ("cert_file", "tls.crt"), ("key_file", "tls.key")] {
        settings += &format!("grpc.tls.{key} = \"{}\"\n", files.path(file).display());
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_rollcall"));
    let starting = move || {
        let options = Options { replicas: 1, settings: &settings, ..Options::default() };
        Cluster::start_as(binary, &options)
    };
    let cluster = tokio::task::spawn_blocking(starting).await.unwrap().unwrap();
    let tenant = cluster.tenant("renewed", "entra").await.unwrap();
    provision(&tenant, "before@contoso.com").await;

    let renewed = days_left(&cluster, "token").await + 300.0;
    files.publish(&authority.issue(&["localhost"], 2099).unwrap()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let mut round = 0;
    for role in ROLES {
        while days_left(&cluster, role).await < renewed {
            assert!(Instant::now() < until, "{role} goes on with the old certificate");
            provision(&tenant, &format!("meanwhile-{round}@contoso.com")).await;
            round += 1;
        }
    }
    provision(&tenant, "after@contoso.com").await;
    for role in ROLES {
        assert!(cluster.log(role, 0).unwrap().contains("new certificates are in use"), "{role}");
    }
}
