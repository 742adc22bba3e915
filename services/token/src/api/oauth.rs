//! `rollcall.token.v1.OAuth`.

use std::collections::HashMap;

use proto::token::v1::o_auth_server::OAuth;
use proto::token::v1::{IssueTokenRequest, IssueTokenResponse};
use scim::ErrorKind;
use secrecy::SecretString;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Api, status};
use crate::domain::authority::{Grant, IssueError};

#[tonic::async_trait]
impl OAuth for Api {
    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let IssueTokenRequest {
            client_id,
            client_secret,
            scope,
            client_assertion,
            client_assertion_type,
            audiences,
        } = request.into_inner();
        let grant = Grant {
            client_id,
            secret: SecretString::from(client_secret),
            scope,
            assertion: SecretString::from(client_assertion),
            assertion_type: client_assertion_type,
            audiences,
        };
        let issued = self.authority.issue(grant).await.map_err(refusal)?;
        Ok(Response::new(IssueTokenResponse {
            access_token: issued.access_token,
            expires_in_s: issued.expires_in_s,
            scope: issued.scope,
        }))
    }
}

/// The error of RFC 6749, section 5.2, stands in ErrorInfo's metadata as `oauth_error`.
fn refusal(error: IssueError) -> Status {
    let (code, kind, name, detail) = match error {
        IssueError::Failed(error) => return status(error),
        IssueError::InvalidClient => (
            Code::Unauthenticated,
            ErrorKind::Unauthenticated,
            "invalid_client",
            "the client is unknown, its secret or assertion is wrong, or its tenant is not in service"
                .to_owned(),
        ),
        IssueError::InvalidAssertion(wrong) => (
            Code::Unauthenticated,
            ErrorKind::Unauthenticated,
            "invalid_client",
            format!("the client_assertion is not taken: {wrong}"),
        ),
        IssueError::InvalidRequest(detail) => {
            (Code::InvalidArgument, ErrorKind::InvalidValue, "invalid_request", detail.to_owned())
        }
        IssueError::InvalidScope(allowed) => (
            Code::InvalidArgument,
            ErrorKind::InvalidValue,
            "invalid_scope",
            format!("a scope is unknown or not this client's; it may have: {allowed}"),
        ),
    };
    let metadata = HashMap::from([("oauth_error".to_owned(), name.to_owned())]);
    Status::with_error_details(code, detail, ErrorDetails::with_error_info(kind.name(), "rollcall", metadata))
}
