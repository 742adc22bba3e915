//! `rollcall.identity.v1.Users`.

use platform::db::filter::Term;
use platform::db::page::Wanted;
use platform::ids::UserId;
use platform::{Error, Result, auth};
use proto::common::v1::SortOrder;
use proto::identity::v1::users_server::Users;
use proto::identity::v1::{
    CreateUserRequest, CreateUserResponse, DeleteUserRequest, DeleteUserResponse, GetUserRequest,
    GetUserResponse, ListUsersRequest, ListUsersResponse, PatchUserRequest, PatchUserResponse,
    ReplaceUserRequest, ReplaceUserResponse, ResolvedTerm,
};
use scim::Dialect;
use scim::filter::{self, Filter};
use tonic::{Request, Response, Status};

use super::{Api, wire};
use crate::domain::{self, Reader, Schema};
use crate::store::Listing;

#[tonic::async_trait]
impl Users for Api {
    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        let message = request.get_ref();
        let (author, dialect) = wire::context(auth::caller(&request)?, message.context.as_ref())?;
        let edit = self.reader(dialect).create(&message.body)?;

        let made = self.shared.store.create(author, edit).await?;
        Ok(Response::new(CreateUserResponse {
            resource: Some(wire::resource(&made.user)?),
            revision: made.revision.to_string(),
            warnings: wire::warnings(made.warnings),
            change: made.change.map(wire::change),
            changes: wire::differences(made.differences),
        }))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        let message = request.get_ref();
        let (author, _) = wire::context(auth::caller(&request)?, message.context.as_ref())?;

        let user = self.shared.store.get(author.tenant, user_id(&message.id)?).await?;
        let user = user.ok_or_else(domain::no_such_user)?;
        Ok(Response::new(GetUserResponse { resource: Some(wire::found(user)?) }))
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        let message = request.get_ref();
        let (author, dialect) = wire::context(auth::caller(&request)?, message.context.as_ref())?;
        let tenant = author.tenant.to_string();
        let query = bound_query(&tenant, message);
        let listing = |schema: &Schema| self.listing(message, dialect, &query, schema);

        let found = self.shared.store.list(author.tenant, listing).await?;
        let next = found.next.map(|place| self.shared.cursors.seal(&query, &place)).transpose()?;
        Ok(Response::new(ListUsersResponse {
            resources: found.users.into_iter().map(wire::found).collect::<Result<_>>()?,
            total_results: found.total,
            next_cursor: next.unwrap_or_default(),
        }))
    }

    async fn replace_user(
        &self,
        request: Request<ReplaceUserRequest>,
    ) -> Result<Response<ReplaceUserResponse>, Status> {
        let (author, dialect) = wire::context(auth::caller(&request)?, request.get_ref().context.as_ref())?;
        let ReplaceUserRequest { context: _, id, body, precondition } = request.into_inner();
        let id = user_id(&id)?;
        let edit = self.reader(dialect).replace(&body)?;

        let changed = self.shared.store.change(author, id, wire::precondition(precondition), edit).await?;
        Ok(Response::new(ReplaceUserResponse {
            resource: Some(wire::resource(&changed.user)?),
            revision: changed.revision.to_string(),
            warnings: wire::warnings(changed.warnings),
            change: changed.change.map(wire::change),
            changes: wire::differences(changed.differences),
        }))
    }

    async fn patch_user(
        &self,
        request: Request<PatchUserRequest>,
    ) -> Result<Response<PatchUserResponse>, Status> {
        let (author, dialect) = wire::context(auth::caller(&request)?, request.get_ref().context.as_ref())?;
        let PatchUserRequest { context: _, id, body, precondition } = request.into_inner();
        let id = user_id(&id)?;
        let edit = self.reader(dialect).patch(&body)?;

        let changed = self.shared.store.change(author, id, wire::precondition(precondition), edit).await?;
        Ok(Response::new(PatchUserResponse {
            resource: Some(wire::resource(&changed.user)?),
            revision: changed.revision.to_string(),
            warnings: wire::warnings(changed.warnings),
            change: changed.change.map(wire::change),
            changes: wire::differences(changed.differences),
        }))
    }

    async fn delete_user(
        &self,
        request: Request<DeleteUserRequest>,
    ) -> Result<Response<DeleteUserResponse>, Status> {
        let (author, _) = wire::context(auth::caller(&request)?, request.get_ref().context.as_ref())?;
        let DeleteUserRequest { context: _, id, precondition, keep_days } = request.into_inner();
        let keep = domain::keep(keep_days)?;

        let precondition = wire::precondition(precondition);
        let deleted = self.shared.store.delete(author, user_id(&id)?, precondition, keep).await?;
        Ok(Response::new(DeleteUserResponse {
            revision: deleted.revision.to_string(),
            change: Some(wire::change(deleted.change)),
            changes: wire::differences(deleted.differences),
        }))
    }
}

impl Api {
    fn reader(&self, dialect: &'static Dialect) -> Reader<'_> {
        Reader { dialect, limits: &self.shared.limits }
    }

    fn listing(
        &self,
        message: &ListUsersRequest,
        dialect: &Dialect,
        query: &[&str],
        schema: &Schema,
    ) -> Result<Listing> {
        let user = &schema.user;
        let filter = match message.filter.trim() {
            "" => None,
            text => Some(filter::resolve(&Filter::parse(text, &self.shared.limits)?, user, dialect)?),
        };
        let sort_by = match message.sort_by.trim() {
            "" => None,
            name => Some(scim::sort::resolve(name, user)?),
        };
        let wanted = Wanted::read(message.page.as_ref(), self.shared.page_size, &self.shared.cursors, query)?;
        let descending = message.sort_order() == SortOrder::Descending;
        let terms = message.resolved_terms.iter().map(term).collect();
        Ok(Listing { filter, terms, sort_by, descending, wanted })
    }
}

/// What a cursor of this list is good for: the same tenant, filter and order.
fn bound_query<'a>(tenant: &'a str, message: &'a ListUsersRequest) -> [&'a str; 5] {
    let descending = message.sort_order() == SortOrder::Descending;
    let direction = if descending { "descending" } else { "ascending" };
    ["users", tenant, message.filter.trim(), message.sort_by.trim(), direction]
}

/// What is no id is no user's.
fn term(resolved: &ResolvedTerm) -> Term {
    let ids = resolved.user_ids.iter().filter_map(|id| id.parse().ok()).map(UserId::uuid).collect();
    Term { attribute: resolved.attribute.clone(), value: resolved.value.clone(), ids }
}

/// What is no id at all is answered like an id that nobody has.
pub(super) fn user_id(text: &str) -> Result<UserId> {
    text.parse().map_err(|_: Error| domain::no_such_user())
}
