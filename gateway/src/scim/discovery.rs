//! What this server can do (RFC 7644, section 4). Behind the token like everything else: the answer is the tenant's.

use std::sync::Arc;

use ::scim::discovery::{AuthenticationScheme, List, Pagination, ServiceProvider};
use ::scim::schema::{ResourceType, Schema};
use ::scim::{ErrorKind, list_response};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::render::Reply;
use super::request::{Caller, Id, Params};
use crate::error::{Error, Result};
use crate::policy::Policy;
use crate::{App, Config};

/// What the documents are made of.
pub(crate) struct Documents {
    service_provider: ServiceProvider,
    /// Without what tenants add ([`crate::schemas`]).
    pub(crate) user: ResourceType,
    pub(crate) group: Arc<ResourceType>,
}

impl Documents {
    pub(crate) fn new(config: &Config) -> Self {
        let page_size = |size: i64| u64::try_from(size).unwrap_or(0);
        let service_provider = ServiceProvider {
            documentation_uri: None,
            patch: true,
            bulk: Some(config.bulk()),
            filter_max_results: Some(page_size(config.max_page_size())),
            change_password: false,
            sort: true,
            etag: true,
            pagination: Pagination {
                cursor: true,
                index: true,
                default_page_size: page_size(config.default_page_size()),
                max_page_size: page_size(config.max_page_size()),
                cursor_timeout: None,
            },
            authentication_schemes: vec![AuthenticationScheme {
                kind: "oauthbearertoken".to_owned(),
                name: "OAuth Bearer Token".to_owned(),
                description: "The tenant's token in the header `Authorization: Bearer <token>`".to_owned(),
                spec_uri: Some("https://www.rfc-editor.org/info/rfc6750".to_owned()),
                primary: true,
            }],
        };
        Self { service_provider, user: ResourceType::user(), group: Arc::new(ResourceType::group()) }
    }

    fn service_provider(&self, policy: Policy) -> ServiceProvider {
        ServiceProvider { patch: policy.has_patch(), ..self.service_provider.clone() }
    }
}

/// The types of the tenant's resources, with its extensions.
async fn types(app: &App, caller: &Caller) -> Result<Vec<Arc<ResourceType>>> {
    let user = app.schemas.user(caller).await?;
    if caller.policy().has_groups() {
        return Ok(vec![user, app.discovery.group.clone()]);
    }
    Ok(vec![Arc::new(crate::schemas::without_groups(&user))])
}

/// The schemas they are made of.
fn schemas_of(types: &[Arc<ResourceType>]) -> Vec<&Schema> {
    let mut schemas = Vec::new();
    for one in types {
        schemas.push(&*one.schema);
        schemas.extend(one.extensions.iter().map(|extension| &*extension.schema));
    }
    schemas
}

pub(crate) async fn service_provider_config(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Response> {
    refuse_filter(&params)?;
    Ok(Reply::new(StatusCode::OK)
        .json(&app.discovery.service_provider(caller.policy()).to_json(&caller.base)))
}

pub(crate) async fn resource_types(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Response> {
    refuse_filter(&params)?;
    Ok(list(types(&app, &caller).await?.iter().map(|one| one.to_json(&caller.base)).collect()))
}

pub(crate) async fn resource_type(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    Id(name): Id,
) -> Result<Response> {
    refuse_filter(&params)?;
    let found = types(&app, &caller).await?.into_iter().find(|one| one.name == name);
    let found = found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no such resource type: /ResourceTypes lists those that there are")
    })?;
    Ok(Reply::new(StatusCode::OK).json(&found.to_json(&caller.base)))
}

pub(crate) async fn schemas(State(app): State<App>, caller: Caller, params: Params) -> Result<Response> {
    refuse_filter(&params)?;
    let types = types(&app, &caller).await?;
    Ok(list(schemas_of(&types).iter().map(|one| one.to_json(&caller.base)).collect()))
}

pub(crate) async fn schema(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    Id(urn): Id,
) -> Result<Response> {
    refuse_filter(&params)?;
    let types = types(&app, &caller).await?;
    let found = schemas_of(&types).into_iter().find(|one| one.id.eq_ignore_ascii_case(&urn));
    let found = found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no such schema: /Schemas lists those that there are")
    })?;
    Ok(Reply::new(StatusCode::OK).json(&found.to_json(&caller.base)))
}

/// RFC 7644, section 4: a filter on these endpoints is answered with 403.
fn refuse_filter(params: &Params) -> Result<()> {
    if params.filter.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Forbidden, "discovery endpoints take no filter: ask without"))
}

fn list(resources: Vec<Value>) -> Response {
    let list = List {
        total_results: u64::try_from(resources.len()).ok(),
        start_index: Some(1),
        resources,
        ..List::default()
    };
    Reply::new(StatusCode::OK).json(&list_response(list))
}
