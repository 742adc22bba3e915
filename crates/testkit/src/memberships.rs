//! Membership questions over gRPC, as an internal service asks them.

use anyhow::Result;
use proto::membership::v1::memberships_client::MembershipsClient;
use proto::membership::v1::{
    CheckRequest, Group, GroupMember, GroupRef, ListGroupMembersRequest, ListUserGroupsRequest, UserRef,
    group_ref, user_ref,
};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Asks with one access token, or with none.
#[derive(Clone)]
pub struct Memberships {
    client: MembershipsClient<Channel>,
    token: Option<String>,
}

impl Memberships {
    /// Connects to `grpc`, `http://host:port`.
    pub async fn connect(grpc: &str, token: Option<&str>) -> Result<Memberships> {
        let client = MembershipsClient::connect(grpc.to_owned()).await?;
        Ok(Memberships { client, token: token.map(str::to_owned) })
    }

    /// The same connection with another token.
    pub fn with_token(&self, token: Option<&str>) -> Memberships {
        Memberships { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Is the user a member of the group?
    pub async fn check(&self, question: CheckRequest) -> Result<bool, Status> {
        Ok(self.client.clone().check(self.request(question)).await?.into_inner().member)
    }

    /// The first page of a user's groups.
    pub async fn user_groups(&self, question: ListUserGroupsRequest) -> Result<Vec<Group>, Status> {
        Ok(self.client.clone().list_user_groups(self.request(question)).await?.into_inner().groups)
    }

    /// All users in a group.
    pub async fn group_members(&self, question: ListGroupMembersRequest) -> Result<Vec<GroupMember>, Status> {
        let mut runs = self.client.clone().list_group_members(self.request(question)).await?.into_inner();
        let mut members = Vec::new();
        while let Some(run) = runs.message().await? {
            members.extend(run.members);
        }
        Ok(members)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let bearer = MetadataValue::try_from(format!("Bearer {token}")).expect("tokens are ASCII");
            request.metadata_mut().insert("authorization", bearer);
        }
        request
    }
}

/// A user by Rollcall's id.
pub fn user(id: &str) -> Option<UserRef> {
    Some(UserRef { r#ref: Some(user_ref::Ref::Id(id.to_owned())) })
}

/// A group by Rollcall's id.
pub fn group(id: &str) -> Option<GroupRef> {
    Some(GroupRef { r#ref: Some(group_ref::Ref::Id(id.to_owned())) })
}
