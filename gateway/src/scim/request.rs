//! What a SCIM request says: who, where, which page, which attributes, which body.

use std::time::Duration;

use ::scim::project::Projection;
use ::scim::schema::ResourceType;
use ::scim::search::{self, SearchRequest};
use ::scim::{ErrorKind, Limits};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use platform::ids::TenantId;
use proto::common::v1::{Context, Dialect, Page, SortOrder};

use super::Mount;
use crate::error::{Error, Result};
use crate::headers::RequestId;
use crate::journal::Note;
use crate::policy::Policy;
use crate::tenant::Provisioner;
use crate::{App, Config, base_url};

/// What a body of JSON may call itself.
pub(crate) const JSON: &[&str] = &["application/scim+json", "application/json"];

/// A client that dribbles its body holds a connection no longer than this.
const BODY_PATIENCE: Duration = Duration::from_secs(60);

/// Who asks, under which URL, with which correlation id.
#[derive(Clone)]
pub(crate) struct Caller {
    provisioner: Provisioner,
    request_id: String,
    /// What goes into the provisioning log.
    pub(crate) note: Note,
    /// The tenant's SCIM base, e.g. `https://scim.example.com/scim/v2`.
    pub(crate) base: String,
}

impl Caller {
    /// Somebody who does not come in by SCIM.
    pub(crate) fn new(provisioner: Provisioner, request_id: String, note: Note, base: String) -> Self {
        Self { provisioner, request_id, note, base }
    }

    /// The envelope that every provisioning message begins with.
    pub(crate) fn context(&self) -> Option<Context> {
        Some(Context {
            tenant_id: self.provisioner.tenant.id.to_string(),
            dialect: self.dialect().into(),
            request_id: self.request_id.clone(),
        })
    }

    /// The same client, for an operation that is recorded on its own.
    pub(crate) fn for_operation(&self) -> Self {
        Self { note: self.note.of_operation(), ..self.clone() }
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.provisioner.tenant.id
    }

    /// What the tenant's settings allow.
    pub(crate) fn policy(&self) -> Policy {
        self.provisioner.tenant.policy
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.provisioner.tenant.dialect
    }

    /// The message with the tenant's access token.
    pub(crate) fn call<T>(&self, message: T) -> Result<tonic::Request<T>> {
        self.provisioner.call(message)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let origin = base_url::origin(&app.config, parts)?;
        let extensions = &parts.extensions;
        let (Some(provisioner), Some(RequestId(request_id)), Some(Mount(mount)), Some(note)) = (
            extensions.get::<Provisioner>(),
            extensions.get::<RequestId>(),
            extensions.get::<Mount>(),
            extensions.get::<Note>(),
        ) else {
            return Err(Error::broken_contract("a SCIM handler was mounted outside of scim::routes"));
        };
        Ok(Self {
            provisioner: provisioner.clone(),
            request_id: request_id.clone(),
            note: note.clone(),
            base: format!("{origin}{mount}"),
        })
    }
}

/// The parameters of RFC 7644, section 3.4.2, and RFC 9865, from a query string or a SearchRequest. Others are ignored:
/// Entra adds the query of its Tenant URL (`aadOptscim062020`) to every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params {
    attributes: Option<String>,
    excluded_attributes: Option<String>,
    pub(crate) filter: String,
    pub(crate) sort_by: String,
    sort_order: Option<String>,
    start_index: Option<i64>,
    count: Option<i64>,
    cursor: Option<String>,
}

impl Params {
    pub(crate) fn projection(&self, of: &ResourceType) -> Result<Projection> {
        Ok(Projection::parse(self.attributes.as_deref(), self.excluded_attributes.as_deref(), of)?)
    }

    /// The page asked for: never larger than what /ServiceProviderConfig says.
    pub(crate) fn page(&self, config: &Config) -> Page {
        let count = self.count.unwrap_or(config.default_page_size());
        // With a cursor, a startIndex goes along only if the client sent one: for the service to refuse.
        let start_index = match (&self.cursor, self.start_index) {
            (Some(_), None) => 0,
            (_, sent) => sent.unwrap_or(1).max(1),
        };
        Page { start_index, count: Some(count.clamp(0, config.max_page_size())), cursor: self.cursor.clone() }
    }

    /// The `startIndex` of the answer, 1-based: none with cursors.
    pub(crate) fn shown_start_index(&self) -> Option<u64> {
        let index = u64::try_from(self.start_index.unwrap_or(1)).unwrap_or(1).max(1);
        self.cursor.is_none().then_some(index)
    }

    pub(crate) fn sort_order(&self) -> Result<SortOrder> {
        match self.sort_order.as_deref() {
            None => Ok(SortOrder::Unspecified),
            Some(order) if order.eq_ignore_ascii_case("ascending") => Ok(SortOrder::Ascending),
            Some(order) if order.eq_ignore_ascii_case("descending") => Ok(SortOrder::Descending),
            Some(_) => Err(invalid("sortOrder", "sortOrder must be `ascending` or `descending`")),
        }
    }

    /// Reads a query string (`+` is a space); the first of a name counts.
    fn from_query(query: &str) -> Result<Self> {
        let mut params = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            if value.contains('\0') {
                return Err(invalid(&name, format!("{name}: the NUL character is not allowed")));
            }
            match &*name {
                "attributes" => _ = params.attributes.get_or_insert(value),
                "excludedAttributes" => _ = params.excluded_attributes.get_or_insert(value),
                "filter" if params.filter.is_empty() => params.filter = value,
                "sortBy" if params.sort_by.is_empty() => params.sort_by = value,
                "sortOrder" => _ = params.sort_order.get_or_insert(value),
                "startIndex" => _ = params.start_index.get_or_insert(integer(&name, &value)?),
                "count" => _ = params.count.get_or_insert(integer(&name, &value)?),
                "cursor" => _ = params.cursor.get_or_insert(value),
                _ => {}
            }
        }
        // `attributes=` asks for nothing in particular.
        params.attributes = params.attributes.filter(|names| !names.is_empty());
        params.excluded_attributes = params.excluded_attributes.filter(|names| !names.is_empty());
        params.sort_order = params.sort_order.filter(|order| !order.is_empty());
        Ok(params)
    }

    /// Reads a SearchRequest message (RFC 7644, section 3.4.3).
    pub(crate) fn from_search(body: &[u8]) -> Result<Self> {
        let SearchRequest {
            attributes,
            excluded_attributes,
            filter,
            sort_by,
            sort_order,
            start_index,
            count,
            cursor,
        } = SearchRequest::parse(body, &Limits::DEFAULT)?;
        let spelled = |order| match order {
            search::SortOrder::Ascending => "ascending".to_owned(),
            search::SortOrder::Descending => "descending".to_owned(),
        };
        Ok(Self {
            attributes,
            excluded_attributes,
            filter: filter.unwrap_or_default(),
            sort_by: sort_by.unwrap_or_default(),
            sort_order: sort_order.map(spelled),
            start_index,
            count,
            cursor,
        })
    }
}

impl FromRequestParts<App> for Params {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self> {
        Self::from_query(parts.uri.query().unwrap_or_default())
    }
}

/// What is too large for an i64 is as large as can be.
fn integer(name: &str, value: &str) -> Result<i64> {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(name, format!("{name} must be an integer")));
    }
    let bound = if value.starts_with('-') { i64::MIN } else { i64::MAX };
    Ok(value.parse().unwrap_or(bound))
}

fn invalid(attribute: &str, detail: impl Into<String>) -> Error {
    platform::Error::invalid_value(detail).with_attribute(attribute).into()
}

/// The variable part of the path: an id, a name. What does not decode names nothing.
pub(crate) struct Id(pub(crate) String);

impl FromRequestParts<App> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let Path(id) =
            path.map_err(|_| Error::new(ErrorKind::NotFound, "the path does not decode to UTF-8"))?;
        Ok(Self(id))
    }
}

/// The body of a SCIM request, as it came: JSON by its Content-Type, no larger than the limit. Whether it *is* JSON, and
/// what it means, is for the service to say.
pub(crate) struct Body(pub(crate) Bytes);

impl FromRequest<App> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        check_media_type(request.headers(), JSON)?;
        read_behind_token(app, request, app.config.body_limit_bytes).await.map(Self)
    }
}

/// A missing Content-Type is let pass: then the body has to convince.
pub(crate) fn check_media_type(headers: &HeaderMap, accepted: &[&str]) -> Result<()> {
    let unsupported = |detail: String| Err(Error::new(ErrorKind::UnsupportedMediaType, detail));
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return unsupported("send the body as it is, without Content-Encoding".to_owned());
    }
    let Some(sent) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = sent.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if accepted.iter().any(|accepted| essence.eq_ignore_ascii_case(accepted)) {
        return Ok(());
    }
    unsupported(format!("the Content-Type must be {}", accepted.join(" or ")))
}

/// Reads the body of a request behind a token, at most `limit` bytes. That may take a while, in which the token may have been
/// revoked or its tenant deleted: what it stands for is asked again.
pub(crate) async fn read_behind_token(app: &App, request: Request, limit: usize) -> Result<Bytes> {
    let headers = request.headers().clone();
    let bytes = read(request, limit).await?;
    app.sessions.of(&headers).await?;
    Ok(bytes)
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(request: Request, limit: usize) -> Result<Bytes> {
    let too_large = || {
        Error::new(ErrorKind::PayloadTooLarge, format!("the body is larger than the limit of {limit} bytes"))
    };
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(BODY_PATIENCE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Error::new(ErrorKind::InvalidSyntax, "the body broke off before its end")),
        Err(_) => Err(Error::new(ErrorKind::InvalidSyntax, "the body did not arrive within 60 s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(query: &str) -> Result<Params> {
        Params::from_query(query)
    }

    #[test]
    fn a_query_as_entra_sends_it() {
        let params = query("aadOptscim062020&filter=userName+eq+%22a%40b%2Bc%22&startIndex=0&x=%FF").unwrap();
        assert_eq!(params.filter, r#"userName eq "a@b+c""#);
        assert_eq!(params.shown_start_index(), Some(1));
    }

    #[test]
    fn numbers_are_numbers() {
        assert_eq!(query("count=99999999999999999999").unwrap().count, Some(i64::MAX));
        assert_eq!(query("count=-99999999999999999999").unwrap().count, Some(i64::MIN));
        for bad in ["count=", "count=ten", "startIndex=1.5", "count=-", "filter=%00"] {
            assert_eq!(query(bad).unwrap_err().kind(), ErrorKind::InvalidValue, "{bad}");
        }
    }

    #[test]
    fn sort_order_is_one_of_two() {
        assert_eq!(query("sortOrder=Descending").unwrap().sort_order().unwrap(), SortOrder::Descending);
        assert!(query("sortOrder=up").unwrap().sort_order().is_err());
    }

    #[test]
    fn media_types() {
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            check_media_type(&headers, JSON)
        };
        for good in
            ["application/scim+json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"]
        {
            check(good).unwrap();
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            assert_eq!(check(bad).unwrap_err().kind(), ErrorKind::UnsupportedMediaType, "{bad}");
        }
        check_media_type(&HeaderMap::new(), &["application/json"]).unwrap();
    }
}
