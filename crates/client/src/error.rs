//! Why there is no answer.

use tonic::{Code, Status};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something in the configuration; says what.
    #[error("{0}")]
    Config(String),
    /// There is no such user or group, or several have the name; says which.
    #[error("{0}")]
    NotFound(String),
    /// The token endpoint refused the client, or the token: registered for another tenant or scope?
    #[error("Rollcall refuses this client: {0}")]
    Refused(String),
    /// Nobody answered within the deadline. Not "no".
    #[error("Rollcall did not answer in time: {0}")]
    Unavailable(String),
    /// Anything else.
    #[error("Rollcall answered {code:?}: {message}", code = .0.code(), message = .0.message())]
    Status(Box<Status>),
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound => Self::NotFound(message),
            Code::Unauthenticated | Code::PermissionDenied => Self::Refused(message),
            // tonic itself answers `Cancelled` when the deadline passes.
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::Unavailable(message),
            _ => Self::Status(Box::new(status)),
        }
    }
}
