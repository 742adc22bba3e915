//! `rollcall config`: what a process would run with, and the secrets of a new installation.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use platform::clock::Clock;
use platform::ids::CredentialId;
use secrecy::ExposeSecret;
use token::SecretKey;
use token::domain::secret::{self, Kind};

use crate::settings::{self, Role};

/// `rollcall config`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say what is wrong with the configuration; exit code 0 when nothing is.
    Check {
        /// Of which process; without it only what all have in common is checked.
        #[arg(long, value_name = "ROLE")]
        role: Option<Role>,
        /// Print every setting as the process would have it, without secrets.
        #[arg(long)]
        show: bool,
        /// Settings (TOML); the environment (ROLLCALL_SECTION__KEY) goes before it.
        #[arg(long, env = "ROLLCALL_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the reference of all settings: each with its default and what it means.
    Reference,
    /// Write the secrets of a new installation into files, mode 0600, named like the keys of [secrets]. What is there stays.
    Secrets {
        /// Where to write them; made if it is not there.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Check { role, show, config } => {
            let settings = settings::load(config.as_deref())?;
            if show {
                print!("{}", toml::to_string(&settings).context("the settings cannot be shown")?);
            }
            let faults = settings.faults(role.unwrap_or(Role::Standalone));
            anyhow::ensure!(faults.is_empty(), "the configuration is not valid:\n  {}", faults.join("\n  "));
            if !show {
                let of = role.map_or_else(String::new, |role| format!(" of {}", role.name()));
                println!("the configuration{of} is valid");
            }
            Ok(())
        }
        Command::Reference => {
            print!("{}", settings::DEFAULTS);
            Ok(())
        }
        Command::Secrets { dir } => {
            std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
            let (admin_token, _) = secret::mint(Kind::Admin, CredentialId::new(&Clock::system()).uuid())?;
            for (name, value) in [
                ("key_encryption_key", SecretKey::generate()?.to_text().as_str().to_owned()),
                ("cursor_key", SecretKey::generate()?.to_text().as_str().to_owned()),
                ("platform_secret", SecretKey::generate()?.to_text().as_str().to_owned()),
                ("admin_token", admin_token.expose_secret().to_owned()),
            ] {
                let path = dir.join(name);
                match write_new(&path, &value) {
                    Ok(()) => println!("{} (new)", path.display()),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => println!("{}", path.display()),
                    Err(error) => {
                        return Err(error).with_context(|| format!("cannot write {}", path.display()));
                    }
                }
            }
            Ok(())
        }
    }
}

fn write_new(path: &Path, content: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    writeln!(file, "{content}")?;
    file.sync_all()
}
