//! `rollcall ready`: for images without a shell, where health checks need a program.

use std::time::Duration;

use anyhow::Context;

/// `rollcall ready`
#[derive(clap::Args)]
#[command(after_help = "Example:  rollcall ready http://127.0.0.1:9090")]
pub(crate) struct Arguments {
    /// A gateway, or the ops port of any process: `/readyz` there is asked.
    #[arg(value_name = "URL")]
    server: String,
}

/// Fails unless the process is ready.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let url = format!("{}/readyz", arguments.server.trim_end_matches('/'));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).build()?;
    let answer = client.get(&url).send().await.with_context(|| format!("nobody answers at {url}"))?;
    let status = answer.status();
    anyhow::ensure!(
        status.is_success(),
        "{url} answers {status}: {}",
        answer.text().await.unwrap_or_default()
    );
    Ok(())
}
