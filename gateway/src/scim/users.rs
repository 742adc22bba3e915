//! /Users: identity stores them, membership knows their groups.

use std::collections::HashMap;

use ::scim::discovery::List;
use ::scim::list_response;
use ::scim::project::Projection;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use proto::common::v1::Resource;
use proto::identity::v1::{
    CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest, PatchUserRequest,
    ReplaceUserRequest, UserChange,
};
use proto::membership::v1::{ApplyUserChangeRequest, ListGroupsOfUsersRequest, UserGroup};
use serde_json::Value;

use super::etag;
use super::render::{self, Reply, promised};
use super::request::{Body, Caller, Id, Params};
use crate::App;
use crate::error::Result;

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    Body(body): Body,
) -> Result<Response> {
    let projection = params.projection(&app.discovery.user)?;
    let request = caller.call(CreateUserRequest { context: caller.context(), body })?;
    let answer = app.clients.users.clone().create_user(request).await?.into_inner();
    apply(&app, &caller, answer.change).await;
    let stored = promised(answer.resource, "CreateUser answered without the user")?;
    let reply = Reply::new(StatusCode::CREATED).wrote(&answer.revision, &answer.warnings);
    written(&app, &caller, &projection, &stored, reply).await
}

pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Response> {
    let projection = params.projection(&app.discovery.user)?;
    let request = caller.call(GetUserRequest { context: caller.context(), id })?;
    let answer = app.clients.users.clone().get_user(request).await?.into_inner();
    let stored = promised(answer.resource, "GetUser answered without the user")?;
    if etag::if_none_match(&headers, stored.version) {
        let reply = Reply::new(StatusCode::NOT_MODIFIED);
        return Ok(reply.about(&stored, &app.discovery.user, &caller.base).empty());
    }
    let mut groups = groups_of(&app, &caller, &projection, std::slice::from_ref(&stored)).await?;
    let body = user(&app, &caller, &projection, &stored, groups.remove(&stored.id))?;
    Ok(Reply::new(StatusCode::OK).about(&stored, &app.discovery.user, &caller.base).json(&body))
}

pub(crate) async fn list(State(app): State<App>, caller: Caller, params: Params) -> Result<Response> {
    page(&app, &caller, params).await
}

pub(crate) async fn search(State(app): State<App>, caller: Caller, Body(body): Body) -> Result<Response> {
    page(&app, &caller, Params::from_search(&body)?).await
}

pub(crate) async fn replace(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    Id(id): Id,
    Body(body): Body,
) -> Result<Response> {
    let projection = params.projection(&app.discovery.user)?;
    let precondition = etag::if_match(&headers);
    let request = caller.call(ReplaceUserRequest { context: caller.context(), id, body, precondition })?;
    let answer = app.clients.users.clone().replace_user(request).await?.into_inner();
    apply(&app, &caller, answer.change).await;
    let stored = promised(answer.resource, "ReplaceUser answered without the user")?;
    let reply = Reply::new(StatusCode::OK).wrote(&answer.revision, &answer.warnings);
    written(&app, &caller, &projection, &stored, reply).await
}

pub(crate) async fn patch(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    Id(id): Id,
    Body(body): Body,
) -> Result<Response> {
    let projection = params.projection(&app.discovery.user)?;
    let precondition = etag::if_match(&headers);
    let request = caller.call(PatchUserRequest { context: caller.context(), id, body, precondition })?;
    let answer = app.clients.users.clone().patch_user(request).await?.into_inner();
    apply(&app, &caller, answer.change).await;
    let stored = promised(answer.resource, "PatchUser answered without the user")?;
    let reply = Reply::new(StatusCode::OK).wrote(&answer.revision, &answer.warnings);
    written(&app, &caller, &projection, &stored, reply).await
}

pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Response> {
    let precondition = etag::if_match(&headers);
    let request = caller.call(DeleteUserRequest { context: caller.context(), id, precondition })?;
    let answer = app.clients.users.clone().delete_user(request).await?.into_inner();
    apply(&app, &caller, answer.change).await;
    Ok(Reply::new(StatusCode::NO_CONTENT).wrote(&answer.revision, &[]).empty())
}

async fn page(app: &App, caller: &Caller, params: Params) -> Result<Response> {
    let projection = params.projection(&app.discovery.user)?;
    let request = caller.call(ListUsersRequest {
        context: caller.context(),
        page: Some(params.page(&app.config)),
        sort_order: params.sort_order()?.into(),
        filter: params.filter.clone(),
        sort_by: params.sort_by.clone(),
    })?;
    let answer = app.clients.users.clone().list_users(request).await?.into_inner();
    let mut groups = groups_of(app, caller, &projection, &answer.resources).await?;
    let mut resources = Vec::with_capacity(answer.resources.len());
    for stored in &answer.resources {
        resources.push(user(app, caller, &projection, stored, groups.remove(&stored.id))?);
    }
    let list = List {
        total_results: u64::try_from(answer.total_results).ok(),
        start_index: params.shown_start_index(),
        resources,
        next_cursor: Some(answer.next_cursor).filter(|cursor| !cursor.is_empty()),
        previous_cursor: None,
    };
    Ok(Reply::new(StatusCode::OK).json(&list_response(list)))
}

/// Hands the change on to membership at once, so that reads follow writes. The user is written already: if this fails
/// the client is told success, and membership catches up from identity's log.
async fn apply(app: &App, caller: &Caller, change: Option<UserChange>) {
    let Some(change) = change else { return };
    let (user_id, version) = (change.user_id.clone(), change.version);
    let applied = async {
        let request = caller.call(ApplyUserChangeRequest { change: Some(change) })?;
        app.clients.projection.clone().apply_user_change(request).await?;
        Ok(())
    };
    let applied: Result<()> = applied.await;
    if let Err(error) = applied {
        let kind = error.kind().name();
        tracing::warn!(
            user.id = user_id,
            user.version = version,
            error.kind = kind,
            "membership could not apply version {version} of user {user_id}, it will follow from the log: {}",
            error.detail(),
        );
    }
}

/// The answer to a write of this user.
async fn written(
    app: &App,
    caller: &Caller,
    projection: &Projection,
    stored: &Resource,
    reply: Reply,
) -> Result<Response> {
    // The write is done, so membership being away must not make it look failed.
    let groups = match groups_of(app, caller, projection, std::slice::from_ref(stored)).await {
        Ok(mut groups) => groups.remove(&stored.id),
        Err(error) => {
            tracing::warn!(
                error.kind = error.kind().name(),
                "answering a write without `groups`: {}",
                error.detail()
            );
            None
        }
    };
    let body = user(app, caller, projection, stored, groups)?;
    Ok(reply.about(stored, &app.discovery.user, &caller.base).json(&body))
}

/// The groups of a page of users in one call, by user id; nothing when the client does not want to see them.
async fn groups_of(
    app: &App,
    caller: &Caller,
    projection: &Projection,
    users: &[Resource],
) -> Result<HashMap<String, Vec<UserGroup>>> {
    if users.is_empty() || !projection.wants("groups") {
        return Ok(HashMap::new());
    }
    let user_ids = users.iter().map(|user| user.id.clone()).collect();
    let request = caller.call(ListGroupsOfUsersRequest { context: caller.context(), user_ids })?;
    let answer = app.clients.groups.clone().list_groups_of_users(request).await?.into_inner();
    Ok(answer.users.into_iter().map(|user| (user.user_id, user.groups)).collect())
}

fn user(
    app: &App,
    caller: &Caller,
    projection: &Projection,
    stored: &Resource,
    groups: Option<Vec<UserGroup>>,
) -> Result<Value> {
    let mut user = render::resource(stored, &app.discovery.user, &caller.base)?;
    render::add_groups(&mut user, &groups.unwrap_or_default(), &caller.base);
    projection.apply(&app.discovery.user, &mut user);
    Ok(Value::Object(user))
}
