//! `rollcall.identity.v1.Teams`.

use platform::auth::{self, Scope};
use platform::{Error, Result};
use proto::identity::v1 as pb;
use proto::identity::v1::teams_server::Teams;
use proto::identity::v1::{
    CreateTeamRequest, CreateTeamResponse, DeleteTeamRequest, DeleteTeamResponse, GetTeamRequest,
    GetTeamResponse, ListTeamsRequest, ListTeamsResponse, UpdateTeamRequest, UpdateTeamResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, wire};
use crate::domain::team::{self, Named, Team};
use crate::store::TeamChange;

#[tonic::async_trait]
impl Teams for Api {
    async fn create_team(
        &self,
        request: Request<CreateTeamRequest>,
    ) -> Result<Response<CreateTeamResponse>, Status> {
        let CreateTeamRequest { tenant_id, slug, name, request_id } = request.get_ref();
        let caller = auth::caller(&request)?;
        let author = wire::administrator(caller, caller.authorize(Scope::Admin, tenant_id)?, request_id);
        let slug = team::slug(slug)?;
        let name = team::name(name, &slug)?;
        let team = self.shared.store.create_team(author, slug, name).await?;
        Ok(Response::new(CreateTeamResponse { team: Some(wire_team(team)) }))
    }

    async fn get_team(&self, request: Request<GetTeamRequest>) -> Result<Response<GetTeamResponse>, Status> {
        let GetTeamRequest { tenant_id, team } = request.get_ref();
        let tenant = auth::caller(&request)?.authorize(Scope::Admin, tenant_id)?;
        let team = self.shared.store.team(tenant, Named::read(team)).await?.ok_or_else(team::no_such_team)?;
        Ok(Response::new(GetTeamResponse { team: Some(wire_team(team)) }))
    }

    async fn list_teams(
        &self,
        request: Request<ListTeamsRequest>,
    ) -> Result<Response<ListTeamsResponse>, Status> {
        let ListTeamsRequest { tenant_id, page_size, page_token } = request.get_ref();
        let tenant = auth::caller(&request)?.authorize(Scope::Admin, tenant_id)?;
        let size = wire::page_size(*page_size)?;
        // The token is the last slug of the page before, which the client may know.
        let after = Some(page_token).filter(|token| !token.is_empty()).map(|token| scim::fold_str(token));

        // One more than the page tells whether there is another.
        let mut teams = self.shared.store.teams(tenant, after, size + 1).await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let has_more = teams.len() > size;
        teams.truncate(size);
        let last = teams.last().filter(|_| has_more).map(|team| team.slug.clone());
        let teams = teams.into_iter().map(wire_team).collect();
        Ok(Response::new(ListTeamsResponse { teams, next_page_token: last.unwrap_or_default() }))
    }

    async fn update_team(
        &self,
        request: Request<UpdateTeamRequest>,
    ) -> Result<Response<UpdateTeamResponse>, Status> {
        let UpdateTeamRequest { tenant_id, team, slug, name, request_id } = request.get_ref();
        let caller = auth::caller(&request)?;
        let author = wire::administrator(caller, caller.authorize(Scope::Admin, tenant_id)?, request_id);
        let slug = slug.as_deref().map(team::slug).transpose()?;
        // An empty name is the slug's, if that is given too; what it was is not known here.
        let fallback = slug.clone().unwrap_or_default();
        let name = match name.as_deref().map(|name| team::name(name, &fallback)).transpose()? {
            Some(name) if name.is_empty() => {
                let detail = "name: expected some text; leave it out to keep the name there is";
                return Err(Error::invalid_value(detail).with_attribute("name").into());
            }
            name => name,
        };
        let team =
            self.shared.store.update_team(author, Named::read(team), TeamChange { slug, name }).await?;
        Ok(Response::new(UpdateTeamResponse { team: Some(wire_team(team)) }))
    }

    async fn delete_team(
        &self,
        request: Request<DeleteTeamRequest>,
    ) -> Result<Response<DeleteTeamResponse>, Status> {
        let DeleteTeamRequest { tenant_id, team, request_id } = request.get_ref();
        let caller = auth::caller(&request)?;
        let author = wire::administrator(caller, caller.authorize(Scope::Admin, tenant_id)?, request_id);
        self.shared.store.delete_team(author, Named::read(team)).await?;
        Ok(Response::new(DeleteTeamResponse {}))
    }
}

fn wire_team(team: Team) -> pb::Team {
    let Team { id, slug, name, created_at, updated_at } = team;
    pb::Team {
        id: id.to_string(),
        slug,
        name,
        created_at_us: created_at.micros(),
        updated_at_us: updated_at.micros(),
    }
}
