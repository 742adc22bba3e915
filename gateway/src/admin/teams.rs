//! The teams of a tenant, which its users are put into by provisioning.

use axum::Json as JsonBody;
use axum::extract::State;
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use proto::identity::v1::{
    CreateTeamRequest, DeleteTeamRequest, GetTeamRequest, ListTeamsRequest, Team, UpdateTeamRequest,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, promised, text_if_any, time};
use super::request::{self, Json, Named, Page};
use crate::headers::RequestId;
use crate::tenant::Administrator;
use crate::{App, headers};

/// A team to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTeam, example = json!({"slug": "sales-emea", "name": "Sales EMEA"}))]
pub(crate) struct New {
    /// Short name for payloads and URLs: letters, digits, `-`, `_`, `.`; unique in any case.
    #[schema(min_length = 1, max_length = 64)]
    slug: String,
    /// To show; the slug when it is left out.
    #[serde(default)]
    #[schema(max_length = 200)]
    name: String,
}

/// What is to be otherwise; what is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TeamChange, example = json!({"name": "Sales Europe"}))]
pub(crate) struct Change {
    #[schema(min_length = 1, max_length = 64)]
    slug: Option<String>,
    #[schema(max_length = 200)]
    name: Option<String>,
}

/// A team.
#[derive(Serialize, ToSchema)]
#[schema(as = Team)]
pub(crate) struct ShownTeam {
    #[schema(format = "uuid")]
    uuid: String,
    slug: String,
    name: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A page of teams, by slug.
#[derive(Serialize, ToSchema)]
pub(crate) struct Teams {
    teams: Vec<ShownTeam>,
    /// For the next page; left out on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// Registers a team.
#[utoipa::path(
    post, path = "/tenants/{tenant}/teams", operation_id = "createTeam", tag = "Teams and roles",
    request_body = New,
    responses(
        (status = 201, description = "The team.", body = ShownTeam),
        (status = 409, description = "The slug is taken."),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Named(id_or_name): Named<String>,
    Json(New { slug, name }): Json<New>,
) -> Answer<(StatusCode, HeaderMap, JsonBody<ShownTeam>)> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let path = format!("/admin/v1/tenants/{tenant_id}/teams");
    let request_id = request_id.0.0;
    let request = administrator.call(CreateTeamRequest { tenant_id, slug, name, request_id })?;
    let answer = app.clients.teams.clone().create_team(request).await?.into_inner();
    let team = promised(answer.team, "CreateTeam answered without the team")?;
    let mut headers = HeaderMap::new();
    headers.extend(headers::value(&format!("{path}/{}", team.id)).map(|value| (LOCATION, value)));
    Ok((StatusCode::CREATED, headers, JsonBody(ShownTeam::of(team))))
}

/// Lists the teams of a tenant by slug, a page at a time.
#[utoipa::path(
    get, path = "/tenants/{tenant}/teams", operation_id = "listTeams", tag = "Teams and roles",
    params(Page),
    responses((status = 200, description = "A page of teams.", body = Teams)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
    Page { page_size, page_token }: Page,
) -> Answer<JsonBody<Teams>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(ListTeamsRequest { tenant_id, page_size, page_token })?;
    let answer = app.clients.teams.clone().list_teams(request).await?.into_inner();
    let teams = answer.teams.into_iter().map(ShownTeam::of).collect();
    Ok(JsonBody(Teams { teams, next_page_token: text_if_any(answer.next_page_token) }))
}

/// Shows a team.
#[utoipa::path(
    get, path = "/tenants/{tenant}/teams/{team}", operation_id = "getTeam", tag = "Teams and roles",
    responses((status = 200, description = "The team.", body = ShownTeam)),
)]
pub(crate) async fn get(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, team)): Named<(String, String)>,
) -> Answer<JsonBody<ShownTeam>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(GetTeamRequest { tenant_id, team })?;
    let answer = app.clients.teams.clone().get_team(request).await?.into_inner();
    Ok(JsonBody(ShownTeam::of(promised(answer.team, "GetTeam answered without the team")?)))
}

/// Renames a team.
///
/// Whoever is in it shows the new slug from then on.
#[utoipa::path(
    patch, path = "/tenants/{tenant}/teams/{team}", operation_id = "updateTeam", tag = "Teams and roles",
    request_body = Change,
    responses(
        (status = 200, description = "The team as it is now.", body = ShownTeam),
        (status = 409, description = "The slug is taken."),
    ),
)]
pub(crate) async fn change(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Named((id_or_name, team)): Named<(String, String)>,
    Json(Change { slug, name }): Json<Change>,
) -> Answer<JsonBody<ShownTeam>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request_id = request_id.0.0;
    let request = administrator.call(UpdateTeamRequest { tenant_id, team, slug, name, request_id })?;
    let answer = app.clients.teams.clone().update_team(request).await?.into_inner();
    Ok(JsonBody(ShownTeam::of(promised(answer.team, "UpdateTeam answered without the team")?)))
}

/// Deletes a team.
///
/// Nobody is in it any more.
#[utoipa::path(
    delete, path = "/tenants/{tenant}/teams/{team}", operation_id = "deleteTeam", tag = "Teams and roles",
    responses((status = 204, description = "It is gone.")),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Named((id_or_name, team)): Named<(String, String)>,
) -> Answer<StatusCode> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request_id = request_id.0.0;
    let request = administrator.call(DeleteTeamRequest { tenant_id, team, request_id })?;
    app.clients.teams.clone().delete_team(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl ShownTeam {
    fn of(team: Team) -> Self {
        let Team { id, slug, name, created_at_us, updated_at_us } = team;
        Self { uuid: id, slug, name, created_at: time(created_at_us), updated_at: time(updated_at_us) }
    }
}
