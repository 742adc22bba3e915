//! One test per golden transcript in `transcripts/`, each played over HTTP against a tenant of its own on one running
//! server.
//!
//! `ROLLCALL_TRANSCRIPT_URL` (what stands before `/Users`) and `ROLLCALL_TRANSCRIPT_TOKEN` name any other SCIM server to
//! play them against; its tenant must be empty, and transcripts leave resources behind: play one at a time.

use std::path::Path;

use testkit::server::Standalone;
use testkit::transcript::{Target, Transcript};

fn play(path: &Path) -> datatest_stable::Result<()> {
    let transcript = Transcript::load(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut known = Vec::new();
        let target = match std::env::var("ROLLCALL_TRANSCRIPT_URL") {
            Ok(url) => Target {
                base_url: url.trim_end_matches('/').to_owned(),
                token: std::env::var("ROLLCALL_TRANSCRIPT_TOKEN")
                    .map_err(|_| "ROLLCALL_TRANSCRIPT_URL goes with ROLLCALL_TRANSCRIPT_TOKEN")?,
            },
            Err(_) => {
                let server = Standalone::shared(Path::new(env!("CARGO_BIN_EXE_rollcall")));
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let tenant =
                    server.tenant(&name, &transcript.preset).await.map_err(|error| format!("{error:#}"))?;
                if let Some(dialect) = &transcript.dialect {
                    let set = server.set_dialect(&tenant, dialect).await;
                    set.map_err(|error| format!("{error:#}"))?;
                }
                for slug in &transcript.teams {
                    let uuid = server.team(&tenant, slug).await.map_err(|error| format!("{error:#}"))?;
                    known.push((format!("team.{slug}"), uuid));
                }
                tenant.target()
            }
        };
        // `{:#}` shows the whole chain: step, answer, path of the difference.
        transcript.play_with(&target, &known).await.map_err(|error| format!("{error:#}").into())
    })
}

datatest_stable::harness! {
    { test = play, root = "../transcripts", pattern = r"\.yaml$" },
}
