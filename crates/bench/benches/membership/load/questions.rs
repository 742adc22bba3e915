//! The questions. Every other answer is known beforehand, and compared.

use anyhow::{Context, Result, ensure};
use platform::auth::with_token;
use proto::membership::v1::memberships_client::MembershipsClient;
use proto::membership::v1::{
    BatchCheckRequest, CheckItem, CheckRequest, GroupRef, ListGroupMembersRequest, ListUserGroupsRequest,
    UserRef, check_result, group_ref, user_ref,
};
use tonic::transport::Channel;

use crate::tenant::{Tenant, group_id, user_id};

/// Asks one server about one tenant.
#[derive(Clone)]
pub struct Asker {
    client: MembershipsClient<Channel>,
    token: String,
    tenant: Tenant,
}

/// The numbers of a question: a good generator (SplitMix64), so that users and groups come in no order.
fn random(number: u64) -> i64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    i64::try_from((z ^ (z >> 31)) >> 2).unwrap_or(0)
}

pub fn user(number: i64) -> Option<UserRef> {
    Some(UserRef { r#ref: Some(user_ref::Ref::Id(user_id(number))) })
}

fn group(number: i64) -> Option<GroupRef> {
    Some(GroupRef { r#ref: Some(group_ref::Ref::Id(group_id(number))) })
}

impl Asker {
    pub fn new(client: MembershipsClient<Channel>, token: &str, tenant: &Tenant) -> Result<Self> {
        let client = client.max_decoding_message_size(platform::transport::MAX_MESSAGE_BYTES);
        Ok(Self { client, token: token.to_owned(), tenant: tenant.clone() })
    }

    /// A user and a group; with even numbers the user is directly in it.
    fn pair(&self, number: u64) -> (i64, i64) {
        let about = random(number);
        let group = about % self.tenant.groups;
        let user = if number.is_multiple_of(2) {
            self.tenant.member(group, about >> 20)
        } else {
            (about >> 20) % self.tenant.users
        };
        (user, group)
    }

    /// A question about any group, or about the group of a chain that is so many levels above the user.
    pub async fn check(&self, number: u64, levels: Option<i64>) -> Result<()> {
        let (asked, above, known) = match levels {
            None => {
                let (user, group) = self.pair(number);
                (user, group, number.is_multiple_of(2))
            }
            Some(levels) => {
                let about = random(number);
                let chain = about % self.tenant.chains();
                let user = self.tenant.member(self.tenant.with_levels(chain, 1), about >> 20);
                (user, self.tenant.with_levels(chain, levels), true)
            }
        };
        let request = CheckRequest {
            tenant_id: self.tenant.id().to_string(),
            user: user(asked),
            group: group(above),
            ..Default::default()
        };
        let answer = self.client.clone().check(with_token(request, &self.token)?).await?.into_inner();
        ensure!(answer.member || !known, "user {asked} is in group {above}, and the answer was no");
        Ok(())
    }

    /// That SQL and we mean the same tenant, and that the answers say no too.
    pub async fn check_the_shape(&self) -> Result<()> {
        let (mut members, asked) = (0, 200);
        for number in 0..asked {
            self.check(number, Some(self.tenant.depth)).await?;
        }
        for number in (1..2 * asked).step_by(2) {
            let (user_number, group_number) = self.pair(number);
            let request = CheckRequest {
                tenant_id: self.tenant.id().to_string(),
                user: user(user_number),
                group: group(group_number),
                ..Default::default()
            };
            let answer = self.client.clone().check(with_token(request, &self.token)?).await?.into_inner();
            members += u64::from(answer.member);
        }
        ensure!(members < asked / 2, "{members} of {asked} random users are members of random groups");
        Ok(())
    }

    pub async fn batch(&self, number: u64, pairs: u64) -> Result<()> {
        let mut items = Vec::new();
        for at in 0..pairs {
            let (asked, about) = self.pair(number * pairs + at);
            items.push(CheckItem { user: user(asked), group: group(about) });
        }
        let request =
            BatchCheckRequest { tenant_id: self.tenant.id().to_string(), items, ..Default::default() };
        let answer = self.client.clone().batch_check(with_token(request, &self.token)?).await?.into_inner();
        ensure!(answer.results.len() as u64 == pairs, "an answer for each");
        let first = answer.results.first().context("an answer")?.outcome();
        ensure!((number * pairs) % 2 == 1 || first == check_result::Outcome::Member, "the first is a member");
        Ok(())
    }

    /// The groups of a user that has some.
    pub async fn groups_of(&self, number: u64) -> Result<()> {
        let (asked, _) = self.pair(number * 2);
        let request = ListUserGroupsRequest {
            tenant_id: self.tenant.id().to_string(),
            user: user(asked),
            ..Default::default()
        };
        let answer =
            self.client.clone().list_user_groups(with_token(request, &self.token)?).await?.into_inner();
        ensure!(!answer.groups.is_empty(), "user {asked} is in a group");
        Ok(())
    }

    /// All users in a group: how many.
    pub async fn members_of(&self, number: i64) -> Result<usize> {
        let request = ListGroupMembersRequest {
            tenant_id: self.tenant.id().to_string(),
            group: group(number),
            ..Default::default()
        };
        let request = with_token(request, &self.token)?;
        let mut runs = self.client.clone().list_group_members(request).await?.into_inner();
        let mut users = 0;
        while let Some(run) = runs.message().await? {
            users += run.members.len();
        }
        Ok(users)
    }
}
