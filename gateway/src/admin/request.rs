//! What a request to the admin API says.

use ::scim::ErrorKind;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use platform::cache::Invalidation;
use platform::ids::TenantId;
use proto::token::v1::{GetTenantRequest, Tenant, get_tenant_request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::App;
use crate::error::{Error, Problem, Result};
use crate::scim::request::{check_media_type, read_behind_token};
use crate::tenant::Administrator;

/// Nothing that the admin API takes comes near, but for users.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

impl<S: Sync> FromRequestParts<S> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let administrator = parts.extensions.get::<Administrator>().cloned();
        Ok(administrator
            .ok_or_else(|| Error::broken_contract("an admin handler was mounted outside of admin::routes"))?)
    }
}

/// The variable parts of the path. What does not decode names nothing.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, app).await;
        let Path(names) =
            path.map_err(|_| Error::new(ErrorKind::NotFound, "the path does not decode to UTF-8"))?;
        Ok(Self(names))
    }
}

/// A JSON body. Unknown fields are refused: a misspelt one must not be ignored. No body at all is read as `{}`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        check_media_type(request.headers(), &["application/json"])?;
        let body = read_behind_token(app, request, BODY_LIMIT).await?;
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        let value = serde_json::from_slice(body).map_err(|error| {
            let cause = without_text(&error.to_string());
            Error::new(ErrorKind::InvalidSyntax, format!("the body does not fit: {cause}"))
        })?;
        Ok(Self(value))
    }
}

/// serde's `invalid type: string "…", expected …` without the text that was sent: in the wrong place it may be a secret.
fn without_text(error: &str) -> String {
    let before = error.find("string \"").map(|at| &error[..at + "string".len()]);
    let after = error.rfind("\", expected ").map(|at| &error[at + 1..]);
    before.zip(after).map_or_else(|| error.to_owned(), |(before, after)| format!("{before}{after}"))
}

/// Which page of a list.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// At most this many. 0: 100.
    #[param(minimum = 0, maximum = 1000, default = 100)]
    pub(crate) page_size: i32,
    /// `next_page_token` of the page before; left out for the first.
    #[param(required = false)]
    pub(crate) page_token: String,
}

impl FromRequestParts<App> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let page = Query::<Self>::try_from_uri(&parts.uri);
        let page = page.map(|Query(page)| page).ok().filter(|page| page.page_size >= 0);
        Ok(page.ok_or_else(|| {
            Error::new(ErrorKind::InvalidValue, "page_size must be an integer from 1 to 1000")
        })?)
    }
}

/// The tenant of this id or name.
pub(crate) async fn tenant(app: &App, administrator: &Administrator, id_or_name: &str) -> Result<Tenant> {
    let named = match id_or_name.parse::<TenantId>() {
        Ok(id) => get_tenant_request::Tenant::Id(id.to_string()),
        Err(_) => get_tenant_request::Tenant::Name(id_or_name.to_owned()),
    };
    let request = administrator.call(GetTenantRequest { tenant: Some(named) })?;
    let answer = app.clients.tenants.clone().get_tenant(request).await?.into_inner();
    answer.tenant.ok_or_else(|| Error::broken_contract("GetTenant answered without the tenant"))
}

/// Lets every gateway forget what it remembers of a tenant. To be called after the change.
pub(crate) fn forget_tenant(app: &App, tenant_id: &str) {
    if let Ok(tenant) = tenant_id.parse::<TenantId>() {
        app.invalidations.publish(Invalidation::Tenant(tenant));
    }
}

/// Microseconds since the Unix epoch, UTC, from RFC 3339.
///
/// # Errors
/// `InvalidValue` that names the field.
pub(crate) fn micros(field: &str, text: &str) -> Result<i64> {
    let at = ::scim::date::parse(text).and_then(|at| i64::try_from(at.unix_timestamp_nanos() / 1000).ok());
    at.filter(|micros| *micros > 0).ok_or_else(|| {
        let detail = format!("{field} must be a date and time like 2027-01-31T00:00:00Z, or be left out");
        platform::Error::new(ErrorKind::InvalidValue, detail).with_attribute(field).into()
    })
}

/// As [`micros`]; 0 for none.
pub(crate) fn micros_if_any(field: &str, text: Option<&str>) -> Result<i64> {
    text.map_or(Ok(0), |text| micros(field, text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_does_not_fit_is_not_quoted() {
        let told = |body: &str| {
            without_text(&serde_json::from_str::<BTreeMap<String, u8>>(body).unwrap_err().to_string())
        };
        let cases = [
            (r#"{"a": "se\", expected cret"}"#, "invalid type: string, expected u8 at line 1"),
            (r#""secret""#, "invalid type: string, expected a map at line 1"),
            (r#"{"a": 1000}"#, "invalid value: integer `1000`, expected u8"),
            ("{", "EOF while parsing an object"),
        ];
        for (body, beginning) in cases {
            assert!(told(body).starts_with(beginning), "{body}: {}", told(body));
        }
    }
}
