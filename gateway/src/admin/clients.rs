//! The OAuth clients of internal services.

use axum::Json as JsonBody;
use axum::extract::State;
use http::header::CACHE_CONTROL;
use http::{HeaderName, StatusCode};
use platform::cache::Invalidation;
use platform::clock::Timestamp;
use platform::ids::ClientId;
use proto::token::v1::{Client, CreateClientRequest, DeleteClientRequest, ListClientsRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Json, Named, Page};
use crate::App;
use crate::error::{Error, Problem, Result};
use crate::tenant::Administrator;

type Answer<T> = Result<T, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    name: String,
    /// Id or name of the one tenant it may ask about; absent for all.
    tenant: Option<String>,
    scopes: Vec<String>,
}

/// A client for `POST /oauth2/token`. Its secret is shown this once.
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    Json(New { name, tenant, scopes }): Json<New>,
) -> Answer<(StatusCode, [(HeaderName, &'static str); 1], JsonBody<Value>)> {
    let tenant_id = match tenant {
        None => String::new(),
        Some(id_or_name) => request::tenant(&app, &administrator, &id_or_name).await?.id,
    };
    let request = administrator.call(CreateClientRequest { name, tenant_id, scopes })?;
    let answer = app.clients.clients.clone().create_client(request).await.map_err(Error::from)?.into_inner();
    let client =
        answer.client.ok_or_else(|| Error::broken_contract("CreateClient answered without the client"))?;
    let mut body = shown(&client);
    body["client_secret"] = answer.client_secret.into();
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], JsonBody(body)))
}

pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Page { page_size, page_token }: Page,
) -> Answer<JsonBody<Value>> {
    let request = administrator.call(ListClientsRequest { page_size, page_token })?;
    let answer = app.clients.clients.clone().list_clients(request).await.map_err(Error::from)?.into_inner();
    let mut body = json!({"clients": answer.clients.iter().map(shown).collect::<Vec<_>>()});
    if !answer.next_page_token.is_empty() {
        body["next_page_token"] = answer.next_page_token.into();
    }
    Ok(JsonBody(body))
}

/// Deletes a client; deleting it again is fine.
pub(crate) async fn delete(
    State(app): State<App>,
    administrator: Administrator,
    Named(id): Named<String>,
) -> Answer<StatusCode> {
    let client: ClientId = id.parse()?;
    let request = administrator.call(DeleteClientRequest { id })?;
    app.clients.clients.clone().delete_client(request).await.map_err(Error::from)?;
    app.invalidations.publish(Invalidation::Client(client));
    Ok(StatusCode::NO_CONTENT)
}

fn shown(client: &Client) -> Value {
    let mut shown = json!({
        "client_id": client.id,
        "name": client.name,
        "scopes": client.scopes,
        "created_at": Timestamp::from_micros(client.created_at_us).to_rfc3339(),
    });
    if !client.tenant_id.is_empty() {
        shown["tenant_id"] = client.tenant_id.as_str().into();
    }
    shown
}
