//! /Users: identity stores them, membership knows their groups.

use std::collections::HashMap;

use ::scim::discovery::List;
use ::scim::list_response;
use ::scim::project::Projection;
use ::scim::schema::ResourceType;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use proto::common::v1::{Page, Resource};
use proto::identity::v1::{GetUserRequest, ListUsersRequest};
use proto::membership::v1::{ListGroupsOfUsersRequest, UserGroup};
use serde_json::Value;

use super::etag;
use super::render::{self, Reply, promised};
use super::request::{Body, Caller, Id, Params};
use super::terms;
use super::write::{self, Kind, Write, Written};
use crate::error::Result;
use crate::{App, schemas};

/// Users whose groups are asked for at once: with a thousand groups each they still fit into a message.
const USERS_PER_CALL: usize = 100;

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    Body(body): Body,
) -> Result<Response> {
    let of = app.schemas.user(&caller).await?;
    let projection = params.projection(&of)?;
    let done = write::run(&app, &caller, Kind::User, Write::Create { body }).await?;
    written(&app, &caller, &of, &projection, done).await
}

pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Response> {
    let of = app.schemas.user(&caller).await?;
    let projection = params.projection(&of)?;
    let request = caller.call(GetUserRequest { context: caller.context(), id })?;
    let answer = app.clients.users.clone().get_user(request).await?.into_inner();
    let stored = promised(answer.resource, "GetUser answered without the user")?;
    caller.note.found(Kind::User, &stored);
    // Before the tags are compared: which groups the user is in is part of what the client has.
    let mut groups = groups_of(&app, &caller, &projection, std::slice::from_ref(&stored)).await?;
    let user = User::new(&stored, groups.remove(&stored.id));
    if etag::if_none_match(&headers, &user.tag) {
        let reply = Reply::new(StatusCode::NOT_MODIFIED);
        return Ok(reply.about(&stored, &of, &caller.base, &user.tag).empty());
    }
    shown(Reply::new(StatusCode::OK), &user, &of, &caller, &projection)
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
    let of = app.schemas.user(&caller).await?;
    let projection = params.projection(&of)?;
    let replace = Write::Replace { id, body, precondition: etag::if_match(&headers) };
    let done = write::run(&app, &caller, Kind::User, replace).await?;
    written(&app, &caller, &of, &projection, done).await
}

pub(crate) async fn patch(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    Id(id): Id,
    Body(body): Body,
) -> Result<Response> {
    let of = app.schemas.user(&caller).await?;
    let projection = params.projection(&of)?;
    let patch = Write::Patch { id, body, precondition: etag::if_match(&headers) };
    let done = write::run(&app, &caller, Kind::User, patch).await?;
    written(&app, &caller, &of, &projection, done).await
}

pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Response> {
    let delete = Write::Delete { id, precondition: etag::if_match(&headers) };
    let done = write::run(&app, &caller, Kind::User, delete).await?;
    Ok(Reply::new(done.status).wrote(&done).empty())
}

pub(crate) async fn page(app: &App, caller: &Caller, params: Params) -> Result<Response> {
    let found = find(app, caller, &params, params.page(&app.config)).await?;
    let list = List {
        total_results: u64::try_from(found.total).ok(),
        start_index: params.shown_start_index(),
        resources: found.users,
        next_cursor: Some(found.next_cursor).filter(|cursor| !cursor.is_empty()),
        previous_cursor: None,
    };
    Ok(Reply::new(StatusCode::OK).json(&list_response(list)))
}

/// A page of users as they are shown.
pub(super) struct Found {
    pub(super) users: Vec<Value>,
    /// How many match in all.
    pub(super) total: i64,
    /// Empty when there is no further page, or pages are by index.
    pub(super) next_cursor: String,
}

/// That page of the users which the parameters ask for.
pub(super) async fn find(app: &App, caller: &Caller, params: &Params, page: Page) -> Result<Found> {
    let of = app.schemas.user(caller).await?;
    let projection = params.projection(&of)?;
    let request = caller.call(ListUsersRequest {
        context: caller.context(),
        page: Some(page),
        sort_order: params.sort_order()?.into(),
        resolved_terms: terms::resolve(app, caller, &params.filter).await?,
        filter: params.filter.clone(),
        sort_by: params.sort_by.clone(),
    })?;
    let answer = app.clients.users.clone().list_users(request).await?.into_inner();
    if answer.total_results == 1 {
        caller.note.found_alone(Kind::User, &answer.resources);
    }
    let mut groups = groups_of(app, caller, &projection, &answer.resources).await?;
    let mut users = Vec::with_capacity(answer.resources.len());
    for stored in &answer.resources {
        users.push(User::new(stored, groups.remove(&stored.id)).shown(&of, caller, &projection)?);
    }
    Ok(Found { users, total: answer.total_results, next_cursor: answer.next_cursor })
}

/// The answer to a write of this user.
pub(crate) async fn written(
    app: &App,
    caller: &Caller,
    of: &ResourceType,
    projection: &Projection,
    done: Written,
) -> Result<Response> {
    let reply = Reply::new(done.status).wrote(&done);
    let is_new = done.status == StatusCode::CREATED;
    let stored = promised(done.resource, "a write was answered without the user")?;
    // Nobody can have made it a member yet whose id is new.
    let asked = if is_new { &[] } else { std::slice::from_ref(&stored) };
    // The write is done, so membership being away must not make it look failed.
    let groups = match groups_of(app, caller, projection, asked).await {
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
    shown(reply, &User::new(&stored, groups), of, caller, projection)
}

fn shown(
    reply: Reply,
    user: &User<'_>,
    of: &ResourceType,
    caller: &Caller,
    projection: &Projection,
) -> Result<Response> {
    let body = user.shown(of, caller, projection)?;
    Ok(reply.about(user.stored, of, &caller.base, &user.tag).json(&body))
}

/// The groups of a page of users, by user id; nothing when the client does not want to see them or the tenant
/// has none.
async fn groups_of(
    app: &App,
    caller: &Caller,
    projection: &Projection,
    users: &[Resource],
) -> Result<HashMap<String, Vec<UserGroup>>> {
    if users.is_empty() || !projection.wants("groups") || !caller.policy().has_groups() {
        return Ok(HashMap::new());
    }
    let mut groups = HashMap::with_capacity(users.len());
    for users in users.chunks(USERS_PER_CALL) {
        let user_ids = users.iter().map(|user| user.id.clone()).collect();
        let request = caller.call(ListGroupsOfUsersRequest { context: caller.context(), user_ids })?;
        let answer = app.clients.groups.clone().list_groups_of_users(request).await?.into_inner();
        groups.extend(answer.users.into_iter().map(|user| (user.user_id, user.groups)));
    }
    Ok(groups)
}

/// A user from both services, and the tag of the two together.
struct User<'a> {
    stored: &'a Resource,
    groups: Vec<UserGroup>,
    tag: String,
}

impl<'a> User<'a> {
    /// `groups` are none when they are not to be shown.
    fn new(stored: &'a Resource, groups: Option<Vec<UserGroup>>) -> Self {
        let groups = groups.unwrap_or_default();
        Self { stored, tag: etag::with_groups(stored.version, &groups), groups }
    }

    fn shown(&self, of: &ResourceType, caller: &Caller, projection: &Projection) -> Result<Value> {
        let mut user = render::resource(self.stored, of, &caller.base, &self.tag)?;
        schemas::list_used(of, &mut user);
        render::add_groups(&mut user, &self.groups, &caller.base);
        projection.apply(of, &mut user);
        Ok(Value::Object(user))
    }
}
