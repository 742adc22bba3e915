//! Connecting to each kind of Redis.

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{
    SentinelClient, SentinelClientBuilder, SentinelNodeConnectionInfo, SentinelServerType,
};
use redis::{
    Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisError,
    RedisFuture, TlsCertificates, TlsMode, Value,
};
use secrecy::ExposeSecret;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{Identity, Kind, Options};
use crate::error::{Error, Result};
use crate::tls;

/// An open connection that many use at once.
#[derive(Clone)]
pub(super) enum Link {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Whether what is written here stays. A master that was deposed still answers.
    pub(super) async fn is_master(&mut self) -> bool {
        // A cluster's client follows its nodes by itself.
        let Self::One(connection) = self else { return true };
        let role = redis::cmd("ROLE");
        let role = tokio::time::timeout(super::PROBE_PATIENCE, role.query_async::<Value>(connection)).await;
        match role {
            Ok(Ok(Value::Array(parts))) => {
                !matches!(parts.first(), Some(Value::BulkString(name)) if name != b"master")
            }
            // Managed servers may forbid ROLE.
            Ok(_) => true,
            Err(_) => false,
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

pub(super) struct Dialer {
    kind: Kind,
    nodes: Vec<ConnectionInfo>,
    sentinel_master: String,
    /// What we trust and show beyond the library's defaults.
    certificates: Option<TlsCertificates>,
}

impl Dialer {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let mut nodes = Vec::new();
        for url in &options.urls {
            // The library's error does not repeat the URL, which holds a password.
            let node = url.expose_secret().into_connection_info().map_err(|error| {
                Error::invalid_value(format!(
                    "redis.urls: a URL is not valid ({}): it must be like `redis://user:password@host:6379/0`, or \
                     `rediss://...` for TLS",
                    error.category()
                ))
            })?;
            nodes.push(node);
        }
        match (options.kind, nodes.len()) {
            (_, 0) => return Err(Error::invalid_value("redis.urls is empty")),
            (Kind::Single, 2..) => {
                return Err(Error::invalid_value(
                    "redis.urls has several: set redis.kind to `sentinel` or `cluster`, or give one",
                ));
            }
            (Kind::Sentinel, _) if options.sentinel_master.is_empty() => {
                return Err(Error::invalid_value(
                    "redis.sentinel_master is empty: it must be the name that the sentinels know the master by",
                ));
            }
            _ => {}
        }
        let certificates = certificates(options, encrypted(&nodes)?)?;
        Ok(Self { kind: options.kind, nodes, sentinel_master: options.sentinel_master.clone(), certificates })
    }

    /// What is to be said of a connection that failed: where to, why, and which setting to look at.
    pub(super) fn explain(&self, error: &RedisError) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(|node| node.addr().to_string()).collect();
        let mut text = format!("{} cannot be reached: {error}", nodes.join(", "));
        // As rustls words what it finds wrong with a server's certificate.
        if text.contains("invalid peer certificate") {
            text += match self.certificates.as_ref().and_then(|certificates| certificates.root_cert.as_ref())
            {
                Some(_) => {
                    " (the authority of its certificate must be in redis.ca_file, and its names must have that of redis.urls)"
                }
                None => " (if its authority is not a public one, name it in redis.ca_file)",
            };
        }
        if text.contains("CertificateRequired") {
            text += " (it asks for a certificate: name ours in redis.cert_file and redis.key_file)";
        }
        text
    }

    pub(super) async fn connect(&self) -> Result<Link, RedisError> {
        match self.kind {
            Kind::Cluster => {
                let mut builder = ClusterClient::builder(self.nodes.clone()).retries(1);
                if let Some(certificates) = self.certificates.clone() {
                    builder = builder.certs(certificates);
                }
                Ok(Link::Cluster(builder.build()?.get_async_connection().await?))
            }
            Kind::Single | Kind::Sentinel => {
                Ok(Link::One(self.master().await?.get_multiplexed_async_connection().await?))
            }
        }
    }

    /// A connection that listens. What is published in a cluster reaches every node.
    pub(super) async fn listen(&self) -> Result<PubSub, RedisError> {
        if self.kind != Kind::Cluster {
            return self.master().await?.get_async_pubsub().await;
        }
        let mut outcome =
            Err(RedisError::from((redis::ErrorKind::Client, "no node of the cluster is known")));
        for node in &self.nodes {
            outcome = self.client(node)?.get_async_pubsub().await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn master(&self) -> Result<Client, RedisError> {
        let first = &self.nodes[0];
        if self.kind == Kind::Single {
            return self.client(first);
        }
        let mut master =
            SentinelNodeConnectionInfo::default().set_redis_connection_info(first.redis_settings().clone());
        if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
            master = master.set_tls_mode(TlsMode::Secure);
        }
        let mut sentinels = match self.certificates.clone() {
            Some(certificates) => self.sentinels_with(certificates)?,
            None => SentinelClient::build(
                self.nodes.clone(),
                &self.sentinel_master,
                Some(master),
                SentinelServerType::Master,
            )?,
        };
        sentinels.async_get_client().await
    }

    fn sentinels_with(&self, certificates: TlsCertificates) -> Result<SentinelClient, RedisError> {
        let addresses = self.nodes.iter().map(|node| node.addr().clone());
        let login = self.nodes[0].redis_settings();
        let mut builder =
            SentinelClientBuilder::new(addresses, &self.sentinel_master, SentinelServerType::Master)?
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_db(login.db())
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(certificates);
        if let Some(user) = login.username() {
            builder = builder.set_client_to_redis_username(user).set_client_to_sentinel_username(user);
        }
        if let Some(password) = login.password() {
            builder =
                builder.set_client_to_redis_password(password).set_client_to_sentinel_password(password);
        }
        builder.build()
    }

    fn client(&self, node: &ConnectionInfo) -> Result<Client, RedisError> {
        match self.certificates.clone() {
            Some(certificates) => Client::build_with_tls(node.clone(), certificates),
            None => Client::open(node.clone()),
        }
    }
}

/// Whether the connections are to be encrypted: all or none.
fn encrypted(nodes: &[ConnectionInfo]) -> Result<bool> {
    let mut encrypted = 0;
    for node in nodes {
        match node.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return Err(Error::invalid_value(
                    "redis.urls: `#insecure` is not supported: name the servers' authority in redis.ca_file",
                ));
            }
            ConnectionAddr::TcpTls { .. } => encrypted += 1,
            _ => {}
        }
    }
    if encrypted != 0 && encrypted != nodes.len() {
        return Err(Error::invalid_value(
            "redis.urls has `redis://` and `rediss://`: encrypt all connections or none",
        ));
    }
    Ok(encrypted > 0)
}

/// What we trust and show, once it is known to be usable.
fn certificates(options: &Options, encrypted: bool) -> Result<Option<TlsCertificates>> {
    let Options { ca, identity, .. } = options;
    if ca.is_none() && identity.is_none() {
        return Ok(None);
    }
    if !encrypted {
        let key = if ca.is_some() { "ca_file" } else { "cert_file" };
        return Err(Error::invalid_value(format!(
            "redis.{key} is set although nothing is encrypted: redis.urls must be `rediss://...`"
        )));
    }
    let wrong = |key: &str, why: String| Error::invalid_value(format!("redis.{key}: the file {why}"));
    if let Some(ca) = ca {
        tls::authorities(ca).map_err(|why| wrong("ca_file", why))?;
    }
    let mut client_tls = None;
    if let Some(Identity { cert, key }) = identity {
        let chain = tls::certificates(cert).map_err(|why| wrong("cert_file", why))?;
        let private =
            tls::private_key(key.expose_secret().as_bytes()).map_err(|why| wrong("key_file", why))?;
        CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|error| {
            wrong("key_file", format!("and that of redis.cert_file do not go together: {error}"))
        })?;
        let client_key = key.expose_secret().as_bytes().to_vec();
        client_tls = Some(ClientTlsConfig { client_cert: cert.clone(), client_key });
    }
    Ok(Some(TlsCertificates { client_tls, root_cert: ca.clone() }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use testkit::authority::{Authority, Mounted};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_of_another_authority_is_refused_by_name() {
        let (theirs, ours) = (Authority::new().unwrap(), Authority::new().unwrap());
        let files = |names: &[&str]| Mounted::new(&theirs.issue(names, 2099).unwrap()).unwrap();
        let (right, misnamed) = (files(&["127.0.0.1"]), files(&["redis.example.com"]));
        let (_right, address) = testkit::redis::encrypted(&right, false).unwrap();
        let (_asking, asking_address) = testkit::redis::encrypted(&right, true).unwrap();
        let (_misnamed, other_address) = testkit::redis::encrypted(&misnamed, false).unwrap();
        let options = |address, ca: Option<String>| Options {
            kind: Kind::Single,
            urls: vec![format!("rediss://user:hunter2@{address}").into()],
            sentinel_master: String::new(),
            ca: ca.map(String::into_bytes),
            identity: None,
            prefix: "p".to_owned(),
            timeout: Duration::from_secs(1),
        };
        let our_ca = ours.issue(&["x"], 2099).unwrap().ca;
        let their_ca = theirs.issue(&["x"], 2099).unwrap().ca;
        for (address, ca, hint) in [
            (address, Some(our_ca), "must be in redis.ca_file"),
            (address, None, "name it in redis.ca_file"),
            (other_address, Some(their_ca), "its names must have that of redis.urls"),
        ] {
            let dialer = Dialer::new(&options(address, ca)).unwrap();
            let error = dialer.connect().await.err().expect("it was taken");
            let text = dialer.explain(&error);
            for part in [&address.to_string(), "certificate", hint] {
                assert!(text.contains(part), "{part} is not in {text}");
            }
            assert!(!text.contains("hunter2"), "{text}");
            assert!(dialer.listen().await.is_err());
        }
        // One that asks for a certificate, and is shown none.
        let dialer =
            Dialer::new(&options(asking_address, Some(theirs.issue(&["x"], 2099).unwrap().ca))).unwrap();
        let text = dialer.explain(&dialer.connect().await.err().expect("it was taken"));
        assert!(text.contains(&asking_address.to_string()) && text.contains("redis.cert_file"), "{text}");
    }
}
