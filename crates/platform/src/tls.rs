//! Mutual TLS between our own processes: each shows a certificate of the platform's own authority, and asks for one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::error::{Error, Result};

/// Where the certificates are: PEM files. All three, or none: then calls between processes are not encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The authority that signed the certificates of all our processes. Its private key is needed nowhere here.
    pub ca_file: PathBuf,
    /// This process's certificate, with the chain if there is one. Its names are those under which others call it.
    pub cert_file: PathBuf,
    /// The private key of `cert_file`.
    pub key_file: PathBuf,
}

/// Certificates that were read. They are read once, at start: restart the process to change them.
#[derive(Clone)]
pub struct Tls {
    ca: Certificate,
    identity: Identity,
}

impl Tls {
    /// Reads the files; `None` when none is named. `section` stands before the keys in errors, e.g. `grpc.tls`.
    ///
    /// # Errors
    /// `InvalidValue`, naming the key: a file is missing, unreadable or no PEM, or only some are named.
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
        let ca = read(ca_file, section, "ca_file", "CERTIFICATE")?;
        let cert = read(cert_file, section, "cert_file", "CERTIFICATE")?;
        let key = read(key_file, section, "key_file", "PRIVATE KEY")?;
        Ok(Some(Self { ca: Certificate::from_pem(ca), identity: Identity::from_pem(cert, key) }))
    }

    /// For a server that refuses whoever shows no certificate of ours.
    pub(crate) fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(self.identity.clone()).client_ca_root(self.ca.clone())
    }

    /// For calls to a server whose certificate must be for `name`.
    pub(crate) fn client(&self, name: &str) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(self.ca.clone())
            .identity(self.identity.clone())
            .domain_name(name)
    }
}

fn read(path: &Path, section: &str, key: &str, holds: &str) -> Result<String> {
    let path_text = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::invalid_value(format!("{section}.{key}: the file {path_text} cannot be read: {error}"))
    })?;
    let begins =
        |line: &str| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{holds}-----"));
    if !text.lines().any(begins) {
        return Err(Error::invalid_value(format!(
            "{section}.{key}: the file {path_text} is no PEM with a {holds}: it must have a line `-----BEGIN ... {holds}-----`"
        )));
    }
    Ok(text)
}
