//! The one error of the protocol: a kind, a sentence for the client, and the attribute it is about.

use serde_json::{Value, json};

/// `Result` with the SCIM [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $status:literal, $scim_type:expr;)+) => {
        /// What went wrong, as SCIM (RFC 7644, section 3.12, and RFC 9865) and HTTP see it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$doc])* $kind,)+ }

        impl ErrorKind {
            /// Every kind, in the order of the enum.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$kind,)+];

            /// The HTTP status it is answered with.
            pub fn http_status(self) -> u16 {
                match self { $(ErrorKind::$kind => $status,)+ }
            }

            /// The `scimType` of the answer, where the RFCs define one.
            pub fn scim_type(self) -> Option<&'static str> {
                match self { $(ErrorKind::$kind => $scim_type,)+ }
            }

            /// The stable name that travels between services (`ErrorInfo.reason`).
            pub fn name(self) -> &'static str {
                match self { $(ErrorKind::$kind => stringify!($kind),)+ }
            }
        }
    };
}

kinds! {
    /// The filter does not parse, names an unknown attribute, or compares what cannot be compared.
    InvalidFilter, 400, Some("invalidFilter");
    /// More results or more work than the server is willing to do.
    TooMany, 400, Some("tooMany");
    /// A unique value is taken.
    Uniqueness, 409, Some("uniqueness");
    /// The attribute cannot be changed (readOnly, immutable, or required and about to go).
    Mutability, 400, Some("mutability");
    /// The body is not what the message asks for.
    InvalidSyntax, 400, Some("invalidSyntax");
    /// The path of a PATCH operation does not parse or names an unknown attribute.
    InvalidPath, 400, Some("invalidPath");
    /// The path of a PATCH operation is fine and selects nothing.
    NoTarget, 400, Some("noTarget");
    /// A value is missing, of the wrong type, or not allowed.
    InvalidValue, 400, Some("invalidValue");
    /// The SCIM version is not supported.
    InvalidVers, 400, Some("invalidVers");
    /// Sensitive information in a URI.
    Sensitive, 400, Some("sensitive");
    /// The pagination cursor was not made by this server for this query (RFC 9865).
    InvalidCursor, 400, Some("invalidCursor");
    /// The pagination cursor is too old (RFC 9865).
    ExpiredCursor, 400, Some("expiredCursor");
    /// The count is not acceptable with cursor pagination (RFC 9865).
    InvalidCount, 400, Some("invalidCount");
    /// If-Match named another version.
    VersionMismatch, 412, None;
    /// No such resource or endpoint.
    NotFound, 404, None;
    /// No credential, or one that is not valid (any more).
    Unauthenticated, 401, None;
    /// The credential is good but not for this.
    Forbidden, 403, None;
    /// A conflict with the present state that is not about uniqueness.
    Conflict, 409, None;
    /// The body is larger than the limit.
    PayloadTooLarge, 413, None;
    /// The Content-Type of the body is not JSON.
    UnsupportedMediaType, 415, None;
    /// The endpoint does not know the method.
    MethodNotAllowed, 405, None;
    /// The client accepts nothing this server can produce.
    NotAcceptable, 406, None;
    /// Over the tenant's rate; come back later.
    RateLimited, 429, None;
    /// Specified, but not offered here.
    NotImplemented, 501, None;
    /// Cannot answer now; come back later.
    Unavailable, 503, None;
    /// A fault of this server.
    Internal, 500, None;
}

impl ErrorKind {
    /// The kind with that [`ErrorKind::name`].
    pub fn from_name(name: &str) -> Option<ErrorKind> {
        ErrorKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// An error for the client. `detail` says what is wrong, where, and what would be right; it never carries secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// One sentence for the client.
    pub detail: String,
    /// The attribute it is about, in the schema's spelling, where there is one.
    pub attribute: Option<String>,
}

macro_rules! constructors {
    ($($name:ident $kind:ident;)+) => {
        impl Error {
            $(
                #[doc = concat!("An error of [`ErrorKind::", stringify!($kind), "`].")]
                pub fn $name(detail: impl Into<String>) -> Error {
                    Error::new(ErrorKind::$kind, detail)
                }
            )+
        }
    };
}

constructors! {
    invalid_filter InvalidFilter;
    too_many TooMany;
    uniqueness Uniqueness;
    mutability Mutability;
    invalid_syntax InvalidSyntax;
    invalid_path InvalidPath;
    no_target NoTarget;
    invalid_value InvalidValue;
    invalid_cursor InvalidCursor;
    version_mismatch VersionMismatch;
    not_found NotFound;
    unauthenticated Unauthenticated;
    forbidden Forbidden;
    payload_too_large PayloadTooLarge;
    not_implemented NotImplemented;
    unavailable Unavailable;
    internal Internal;
}

/// A detail travels in gRPC headers, and may quote what the client sent: it is cut to this length, in bytes.
const LONGEST_DETAIL: usize = 1_000;
/// What a detail shows of a text from the client, in bytes.
const LONGEST_SHOWN: usize = 200;

/// A text from the client, as an error or a warning shows it: its beginning.
pub(crate) fn shown(text: &str) -> String {
    cut(text.to_owned(), LONGEST_SHOWN)
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

impl Error {
    /// An error of any kind. A detail beyond 1,000 bytes is cut.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Error {
        Error { kind, detail: cut(detail.into(), LONGEST_DETAIL), attribute: None }
    }

    /// The same error, about that attribute. A name beyond 200 bytes is cut.
    #[must_use]
    pub fn about(mut self, attribute: impl Into<String>) -> Error {
        self.attribute = Some(cut(attribute.into(), LONGEST_SHOWN));
        self
    }

    /// The same error with `context: ` in front of the detail, for example `Operations[3]`.
    #[must_use]
    pub fn within(mut self, context: &str) -> Error {
        self.detail = cut(format!("{context}: {}", self.detail), LONGEST_DETAIL);
        self
    }

    /// The error message of RFC 7644, section 3.12: `status` is text, `scimType` only where one is defined.
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.kind.http_status().to_string(),
            "detail": self.detail,
        });
        if let Some(scim_type) = self.kind.scim_type() {
            body["scimType"] = scim_type.into();
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_distinct() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_name(kind.name()), Some(*kind));
        }
        assert_eq!(ErrorKind::from_name("Nonsense"), None);
    }

    #[test]
    fn what_a_client_sent_does_not_make_it_long() {
        let long = "ä".repeat(100_000);
        let error = Error::invalid_path(&*long).about(&*long).within(&long);
        assert!(error.detail.len() <= LONGEST_DETAIL + '…'.len_utf8() && error.detail.ends_with('…'));
        assert!(error.attribute.unwrap().len() <= LONGEST_SHOWN + '…'.len_utf8());
    }

    #[test]
    fn body_is_that_of_the_rfc() {
        let error = Error::mutability("id: readOnly, cannot be changed").about("id").within("Operations[0]");
        assert_eq!(
            error.to_json(),
            json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "scimType": "mutability",
                "detail": "Operations[0]: id: readOnly, cannot be changed",
                "status": "400",
            })
        );
        assert!(Error::not_found("no such user").to_json().get("scimType").is_none());
    }
}
