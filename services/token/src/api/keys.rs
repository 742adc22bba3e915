//! `rollcall.token.v1.Keys`.

use platform::Error;
use platform::auth::{Scope, caller};
use proto::token::v1::keys_server::Keys;
use proto::token::v1::{
    ListKeysRequest, ListKeysResponse, RotateSigningKeyRequest, RotateSigningKeyResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::domain::keys::Rotation;

#[tonic::async_trait]
impl Keys for Api {
    async fn list_keys(
        &self,
        _request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let keys = self.authority.published_keys().await.map_err(status)?;
        let jwks = serde_json::to_vec(&keys).map_err(Error::internal)?.into();
        Ok(Response::new(ListKeysResponse { jwks }))
    }

    async fn rotate_signing_key(
        &self,
        request: Request<RotateSigningKeyRequest>,
    ) -> Result<Response<RotateSigningKeyResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        let signs_from_us = match self.authority.rotate_signing_key(deed).await.map_err(status)? {
            Rotation::Add { generation: _, signs_from } => signs_from.micros(),
            Rotation::UnderWay => 0,
        };
        Ok(Response::new(RotateSigningKeyResponse { signs_from_us }))
    }
}
