//! `rollcall.token.v1.Clients`.

use platform::Error;
use platform::auth::{Scope, caller};
use platform::ids::{ClientId, TenantId};
use proto::token::v1::clients_server::Clients;
use proto::token::v1::{
    CreateClientRequest, CreateClientResponse, DeleteClientRequest, DeleteClientResponse, ListClientsRequest,
    ListClientsResponse, RotateClientSecretRequest, RotateClientSecretResponse, UpdateClientRequest,
    UpdateClientResponse,
};
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::{Api, decode, encode, page, status};
use crate::domain::authority::{ClientUpdate, NewClient};

#[tonic::async_trait]
impl Clients for Api {
    async fn create_client(
        &self,
        request: Request<CreateClientRequest>,
    ) -> Result<Response<CreateClientResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        let CreateClientRequest { name, tenant_id, scopes, jwks, federation } = request.into_inner();
        let tenant = if tenant_id.is_empty() { None } else { Some(tenant_id.parse::<TenantId>()?) };
        let federation = federation.map(decode::federation);
        let new = NewClient { name, tenant, scopes, jwks: jwks.to_vec(), federation };
        let (client, secret) = self.authority.create_client(new, deed).await.map_err(status)?;
        Ok(Response::new(CreateClientResponse {
            client: Some(encode::client(client)),
            client_secret: secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default(),
        }))
    }

    async fn list_clients(
        &self,
        request: Request<ListClientsRequest>,
    ) -> Result<Response<ListClientsResponse>, Status> {
        caller(&request)?.authorize_platform(Scope::Admin)?;
        let size = page::size(request.get_ref().page_size);
        let after =
            page::place(&request.get_ref().page_token)?.map(|(key, id)| (key, ClientId::from_uuid(id)));
        let mut clients = self.authority.clients(after, size + 1).await.map_err(status)?;
        let next_page_token =
            page::cut(&mut clients, size, |client| page::token(&client.name, client.id.uuid()));
        Ok(Response::new(ListClientsResponse {
            clients: clients.into_iter().map(encode::client).collect(),
            next_page_token,
        }))
    }

    async fn update_client(
        &self,
        request: Request<UpdateClientRequest>,
    ) -> Result<Response<UpdateClientResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        let UpdateClientRequest { id, jwks, federation, remove_federation } = request.into_inner();
        let federation = match (federation, remove_federation) {
            (None, false) => None,
            (None, true) => Some(None),
            (Some(federation), false) => Some(Some(decode::federation(federation))),
            (Some(_), true) => {
                let detail = "federation and remove_federation exclude each other";
                return Err(Error::invalid_value(detail).with_attribute("remove_federation").into());
            }
        };
        let update = ClientUpdate { jwks: jwks.map(|jwks| jwks.to_vec()), federation };
        let client = self.authority.update_client(id.parse()?, update, deed).await.map_err(status)?;
        Ok(Response::new(UpdateClientResponse { client: Some(encode::client(client)) }))
    }

    async fn rotate_client_secret(
        &self,
        request: Request<RotateClientSecretRequest>,
    ) -> Result<Response<RotateClientSecretResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        let RotateClientSecretRequest { id, overlap_s } = request.into_inner();
        let rotated = self.authority.rotate_client_secret(id.parse()?, overlap_s, deed).await;
        let (client, secret) = rotated.map_err(status)?;
        Ok(Response::new(RotateClientSecretResponse {
            client: Some(encode::client(client)),
            client_secret: secret.expose_secret().to_owned(),
        }))
    }

    async fn delete_client(
        &self,
        request: Request<DeleteClientRequest>,
    ) -> Result<Response<DeleteClientResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        self.authority.delete_client(request.get_ref().id.parse()?, deed).await.map_err(status)?;
        Ok(Response::new(DeleteClientResponse {}))
    }
}
