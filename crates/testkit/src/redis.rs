//! A throw-away Redis, kept and cleaned up like [`crate::postgres`]: one per test process, started by the first test
//! that asks. `ROLLCALL_TEST_REDIS_URL` names a running one to use instead.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::sync::OnceLock;

use anyhow::Result;

use crate::keeper::Keeper;

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
