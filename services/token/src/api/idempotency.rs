//! `rollcall.token.v1.Idempotency`.

use bytes::Bytes;
use platform::auth::{Scope, caller};
use proto::token::v1::begin_request_response::State;
use proto::token::v1::idempotency_server::Idempotency;
use proto::token::v1::{
    AbandonRequestRequest, AbandonRequestResponse, BeginRequestRequest, BeginRequestResponse,
    FinishRequestRequest, FinishRequestResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::domain::idempotency::Standing;

#[tonic::async_trait]
impl Idempotency for Api {
    async fn begin_request(
        &self,
        request: Request<BeginRequestRequest>,
    ) -> Result<Response<BeginRequestResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let BeginRequestRequest { key, fingerprint } = request.get_ref();
        let standing =
            self.authority.begin_request(caller.subject(), key, fingerprint).await.map_err(status)?;
        let (state, answer) = match standing {
            Standing::New => (State::New, Bytes::new()),
            Standing::UnderWay => (State::UnderWay, Bytes::new()),
            Standing::Answered(answer) => (State::Answered, Bytes::copy_from_slice(&answer)),
            Standing::Misused => (State::Misused, Bytes::new()),
        };
        Ok(Response::new(BeginRequestResponse { state: state.into(), answer }))
    }

    async fn finish_request(
        &self,
        request: Request<FinishRequestRequest>,
    ) -> Result<Response<FinishRequestResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let FinishRequestRequest { key, answer } = request.get_ref();
        self.authority.finish_request(caller.subject(), key, answer).await.map_err(status)?;
        Ok(Response::new(FinishRequestResponse {}))
    }

    async fn abandon_request(
        &self,
        request: Request<AbandonRequestRequest>,
    ) -> Result<Response<AbandonRequestResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let key = &request.get_ref().key;
        self.authority.abandon_request(caller.subject(), key).await.map_err(status)?;
        Ok(Response::new(AbandonRequestResponse {}))
    }
}
