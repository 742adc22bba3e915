//! Discovery documents (RFC 7644, section 4, and RFC 9865) and list responses. All of it without nulls.

use serde_json::{Value, json};

/// What `/ServiceProviderConfig` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceProvider {
    pub documentation_uri: Option<String>,
    pub patch: bool,
    /// `None`: no bulk.
    pub bulk: Option<Bulk>,
    /// Greatest number of resources in a list response; `None`: no filter.
    pub filter_max_results: Option<u64>,
    pub change_password: bool,
    pub sort: bool,
    pub etag: bool,
    pub pagination: Pagination,
    pub authentication_schemes: Vec<AuthenticationScheme>,
}

/// Limits of bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bulk {
    pub max_operations: u64,
    /// In bytes.
    pub max_payload_size: u64,
}

/// How lists are paged (RFC 9865, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pagination {
    pub cursor: bool,
    pub index: bool,
    pub default_page_size: u64,
    pub max_page_size: u64,
    /// Seconds a cursor stays good.
    pub cursor_timeout: Option<u64>,
}

/// How clients authenticate (RFC 7643, section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticationScheme {
    /// `oauthbearertoken`, `oauth2`, …
    pub kind: String,
    pub name: String,
    pub description: String,
    pub spec_uri: Option<String>,
    pub primary: bool,
}

impl ServiceProvider {
    /// The document for `/ServiceProviderConfig`. `base_url` is the tenant's SCIM base, for `meta.location`.
    pub fn to_json(&self, base_url: &str) -> Value {
        let bulk = match self.bulk {
            Some(bulk) => json!({
                "supported": true,
                "maxOperations": bulk.max_operations,
                "maxPayloadSize": bulk.max_payload_size,
            }),
            None => json!({ "supported": false, "maxOperations": 0, "maxPayloadSize": 0 }),
        };
        let mut document = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
            "patch": { "supported": self.patch },
            "bulk": bulk,
            "filter": {
                "supported": self.filter_max_results.is_some(),
                "maxResults": self.filter_max_results.unwrap_or(0),
            },
            "changePassword": { "supported": self.change_password },
            "sort": { "supported": self.sort },
            "etag": { "supported": self.etag },
            "pagination": self.pagination.to_json(),
            "authenticationSchemes":
                self.authentication_schemes.iter().map(AuthenticationScheme::to_json).collect::<Vec<_>>(),
            "meta": {
                "resourceType": "ServiceProviderConfig",
                "location": format!("{base_url}/ServiceProviderConfig"),
            },
        });
        if let Some(uri) = &self.documentation_uri {
            document["documentationUri"] = uri.as_str().into();
        }
        document
    }
}

impl Pagination {
    fn to_json(self) -> Value {
        let mut document = json!({
            "cursor": self.cursor,
            "index": self.index,
            "defaultPaginationMethod": "index",
            "defaultPageSize": self.default_page_size,
            "maxPageSize": self.max_page_size,
        });
        if let Some(seconds) = self.cursor_timeout {
            document["cursorTimeout"] = seconds.into();
        }
        document
    }
}

impl AuthenticationScheme {
    fn to_json(&self) -> Value {
        let mut document = json!({
            "type": self.kind,
            "name": self.name,
            "description": self.description,
            "primary": self.primary,
        });
        if let Some(uri) = &self.spec_uri {
            document["specUri"] = uri.as_str().into();
        }
        document
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct List {
    /// How many match in all; `None` where it is not known (allowed with cursors).
    pub total_results: Option<u64>,
    /// With index pagination: 1-based.
    pub start_index: Option<u64>,
    pub resources: Vec<Value>,
    /// With cursor pagination: the next page.
    pub next_cursor: Option<String>,
    /// With cursor pagination: the page before.
    pub previous_cursor: Option<String>,
}

/// The ListResponse message (RFC 7644, section 3.4.2; RFC 9865).
pub fn list_response(list: List) -> Value {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "itemsPerPage": list.resources.len(),
    });
    // Not inside of `json!`, which would build each of them anew.
    body["Resources"] = Value::Array(list.resources);
    if let Some(total) = list.total_results {
        body["totalResults"] = total.into();
    }
    if let Some(start) = list.start_index {
        body["startIndex"] = start.into();
    }
    if let Some(cursor) = list.next_cursor {
        body["nextCursor"] = cursor.into();
    }
    if let Some(cursor) = list.previous_cursor {
        body["previousCursor"] = cursor.into();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_no_nulls() {
        let provider = ServiceProvider {
            documentation_uri: None,
            patch: true,
            bulk: None,
            filter_max_results: Some(200),
            change_password: false,
            sort: true,
            etag: true,
            pagination: Pagination {
                cursor: true,
                index: true,
                default_page_size: 100,
                max_page_size: 200,
                cursor_timeout: None,
            },
            authentication_schemes: vec![AuthenticationScheme {
                kind: "oauthbearertoken".into(),
                name: "Bearer".into(),
                description: "A secret".into(),
                spec_uri: None,
                primary: true,
            }],
        };
        let document = provider.to_json("https://h/scim/v2");
        assert!(!document.to_string().contains("null"));
        assert_eq!(document["meta"]["location"], "https://h/scim/v2/ServiceProviderConfig");
        assert_eq!(document["bulk"]["supported"], false);
        assert_eq!(document["filter"]["maxResults"], 200);
        let with =
            ServiceProvider { bulk: Some(Bulk { max_operations: 9, max_payload_size: 8 }), ..provider };
        assert_eq!(
            with.to_json("")["bulk"],
            json!({ "supported": true, "maxOperations": 9, "maxPayloadSize": 8 })
        );
    }

    #[test]
    fn an_empty_list_is_a_list() {
        let list = list_response(List { total_results: Some(0), start_index: Some(1), ..List::default() });
        assert_eq!(
            list,
            json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
                "totalResults": 0, "startIndex": 1, "itemsPerPage": 0, "Resources": [],
            })
        );
        let paged = list_response(List {
            next_cursor: Some("n".into()),
            previous_cursor: Some("p".into()),
            ..List::default()
        });
        assert_eq!((&paged["nextCursor"], &paged["previousCursor"]), (&json!("n"), &json!("p")));
        assert!(paged.get("startIndex").is_none());
    }
}
