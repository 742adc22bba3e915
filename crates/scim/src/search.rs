//! The SearchRequest message of `POST /.search` (RFC 7644, section 3.4.3; cursor: RFC 9865, section 2).

use serde_json::Value;

use crate::message::{check_schemas, take_member};
use crate::resource::parse_json;
use crate::{Error, Limits, Map, Result};

const SEARCH_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// `sortOrder` (RFC 7644, section 3.4.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    #[default]
    Ascending,
    Descending,
}

impl SortOrder {
    /// From a query string or a message, in any case; `invalidValue` for what is neither.
    pub fn parse(text: &str) -> Result<SortOrder> {
        if text.eq_ignore_ascii_case("ascending") {
            return Ok(SortOrder::Ascending);
        }
        if text.eq_ignore_ascii_case("descending") {
            return Ok(SortOrder::Descending);
        }
        let shown: String = text.chars().take(40).collect();
        let detail = format!("sortOrder: expected \"ascending\" or \"descending\", got {shown:?}");
        Err(Error::invalid_value(detail).about("sortOrder"))
    }
}

/// What to search for. Absent, null and empty texts and lists are all `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchRequest {
    /// Comma-separated, as [`crate::project::Projection::parse`] takes them.
    pub attributes: Option<String>,
    /// Comma-separated, as [`crate::project::Projection::parse`] takes them.
    pub excluded_attributes: Option<String>,
    /// Not parsed yet.
    pub filter: Option<String>,
    pub sort_by: Option<String>,
    pub sort_order: Option<SortOrder>,
    /// As sent: may be below 1, which means 1. What does not fit is the nearest that does.
    pub start_index: Option<i64>,
    /// As sent: may be negative, which means 0. What does not fit is the nearest that does.
    pub count: Option<i64>,
    /// `Some("")` asks for the first page of a walk by cursor (RFC 9865, section 2).
    pub cursor: Option<String>,
}

impl SearchRequest {
    /// Reads the body of a search. `invalidSyntax` for what is not a SearchRequest, `invalidValue` for a parameter of the
    /// wrong type, each with the parameter's name. Unknown parameters are ignored, as they are in a query string.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<SearchRequest> {
        let Value::Object(mut body) = parse_json(body, limits)? else {
            return Err(Error::invalid_syntax("expected a JSON object: a SearchRequest message"));
        };
        check_schemas(&body, SEARCH_REQUEST_URN)?;
        let sort_order = text(&mut body, "sortOrder")?.filter(|order| !order.is_empty());
        Ok(SearchRequest {
            attributes: names(&mut body, "attributes")?,
            excluded_attributes: names(&mut body, "excludedAttributes")?,
            filter: text(&mut body, "filter")?.filter(|filter| !filter.is_empty()),
            sort_by: text(&mut body, "sortBy")?.filter(|name| !name.is_empty()),
            sort_order: sort_order.as_deref().map(SortOrder::parse).transpose()?,
            start_index: integer(&mut body, "startIndex")?,
            count: integer(&mut body, "count")?,
            cursor: text(&mut body, "cursor")?,
        })
    }
}

fn wrong(name: &str, expected: &str) -> Error {
    Error::invalid_value(format!("{name}: expected {expected}")).about(name)
}

fn text(body: &mut Map, name: &str) -> Result<Option<String>> {
    match take_member(body, name) {
        None => Ok(None),
        Some(Value::String(text)) if text.contains('\0') => {
            Err(wrong(name, "text without the NUL character"))
        }
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(name, "a string")),
    }
}

fn integer(body: &mut Map, name: &str) -> Result<Option<i64>> {
    let Some(value) = take_member(body, name) else { return Ok(None) };
    if let Some(integer) = value.as_i64() {
        return Ok(Some(integer));
    }
    match value.as_f64() {
        Some(number) if number >= i64::MAX as f64 => Ok(Some(i64::MAX)),
        Some(number) if number <= i64::MIN as f64 => Ok(Some(i64::MIN)),
        _ => Err(wrong(name, "an integer")),
    }
}

fn names(body: &mut Map, name: &str) -> Result<Option<String>> {
    let expected = || wrong(name, "an array of attribute names as strings");
    let list = match take_member(body, name) {
        None => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(expected()),
    };
    let mut names = Vec::with_capacity(list.len());
    for name in &list {
        names.push(name.as_str().ok_or_else(expected)?);
    }
    Ok(Some(names.join(",")).filter(|names| !names.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorKind;

    fn parse(body: &Value) -> Result<SearchRequest> {
        SearchRequest::parse(body.to_string().as_bytes(), &Limits::DEFAULT)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body = json!({ "schemas": [SEARCH_REQUEST_URN] });
        body[name] = value;
        body
    }

    #[test]
    fn the_example_of_the_rfc() {
        let request = parse(&json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "attributes": ["displayName", "userName"],
            "filter": "displayName sw \"smith\"",
            "startIndex": 1,
            "count": 10,
        }));
        let expected = SearchRequest {
            attributes: Some("displayName,userName".into()),
            filter: Some("displayName sw \"smith\"".into()),
            start_index: Some(1),
            count: Some(10),
            ..SearchRequest::default()
        };
        assert_eq!(request, Ok(expected));
    }

    #[test]
    fn nothing_in_many_spellings_is_nothing() {
        let body = json!({
            "Schemas": ["URN:ietf:params:scim:api:messages:2.0:searchrequest"],
            "attributes": [], "excludedAttributes": null, "filter": "", "sortBy": "", "sortOrder": "", "count": null,
            "somethingElse": [1],
        });
        assert_eq!(parse(&body), Ok(SearchRequest::default()));
    }

    #[test]
    fn an_empty_cursor_asks_for_the_first_page() {
        assert_eq!(parse(&with("cursor", json!(""))).unwrap().cursor.as_deref(), Some(""));
    }

    #[test]
    fn names_match_in_any_case_and_numbers_are_bounded() {
        assert_eq!(
            parse(&with("SORTORDER", json!("Descending"))).unwrap().sort_order,
            Some(SortOrder::Descending)
        );
        assert_eq!(parse(&with("count", json!(u64::MAX))).unwrap().count, Some(i64::MAX));
        assert_eq!(parse(&with("startIndex", json!(-3))).unwrap().start_index, Some(-3));
        let huge = format!(r#"{{"schemas":[{SEARCH_REQUEST_URN:?}],"count":-99999999999999999999999}}"#);
        let huge = SearchRequest::parse(huge.as_bytes(), &Limits::DEFAULT);
        assert_eq!(huge.unwrap().count, Some(i64::MIN));
    }

    #[test]
    fn refusals_name_the_parameter() {
        let cases = [
            ("filter", json!(1), "filter: expected a string"),
            ("filter", json!("a\0"), "filter: expected text without the NUL character"),
            ("attributes", json!("userName"), "attributes: expected an array of attribute names as strings"),
            ("excludedAttributes", json!([1]), "excludedAttributes: expected an array of attribute names"),
            ("count", json!("10"), "count: expected an integer"),
            ("startIndex", json!(1.5), "startIndex: expected an integer"),
            ("startIndex", json!(10.0), "startIndex: expected an integer"),
            ("sortOrder", json!("up"), "sortOrder: expected \"ascending\" or \"descending\", got \"up\""),
            ("cursor", json!({}), "cursor: expected a string"),
        ];
        for (name, value, expected) in cases {
            let error = parse(&with(name, value)).unwrap_err();
            assert_eq!((error.kind, error.attribute.as_deref()), (ErrorKind::InvalidValue, Some(name)));
            assert!(error.detail.starts_with(expected), "{}", error.detail);
        }
        for body in [json!([]), json!({ "filter": "a pr" }), json!({ "schemas": ["x"] })] {
            assert_eq!(parse(&body).unwrap_err().kind, ErrorKind::InvalidSyntax, "{body}");
        }
    }
}
