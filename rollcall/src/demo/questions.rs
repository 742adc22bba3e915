//! Membership questions over gRPC, asked as an internal service would: with the crate `rollcall-client`.

use std::time::Instant;

use anyhow::Context;
use futures::TryStreamExt;
use rollcall_client::{Client, Config, group, user};

use super::entra::Directory;
use super::say;
use crate::cli::client::Created;
use crate::standalone::Server;

pub(super) async fn ask(server: &Server, client: &Created, directory: &Directory) -> anyhow::Result<()> {
    let secret = client.client_secret.clone().context("the client was made without a secret")?;
    let config = Config::new(server.http_url(), server.grpc_url(), client.client_id.clone(), secret);
    let rollcall = Client::new(config)?;

    say("\nAn internal service asks rollcall.membership.v1 over gRPC:");
    let somebody = &directory.user_names[directory.user_names.len() / 2];
    let last_group = directory.group_names.len() - 1;
    for name in [&directory.group_names[0], &directory.group_names[last_group]] {
        let asked = Instant::now();
        let member = rollcall.check(user::name(somebody), group::name(name)).await?;
        let verdict = if member { "yes" } else { "no" };
        say(&format!("  Is {somebody} in \"{name}\"?  {verdict}  ({})", took(asked)));
    }

    let asked = Instant::now();
    let groups = rollcall.groups_of(user::name(somebody)).await?;
    let names: Vec<_> = groups.iter().map(|group| group.display_name.as_str()).collect();
    say(&format!("  Which groups is {somebody} in?  {}  ({})", names.join(", "), took(asked)));

    let name = &directory.group_names[0];
    let asked = Instant::now();
    let count =
        rollcall.members_of(group::name(name)).try_fold(0, async |count, run| Ok(count + run.len())).await?;
    say(&format!("  How many are in \"{name}\"?  {count}  ({})", took(asked)));
    Ok(())
}

fn took(since: Instant) -> String {
    format!("{:.1} ms", since.elapsed().as_secs_f64() * 1000.0)
}
