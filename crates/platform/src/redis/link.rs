//! Connecting to each kind of Redis.

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{
    SentinelClient, SentinelClientBuilder, SentinelNodeConnectionInfo, SentinelServerType,
};
use redis::{
    Client, Cmd, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, TlsCertificates,
    TlsMode, Value,
};
use secrecy::ExposeSecret;

use super::{Kind, Options};
use crate::error::{Error, Result};

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
    ca: Option<Vec<u8>>,
}

impl Dialer {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let mut nodes = Vec::new();
        for url in &options.urls {
            // The library's error does not repeat the URL, which holds a password.
            let node = url.expose_secret().into_connection_info().map_err(|error| {
                Error::invalid_value(format!(
                    "a URL of Redis is not valid ({}): it must be like `redis://user:password@host:6379/0`, or \
                     `rediss://...` for TLS",
                    error.category()
                ))
            })?;
            nodes.push(node);
        }
        match (options.kind, nodes.len()) {
            (_, 0) => return Err(Error::invalid_value("no URL of Redis is given")),
            (Kind::Single, 2..) => {
                return Err(Error::invalid_value(
                    "several URLs of Redis are given: set the kind to `sentinel` or `cluster`, or give one",
                ));
            }
            (Kind::Sentinel, _) if options.sentinel_master.is_empty() => {
                return Err(Error::invalid_value(
                    "the name of the master is missing that the sentinels are to be asked for",
                ));
            }
            _ => {}
        }
        let Options { kind, sentinel_master, ca, .. } = options;
        Ok(Self { kind: *kind, nodes, sentinel_master: sentinel_master.clone(), ca: ca.clone() })
    }

    pub(super) async fn connect(&self) -> Result<Link, RedisError> {
        match self.kind {
            Kind::Cluster => {
                let mut builder = ClusterClient::builder(self.nodes.clone()).retries(1);
                if let Some(certificates) = self.certificates() {
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
        if matches!(first.addr(), redis::ConnectionAddr::TcpTls { .. }) {
            master = master.set_tls_mode(TlsMode::Secure);
        }
        let mut sentinels = match self.certificates() {
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
        match self.certificates() {
            Some(certificates) => Client::build_with_tls(node.clone(), certificates),
            None => Client::open(node.clone()),
        }
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        self.ca.clone().map(|ca| TlsCertificates { client_tls: None, root_cert: Some(ca) })
    }
}
