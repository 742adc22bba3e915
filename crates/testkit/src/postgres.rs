//! A throw-away PostgreSQL: one cluster per test process, started by the first test that asks for it.
//!
//! It stops, and its directory goes, when the process ends, in whatever way (`keeper.rs`): nothing has to be dropped.
//!
//! `ROLLCALL_TEST_POSTGRES_URL=postgres://user:password@host:port/postgres` names a running server to use instead; its
//! user must be allowed to create databases.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

use crate::keeper::Keeper;
use crate::process::{Process, wait_until};

/// Names a running server, so that none is started.
pub const URL_VARIABLE: &str = "ROLLCALL_TEST_POSTGRES_URL";

const INSTALL: &str = "install it with `apt-get install postgresql` (./test does), \
     or name a running server in ROLLCALL_TEST_POSTGRES_URL";

/// `$1` is the directory of PostgreSQL's programs, `$2` the cluster's own directory.
/// It keeps its log for a while (`wal_keep_size`): the copy for one replica ends with a checkpoint, which would take from another what it
/// has not fetched yet.
const KEEPER: &str = r#"
bin=$1 dir=$2
cd "$dir" || exit 1
"$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions >log 2>&1 || {
    echo "initdb failed: $(tail -n 3 log)"; rm -rf "$dir"; exit 1
}
"$bin/postgres" -D data -k "$dir" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
    -c full_page_writes=off -c max_connections=300 -c wal_keep_size=256MB >log 2>&1 </dev/null &
server=$!
until "$bin/pg_isready" -q -h "$dir"; do
    kill -0 $server 2>/dev/null || { echo "postgres stopped: $(tail -n 3 log)"; rm -rf "$dir"; exit 1; }
    sleep 0.02
done
echo ready
exec >&-
cat >/dev/null
kill -QUIT $server
wait $server
rm -rf "$dir"
"#;

/// A PostgreSQL server that tests may fill with databases.
pub struct Server {
    url: String,
    /// Of a server of our own.
    _keeper: Option<Keeper>,
}

impl Server {
    /// The connection URL of the database `name` on this server.
    pub fn url(&self, name: &str) -> String {
        url_of(&self.url, name)
    }

    /// The connection URL of the database from which others are created.
    pub fn admin_url(&self) -> &str {
        &self.url
    }
}

/// The PostgreSQL of this test process.
///
/// # Panics
///
/// When there is none and none can be started: a test that needs PostgreSQL fails without it, it is never skipped.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| match start() {
        Ok(server) => server,
        Err(error) => panic!("the tests need PostgreSQL: {error:#}"),
    })
}

fn start() -> Result<Server> {
    if let Ok(url) = std::env::var(URL_VARIABLE) {
        return Ok(Server { url, _keeper: None });
    }
    let programs = programs()?;
    // In /tmp whatever TMPDIR says: the path of a socket may not be longer than 107 bytes.
    let dir = tempfile::Builder::new().prefix("rollcall-pg-").tempdir_in("/tmp")?.keep();

    let mut user = None;
    if fs::metadata(&dir)?.uid() == 0 {
        let (uid, gid) = postgres_user()?;
        chown(&dir, Some(uid), Some(gid)).context("giving the cluster's directory to user postgres")?;
        user = Some((uid, gid));
    }
    let keeper = Keeper::start(KEEPER, &[programs.as_os_str(), dir.as_os_str()], user)
        .with_context(|| format!("with the programs in {}", programs.display()))?;
    let url = format!("postgres://postgres@localhost/postgres?host={}", dir.display());
    Ok(Server { url, _keeper: Some(keeper) })
}

/// A streaming replica of [`server`], to be stopped and started at will. It vanishes when it is dropped.
pub struct Replica {
    url: String,
    process: Process,
}

impl Replica {
    /// The connection URL of the database `name` on the replica.
    pub fn url(&self, name: &str) -> String {
        url_of(&self.url, name)
    }

    /// The server's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A new replica of [`server`], which replays what that does from now on. Takes a copy of all of it: about a second.
///
/// # Errors
/// When there are no programs of PostgreSQL, or the server of [`URL_VARIABLE`] lets nobody replicate it.
pub fn replica() -> Result<Replica> {
    let primary = server();
    let programs = programs()?;
    let dir = tempfile::Builder::new().prefix("rollcall-pg-").tempdir_in("/tmp")?.keep();
    let mut copy = Command::new(programs.join("pg_basebackup"));
    copy.arg("-D").arg(dir.join("data")).args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-d"]);
    copy.arg(&primary.url).current_dir("/");
    let mut user = None;
    if fs::metadata(&dir)?.uid() == 0 {
        let (uid, gid) = postgres_user()?;
        chown(&dir, Some(uid), Some(gid)).context("giving the replica's directory to user postgres")?;
        copy.uid(uid).gid(gid);
        user = Some((uid, gid));
    }
    let copied = copy.output().with_context(|| format!("{copy:?}"))?;
    ensure!(copied.status.success(), "{copy:?}: {}", String::from_utf8_lossy(&copied.stderr));

    let (postgres, data) = (programs.join("postgres"), dir.join("data"));
    let mut command =
        vec![postgres.as_os_str(), "-D".as_ref(), data.as_os_str(), "-k".as_ref(), dir.as_os_str()];
    // As many connections as the primary may have is the least that PostgreSQL takes.
    for option in ["listen_addresses=", "fsync=off", "max_connections=300", "hot_standby=on"] {
        command.extend::<[&OsStr; 2]>(["-c".as_ref(), option.as_ref()]);
    }
    let process = Process::start(&dir, &command, user)?;
    let is_ready = || {
        let asked = Command::new(programs.join("pg_isready")).arg("-q").arg("-h").arg(&dir).status();
        asked.is_ok_and(|status| status.success())
    };
    wait_until("the replica takes connections", is_ready).with_context(|| process.log_tail(5))?;
    let url = format!("postgres://postgres@localhost/postgres?host={}", dir.display());
    Ok(Replica { url, process })
}

fn url_of(url: &str, name: &str) -> String {
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (url, String::new()),
    };
    let server = match base.match_indices('/').nth(2) {
        Some((slash, _)) => &base[..slash],
        None => base,
    };
    format!("{server}/{name}{query}")
}

/// The directory with the newest `initdb` and `postgres`: Debian's, which is not on PATH, or else PATH's.
pub(crate) fn programs() -> Result<PathBuf> {
    let mut debian: Vec<(u32, PathBuf)> = Vec::new();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        for version in versions {
            let version = version?;
            if let Ok(number) = version.file_name().to_string_lossy().parse() {
                debian.push((number, version.path().join("bin")));
            }
        }
    }
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = debian.into_iter().rev().map(|(_, bin)| bin).chain(std::env::split_paths(&path));
    for bin in candidates {
        if bin.join("initdb").is_file() && bin.join("postgres").is_file() {
            return Ok(bin);
        }
    }
    bail!("no `initdb` and `postgres` in /usr/lib/postgresql/*/bin or on PATH; {INSTALL}")
}

/// Its user and group id: PostgreSQL refuses to run as root.
pub(crate) fn postgres_user() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    for line in users.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let ["postgres", _, uid, gid, ..] = fields[..] {
            return Ok((uid.parse()?, gid.parse()?));
        }
    }
    bail!("the tests run as root, PostgreSQL refuses to, and there is no user `postgres`; {INSTALL}")
}

#[cfg(test)]
mod tests {
    use super::Server;

    #[test]
    fn url_replaces_the_database_and_keeps_the_rest() {
        let server = |url: &str| Server { url: url.to_owned(), _keeper: None };
        let tcp = server("postgres://u:p@127.0.0.1:5432/postgres");
        assert_eq!(tcp.url("a"), "postgres://u:p@127.0.0.1:5432/a");
        let socket = server("postgres://postgres@localhost/postgres?host=/tmp/x");
        assert_eq!(socket.url("a"), "postgres://postgres@localhost/a?host=/tmp/x");
        assert_eq!(server("postgres://h").url("a"), "postgres://h/a");
    }
}
