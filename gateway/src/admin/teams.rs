//! The teams of a tenant, which its users are put into by provisioning.

use axum::Json as JsonBody;
use axum::extract::State;
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use platform::clock::Timestamp;
use proto::identity::v1::{
    CreateTeamRequest, DeleteTeamRequest, GetTeamRequest, ListTeamsRequest, Team, UpdateTeamRequest,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Json, Named, Page};
use crate::error::{Error, Problem, Result};
use crate::tenant::Administrator;
use crate::{App, headers};

type Answer<T> = Result<T, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    slug: String,
    /// To show; the slug when it is left out.
    #[serde(default)]
    name: String,
}

/// What is to be otherwise; what is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    slug: Option<String>,
    name: Option<String>,
}

pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
    Json(New { slug, name }): Json<New>,
) -> Answer<(StatusCode, HeaderMap, JsonBody<Value>)> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let path = format!("/admin/v1/tenants/{tenant_id}/teams");
    let request = administrator.call(CreateTeamRequest { tenant_id, slug, name })?;
    let answer = app.clients.teams.clone().create_team(request).await.map_err(Error::from)?.into_inner();
    let team = promised(answer.team)?;
    let mut headers = HeaderMap::new();
    headers.extend(headers::value(&format!("{path}/{}", team.id)).map(|value| (LOCATION, value)));
    Ok((StatusCode::CREATED, headers, JsonBody(shown(&team))))
}

pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
    Page { page_size, page_token }: Page,
) -> Answer<JsonBody<Value>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(ListTeamsRequest { tenant_id, page_size, page_token })?;
    let answer = app.clients.teams.clone().list_teams(request).await.map_err(Error::from)?.into_inner();
    let mut body = json!({"teams": answer.teams.iter().map(shown).collect::<Vec<_>>()});
    if !answer.next_page_token.is_empty() {
        body["next_page_token"] = answer.next_page_token.into();
    }
    Ok(JsonBody(body))
}

/// By uuid, or by slug in any case.
pub(crate) async fn get(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, team)): Named<(String, String)>,
) -> Answer<JsonBody<Value>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(GetTeamRequest { tenant_id, team })?;
    let answer = app.clients.teams.clone().get_team(request).await.map_err(Error::from)?.into_inner();
    Ok(JsonBody(shown(&promised(answer.team)?)))
}

/// Renames a team; whoever is in it shows the new slug from then on.
pub(crate) async fn change(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, team)): Named<(String, String)>,
    Json(Change { slug, name }): Json<Change>,
) -> Answer<JsonBody<Value>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(UpdateTeamRequest { tenant_id, team, slug, name })?;
    let answer = app.clients.teams.clone().update_team(request).await.map_err(Error::from)?.into_inner();
    Ok(JsonBody(shown(&promised(answer.team)?)))
}

/// Deletes a team; nobody is in it any more.
pub(crate) async fn delete(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, team)): Named<(String, String)>,
) -> Answer<StatusCode> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(DeleteTeamRequest { tenant_id, team })?;
    app.clients.teams.clone().delete_team(request).await.map_err(Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

fn promised(team: Option<Team>) -> Result<Team> {
    team.ok_or_else(|| Error::broken_contract("a call about a team was answered without the team"))
}

fn shown(team: &Team) -> Value {
    let Team { id, slug, name, created_at_us, updated_at_us } = team;
    json!({
        "uuid": id,
        "slug": slug,
        "name": name,
        "created_at": Timestamp::from_micros(*created_at_us).to_rfc3339(),
        "updated_at": Timestamp::from_micros(*updated_at_us).to_rfc3339(),
    })
}
