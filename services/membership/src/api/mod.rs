//! gRPC: decode, one call, encode.

mod details;
mod groups;
mod maintenance;
mod memberships;
mod projection;
mod refs;
mod tenant_data;
mod watch;

use std::pin::Pin;

use futures::Stream;
use platform::auth::Scope;
use platform::ids::GroupId;
use platform::{Error, Result};
use proto::common::v1 as common;
use proto::membership::v1::Team;
use scim::{Dialect, Limits};
use serde_json::Value;
use tonic::{Request, Status};

use crate::domain::precondition::Precondition;
use crate::store::Author;
use crate::store::entity::{group, user};

pub(crate) use projection::user_state;

/// The longest correlation id that is recorded.
const REQUEST_ID: usize = 64;

/// Bytes of names in one message of a stream, about: consumers' gRPC libraries take 4 MiB unless told otherwise.
const PIECE: usize = 1024 * 1024;

/// What a streaming RPC returns.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Author and dialect of a provisioning request, if the caller may provision there.
fn provisioning<T>(request: &Request<T>, context: Option<&common::Context>) -> Result<(Author, Dialect)> {
    let caller = platform::auth::caller(request)?;
    let context =
        context.ok_or_else(|| Error::invalid_value("context is missing: it names tenant and dialect"))?;
    let tenant = caller.authorize_any(&[Scope::Scim, Scope::Admin], &context.tenant_id)?;
    let dialect = match context.dialect() {
        common::Dialect::Entra => Dialect::ENTRA,
        common::Dialect::Okta => Dialect::OKTA,
        common::Dialect::Rfc => Dialect::RFC,
        common::Dialect::Interop => Dialect::INTEROP,
        common::Dialect::Unspecified => {
            return Err(Error::invalid_value("context.dialect is missing: it says how to read the request"));
        }
    };
    let request_id = context.request_id.chars().filter(char::is_ascii_graphic).take(REQUEST_ID).collect();
    Ok((Author { tenant, request_id }, dialect))
}

fn group_id(text: &str) -> Result<GroupId> {
    text.parse()
}

fn body(bytes: &[u8]) -> Result<Value> {
    Ok(scim::resource::parse_json(bytes, &Limits::DEFAULT)?)
}

fn precondition(sent: Option<common::Precondition>) -> Precondition {
    match sent {
        Some(common::Precondition { any: false, versions }) => Precondition::Versions(versions),
        Some(common::Precondition { any: true, versions: _ }) | None => Precondition::None,
    }
}

fn resource(group: group::Model) -> Result<common::Resource> {
    let group::Model {
        tenant_id: _,
        id,
        display_name: _,
        display_name_key: _,
        external_id: _,
        created_at,
        updated_at,
        version,
        attributes,
        search: _,
    } = group;
    Ok(common::Resource {
        id: id.to_string(),
        version,
        created_at_us: created_at,
        updated_at_us: updated_at,
        json: serde_json::to_vec(&attributes).map_err(Error::internal)?.into(),
    })
}

fn warnings(all: Vec<scim::Warning>) -> Vec<common::Warning> {
    all.into_iter().map(|scim::Warning { attribute, detail }| common::Warning { attribute, detail }).collect()
}

fn changes(all: Vec<scim::Difference>) -> Vec<common::AttributeChange> {
    let change = |difference: scim::Difference| {
        let scim::Difference { path, before, after } = difference;
        common::AttributeChange { path, before: before.unwrap_or_default(), after: after.unwrap_or_default() }
    };
    all.into_iter().map(change).collect()
}

/// The teams of a user. The slug of one is empty when identity did not tell it, before it learned to.
fn teams(user: &user::Model) -> Vec<Team> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ids = user.team_ids.as_array().into_iter().flatten();
    let mut slugs = user.team_slugs.as_array().into_iter().flatten();
    ids.map(|id| Team { id: text(id), slug: slugs.next().map(text).unwrap_or_default() }).collect()
}

/// The items in order, in pieces of about [`PIECE`] bytes.
fn pieces<T>(items: impl IntoIterator<Item = T>, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut pieces = Vec::new();
    let mut room = 0;
    for item in items {
        let size = bytes(&item);
        match pieces.last_mut() {
            Some(piece) if size <= room => Vec::push(piece, item),
            _ => {
                pieces.push(vec![item]);
                room = PIECE;
            }
        }
        room = room.saturating_sub(size);
    }
    pieces
}
