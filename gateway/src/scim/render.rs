//! From what a service stores to what a client sees: `id`, `meta`, `groups`, headers.

use ::scim::Map;
use ::scim::schema::ResourceType;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use platform::clock::Timestamp;
use proto::common::v1::Resource;
use proto::membership::v1::UserGroup;
use serde_json::{Value, json};

use super::write::Written;
use crate::error::{Error, Result};
use crate::headers::{self, REVISION, SCIM_JSON};

/// The resource with `id` and `meta`, before projection. `tag` is its entity tag.
///
/// # Errors
/// `Internal` when the service stored what is no JSON object.
pub(crate) fn resource(stored: &Resource, of: &ResourceType, base: &str, tag: &str) -> Result<Map> {
    let mut map: Map = serde_json::from_slice(&stored.json).map_err(platform::Error::internal)?;
    let time = |micros| Timestamp::from_micros(micros).to_rfc3339();
    let meta = json!({
        "resourceType": of.name,
        "created": time(stored.created_at_us),
        "lastModified": time(stored.updated_at_us),
        "location": location(of, &stored.id, base),
        "version": tag,
    });
    map.insert("id".to_owned(), stored.id.as_str().into());
    map.insert("meta".to_owned(), meta);
    Ok(map)
}

/// The `groups` of a user (RFC 7643, section 4.1.2); absent when there are none.
pub(crate) fn add_groups(user: &mut Map, groups: &[UserGroup], base: &str) {
    if groups.is_empty() {
        return;
    }
    let shown = groups.iter().map(|group| {
        json!({
            "value": group.id,
            "$ref": format!("{base}/Groups/{}", group.id),
            "display": group.display,
            "type": if group.direct { "direct" } else { "indirect" },
        })
    });
    user.insert("groups".to_owned(), shown.collect());
}

fn location(of: &ResourceType, id: &str, base: &str) -> String {
    format!("{base}{}/{id}", of.endpoint)
}

/// An answer in the making.
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
}

impl Reply {
    pub(crate) fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new() }
    }

    /// The answer is about this resource, which has this entity tag.
    pub(crate) fn about(mut self, stored: &Resource, of: &ResourceType, base: &str, tag: &str) -> Self {
        self.set(ETAG, tag);
        self.set(LOCATION, &location(of, &stored.id, base));
        self
    }

    /// The answer is to this write.
    pub(crate) fn wrote(mut self, done: &Written) -> Self {
        if !done.revision.is_empty() {
            self.set(REVISION, &done.revision);
        }
        headers::add_warnings(&mut self.headers, &done.warnings);
        self
    }

    pub(crate) fn empty(self) -> Response {
        self.finish(Body::empty())
    }

    pub(crate) fn json(self, body: &Value) -> Response {
        self.scim(Body::from(::scim::render::to_string(body)))
    }

    /// A body that is SCIM JSON already.
    pub(crate) fn scim(mut self, body: Body) -> Response {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON));
        self.finish(body)
    }

    fn finish(self, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    fn set(&mut self, name: HeaderName, text: &str) {
        if let Some(value) = headers::value(text) {
            self.headers.insert(name, value);
        }
    }
}

/// A field that the contract promises.
///
/// # Errors
/// `Internal` when the service broke its contract.
pub(crate) fn promised<T>(field: Option<T>, what: &'static str) -> Result<T> {
    field.ok_or_else(|| Error::broken_contract(what))
}
