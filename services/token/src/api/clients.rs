//! `rollcall.token.v1.Clients`.

use platform::auth::{Scope, caller};
use platform::ids::{ClientId, TenantId};
use proto::token::v1::clients_server::Clients;
use proto::token::v1::{
    CreateClientRequest, CreateClientResponse, DeleteClientRequest, DeleteClientResponse, ListClientsRequest,
    ListClientsResponse,
};
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::{Api, encode, page, status};
use crate::domain::authority::NewClient;

#[tonic::async_trait]
impl Clients for Api {
    async fn create_client(
        &self,
        request: Request<CreateClientRequest>,
    ) -> Result<Response<CreateClientResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.authority.deed(caller.subject());
        let CreateClientRequest { name, tenant_id, scopes } = request.into_inner();
        let tenant = if tenant_id.is_empty() { None } else { Some(tenant_id.parse::<TenantId>()?) };
        let new = NewClient { name, tenant, scopes };
        let (client, secret) = self.authority.create_client(new, deed).await.map_err(status)?;
        Ok(Response::new(CreateClientResponse {
            client: Some(encode::client(client)),
            client_secret: secret.expose_secret().to_owned(),
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

    async fn delete_client(
        &self,
        request: Request<DeleteClientRequest>,
    ) -> Result<Response<DeleteClientResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.authority.deed(caller.subject());
        self.authority.delete_client(request.get_ref().id.parse()?, deed).await.map_err(status)?;
        Ok(Response::new(DeleteClientResponse {}))
    }
}
