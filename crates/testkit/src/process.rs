//! A server process that a test may stop and start again, with whatever signal; it cannot outlive the test (`keeper.rs`).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::keeper::Keeper;

/// `$1` is the process's directory, where its output goes into `log` and its id into `pid`; the rest is its command. Each line on the
/// pipe is `start`, or the signal that ends it; `done` tells how many were carried out.
const KEEPER: &str = r#"
dir=$1
shift
cd "$dir" || exit 1
run() { "$@" >>"$dir/log" 2>&1 </dev/null & server=$!; echo $server >pid.new && mv pid.new pid; }
run "$@"
count=0
echo ready
exec >&-
while read -r word; do
    case $word in
    start) run "$@" ;;
    *) kill "-$word" $server 2>/dev/null; wait $server ;;
    esac
    count=$((count + 1))
    echo $count >done.new && mv done.new done
done
kill -KILL $server 2>/dev/null
wait $server
rm -rf "$dir"
"#;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process and the command that starts it again.
pub struct Process {
    keeper: Keeper,
    dir: PathBuf,
    told: u32,
}

impl Process {
    /// Starts `command` in the directory `dir`, which is removed at the end.
    pub(crate) fn start(dir: &Path, command: &[&OsStr], user: Option<(u32, u32)>) -> Result<Process> {
        let mut arguments = vec![dir.as_os_str()];
        arguments.extend(command);
        let keeper = Keeper::start(KEEPER, &arguments, user)?;
        Ok(Process { keeper, dir: dir.to_owned(), told: 0 })
    }

    /// Ends it with this signal (`KILL`, `TERM`, ...) and returns when it is gone.
    pub fn stop(&mut self, signal: &str) -> Result<()> {
        self.tell(signal)
    }

    /// Starts it again, after it was stopped.
    pub fn start_again(&mut self) -> Result<()> {
        self.tell("start")
    }

    /// Its process id, of the last start.
    pub fn id(&self) -> Result<u32> {
        let file = self.dir.join("pid");
        let id = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        id.trim().parse().with_context(|| format!("{} says {id:?}", file.display()))
    }

    fn tell(&mut self, word: &str) -> Result<()> {
        self.keeper.tell(word)?;
        self.told += 1;
        let told = self.told.to_string();
        wait_until(&format!("{} does `{word}`", self.dir.display()), || {
            std::fs::read_to_string(self.dir.join("done")).is_ok_and(|done| done.trim() == told)
        })
    }

    /// The end of what it has logged.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

/// Looks until it is so.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > until {
            bail!("waited {} s in vain until {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The status of a GET, without a library that would remember connections to a process that is gone.
pub(crate) fn http_status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// A port that is free now, and was given to nobody else here: another cluster of this process may not have bound its own yet.
pub(crate) fn free_address() -> Result<SocketAddr> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr().context("a listener has an address")?;
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(address.port()) {
            return Ok(address);
        }
    }
}
