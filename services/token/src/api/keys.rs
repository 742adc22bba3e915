//! `rollcall.token.v1.Keys`.

use platform::Error;
use proto::token::v1::keys_server::Keys;
use proto::token::v1::{ListKeysRequest, ListKeysResponse};
use tonic::{Request, Response, Status};

use super::{Api, status};

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
}
