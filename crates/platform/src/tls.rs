//! Mutual TLS between our own processes: each shows a certificate of the platform's own authority, and asks for one.
//!
//! Certificates are renewed under the running process: their files are looked at every [`LOOK_EVERY`], by content (in
//! Kubernetes they are behind a link that is put elsewhere, which nobody is told who watches the files), and every new
//! connection, in both directions, is made with what was last found good. What is broken or half written is refused, and what was
//! good before stays in use. Connections that are open already stay as they are, until the server closes them for their age.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::metrics;

/// The files are looked at this often.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Who connects to us has so long to show a certificate.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// So many may be doing that at once; others wait to be accepted. Nobody has shown who he is by then.
const MOST_HANDSHAKES: usize = 1024;
/// When no connection can be taken, mostly because too many files are open.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The only protocol that gRPC is spoken over.
const HTTP_2: &[u8] = b"h2";

/// Where the certificates are: PEM files. All three, or none: then calls between processes are not encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The authority that signed the certificates of all our processes, or several of them, of which any will do. Its private key
    /// is needed nowhere here.
    pub ca_file: PathBuf,
    /// This process's certificate, with the chain if there is one. Its names are those under which others call it.
    pub cert_file: PathBuf,
    /// The private key of `cert_file`.
    pub key_file: PathBuf,
}

/// Certificates that were read, and are read again when their files change. Clones share them.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    /// Stands before the keys in errors.
    section: String,
    current: RwLock<Arc<Loaded>>,
}

/// What was found good.
struct Loaded {
    fingerprint: [u8; 32],
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// When our certificate expires, seconds since the Unix epoch.
    expires: i64,
}

/// The files as they were read.
struct Files {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files; `None` when none is named. `section` stands before the keys in errors, e.g. `grpc.tls`.
    ///
    /// # Errors
    /// `InvalidValue`, naming the key: a file is missing, unreadable or no PEM, the key is another certificate's, or only
    /// some are named.
    pub fn load(config: &Config, section: &str) -> Result<Option<Self>> {
        let Config { ca_file, cert_file, key_file } = config;
        let keys = [("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)];
        if keys.iter().all(|(_, path)| path.as_os_str().is_empty()) {
            return Ok(None);
        }
        if let Some((key, _)) = keys.iter().find(|(_, path)| path.as_os_str().is_empty()) {
            return Err(Error::invalid_value(format!(
                "{section}.{key} is empty: name all of ca_file, cert_file and key_file, or none of them"
            )));
        }
        let loaded = Files::read(config, section)?.check(config, section)?;
        let shared = Shared {
            config: config.clone(),
            section: section.to_owned(),
            current: RwLock::new(Arc::new(loaded)),
        };
        Ok(Some(Self { shared: Arc::new(shared) }))
    }

    /// Reads the files again. Whether they were others than those in use: then these are in use from now on.
    ///
    /// # Errors
    /// As [`Tls::load`]; what was in use stays so.
    pub fn reload(&self) -> Result<bool> {
        let Shared { config, section, .. } = &*self.shared;
        let files = Files::read(config, section)?;
        if files.fingerprint() == self.current().fingerprint {
            return Ok(false);
        }
        let loaded = files.check(config, section)?;
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(true)
    }

    /// Reads the files again every so often until `stop`, and tells in the metrics for how long our certificate is valid. Once for
    /// a process.
    pub async fn follow(self, every: Duration, clock: Clock, stop: CancellationToken) {
        metrics::metrics().tls_reload_failed(0);
        let observed = self.clone();
        metrics::metrics().observe_seconds(
            "rollcall.tls.certificate.expiry",
            "How long the certificate that this process shows is still valid; negative when it has expired.",
            &[],
            move || observed.valid_for(&clock),
        );
        let mut every = tokio::time::interval(every);
        // What was refused last, so that the log says so once.
        let mut refused: Option<String> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            let tls = self.clone();
            // Files may be slow.
            let error = match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(changed)) => {
                    if changed {
                        let path = self.shared.config.cert_file.display();
                        tracing::info!("new certificates are in use: {path} and what belongs to it");
                    }
                    refused = None;
                    continue;
                }
                Ok(Err(error)) => error,
                Err(error) => {
                    tracing::error!(%error, "looking at the certificates failed: {error}");
                    continue;
                }
            };
            // Each time, so that an alert lasts for as long as they are bad.
            metrics::metrics().tls_reload_failed(1);
            let text = error.to_string();
            if refused.as_ref() != Some(&text) {
                tracing::error!(%error, "the certificates changed and cannot be used; those from before stay in use: {error}");
                refused = Some(text);
            }
        }
    }

    /// How long our certificate is still valid, seconds.
    pub fn valid_for(&self, clock: &Clock) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "seconds of centuries are exact in 52 bits")]
        let seconds = (self.current().expires - clock.now().seconds()) as f64;
        seconds
    }

    fn current(&self) -> Arc<Loaded> {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connections to `listener` of those who showed a certificate of ours. It never ends.
    pub(crate) fn incoming(
        &self,
        listener: TcpListener,
    ) -> impl futures::Stream<Item = std::io::Result<server::TlsStream<TcpStream>>> + Send + use<> {
        let handshakes = JoinSet::new();
        let begin = (self.clone(), listener, handshakes);
        futures::stream::unfold(begin, |(tls, listener, mut handshakes)| async move {
            loop {
                let shaken = tokio::select! {
                    accepted = listener.accept(), if handshakes.len() < MOST_HANDSHAKES => {
                        match accepted {
                            Ok((stream, _)) => {
                                handshakes.spawn(tls.clone().accept(stream));
                            }
                            Err(error) => {
                                tracing::warn!(%error, "a connection cannot be taken: {error}");
                                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                            }
                        }
                        continue;
                    }
                    Some(shaken) = handshakes.join_next() => shaken,
                };
                match shaken {
                    Ok(Ok(stream)) => return Some((Ok(stream), (tls, listener, handshakes))),
                    Ok(Err(error)) => tracing::debug!(%error, "who connected was refused: {error}"),
                    Err(error) => tracing::error!(%error, "a handshake panicked: {error}"),
                }
            }
        })
    }

    async fn accept(self, stream: TcpStream) -> std::io::Result<server::TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        let acceptor = TlsAcceptor::from(self.current().server.clone());
        tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream))
            .await
            .map_err(|_| std::io::ErrorKind::TimedOut)?
    }

    /// Shakes hands with a server whose certificate must be for `name`.
    pub(crate) async fn connect(
        &self,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> std::io::Result<client::TlsStream<TcpStream>> {
        let connector = TlsConnector::from(self.current().client.clone());
        let stream = connector.connect(name, stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(HTTP_2) {
            return Err(std::io::Error::other("the server does not speak HTTP/2"));
        }
        Ok(stream)
    }
}

impl Files {
    fn read(config: &Config, section: &str) -> Result<Self> {
        let read = |path: &Path, key: &str| {
            std::fs::read(path).map_err(|error| {
                let path = path.display();
                Error::invalid_value(format!("{section}.{key}: the file {path} cannot be read: {error}"))
            })
        };
        Ok(Self {
            ca: read(&config.ca_file, "ca_file")?,
            cert: read(&config.cert_file, "cert_file")?,
            key: read(&config.key_file, "key_file")?,
        })
    }

    fn fingerprint(&self) -> [u8; 32] {
        let mut all = Sha256::new();
        for file in [&self.ca, &self.cert, &self.key] {
            all.update(Sha256::digest(file));
        }
        all.finalize().into()
    }

    fn check(&self, config: &Config, section: &str) -> Result<Loaded> {
        let wrong = |key: &str, path: &Path, why: &dyn std::fmt::Display| {
            Error::invalid_value(format!("{section}.{key}: the file {} {why}", path.display()))
        };
        let authorities = authorities(&self.ca).map_err(|why| wrong("ca_file", &config.ca_file, &why))?;
        let authorities = Arc::new(authorities);
        let chain = certificates(&self.cert).map_err(|why| wrong("cert_file", &config.cert_file, &why))?;
        let expires = expires(&chain[0]).map_err(|why| wrong("cert_file", &config.cert_file, &why))?;
        let key = private_key(&self.key).map_err(|why| wrong("key_file", &config.key_file, &why))?;

        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let unusable = |error: rustls::Error| {
            let why = format_args!(
                "and the certificate {} do not go together: {error}",
                config.cert_file.display()
            );
            wrong("key_file", &config.key_file, &why)
        };
        let verifier = WebPkiClientVerifier::builder_with_provider(authorities.clone(), provider.clone())
            .build()
            .map_err(|error| wrong("ca_file", &config.ca_file, &format_args!("cannot be used: {error}")))?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unusable)?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_root_certificates(authorities)
            .with_client_auth_cert(chain, key)
            .map_err(unusable)?;
        server.alpn_protocols.push(HTTP_2.to_vec());
        client.alpn_protocols.push(HTTP_2.to_vec());
        Ok(Loaded {
            fingerprint: self.fingerprint(),
            server: Arc::new(server),
            client: Arc::new(client),
            expires,
        })
    }
}

/// The certificates in a PEM file, at least one; or what is wrong with it.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("is no PEM with a CERTIFICATE: {error}"))?;
    if found.is_empty() {
        return Err(
            "is no PEM with a CERTIFICATE: it must have a line `-----BEGIN CERTIFICATE-----`".to_owned()
        );
    }
    Ok(found)
}

/// The authorities in a PEM file, at least one; or what is wrong with it.
pub(crate) fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut authorities = RootCertStore::empty();
    for authority in certificates(pem)? {
        let added = authorities.add(authority);
        added.map_err(|error| format!("is not a certificate of an authority: {error}"))?;
    }
    Ok(authorities)
}

/// The private key in a PEM file. What is wrong with one is not told: that would quote it.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        "is no PEM with a PRIVATE KEY, or not all of one: it must have a line `-----BEGIN PRIVATE KEY-----` and its end"
            .to_owned()
    })
}

/// Seconds since the Unix epoch.
fn expires(certificate: &CertificateDer<'_>) -> Result<i64, String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| format!("has a certificate that cannot be read: {error}"))?;
    Ok(parsed.validity().not_after.timestamp())
}
