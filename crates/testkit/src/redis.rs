//! A throw-away Redis, kept and cleaned up like [`crate::postgres`]: one per test process, started by the first test
//! that asks. `ROLLCALL_TEST_REDIS_URL` names a running one to use instead.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::authority::Mounted;
use crate::keeper::Keeper;
use crate::process::{Process, free_address, wait_until};

/// Names a running server, so that none is started.
pub const URL_VARIABLE: &str = "ROLLCALL_TEST_REDIS_URL";

/// `$1` is the server's directory, `$2` its port.
const KEEPER: &str = r#"
dir=$1 port=$2
cd "$dir" || exit 1
redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no --dir "$dir" >log 2>&1 </dev/null &
server=$!
until redis-cli -p $port ping >/dev/null 2>&1; do
    kill -0 $server 2>/dev/null || { echo "redis-server stopped: $(tail -n 3 log)"; rm -rf "$dir"; exit 1; }
    sleep 0.02
done
echo ready
exec >&-
cat >/dev/null
kill -KILL $server
wait $server
rm -rf "$dir"
"#;

/// The URL of the Redis of this test process.
///
/// # Panics
///
/// When there is none and none can be started: a test that needs Redis fails without it, it is never skipped.
pub fn url() -> &'static str {
    static SERVER: OnceLock<(String, Option<Keeper>)> = OnceLock::new();
    let (url, _) = SERVER.get_or_init(|| match start() {
        Ok(server) => server,
        Err(error) => panic!(
            "the tests need Redis: {error:#}; install it with `apt-get install redis-server` (./test does), \
             or name a running server in {URL_VARIABLE}"
        ),
    });
    url
}

fn start() -> Result<(String, Option<Keeper>)> {
    if let Ok(url) = std::env::var(URL_VARIABLE) {
        return Ok((url, None));
    }
    let dir = tempfile::Builder::new().prefix("rollcall-redis-").tempdir()?.keep();
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let keeper = Keeper::start(KEEPER, &[dir.as_os_str(), OsStr::new(&port)], None)?;
    Ok((format!("redis://127.0.0.1:{port}"), Some(keeper)))
}

/// A Redis of one test, to be stopped and started at will.
pub fn private() -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    Ok((member(address, None, &[])?, address))
}

/// A Redis of one test that speaks TLS only. With `asks` it refuses whoever shows no certificate of the same authority.
pub fn encrypted(files: &Mounted, asks: bool) -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let asks = if asks { "yes" } else { "no" };
    Ok((member(address, Some(files), &["--tls-auth-clients", asks])?, address))
}

/// Returns when the Redis there takes connections.
pub fn wait(address: SocketAddr) -> Result<()> {
    wait_until("Redis takes connections", || TcpStream::connect(address).is_ok())
}

/// A Redis Cluster of three masters, with `tls` one that speaks nothing else.
pub fn cluster(tls: Option<&Mounted>) -> Result<(Vec<Process>, Vec<SocketAddr>)> {
    let (mut processes, mut addresses) = (Vec::new(), Vec::new());
    while addresses.len() < 3 {
        let address = free_address()?;
        // Its bus listens 10,000 ports higher.
        if address.port() < 55_000 {
            let clustered = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"];
            processes.push(member(address, tls, &clustered)?);
            addresses.push(address);
        } else {
            // Hold it no longer than it takes to be given another.
            let _taken = TcpListener::bind(address);
        }
    }
    let mut create = client(tls);
    create.args(["--cluster", "create"]).args(addresses.iter().map(ToString::to_string)).arg("--cluster-yes");
    let output = create.output().context("redis-cli")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("redis-cli --cluster create: {}", String::from_utf8_lossy(&said));
    }
    wait_until("the Redis Cluster is whole", || {
        addresses
            .iter()
            .all(|address| asked(*address, tls, &["cluster", "info"]).contains("cluster_state:ok"))
    })?;
    Ok((processes, addresses))
}

/// A master named `main`, a replica of it, and a sentinel that watches them.
pub struct Watched {
    /// The master at first.
    pub master: Process,
    /// What takes over.
    pub replica: Process,
    /// Both, in that order.
    pub addresses: [SocketAddr; 2],
    /// Where the sentinel is asked.
    pub sentinel: SocketAddr,
    _sentinel: Process,
}

/// Starts them and returns when the sentinel knows both. With `tls` they speak nothing else.
pub fn watched(tls: Option<&Mounted>) -> Result<Watched> {
    let at = free_address()?;
    let master = member(at, tls, &[])?;
    let address = free_address()?;
    let (host, port) = (at.ip().to_string(), at.port().to_string());
    let replica = member(address, tls, &["--replicaof", &format!("{host} {port}")])?;
    let sentinel = free_address()?;
    let dir = tempfile::Builder::new().prefix("rollcall-sentinel-").tempdir()?.keep();
    let mut settings = String::new();
    for setting in listening(sentinel, tls).chunks(2) {
        settings += &format!("{} {}\n", setting[0].trim_start_matches("--"), setting[1]);
    }
    settings += &format!(
        "bind 127.0.0.1\nsentinel monitor main {host} {port} 1\nsentinel down-after-milliseconds main 500\n\
         sentinel failover-timeout main 2000\n"
    );
    let file = dir.join("sentinel.conf");
    std::fs::write(&file, settings)?;
    let process =
        Process::start(&dir, &["redis-server".as_ref(), file.as_os_str(), "--sentinel".as_ref()], None)?;
    wait_until("the sentinel knows master and replica", || {
        asked(sentinel, tls, &["sentinel", "master", "main"]).contains("num-slaves\n1")
    })?;
    Ok(Watched { master, replica, addresses: [at, address], sentinel, _sentinel: process })
}

fn member(address: SocketAddr, tls: Option<&Mounted>, further: &[&str]) -> Result<Process> {
    let dir = tempfile::Builder::new().prefix("rollcall-redis-").tempdir()?.keep();
    let mut command = vec!["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    let listening = listening(address, tls);
    command.extend(listening.iter().map(String::as_str));
    command.extend(further);
    let command: Vec<&OsStr> = command.iter().map(OsStr::new).collect();
    let process = Process::start(&dir, &command, None)?;
    wait(address)?;
    Ok(process)
}

/// Options of a server or a sentinel, each with its value.
fn listening(address: SocketAddr, tls: Option<&Mounted>) -> Vec<String> {
    let port = address.port().to_string();
    let Some(files) = tls else { return ["--port".to_owned(), port].into() };
    let mut options = vec!["--port".to_owned(), "0".to_owned(), "--tls-port".to_owned(), port];
    for (option, file) in [("cert", "tls.crt"), ("key", "tls.key"), ("ca-cert", "ca.crt")] {
        options.extend([format!("--tls-{option}-file"), files.path(file).display().to_string()]);
    }
    for (option, value) in [("auth-clients", "no"), ("replication", "yes"), ("cluster", "yes")] {
        options.extend([format!("--tls-{option}"), value.to_owned()]);
    }
    options
}

fn client(tls: Option<&Mounted>) -> Command {
    let mut client = Command::new("redis-cli");
    if let Some(files) = tls {
        client.arg("--tls").arg("--cacert").arg(files.path("ca.crt"));
    }
    client
}

fn asked(address: SocketAddr, tls: Option<&Mounted>, question: &[&str]) -> String {
    let mut ask = client(tls);
    ask.args(["-p", &address.port().to_string()]).args(question);
    ask.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
