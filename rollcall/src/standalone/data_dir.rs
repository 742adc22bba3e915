//! The data directory: a SQLite file per service, the admin token, the key that encrypts the signing keys.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// An open data directory, locked against a second server.
pub(crate) struct DataDir {
    path: PathBuf,
    /// Held as long as the server runs; the operating system releases it also after a crash.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, for its owner only, and locks it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make the data directory {}", path.display()))?;
        let path = path
            .canonicalize()
            .with_context(|| format!("cannot open the data directory {}", path.display()))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .with_context(|| format!("cannot write in the data directory {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("another rollcall is running on the data directory {}: stop it first", path.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock the data directory {}", path.display()))
            }
        }
    }

    /// The SQLite file of a service, made if need be. For its owner only, also in a directory that others may read;
    /// SQLite gives its companions (`-wal`, `-shm`) the same mode.
    pub(crate) fn database(&self, service: migrations::Service) -> anyhow::Result<PathBuf> {
        let path = self.path.join(format!("{}.sqlite", service.name()));
        let make = || -> std::io::Result<()> {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            file.set_permissions(Permissions::from_mode(0o600))
        };
        make().with_context(|| format!("cannot make the database {}", path.display()))?;
        Ok(path)
    }

    /// Where the admin token stands.
    pub(crate) fn admin_token_file(&self) -> PathBuf {
        self.path.join("admin-token")
    }

    /// The admin token, if its file is there.
    pub(crate) fn admin_token(&self) -> anyhow::Result<Option<String>> {
        let Some(bytes) = self.read("admin-token")? else { return Ok(None) };
        let text = String::from_utf8(bytes).context("the file admin-token is not text")?;
        Ok(Some(text.trim().to_owned()))
    }

    /// Reads a file of the directory; `None` when it is not there.
    pub(crate) fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let file = self.path.join(name);
        match std::fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Writes a file, mode 0600, whole or not at all, and durably: it may hold what the database relies on.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let (file, unfinished) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let write = || -> std::io::Result<()> {
            let mut out =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
            out.write_all(content)?;
            out.sync_all()?;
            std::fs::rename(&unfinished, &file)?;
            File::open(&self.path)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", file.display()))
    }

    /// Where the server listens, for scripts that gave port 0: `endpoints.json`.
    pub(crate) fn write_endpoints(&self, http: &str, grpc: &str) -> anyhow::Result<()> {
        self.write("endpoints.json", serde_json::json!({ "http": http, "grpc": grpc }).to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let open = DataDir::open(directory.path()).unwrap();
        let error = DataDir::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("another rollcall"), "{error}");
        drop(open);
        DataDir::open(directory.path()).unwrap();
    }

    #[test]
    fn secrets_are_for_their_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(&directory.path().join("data")).unwrap();
        assert_eq!(data.admin_token().unwrap(), None);
        data.write("admin-token", b"rca_x\n").unwrap();
        assert_eq!(data.admin_token().unwrap().as_deref(), Some("rca_x"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data.admin_token_file()), 0o600);
        assert_eq!(mode(&directory.path().join("data")), 0o700);
        assert_eq!(mode(&data.database(migrations::Service::Identity).unwrap()), 0o600);
    }
}
