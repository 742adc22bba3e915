//! `rollcall.token.v1.Idempotency`.

use std::time::Duration;

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
use crate::domain::idempotency::{Settled, Standing};

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
        let mut begun = BeginRequestResponse::default();
        let state = match standing {
            Standing::New(attempt) => {
                begun.attempt = attempt.id;
                State::New
            }
            Standing::UnderWay(wait) => {
                begun.retry_after_s = whole_seconds(wait);
                State::UnderWay
            }
            Standing::Answered(answer) => {
                begun.answer = Bytes::copy_from_slice(&answer);
                State::Answered
            }
            Standing::Misused => State::Misused,
        };
        begun.set_state(state);
        Ok(Response::new(begun))
    }

    async fn finish_request(
        &self,
        request: Request<FinishRequestRequest>,
    ) -> Result<Response<FinishRequestResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let FinishRequestRequest { key, answer, attempt } = request.get_ref();
        let settled = self.authority.finish_request(caller.subject(), key, attempt, answer).await;
        let overtaken = settled.map_err(status)? == Settled::Overtaken;
        Ok(Response::new(FinishRequestResponse { overtaken }))
    }

    async fn abandon_request(
        &self,
        request: Request<AbandonRequestRequest>,
    ) -> Result<Response<AbandonRequestResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let AbandonRequestRequest { key, attempt } = request.get_ref();
        let settled = self.authority.abandon_request(caller.subject(), key, attempt).await;
        let overtaken = settled.map_err(status)? == Settled::Overtaken;
        Ok(Response::new(AbandonRequestResponse { overtaken }))
    }
}

/// Not sooner than after the wait.
fn whole_seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}
