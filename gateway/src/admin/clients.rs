//! OAuth clients: internal services that ask questions, and provisioning clients of a tenant.

use axum::Json as JsonBody;
use axum::extract::State;
use bytes::Bytes;
use http::StatusCode;
use platform::cache::Invalidation;
use platform::ids::ClientId;
use proto::token::v1::{
    Client, CreateClientRequest, DeleteClientRequest, Federation, ListClientsRequest,
    RotateClientSecretRequest, UpdateClientRequest,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer::{Answer, Secret, promised, secret, text_if_any, time};
use super::request::{self, Json, Named, Page};
use crate::App;
use crate::error::Result;
use crate::tenant::Administrator;

/// A day: time enough to hand the new secret out, and an end of the old one that nobody has to remember.
const DEFAULT_OVERLAP_S: i64 = 24 * 60 * 60;

/// A client to be. It proves itself by a secret, unless it has keys or a federation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewClient, example = json!({"name": "billing", "tenant": "contoso", "scopes": ["memberships:read"]}))]
pub(crate) struct New {
    /// Unique, for people.
    name: String,
    /// Id or name of the one tenant that it may ask about, or that it provisions; left out for all.
    tenant: Option<String>,
    /// `memberships:read`, `directory:read`; or `scim` alone, which needs a tenant.
    scopes: Vec<String>,
    /// Its public keys for `private_key_jwt` (RFC 7523, section 2.2): a JWK Set of at most 10 keys.
    #[schema(value_type = Option<Object>)]
    jwks: Option<Map<String, Value>>,
    /// Whose assertions are taken for it.
    federation: Option<ShownFederation>,
}

/// Workload identity federation: JWTs of another issuer that are taken as `client_assertion` (RFC 7523). Each claim
/// must be exactly so.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Federation)]
pub(crate) struct ShownFederation {
    /// Claim `iss`; its keys are found by OIDC discovery. For Entra: `https://login.microsoftonline.com/<directory id>/v2.0`.
    #[schema(format = "uri")]
    issuer: String,
    /// Claim `aud`.
    audience: String,
    /// Claim `sub`. For Entra: the object id of the workload identity.
    subject: String,
}

/// How a client is to prove itself; what is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClientChange, example = json!({"federation": null}))]
pub(crate) struct Change {
    /// Replaces its keys; null takes them away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Object>)]
    jwks: Option<Option<Map<String, Value>>>,
    /// Replaces its federation; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<ShownFederation>)]
    federation: Option<Option<ShownFederation>>,
}

/// What becomes of the earlier secrets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewClientSecret, example = json!({"overlap_seconds": 3600}))]
pub(crate) struct NewSecret {
    /// For how long they go on working; 0 for not at all. Left out: a day.
    #[schema(minimum = 0, maximum = 7_776_000, default = 86400)]
    overlap_seconds: Option<i64>,
}

/// An OAuth client.
#[derive(Serialize, ToSchema)]
#[schema(as = Client)]
pub(crate) struct ShownClient {
    #[schema(format = "uuid")]
    client_id: String,
    name: String,
    /// Left out for a client of all tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
    scopes: Vec<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// Whether it has a live client_secret.
    has_secret: bool,
    /// Its public keys for `private_key_jwt`: a JWK Set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    jwks: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    federation: Option<ShownFederation>,
}

/// An OAuth client and its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClientWithSecret {
    #[serde(flatten)]
    client: ShownClient,
    /// For `POST /oauth2/token`. It is shown this once; a client with keys or a federation has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

/// A page of OAuth clients, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct Clients {
    clients: Vec<ShownClient>,
    /// For the next page; left out on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// Registers an OAuth client for `POST /oauth2/token`.
///
/// Its secret is shown this once.
#[utoipa::path(
    post, path = "/clients", operation_id = "createClient", tag = "OAuth clients",
    request_body = New,
    responses(
        (status = 201, description = "The client.", body = ClientWithSecret),
        (status = 409, description = "The name is taken."),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    Json(New { name, tenant, scopes, jwks, federation }): Json<New>,
) -> Answer<Secret<ClientWithSecret>> {
    let tenant_id = match tenant {
        None => String::new(),
        Some(id_or_name) => request::tenant(&app, &administrator, &id_or_name).await?.id,
    };
    let jwks = jwks.map_or_else(Bytes::new, json);
    let federation = federation.map(Federation::from);
    let message = CreateClientRequest { name, tenant_id, scopes, jwks, federation };
    let request = administrator.call(message)?;
    let answer = app.clients.clients.clone().create_client(request).await?.into_inner();
    let client = promised(answer.client, "CreateClient answered without the client")?;
    let client = ShownClient::of(client)?;
    Ok(secret(ClientWithSecret { client, client_secret: text_if_any(answer.client_secret) }))
}

/// Lists the OAuth clients by name, a page at a time.
#[utoipa::path(
    get, path = "/clients", operation_id = "listClients", tag = "OAuth clients",
    params(Page),
    responses((status = 200, description = "A page of clients.", body = Clients)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Page { page_size, page_token }: Page,
) -> Answer<JsonBody<Clients>> {
    let request = administrator.call(ListClientsRequest { page_size, page_token })?;
    let answer = app.clients.clients.clone().list_clients(request).await?.into_inner();
    let clients = answer.clients.into_iter().map(ShownClient::of).collect::<Result<_>>()?;
    Ok(JsonBody(Clients { clients, next_page_token: text_if_any(answer.next_page_token) }))
}

/// Changes how an OAuth client proves itself.
#[utoipa::path(
    patch, path = "/clients/{client}", operation_id = "updateClient", tag = "OAuth clients",
    request_body = Change,
    responses((status = 200, description = "The client as it is now.", body = ShownClient)),
)]
pub(crate) async fn change(
    State(app): State<App>,
    administrator: Administrator,
    Named(id): Named<String>,
    Json(Change { jwks, federation }): Json<Change>,
) -> Answer<JsonBody<ShownClient>> {
    let client: ClientId = id.parse()?;
    let jwks = jwks.map(|jwks| jwks.map_or_else(Bytes::new, json));
    let remove_federation = matches!(federation, Some(None));
    let federation = federation.flatten().map(Federation::from);
    let request = administrator.call(UpdateClientRequest { id, jwks, federation, remove_federation })?;
    let answer = app.clients.clients.clone().update_client(request).await?.into_inner();
    app.invalidations.publish(Invalidation::Client(client));
    let client = promised(answer.client, "UpdateClient answered without the client")?;
    Ok(JsonBody(ShownClient::of(client)?))
}

/// Mints a further secret for an OAuth client.
///
/// It is shown this once. The earlier ones go on working for a while.
#[utoipa::path(
    post, path = "/clients/{client}/secrets", operation_id = "rotateClientSecret", tag = "OAuth clients",
    request_body = NewSecret,
    responses(
        (status = 201, description = "The client and its new secret.", body = ClientWithSecret),
        (status = 409, description = "The client proves itself otherwise."),
    ),
)]
pub(crate) async fn rotate_secret(
    State(app): State<App>,
    administrator: Administrator,
    Named(id): Named<String>,
    Json(NewSecret { overlap_seconds }): Json<NewSecret>,
) -> Answer<Secret<ClientWithSecret>> {
    let client: ClientId = id.parse()?;
    let overlap_s = overlap_seconds.unwrap_or(DEFAULT_OVERLAP_S);
    let request = administrator.call(RotateClientSecretRequest { id, overlap_s })?;
    let answer = app.clients.clients.clone().rotate_client_secret(request).await?.into_inner();
    app.invalidations.publish(Invalidation::Client(client));
    let client = promised(answer.client, "RotateClientSecret answered without the client")?;
    let client = ShownClient::of(client)?;
    Ok(secret(ClientWithSecret { client, client_secret: text_if_any(answer.client_secret) }))
}

/// Deletes an OAuth client.
///
/// Its access tokens for SCIM stop working at once; those for gRPC live out their five minutes. Deleting it again is
/// fine.
#[utoipa::path(
    delete, path = "/clients/{client}", operation_id = "deleteClient", tag = "OAuth clients",
    responses((status = 204, description = "It is gone.")),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    administrator: Administrator,
    Named(id): Named<String>,
) -> Answer<StatusCode> {
    let client: ClientId = id.parse()?;
    let request = administrator.call(DeleteClientRequest { id })?;
    app.clients.clients.clone().delete_client(request).await?;
    app.invalidations.publish(Invalidation::Client(client));
    Ok(StatusCode::NO_CONTENT)
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn json(object: Map<String, Value>) -> Bytes {
    Value::Object(object).to_string().into()
}

impl ShownClient {
    pub(super) fn of(client: Client) -> Result<Self> {
        let Client { id, name, tenant_id, scopes, created_at_us, has_secret, jwks, federation } = client;
        let jwks = match jwks.as_ref() {
            b"" => None,
            jwks => Some(serde_json::from_slice(jwks).map_err(platform::Error::internal)?),
        };
        Ok(Self {
            client_id: id,
            name,
            tenant_id: text_if_any(tenant_id),
            scopes,
            created_at: time(created_at_us),
            has_secret,
            jwks,
            federation: federation.map(ShownFederation::from),
        })
    }
}

impl From<Federation> for ShownFederation {
    fn from(Federation { issuer, audience, subject }: Federation) -> Self {
        Self { issuer, audience, subject }
    }
}

impl From<ShownFederation> for Federation {
    fn from(ShownFederation { issuer, audience, subject }: ShownFederation) -> Self {
        Self { issuer, audience, subject }
    }
}
