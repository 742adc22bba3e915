//! Membership questions over gRPC, asked as an internal service would: a token by client credentials, then calls.

use std::time::Instant;

use anyhow::Context;
use platform::auth;
use proto::membership::v1::memberships_client::MembershipsClient;
use proto::membership::v1::{
    CheckRequest, GroupRef, ListGroupMembersRequest, ListUserGroupsRequest, UserRef, group_ref, user_ref,
};
use serde_json::Value;

use super::entra::Directory;
use super::say;
use crate::cli::client::Created;
use crate::standalone::Server;

pub(super) async fn ask(server: &Server, client: &Created, directory: &Directory) -> anyhow::Result<()> {
    let token = access_token(server, client).await?;
    let channel = tonic::transport::Endpoint::from_shared(server.grpc_url().to_owned())?.connect().await?;
    let mut memberships = MembershipsClient::new(channel);

    say("\nAn internal service asks rollcall.membership.v1 over gRPC:");
    let somebody = &directory.user_names[directory.user_names.len() / 2];
    let last_group = directory.group_names.len() - 1;
    for group in [&directory.group_names[0], &directory.group_names[last_group]] {
        let request =
            CheckRequest { user: Some(user(somebody)), group: Some(named(group)), ..Default::default() };
        let asked = Instant::now();
        let answer = memberships.check(auth::with_token(request, &token)?).await?.into_inner();
        let verdict = if answer.member { "yes" } else { "no" };
        say(&format!("  Is {somebody} in \"{group}\"?  {verdict}  ({})", took(asked)));
    }

    let request = ListUserGroupsRequest { user: Some(user(somebody)), ..Default::default() };
    let asked = Instant::now();
    let answer = memberships.list_user_groups(auth::with_token(request, &token)?).await?.into_inner();
    let names: Vec<_> = answer.groups.iter().map(|group| group.display_name.as_str()).collect();
    say(&format!("  Which groups is {somebody} in?  {}  ({})", names.join(", "), took(asked)));

    let request =
        ListGroupMembersRequest { group: Some(named(&directory.group_names[0])), ..Default::default() };
    let asked = Instant::now();
    let mut stream = memberships.list_group_members(auth::with_token(request, &token)?).await?.into_inner();
    let mut count = 0;
    while let Some(run) = stream.message().await? {
        count += run.members.len();
    }
    say(&format!("  How many are in \"{}\"?  {count}  ({})", directory.group_names[0], took(asked)));
    Ok(())
}

async fn access_token(server: &Server, client: &Created) -> anyhow::Result<String> {
    let answer: Value = reqwest::Client::new()
        .post(format!("{}/oauth2/token", server.http_url()))
        .basic_auth(&client.client_id, client.client_secret.as_deref())
        .form(&[("grant_type", "client_credentials"), ("scope", "memberships:read")])
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    Ok(answer["access_token"].as_str().context("the token endpoint gave no access_token")?.to_owned())
}

fn user(user_name: &str) -> UserRef {
    UserRef { r#ref: Some(user_ref::Ref::UserName(user_name.to_owned())) }
}

fn named(display_name: &str) -> GroupRef {
    GroupRef { r#ref: Some(group_ref::Ref::DisplayName(display_name.to_owned())) }
}

fn took(since: Instant) -> String {
    format!("{:.1} ms", since.elapsed().as_secs_f64() * 1000.0)
}
