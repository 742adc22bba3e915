//! Groups with their members, written as they arrive: a group of a million members passes through in the memory of one
//! chunk. The client's reading sets the pace.

use std::sync::Arc;

use ::scim::Map;
use ::scim::project::Projection;
use ::scim::schema::ResourceType;
use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use futures::stream::try_unfold;
use proto::common::v1::Resource;
use proto::membership::v1::{
    GetGroupResponse, ListGroupsResponse, ListHead, Member, MemberChunk, MemberType, get_group_response,
    list_groups_response,
};
use serde_json::{Value, json};
use tonic::Streaming;
use tracing::{Instrument, Span};

use super::{etag, render};
use crate::error::{Error, Result};

/// How groups are to be shown.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) of: Arc<ResourceType>,
    pub(crate) projection: Projection,
    pub(crate) base: String,
}

impl Shape {
    /// A group without members.
    pub(crate) fn group(&self, stored: &Resource) -> Result<Map> {
        let mut group = render::resource(stored, &self.of, &self.base, &etag::of(stored.version))?;
        self.projection.apply(&self.of, &mut group);
        Ok(group)
    }

    /// These members, as the projection shows them.
    pub(crate) fn members(&self, members: &[Member]) -> Vec<Value> {
        let shown = members.iter().map(|member| self.member(member)).collect();
        // Projection works on resources, so the members go through it inside of an otherwise empty group.
        let mut group = Map::new();
        group.insert("members".to_owned(), Value::Array(shown));
        self.projection.apply(&self.of, &mut group);
        match group.remove("members") {
            Some(Value::Array(members)) => members,
            _ => Vec::new(),
        }
    }

    fn member(&self, member: &Member) -> Value {
        let mut shown = json!({"value": member.id});
        let (kind, endpoint) = match member.r#type() {
            MemberType::User => ("User", "Users"),
            MemberType::Group => ("Group", "Groups"),
            // Not (yet) a resource of the tenant: there is nothing to refer to.
            MemberType::Unspecified => return shown,
        };
        shown["type"] = kind.into();
        shown["$ref"] = format!("{}/{endpoint}/{}", self.base, member.id).into();
        if !member.display.is_empty() {
            shown["display"] = member.display.as_str().into();
        }
        shown
    }
}

/// One group, the first message of `answer` already taken from it.
pub(crate) fn one(shape: Shape, stored: &Resource, answer: Streaming<GetGroupResponse>) -> Result<Body> {
    let mut writer = Writer::new(shape);
    writer.group(stored)?;
    let pieces = try_unfold(Some((writer, answer)), |state| async {
        let Some((mut writer, mut answer)) = state else { return Ok(None) };
        match answer.message().await? {
            Some(GetGroupResponse { part: Some(get_group_response::Part::Members(chunk)) }) => {
                writer.members(&chunk)?;
                Ok(Some((writer.take(), Some((writer, answer)))))
            }
            None => {
                writer.end_group();
                Ok(Some((writer.take(), None)))
            }
            Some(_) => Err(Error::broken_contract("GetGroup sent something else than members")),
        }
    });
    Ok(body(pieces))
}

/// What stands before the groups of a list.
pub(crate) struct Head {
    pub(crate) total_results: i64,
    /// None with cursors.
    pub(crate) start_index: Option<u64>,
    /// Empty on the last page and with paging by index.
    pub(crate) next_cursor: String,
    /// Resources of another type, which come first.
    pub(crate) before: Vec<Value>,
    /// How many groups follow.
    pub(crate) groups: i64,
}

impl Head {
    /// Of a list of nothing but groups.
    pub(crate) fn new(head: ListHead, start_index: Option<u64>) -> Self {
        let ListHead { total_results, items, next_cursor } = head;
        Self { total_results, start_index, next_cursor, before: Vec::new(), groups: items }
    }
}

/// A page of groups, the head already taken from `answer`.
pub(crate) fn list(shape: Shape, head: Head, answer: Streaming<ListGroupsResponse>) -> Body {
    let mut writer = Writer::new(shape);
    let groups = head.groups;
    writer.begin_list(head);
    let pieces = try_unfold(Some((writer, answer, groups)), |state| async {
        let Some((mut writer, mut answer, missing)) = state else { return Ok(None) };
        let missing = match answer.message().await? {
            Some(ListGroupsResponse { part: Some(list_groups_response::Part::Group(stored)) }) => {
                writer.group(&stored)?;
                missing - 1
            }
            Some(ListGroupsResponse { part: Some(list_groups_response::Part::Members(chunk)) }) => {
                writer.members(&chunk)?;
                missing
            }
            None if missing == 0 => {
                writer.end_list();
                return Ok(Some((writer.take(), None)));
            }
            _ => return Err(Error::broken_contract("ListGroups sent other groups than its head announced")),
        };
        Ok(Some((writer.take(), Some((writer, answer, missing)))))
    });
    body(pieces)
}

/// When a piece fails the answer has long begun: it is broken off, so that the client sees it is not whole.
fn body(pieces: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Body {
    let span = Span::current();
    let pieces = Box::pin(pieces);
    Body::from_stream(try_unfold(pieces, move |mut pieces| {
        async move {
            match futures::TryStreamExt::try_next(&mut pieces).await {
                Ok(Some(piece)) => Ok(Some((piece, pieces))),
                Ok(None) => Ok(None),
                Err(error) => {
                    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
                    tracing::error!(
                        error.cause = cause,
                        "a streamed answer was broken off: {}",
                        error.detail()
                    );
                    Err(std::io::Error::other("broken off"))
                }
            }
        }
        .instrument(span.clone())
    }))
}

/// Writes groups piece by piece.
struct Writer {
    shape: Shape,
    out: Vec<u8>,
    in_group: bool,
    in_members: bool,
    after_a_resource: bool,
}

impl Writer {
    fn new(shape: Shape) -> Self {
        Self { shape, out: Vec::new(), in_group: false, in_members: false, after_a_resource: false }
    }

    /// What was written since the last time.
    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).into()
    }

    fn begin_list(&mut self, head: Head) {
        let Head { total_results, start_index, next_cursor, before, groups } = head;
        let items = i64::try_from(before.len()).unwrap_or(i64::MAX).saturating_add(groups);
        let mut list = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": total_results,
            "itemsPerPage": items,
        });
        if let Some(start_index) = start_index {
            list["startIndex"] = start_index.into();
        }
        if !next_cursor.is_empty() {
            list["nextCursor"] = next_cursor.into();
        }
        self.open_object(&list);
        self.out.extend_from_slice(b",\"Resources\":[");
        for resource in before {
            self.separate();
            self.out.extend_from_slice(::scim::render::to_string(&resource).as_bytes());
        }
    }

    fn end_list(&mut self) {
        self.end_group();
        self.out.extend_from_slice(b"]}");
    }

    /// Begins a group, after ending the one before. It has at least an `id`, so what follows begins with a comma.
    fn group(&mut self, stored: &Resource) -> Result<()> {
        self.end_group();
        self.separate();
        let group = self.shape.group(stored)?;
        self.open_object(&Value::Object(group));
        self.in_group = true;
        Ok(())
    }

    /// To be called before each resource of a list.
    fn separate(&mut self) {
        if self.after_a_resource {
            self.out.push(b',');
        }
        self.after_a_resource = true;
    }

    fn members(&mut self, chunk: &MemberChunk) -> Result<()> {
        if !self.in_group {
            return Err(Error::broken_contract("membership sent members before their group"));
        }
        for member in self.shape.members(&chunk.members) {
            let before: &[u8] = if self.in_members { b"," } else { b",\"members\":[" };
            self.out.extend_from_slice(before);
            self.out.extend_from_slice(::scim::render::to_string(&member).as_bytes());
            self.in_members = true;
        }
        Ok(())
    }

    fn end_group(&mut self) {
        if self.in_members {
            self.out.push(b']');
        }
        if self.in_group {
            self.out.push(b'}');
        }
        self.in_members = false;
        self.in_group = false;
    }

    fn open_object(&mut self, object: &Value) {
        let text = ::scim::render::to_string(object);
        self.out.extend_from_slice(text.strip_suffix('}').unwrap_or(&text).as_bytes());
    }
}
