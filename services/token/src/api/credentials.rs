//! `rollcall.token.v1.Credentials`.

use platform::Error;
use platform::auth::{Scope, caller};
use platform::ids::CredentialId;
use proto::token::v1::credentials_server::Credentials;
use proto::token::v1::{
    CancelRotationRequest, CancelRotationResponse, CompleteRotationRequest, CompleteRotationResponse,
    CreateCredentialRequest, CreateCredentialResponse, ListCredentialsRequest, ListCredentialsResponse,
    ResolveRequest, ResolveResponse, RevokeCredentialRequest, RevokeCredentialResponse, StartRotationRequest,
    StartRotationResponse,
};
use secrecy::{ExposeSecret, SecretString};
use tonic::{Request, Response, Status};

use super::{Api, encode, status};
use crate::domain::authority::{Holder, NewCredential};

#[tonic::async_trait]
impl Credentials for Api {
    async fn resolve(&self, request: Request<ResolveRequest>) -> Result<Response<ResolveResponse>, Status> {
        let secret = SecretString::from(request.into_inner().secret);
        let resolved = self.authority.resolve(&secret).await.map_err(status)?;
        let tenant = match resolved.holder {
            Holder::Tenant(tenant) => Some(encode::tenant(*tenant)),
            Holder::Admin => None,
        };
        Ok(Response::new(ResolveResponse {
            tenant,
            credential_id: resolved.credential.to_string(),
            scopes: resolved.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            access_token: resolved.access_token,
            access_token_expires_at_us: resolved.access_token_expires_at.micros(),
            credential_expires_at_us: encode::time(resolved.credential_expires_at),
            kind: encode::kind(resolved.kind).into(),
            label: resolved.label,
        }))
    }

    async fn create_credential(
        &self,
        request: Request<CreateCredentialRequest>,
    ) -> Result<Response<CreateCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = caller.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let deed = self.deed(&request, caller);
        let CreateCredentialRequest { tenant_id: _, label, expires_at_us } = request.into_inner();
        let new = NewCredential { tenant, label, expires_at_us };
        let (credential, secret) = self.authority.create_credential(new, deed).await.map_err(status)?;
        Ok(Response::new(CreateCredentialResponse {
            credential: Some(encode::credential(credential)),
            secret: secret.expose_secret().to_owned(),
        }))
    }

    async fn list_credentials(
        &self,
        request: Request<ListCredentialsRequest>,
    ) -> Result<Response<ListCredentialsResponse>, Status> {
        let tenant = caller(&request)?.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let credentials = self.authority.credentials(tenant).await.map_err(status)?;
        let credentials = credentials.into_iter().map(encode::credential).collect();
        Ok(Response::new(ListCredentialsResponse { credentials }))
    }

    async fn start_rotation(
        &self,
        request: Request<StartRotationRequest>,
    ) -> Result<Response<StartRotationResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = caller.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let deed = self.deed(&request, caller);
        let StartRotationRequest { tenant_id: _, credential_id, label, expires_at_us } = request.into_inner();
        let replaces: CredentialId = credential_id.parse()?;
        let new = NewCredential { tenant, label, expires_at_us };
        let (credential, secret) =
            self.authority.start_rotation(replaces, new, deed).await.map_err(status)?;
        Ok(Response::new(StartRotationResponse {
            credential: Some(encode::credential(credential)),
            secret: secret.expose_secret().to_owned(),
        }))
    }

    async fn complete_rotation(
        &self,
        request: Request<CompleteRotationRequest>,
    ) -> Result<Response<CompleteRotationResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = caller.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let deed = self.deed(&request, caller);
        let successor: CredentialId = request.get_ref().credential_id.parse()?;
        let credential = self.authority.complete_rotation(tenant, successor, deed).await.map_err(status)?;
        Ok(Response::new(CompleteRotationResponse { credential: Some(encode::credential(credential)) }))
    }

    async fn cancel_rotation(
        &self,
        request: Request<CancelRotationRequest>,
    ) -> Result<Response<CancelRotationResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = caller.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let deed = self.deed(&request, caller);
        let successor: CredentialId = request.get_ref().credential_id.parse()?;
        let credential = self.authority.cancel_rotation(tenant, successor, deed).await.map_err(status)?;
        Ok(Response::new(CancelRotationResponse { credential: Some(encode::credential(credential)) }))
    }

    async fn revoke_credential(
        &self,
        request: Request<RevokeCredentialRequest>,
    ) -> Result<Response<RevokeCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = caller.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let deed = self.deed(&request, caller);
        let id: Result<CredentialId, Error> = request.get_ref().credential_id.parse();
        let credential = self.authority.revoke_credential(tenant, id?, deed).await.map_err(status)?;
        Ok(Response::new(RevokeCredentialResponse { credential: Some(encode::credential(credential)) }))
    }
}
