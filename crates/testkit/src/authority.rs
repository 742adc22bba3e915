//! A certificate authority of a test, and files with what it issues, as Kubernetes mounts them.

use std::path::PathBuf;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, its key, and the authorities to believe: PEM.
#[derive(Clone)]
pub struct Pem {
    /// The authorities.
    pub ca: String,
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// A new one, unknown to all others.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// A certificate for a process with these names or addresses, valid until the end of `last_year`.
    pub fn issue(&self, names: &[&str], last_year: i32) -> Result<Pem> {
        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        // Another name than its issuer's, or OpenSSL takes it for self-signed.
        params.distinguished_name.push(DnType::CommonName, "a process of tests");
        params.not_after = rcgen::date_time_ymd(last_year + 1, 1, 1);
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Pem { ca: self.0.pem(), cert: certificate.pem(), key: key.serialize_pem() })
    }
}

/// A directory as the kubelet mounts a Secret: each file is a link into `..data`, which is a link to the directory of one
/// version. Gone when dropped.
pub struct Mounted {
    dir: TempDir,
}

impl Mounted {
    /// With this in `ca.crt`, `tls.crt` and `tls.key`.
    pub fn new(pem: &Pem) -> Result<Self> {
        let mounted = Self { dir: tempfile::Builder::new().prefix("rollcall-tls-").tempdir()? };
        mounted.publish(pem)?;
        for name in ["ca.crt", "tls.crt", "tls.key"] {
            std::os::unix::fs::symlink(format!("..data/{name}"), mounted.path(name))?;
        }
        Ok(mounted)
    }

    /// All files change in one step, and none of those that are named is touched.
    pub fn publish(&self, pem: &Pem) -> Result<()> {
        let version = tempfile::Builder::new().prefix("..").tempdir_in(&self.dir)?.keep();
        for (name, text) in [("ca.crt", &pem.ca), ("tls.crt", &pem.cert), ("tls.key", &pem.key)] {
            std::fs::write(version.join(name), text)?;
        }
        let new = self.path("..data_tmp");
        std::os::unix::fs::symlink(&version, &new)?;
        Ok(std::fs::rename(&new, self.path("..data"))?)
    }

    /// Where the file `name` is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
