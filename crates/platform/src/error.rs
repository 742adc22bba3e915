//! The one error of gateway and services, and both directions of its mapping to gRPC.
//!
//! A service says what is wrong in the words of the protocol (`scim::ErrorKind`, a detail for the client, the
//! attribute). `From<Error> for Status` puts that on the wire as a code with `google.rpc.ErrorInfo`,
//! `From<Status> for Error` takes it off. The gateway renders the kind as HTTP. A cause (a database error, say) is for
//! our log only: it is logged where the error becomes a status and never leaves the process.

use std::collections::HashMap;

use scim::ErrorKind;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// `std::result::Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

const DOMAIN: &str = "rollcall";

/// Something is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    /// What kind of wrong.
    pub kind: ErrorKind,
    /// For the client: what is wrong, where, and what would be right. Never a secret, never internals.
    pub detail: String,
    /// The attribute concerned, in the schema's spelling.
    pub attribute: Option<String>,
    /// For our log.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind with a detail for the client.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), attribute: None, cause: None }
    }

    /// Names the attribute concerned.
    #[must_use]
    pub fn with_attribute(mut self, attribute: impl Into<String>) -> Self {
        self.attribute = Some(attribute.into());
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// There is no such thing, or it is not the caller's to see: the same answer.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, detail)
    }

    /// Who are you?
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unauthenticated, detail)
    }

    /// Not for you.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, detail)
    }

    /// A value that cannot be.
    pub fn invalid_value(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidValue, detail)
    }

    /// Try again later.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, detail)
    }

    /// Our fault. The client learns no more than that; the cause goes to the log.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Internal, "internal error; the operator finds it in the log by the request id")
            .with_cause(cause)
    }
}

impl From<scim::Error> for Error {
    fn from(error: scim::Error) -> Self {
        Self { kind: error.kind, detail: error.detail, attribute: error.attribute, cause: None }
    }
}

/// The gRPC code of a kind. Without a catch-all arm: a new kind has to be thought about here.
fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Uniqueness | ErrorKind::Conflict => Code::AlreadyExists,
        ErrorKind::InvalidFilter
        | ErrorKind::TooMany
        | ErrorKind::Mutability
        | ErrorKind::InvalidSyntax
        | ErrorKind::InvalidPath
        | ErrorKind::NoTarget
        | ErrorKind::InvalidValue
        | ErrorKind::InvalidVers
        | ErrorKind::Sensitive
        | ErrorKind::InvalidCursor
        | ErrorKind::InvalidCount
        | ErrorKind::PayloadTooLarge
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::NotAcceptable
        | ErrorKind::MethodNotAllowed => Code::InvalidArgument,
        ErrorKind::ExpiredCursor => Code::OutOfRange,
        ErrorKind::VersionMismatch => Code::FailedPrecondition,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::RateLimited => Code::ResourceExhausted,
        ErrorKind::NotImplemented => Code::Unimplemented,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The kind of a status that does not carry ours: made by tonic, a proxy, or a lost connection.
fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument => ErrorKind::InvalidValue,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::Conflict,
        Code::PermissionDenied => ErrorKind::Forbidden,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::ResourceExhausted => ErrorKind::RateLimited,
        Code::FailedPrecondition => ErrorKind::VersionMismatch,
        Code::Unimplemented => ErrorKind::NotImplemented,
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled => {
            ErrorKind::Unavailable
        }
        // OutOfRange is tonic's word for a message over the size limit: ours, whoever made it too large.
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss | Code::OutOfRange => ErrorKind::Internal,
    }
}

/// Whether the answer broke off on its way, whatever code tonic gives that.
fn is_broken_connection(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<hyper::Error>() || error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        if let Some(cause) = &error.cause {
            tracing::error!(error.kind = error.kind.name(), error.cause = %cause, "request failed: {}", error.detail);
        }
        let mut metadata = HashMap::new();
        if let Some(attribute) = &error.attribute {
            metadata.insert("attribute".to_owned(), attribute.clone());
        }
        let details = ErrorDetails::with_error_info(error.kind.name(), DOMAIN, metadata);
        Status::with_error_details(code(error.kind), error.detail, details)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let known = info.as_ref().and_then(|info| ErrorKind::from_name(&info.reason));
        let Some(kind) = known else {
            let kind =
                if is_broken_connection(&status) { ErrorKind::Unavailable } else { kind_of(status.code()) };
            let detail = match kind {
                ErrorKind::Unavailable => {
                    "a service of the platform does not answer right now; try again shortly"
                }
                _ => "internal error; the operator finds it in the log by the request id",
            };
            return Self::new(kind, detail).with_cause(status);
        };
        let attribute = info.and_then(|mut info| info.metadata.remove("attribute"));
        Self { kind, detail: status.message().to_owned(), attribute, cause: None }
    }
}

#[cfg(feature = "db")]
impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        use sea_orm::DbErr;
        match error {
            DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => {
                Self::unavailable("the database does not answer right now; try again shortly")
                    .with_cause(error)
            }
            other if crate::db::is_lost(&other) => {
                Self::unavailable("the connection to the database was lost; try again shortly")
                    .with_cause(other)
            }
            other if crate::db::ran_out(&other) => {
                let detail =
                    "the database was too long about it and gave up; ask for less, or try again later";
                Self::unavailable(detail).with_cause(other)
            }
            other if crate::db::is_exhausted(&other) => {
                Self::unavailable("the database has no room or is in trouble; try again later")
                    .with_cause(other)
            }
            other => Self::internal(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_hop() {
        for kind in ErrorKind::ALL {
            let error = Error::new(*kind, "what is wrong").with_attribute("userName");
            let back = Error::from(Status::from(error));
            assert_eq!(back.kind, *kind);
            assert_eq!(back.detail, "what is wrong");
            assert_eq!(back.attribute.as_deref(), Some("userName"));
        }
    }

    #[test]
    fn causes_stay_here() {
        let status = Status::from(Error::internal("password=hunter2"));
        assert!(!format!("{status:?}").contains("hunter2"));
    }

    #[test]
    fn a_foreign_status_says_nothing_of_its_text() {
        let error = Error::from(Status::unavailable("tcp connect error 10.1.2.3"));
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(!error.detail.contains("10.1.2.3"));
    }
}
