//! /Groups: membership has all of it. Members are fetched only when they are to be shown, and never collected.

use std::sync::Arc;

use ::scim::Map;
use ::scim::discovery::List;
use ::scim::list_response;
use ::scim::project::Projection;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use proto::common::v1::{Page, Resource};
use proto::membership::v1::{
    GetGroupRequest, GetGroupResponse, ListGroupsRequest, ListGroupsResponse, ListHead, Member,
    get_group_response, list_groups_response,
};
use serde_json::Value;
use tonic::Streaming;

use super::etag;
use super::render::{Reply, promised};
use super::request::{Body, Caller, Id, Params};
use super::stream::{self, Shape};
use super::write::{self, Kind, Write, Written};
use crate::App;
use crate::error::{Error, Result};

/// The answer to a PATCH shows the members unasked only if there are no more than these: what a PATCH costs must not
/// depend on the size of the group.
const ECHOED_MEMBERS: usize = 100;

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    Body(body): Body,
) -> Result<Response> {
    let shape = shape(&app, &caller, &params)?;
    let done = write::run(&app, &caller, Kind::Group, Write::Create { body }).await?;
    written(&app, &caller, shape, done).await
}

pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Response> {
    let shape = shape(&app, &caller, &params)?;
    let (stored, members) = fetch(&app, &caller, id, shape.projection.wants("members")).await?;
    caller.note.found(Kind::Group, &stored);
    let tag = etag::of(stored.version);
    let about = |status| Reply::new(status).about(&stored, &app.discovery.group, &caller.base, &tag);
    if etag::if_none_match(&headers, &tag) {
        return Ok(about(StatusCode::NOT_MODIFIED).empty());
    }
    Ok(about(StatusCode::OK).scim(stream::one(shape, &stored, members)?))
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
    let shape = shape(&app, &caller, &params)?;
    let replace = Write::Replace { id, body, precondition: etag::if_match(&headers) };
    let done = write::run(&app, &caller, Kind::Group, replace).await?;
    written(&app, &caller, shape, done).await
}

/// Where PATCH is answered with 204, whoever names attributes gets the group all the same.
pub(crate) async fn patch(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    Id(id): Id,
    Body(body): Body,
) -> Result<Response> {
    let shape = shape(&app, &caller, &params)?;
    let patch = Write::Patch { id, body, precondition: etag::if_match(&headers) };
    let mut done = write::run(&app, &caller, Kind::Group, patch).await?;
    if shape.projection.is_explicit() {
        done.status = StatusCode::OK;
        return written(&app, &caller, shape, done).await;
    }
    let reply = Reply::new(done.status).wrote(&done);
    let stored = promised(done.resource, "PatchGroup answered without the group")?;
    let tag = etag::of(stored.version);
    let reply = reply.about(&stored, &app.discovery.group, &caller.base, &tag);
    if done.status == StatusCode::NO_CONTENT {
        return Ok(reply.empty());
    }
    let mut group = shape.group(&stored)?;
    if let Some(members) = few_members(&app, &caller, &shape.projection, &stored).await {
        add_members(&mut group, shape.members(&members));
    }
    Ok(reply.json(&Value::Object(group)))
}

pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Response> {
    let delete = Write::Delete { id, precondition: etag::if_match(&headers) };
    let done = write::run(&app, &caller, Kind::Group, delete).await?;
    Ok(Reply::new(done.status).wrote(&done).empty())
}

async fn page(app: &App, caller: &Caller, params: Params) -> Result<Response> {
    let shape = shape(app, caller, &params)?;
    let with_members = shape.projection.wants("members");
    let (head, mut answer) = find(app, caller, &params, params.page(&app.config), with_members).await?;
    let start_index = params.shown_start_index();
    if with_members {
        let list = stream::Head::new(head, start_index);
        return Ok(Reply::new(StatusCode::OK).scim(stream::list(shape, list, answer)));
    }
    let mut resources = Vec::new();
    while let Some(piece) = answer.message().await? {
        let Some(list_groups_response::Part::Group(stored)) = piece.part else {
            return Err(Error::broken_contract("ListGroups sent something else than groups"));
        };
        if head.total_results == 1 {
            caller.note.found(Kind::Group, &stored);
        }
        resources.push(Value::Object(shape.group(&stored)?));
    }
    let list = List {
        total_results: u64::try_from(head.total_results).ok(),
        start_index,
        resources,
        next_cursor: Some(head.next_cursor).filter(|cursor| !cursor.is_empty()),
        previous_cursor: None,
    };
    Ok(Reply::new(StatusCode::OK).json(&list_response(list)))
}

/// That page of the groups which the parameters ask for: what is known of it, and the stream the groups come from.
pub(super) async fn find(
    app: &App,
    caller: &Caller,
    params: &Params,
    page: Page,
    with_members: bool,
) -> Result<(ListHead, Streaming<ListGroupsResponse>)> {
    let request = caller.call(ListGroupsRequest {
        context: caller.context(),
        page: Some(page),
        sort_order: params.sort_order()?.into(),
        filter: params.filter.clone(),
        sort_by: params.sort_by.clone(),
        with_members,
    })?;
    let mut answer = app.clients.groups.clone().list_groups(request).await?.into_inner();
    match answer.message().await? {
        Some(ListGroupsResponse { part: Some(list_groups_response::Part::Head(head)) }) => Ok((head, answer)),
        _ => Err(Error::broken_contract("ListGroups did not begin with the head")),
    }
}

/// How groups are to be shown: where everything that shows some begins.
///
/// # Errors
/// `Forbidden` when the tenant has no groups.
pub(super) fn shape(app: &App, caller: &Caller, params: &Params) -> Result<Shape> {
    caller.policy().groups()?;
    let projection = params.projection(&app.discovery.group)?;
    Ok(Shape { of: Arc::clone(&app.discovery.group), projection, base: caller.base.clone() })
}

/// The group, and the stream its members come from.
async fn fetch(
    app: &App,
    caller: &Caller,
    id: String,
    with_members: bool,
) -> Result<(Resource, Streaming<GetGroupResponse>)> {
    let request = caller.call(GetGroupRequest { context: caller.context(), id, with_members })?;
    let mut answer = app.clients.groups.clone().get_group(request).await?.into_inner();
    match answer.message().await? {
        Some(GetGroupResponse { part: Some(get_group_response::Part::Group(stored)) }) => {
            Ok((stored, answer))
        }
        _ => Err(Error::broken_contract("GetGroup did not begin with the group")),
    }
}

/// The answer to a write of this group, with its members unless they are not wanted.
async fn written(app: &App, caller: &Caller, shape: Shape, done: Written) -> Result<Response> {
    let reply = Reply::new(done.status).wrote(&done);
    let stored = promised(done.resource, "a write was answered without the group")?;
    let tag = etag::of(stored.version);
    let reply = reply.about(&stored, &app.discovery.group, &caller.base, &tag);
    if shape.projection.wants("members") {
        match fetch(app, caller, stored.id.clone(), true).await {
            Ok((_, members)) => return Ok(reply.scim(stream::one(shape, &stored, members)?)),
            // The write is done; that its members cannot be read right now must not make it look failed.
            Err(error) => {
                tracing::warn!(
                    error.kind = error.kind().name(),
                    "answering a write without `members`: {}",
                    error.detail()
                );
            }
        }
    }
    Ok(reply.json(&Value::Object(shape.group(&stored)?)))
}

/// All members, if they are wanted and no more than [`ECHOED_MEMBERS`]. Stops reading as soon as there are more.
async fn few_members(
    app: &App,
    caller: &Caller,
    projection: &Projection,
    stored: &Resource,
) -> Option<Vec<Member>> {
    if !projection.wants("members") {
        return None;
    }
    let (_, mut answer) = fetch(app, caller, stored.id.clone(), true).await.ok()?;
    let mut members = Vec::new();
    while let Some(piece) = answer.message().await.ok()? {
        let Some(get_group_response::Part::Members(chunk)) = piece.part else { return None };
        members.extend(chunk.members);
        if members.len() > ECHOED_MEMBERS {
            return None;
        }
    }
    Some(members)
}

fn add_members(group: &mut Map, members: Vec<Value>) {
    if !members.is_empty() {
        group.insert("members".to_owned(), Value::Array(members));
    }
}
