//! Child processes that cannot outlive the tests.
//!
//! A keeper is a small shell script that starts a server, says `ready`, and reads the pipe whose other end is ours. When
//! this process ends, in whatever way (also SIGKILL), the pipe closes, and the script stops its server and tidies up.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// A running keeper. Dropping it closes the pipe, without waiting for what follows.
pub(crate) struct Keeper {
    child: Child,
}

impl Keeper {
    /// Runs `script` with `arguments` as `$1`.., as `user` (its user and group id) or as who we are, and waits until it
    /// closes its output. The script prints `ready`, and anything else is why it could not start.
    pub(crate) fn start(script: &str, arguments: &[&OsStr], user: Option<(u32, u32)>) -> Result<Keeper> {
        let mut command = Command::new("sh");
        command.args(["-c", script, "keeper"]).args(arguments).current_dir("/");
        // A group of its own: Ctrl-C in the terminal must reach the tests, and the server only through the pipe.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        let mut child = command.spawn().context("starting `sh`")?;
        let mut said = String::new();
        child.stdout.take().context("the keeper's output is a pipe")?.read_to_string(&mut said)?;
        if said.trim() != "ready" {
            let _status = child.wait();
            bail!("{}", said.trim());
        }
        Ok(Keeper { child })
    }

    /// Writes a line into the pipe.
    pub(crate) fn tell(&mut self, word: &str) -> Result<()> {
        let pipe = self.child.stdin.as_mut().context("the keeper's input is a pipe")?;
        writeln!(pipe, "{word}").with_context(|| format!("telling the keeper to {word}"))
    }

    /// Closes the pipe after writing `word` into it, if any, and waits until the script is through.
    pub(crate) fn finish(mut self, word: Option<&str>) -> Result<ExitStatus> {
        let mut pipe = self.child.stdin.take().context("the keeper's input is a pipe")?;
        if let Some(word) = word {
            writeln!(pipe, "{word}").context("telling the keeper to stop its server")?;
        }
        drop(pipe);
        self.child.wait().context("waiting for the keeper")
    }
}
