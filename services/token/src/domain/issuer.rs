//! Issuers whose own tokens a tenant trusts, and which token belongs to which registration.

use platform::clock::Timestamp;
use platform::ids::{IssuerId, TenantId};
use platform::{Error, Result};

use super::jwt::Claims;
use super::tenant::check_label;

/// The most trusted issuers of a tenant.
pub const MAX_OF_TENANT: u64 = 20;

/// Where Entra ID issues tokens, in the public cloud and in the sovereign ones. Each of these issues for every directory there
/// is, with audiences that are the same for all of them: only the directory tells one organization from another.
const ENTRA_HOSTS: [&str; 6] = [
    "sts.windows.net",
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "sts.chinacloudapi.cn",
];

/// A trusted issuer. An empty claim is one that is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Its id.
    pub id: IssuerId,
    /// Who trusts it.
    pub tenant: TenantId,
    /// For people.
    pub label: String,
    /// Which tokens.
    pub pins: Pins,
    /// Creation.
    pub created_at: Timestamp,
}

/// What a token must say, exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// `iss`.
    pub issuer: String,
    /// `aud`, and no other audience beside it.
    pub audience: String,
    /// `tid`, or empty.
    pub directory_id: String,
    /// `appid` or `azp`, or empty.
    pub app_id: String,
    /// `sub`, or empty.
    pub subject: String,
}

impl Pins {
    /// Checks what an administrator entered, but for the URL's reach, which is discovery's matter.
    ///
    /// # Errors
    /// `InvalidValue` that names the field.
    pub fn check(&self) -> Result<()> {
        let Self { issuer, audience, directory_id, app_id, subject } = self;
        check_claim("issuer", issuer, true)?;
        check_claim("audience", audience, true)?;
        check_claim("directory_id", directory_id, false)?;
        check_claim("app_id", app_id, false)?;
        check_claim("subject", subject, false)?;
        if !is_entra(issuer) {
            return Ok(());
        }
        if !is_directory(directory_id) {
            return Err(Error::invalid_value(
                "directory_id is required for this issuer: the directory's (tenant's) id in Entra ID, a UUID in lower case; \
                 all directories share the audience, so without it any of them would be let in",
            )
            .with_attribute("directory_id"));
        }
        if !issuer.split('/').any(|segment| segment == directory_id) {
            return Err(Error::invalid_value(format!(
                "the issuer must contain the directory_id, e.g. `https://sts.windows.net/{directory_id}/`"
            ))
            .with_attribute("issuer"));
        }
        Ok(())
    }

    /// Whether some token could be let in by both.
    pub fn overlap(&self, other: &Self) -> bool {
        let both = |one: &str, two: &str| one.is_empty() || two.is_empty() || one == two;
        self.issuer == other.issuer
            && self.audience == other.audience
            && both(&self.directory_id, &other.directory_id)
            && both(&self.app_id, &other.app_id)
            && both(&self.subject, &other.subject)
    }

    /// Whether a token with these claims is one of those.
    pub fn matches(&self, claims: &Claims) -> bool {
        let Self { issuer, audience, directory_id, app_id, subject } = self;
        let is = |claim: &Option<String>, pin: &str| claim.as_deref() == Some(pin);
        // A token of version 1 names the application `appid`, one of version 2 `azp`. One that has both must mean one.
        let applications = [&claims.appid, &claims.azp];
        let is_app = || {
            applications.iter().any(|claim| claim.is_some())
                && applications.iter().all(|claim| claim.is_none() || is(claim, app_id))
        };
        is(&claims.iss, issuer)
            && claims.is_only_for(audience)
            && (directory_id.is_empty() || is(&claims.tid, directory_id))
            && (app_id.is_empty() || is_app())
            && (subject.is_empty() || is(&claims.sub, subject))
    }
}

impl TrustedIssuer {
    /// Checks all of it, as [`Pins::check`], and the label.
    ///
    /// # Errors
    /// `InvalidValue` that names the field.
    pub fn check(&self) -> Result<()> {
        check_label(&self.label)?;
        self.pins.check()
    }
}

/// Whose assertions are taken for a client (RFC 7523): three claims, exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Federation {
    /// `iss`.
    pub issuer: String,
    /// `aud`, and no other audience beside it.
    pub audience: String,
    /// `sub`.
    pub subject: String,
}

impl Federation {
    /// Checks what an administrator entered, but for the URL's reach.
    ///
    /// # Errors
    /// `InvalidValue` that names the field.
    pub fn check(&self) -> Result<()> {
        let Self { issuer, audience, subject } = self;
        check_claim("issuer", issuer, true)?;
        check_claim("audience", audience, true)?;
        check_claim("subject", subject, true)?;
        if is_entra(issuer) && !issuer.split('/').any(is_directory) {
            return Err(Error::invalid_value(
                "the issuer must contain the id of one directory, e.g. \
                 `https://login.microsoftonline.com/0198f3c2-a1b4-7c3d-8e9f-001122334455/v2.0`: tokens never say `common`",
            )
            .with_attribute("issuer"));
        }
        Ok(())
    }

    /// Whether an assertion with these claims is one of those.
    pub fn matches(&self, claims: &Claims) -> bool {
        claims.iss.as_deref() == Some(&self.issuer)
            && claims.is_only_for(&self.audience)
            && claims.sub.as_deref() == Some(&self.subject)
    }
}

/// The most bytes of a claim: all of them together stay below what an index row of PostgreSQL holds.
const MAX_CLAIM_BYTES: usize = 400;

fn check_claim(name: &'static str, text: &str, required: bool) -> Result<()> {
    let detail = match text {
        "" if required => format!("{name} is missing"),
        _ if text.len() > MAX_CLAIM_BYTES => format!("{name} has at most {MAX_CLAIM_BYTES} bytes"),
        _ if text.chars().any(char::is_control) || text.trim() != text => {
            format!("{name} has neither control characters nor white space at either end")
        }
        _ => return Ok(()),
    };
    Err(Error::invalid_value(detail).with_attribute(name))
}

/// Whether the URL is one of Entra's, whatever the spelling of its host.
fn is_entra(issuer: &str) -> bool {
    let host = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    ENTRA_HOSTS.contains(&host.as_str())
}

fn is_directory(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|id| id.hyphenated().to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TID: &str = "0198f3c2-a1b4-7c3d-8e9f-001122334455";
    const AUDIENCE: &str = "8adf8e6e-67b2-4cf2-a259-e3dc5476c621";

    fn pins(issuer: &str, directory_id: &str) -> Pins {
        Pins {
            issuer: issuer.to_owned(),
            audience: AUDIENCE.to_owned(),
            directory_id: directory_id.to_owned(),
            app_id: String::new(),
            subject: String::new(),
        }
    }

    fn entra() -> Pins {
        pins(&format!("https://sts.windows.net/{TID}/"), TID)
    }

    #[test]
    fn entras_issuers_need_their_directory() {
        entra().check().unwrap();
        pins("https://idp.example/", "").check().unwrap();
        for host in ENTRA_HOSTS {
            pins(&format!("https://{host}/{TID}/v2.0"), TID).check().unwrap();
            for (issuer, directory) in [
                (format!("https://{host}/{TID}/"), ""),
                (format!("https://{host}/common/v2.0"), TID),
                (format!("https://{host}/x{TID}/"), TID),
                (format!("https://{host}/{TID}/"), "contoso.onmicrosoft.com"),
                (format!("https://{}/{TID}/", host.to_uppercase()), ""),
                (format!("https://{host}:443/{TID}/"), ""),
                (format!("https://{host}./{TID}/"), ""),
            ] {
                assert!(pins(&issuer, directory).check().is_err(), "{issuer} {directory}");
            }
        }
        for (name, wrong) in [
            ("issuer", pins("", "")),
            ("audience", Pins { audience: String::new(), ..entra() }),
            ("app_id", Pins { app_id: "a\n".to_owned(), ..entra() }),
            ("subject", Pins { subject: "s".repeat(401), ..entra() }),
        ] {
            assert!(wrong.check().unwrap_err().detail.contains(name), "{name}");
        }
    }

    #[test]
    fn registrations_that_one_token_could_mean_overlap() {
        let with_app = |app: &str| Pins { app_id: app.to_owned(), ..entra() };
        let with_subject = |subject: &str| Pins { subject: subject.to_owned(), ..entra() };
        assert!(entra().overlap(&entra()));
        assert!(entra().overlap(&with_app("a")) && with_app("a").overlap(&entra()));
        assert!(with_app("a").overlap(&with_subject("s")), "app a and subject s");
        assert!(!with_app("a").overlap(&with_app("b")));
        assert!(!with_subject("a").overlap(&with_subject("b")));
        assert!(!entra().overlap(&Pins { audience: "other".to_owned(), ..entra() }));
        assert!(!entra().overlap(&pins("https://other.example/", "")));
    }

    #[test]
    fn every_pinned_claim_counts() {
        let claims = Claims {
            iss: Some(format!("https://sts.windows.net/{TID}/")),
            aud: vec![AUDIENCE.to_owned()],
            tid: Some(TID.to_owned()),
            appid: Some("app".to_owned()),
            sub: Some("sub".to_owned()),
            ..Claims::default()
        };
        let all = Pins { app_id: "app".to_owned(), subject: "sub".to_owned(), ..entra() };
        assert!(all.matches(&claims) && entra().matches(&claims));
        let v2 = Claims { appid: None, azp: Some("app".to_owned()), ..claims.clone() };
        assert!(all.matches(&v2));
        let some = |text: &str| Some(text.to_owned());
        for wrong in [
            Claims { iss: some("https://sts.windows.net/"), ..claims.clone() },
            Claims { iss: None, ..claims.clone() },
            Claims { aud: vec![], ..claims.clone() },
            Claims { aud: vec!["other".to_owned()], ..claims.clone() },
            Claims { aud: vec![AUDIENCE.to_owned(), "other".to_owned()], ..claims.clone() },
            Claims { tid: None, ..claims.clone() },
            Claims { tid: some(&TID.to_uppercase()), ..claims.clone() },
            Claims { appid: None, ..claims.clone() },
            Claims { appid: some("other"), ..claims.clone() },
            Claims { azp: some("other"), ..claims.clone() },
            Claims { sub: None, ..claims.clone() },
            Claims { sub: some("other"), ..claims.clone() },
        ] {
            assert!(!all.matches(&wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_federation_names_one_directory() {
        let of = |issuer: &str| Federation {
            issuer: issuer.to_owned(),
            audience: "api://x".to_owned(),
            subject: "s".to_owned(),
        };
        of(&format!("https://login.microsoftonline.com/{TID}/v2.0")).check().unwrap();
        of("https://token.actions.example").check().unwrap();
        assert!(of("https://login.microsoftonline.com/common/v2.0").check().is_err());
        assert!(Federation { subject: String::new(), ..of("https://a.example") }.check().is_err());
    }
}
