//! Who is calling a service, and what it may do.
//!
//! Every call carries an access token: a JWT signed by the token service (EdDSA, audience `rollcall-internal`), bound to one
//! tenant or, for the platform's own services and operators, to all. [`verify::AuthLayer`] verifies it and puts a
//! [`Caller`] into the request; a handler starts with
//!
//! ```ignore
//! let tenant = auth::caller(&request)?.authorize(Scope::Scim, &request.get_ref().tenant_id)?;
//! ```
//!
//! and has a [`TenantId`] only if the scope is there and the tenant is the token's.

mod source;
mod verify;

pub use source::TokenSource;
pub use verify::{AuthLayer, KeySource, Verifier};

use serde::{Deserialize, Serialize};
use tonic::metadata::MetadataValue;

use crate::error::{Error, Result};
use crate::ids::TenantId;

/// The issuer of access tokens.
pub const ISSUER: &str = "rollcall";
/// The audience of access tokens for services.
pub const AUDIENCE: &str = "rollcall-internal";
/// The audience of access tokens for SCIM, which clients present to the gateway: no service takes them.
pub const SCIM_AUDIENCE: &str = "rollcall-scim";
/// How long an access token for services lives, seconds.
pub const ACCESS_TOKEN_TTL_S: i64 = 300;
/// How long an access token for SCIM lives, seconds: Entra gets a new one about hourly. It is resolved at each use, so it
/// dies with its client all the same.
pub const SCIM_TOKEN_TTL_S: i64 = 3600;
/// The `tenant` claim that stands for every tenant.
pub const EVERY_TENANT: &str = "*";

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Provision users and groups of a tenant.
    Scim,
    /// Ask who is a member of what.
    MembershipsRead,
    /// Look up users.
    DirectoryRead,
    /// Administer tenants, credentials, clients.
    Admin,
    /// Service to service: change logs.
    Internal,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 5] =
        [Scope::Scim, Scope::MembershipsRead, Scope::DirectoryRead, Scope::Admin, Scope::Internal];

    /// As it stands in a token.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Scim => "scim",
            Scope::MembershipsRead => "memberships:read",
            Scope::DirectoryRead => "directory:read",
            Scope::Admin => "admin",
            Scope::Internal => "internal",
        }
    }

    /// The scope of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// The claims of an access token (RFC 7519, RFC 9068 for `scope`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// The credential or client the token was issued for.
    pub sub: String,
    /// The tenant's id, or [`EVERY_TENANT`].
    pub tenant: String,
    /// Scopes, space-separated.
    pub scope: String,
    /// Issued at, seconds since the Unix epoch.
    pub iat: i64,
    /// Expiry, seconds since the Unix epoch.
    pub exp: i64,
    /// Unique id of the token.
    pub jti: String,
}

/// Which tenants a caller may speak for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    One(TenantId),
    Every,
}

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    subject: String,
    reach: Reach,
    scopes: Vec<Scope>,
    expires_at_s: i64,
}

impl Caller {
    /// From verified claims; scopes this version does not know are dropped.
    fn from_claims(claims: &Claims) -> Result<Self> {
        let reach = match claims.tenant.as_str() {
            EVERY_TENANT => Reach::Every,
            tenant => Reach::One(
                tenant.parse().map_err(|_| Error::unauthenticated("the access token names no tenant"))?,
            ),
        };
        Ok(Self {
            subject: claims.sub.clone(),
            reach,
            scopes: claims.scope.split(' ').filter_map(Scope::from_name).collect(),
            expires_at_s: claims.exp,
        })
    }

    /// The credential or client that calls, for the record.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// When the access token expires, seconds since the Unix epoch: a stream should not outlive it.
    pub fn expires_at_s(&self) -> i64 {
        self.expires_at_s
    }

    /// The tenant of the request, if the caller has the scope and may speak for it. An empty `tenant` means the one
    /// the token is for.
    ///
    /// # Errors
    /// `Forbidden` without the scope or for another tenant, `InvalidValue` when a token for every tenant names none.
    pub fn authorize(&self, scope: Scope, tenant: &str) -> Result<TenantId> {
        self.require(scope)?;
        match (self.reach, tenant) {
            (Reach::One(own), "") => Ok(own),
            (Reach::Every, "") => Err(Error::invalid_value(
                "tenant_id is missing: this access token is for every tenant, so the request must name one",
            )),
            (Reach::One(own), named) => match named.parse::<TenantId>() {
                Ok(named) if named == own => Ok(own),
                _ => Err(Error::forbidden("the access token is for another tenant than the request names")),
            },
            (Reach::Every, named) => {
                named.parse().map_err(|_| Error::invalid_value("tenant_id must be a UUID in lower case"))
            }
        }
    }

    /// For calls that are about no single tenant: the caller must have the scope and reach every tenant.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn authorize_platform(&self, scope: Scope) -> Result<()> {
        self.require(scope)?;
        match self.reach {
            Reach::Every => Ok(()),
            Reach::One(_) => Err(Error::forbidden("this call needs an access token for every tenant")),
        }
    }

    /// As [`Caller::authorize`], where any one of several scopes will do.
    ///
    /// # Errors
    /// As there.
    pub fn authorize_any(&self, scopes: &[Scope], tenant: &str) -> Result<TenantId> {
        let held = scopes.iter().find(|scope| self.scopes.contains(scope));
        let wanted = held.or(scopes.first()).ok_or_else(|| Error::forbidden("no scope allows this call"))?;
        self.authorize(*wanted, tenant)
    }

    fn require(&self, scope: Scope) -> Result<()> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        Err(Error::forbidden(format!("this call needs the scope `{}`", scope.name())))
    }
}

/// The verified caller of a request.
///
/// # Errors
/// `Unauthenticated` when the request carried no access token.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<&Caller> {
    request.extensions().get::<Caller>().ok_or_else(|| {
        Error::unauthenticated(
            "this call needs an access token: send the metadata `authorization: Bearer <token>`",
        )
    })
}

/// A request that carries this access token.
///
/// # Errors
/// `Unauthenticated` when the token has characters that no token has.
pub fn with_token<T>(message: T, token: &str) -> Result<tonic::Request<T>> {
    let mut request = tonic::Request::new(message);
    let mut value = MetadataValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Error::unauthenticated("the access token has characters that no token has"))?;
    value.set_sensitive(true);
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn caller(tenant: &str, scope: &str) -> Caller {
        Caller::from_claims(&Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: "s".into(),
            tenant: tenant.into(),
            scope: scope.into(),
            iat: 0,
            exp: 1,
            jti: "j".into(),
        })
        .unwrap()
    }

    #[test]
    fn a_tenants_token_reaches_only_its_tenant() {
        let (a, b) = (TenantId::new(&Clock::system()), TenantId::new(&Clock::system()));
        let caller = caller(&a.to_string(), "scim");
        assert_eq!(caller.authorize(Scope::Scim, &a.to_string()).unwrap(), a);
        assert_eq!(caller.authorize(Scope::Scim, "").unwrap(), a);
        assert_eq!(
            caller.authorize(Scope::Scim, &b.to_string()).unwrap_err().kind,
            scim::ErrorKind::Forbidden
        );
        assert_eq!(caller.authorize(Scope::Scim, "*").unwrap_err().kind, scim::ErrorKind::Forbidden);
        assert_eq!(caller.authorize(Scope::Admin, "").unwrap_err().kind, scim::ErrorKind::Forbidden);
        assert!(caller.authorize_platform(Scope::Scim).is_err());
    }

    #[test]
    fn a_platform_token_must_name_the_tenant() {
        let tenant = TenantId::new(&Clock::system());
        let caller = caller("*", "memberships:read unheard:of");
        assert_eq!(caller.authorize(Scope::MembershipsRead, &tenant.to_string()).unwrap(), tenant);
        assert_eq!(
            caller.authorize(Scope::MembershipsRead, "").unwrap_err().kind,
            scim::ErrorKind::InvalidValue
        );
        assert_eq!(caller.scopes, [Scope::MembershipsRead]);
    }
}
