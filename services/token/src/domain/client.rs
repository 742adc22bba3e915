//! OAuth clients and the scopes they may have.

use platform::auth::Scope;
use platform::clock::Timestamp;
use platform::ids::{ClientId, TenantId};
use platform::{Error, Result};

/// What a client made through the API may have. `admin` and `internal` are for the platform's own clients only, and
/// `scim` only ever comes from a provisioning secret.
const GRANTABLE: [Scope; 2] = [Scope::MembershipsRead, Scope::DirectoryRead];

/// An OAuth client; never its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The `client_id`.
    pub id: ClientId,
    /// Unique name.
    pub name: String,
    /// The one tenant it may ask about; `None` for all.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Creation.
    pub created_at: Timestamp,
}

/// The scopes of a client that is made through the API.
///
/// # Errors
/// `InvalidValue` that lists what can be had.
pub fn grantable(names: &[String]) -> Result<Vec<Scope>> {
    let mut scopes = Vec::new();
    for name in names {
        let scope = Scope::from_name(name).filter(|scope| GRANTABLE.contains(scope));
        let Some(scope) = scope else { return Err(not_grantable()) };
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() { Err(not_grantable()) } else { Ok(scopes) }
}

fn not_grantable() -> Error {
    let names: Vec<&str> = GRANTABLE.iter().map(|scope| scope.name()).collect();
    Error::invalid_value(format!("a client has one or more of the scopes {}", names.join(", ")))
        .with_attribute("scopes")
}

/// The scopes that a token gets: those asked for (RFC 6749, section 3.3), or all that the client may have.
/// `None` is `invalid_scope`: one of them is unknown or not the client's.
pub fn granted(allowed: &[Scope], wanted: &str) -> Option<Vec<Scope>> {
    let mut scopes = Vec::new();
    for name in wanted.split(' ').filter(|name| !name.is_empty()) {
        let scope = Scope::from_name(name).filter(|scope| allowed.contains(scope))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() { Some(allowed.to_vec()) } else { Some(scopes) }
}

/// Scopes as a token and a column carry them: names, space-separated.
pub fn join(scopes: &[Scope]) -> String {
    let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    names.join(" ")
}

/// What [`join`] made; scopes that this version does not know are left out.
pub fn split(text: &str) -> Vec<Scope> {
    text.split(' ').filter_map(Scope::from_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_given_the_platforms_scopes() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(grantable(&names(&["directory:read", "directory:read"])).unwrap(), [Scope::DirectoryRead]);
        for wrong in [
            &["admin"][..],
            &["internal"],
            &["scim"],
            &["memberships:read", "admin"],
            &["MEMBERSHIPS:READ"],
            &[],
        ] {
            let error = grantable(&names(wrong)).unwrap_err();
            assert!(error.detail.contains("memberships:read, directory:read"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn a_token_gets_what_was_asked_for_and_no_more() {
        let allowed = [Scope::MembershipsRead, Scope::DirectoryRead];
        assert_eq!(granted(&allowed, "").unwrap(), allowed);
        assert_eq!(granted(&allowed, "directory:read").unwrap(), [Scope::DirectoryRead]);
        assert_eq!(granted(&allowed, "admin"), None);
        assert_eq!(granted(&allowed, "memberships:read nonsense"), None);
        assert_eq!(split(&join(&allowed)), allowed);
    }
}
