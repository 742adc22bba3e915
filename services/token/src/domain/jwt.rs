//! JSON Web Tokens of others (RFC 7519, in the compact form of RFC 7515): taken apart first, believed later.
//!
//! A signature is only ever verified with a key that was found without the token's help, by an algorithm that this key may be
//! used with ([`super::jwk`]). Times are compared with the clock that is passed in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use platform::clock::Timestamp;

use super::jwk::{Key, algorithm};

/// None that we take comes near; the gateway takes no longer ones either.
const MAX_LENGTH: usize = 16 * 1024;
/// Clocks of two organizations differ: a token is taken this long before its `nbf` and `iat`. Never after its `exp`.
pub const LEEWAY_S: i64 = 60;

/// A JWT of which nothing is proven.
pub struct Unverified<'t> {
    input: &'t str,
    signature: &'t str,
    algorithm: Algorithm,
    kid: Option<String>,
    payload: &'t str,
    claims: Claims,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood. We understand none.
    crit: Option<Value>,
}

/// The claims that anything here looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: Option<String>,
    /// Subject.
    pub sub: Option<String>,
    /// Audience: a string is an array of one.
    #[serde(default, deserialize_with = "audiences")]
    pub aud: Vec<String>,
    /// Expiry, seconds since the Unix epoch.
    #[serde(default, deserialize_with = "seconds")]
    pub exp: Option<i64>,
    /// Not before, likewise.
    #[serde(default, deserialize_with = "seconds")]
    pub nbf: Option<i64>,
    /// Issued at, likewise.
    #[serde(default, deserialize_with = "seconds")]
    pub iat: Option<i64>,
    /// Unique id.
    pub jti: Option<String>,
    /// Entra: the directory.
    pub tid: Option<String>,
    /// Entra, version 1: the application that asked for the token.
    pub appid: Option<String>,
    /// The same in version 2, and elsewhere.
    pub azp: Option<String>,
}

impl Claims {
    /// No identifier has any, and PostgreSQL takes no NUL in a text that it is asked for.
    fn have_control_characters(&self) -> bool {
        let Self { iss, sub, aud, exp: _, nbf: _, iat: _, jti, tid, appid, azp } = self;
        let texts = [iss, sub, jti, tid, appid, azp].into_iter().flatten().chain(aud);
        texts.into_iter().any(|text| text.chars().any(char::is_control))
    }

    /// Whether the audience is this one and no other: a token that is also for somebody else could have come from there.
    pub fn is_only_for(&self, audience: &str) -> bool {
        self.aud.len() == 1 && self.aud.first().is_some_and(|only| only == audience)
    }

    /// The end of the token, if it is good now.
    ///
    /// # Errors
    /// The claim that is against it.
    pub fn good_at(&self, now: Timestamp) -> Result<Timestamp, &'static str> {
        let now_s = now.seconds();
        let exp = self.exp.ok_or("exp is missing")?;
        if now_s >= exp {
            return Err("exp is past");
        }
        let future = |at: Option<i64>| at.is_some_and(|at| at > now_s.saturating_add(LEEWAY_S));
        if future(self.nbf) {
            return Err("nbf is in the future");
        }
        if future(self.iat) {
            return Err("iat is in the future");
        }
        Ok(Timestamp::from_micros(exp.saturating_mul(1_000_000)))
    }
}

impl<'t> Unverified<'t> {
    /// Takes a token apart; `None` unless it is a signed JWT with an algorithm that we take.
    pub fn parse(token: &'t str) -> Option<Self> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let (input, signature) = token.rsplit_once('.')?;
        let (header, payload) = input.split_once('.')?;
        if payload.contains('.') || signature.is_empty() {
            return None;
        }
        let header: Header = read(header)?;
        if header.crit.is_some() {
            return None;
        }
        let algorithm = algorithm(&header.alg)?;
        let claims: Claims = read(payload)?;
        if claims.have_control_characters() {
            return None;
        }
        Some(Self { input, signature, algorithm, kid: header.kid, payload, claims })
    }

    /// Which key is said to have signed it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What it claims, to find out whose keys to ask: no proof of anything.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Further claims: no proof of anything either.
    pub fn read<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        read(self.payload)
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &Key) -> bool {
        key.verifies(self.input, self.signature, self.algorithm)
    }
}

fn read<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    // Serde would take an array for a struct, too: its members by their place.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(&json).ok()
}

/// NumericDate (RFC 7519, section 2): seconds, perhaps with a fraction, which is cut off.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = Number::deserialize(deserializer)?;
    if let Some(whole) = number.as_i64() {
        return Ok(Some(whole));
    }
    let fraction = number.as_f64().filter(|seconds| seconds.abs() < 1e15);
    let fraction = fraction.ok_or_else(|| D::Error::custom("a time must be a number of seconds"))?;
    #[expect(clippy::cast_possible_truncation, reason = "it is far below 2^53, and the fraction is to go")]
    Ok(Some(fraction.floor() as i64))
}

fn audiences<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(audience) => vec![audience],
        Audience::Several(audiences) => audiences,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(header: &Value, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", encode(&header.to_string()), encode(claims))
    }

    fn claims(json: &Value) -> Option<Claims> {
        let token = token(&json!({"alg": "RS256"}), &json.to_string());
        Unverified::parse(&token).map(|parsed| parsed.claims().clone())
    }

    #[test]
    fn no_claim_has_control_characters() {
        assert!(claims(&json!({"iss": "https://idp.example.com", "aud": ["a b", "ü"]})).is_some());
        for bad in [
            json!({"iss": "a\u{0}"}),
            json!({"aud": ["a", "b\u{0}"]}),
            json!({"sub": "\n"}),
            json!({"azp": "\u{7f}"}),
        ] {
            assert_eq!(claims(&bad), None, "{bad}");
        }
    }

    #[test]
    fn only_algorithms_that_we_take_and_nothing_critical() {
        let parsed = |header: Value| Unverified::parse(&token(&header, "{}")).is_some();
        assert!(parsed(json!({"alg": "RS256", "kid": "a", "typ": "JWT", "x5t": "b"})));
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "NONE"}),
            json!({"alg": "HS256"}),
            json!({"alg": "RS256", "crit": ["exp"]}),
            json!({"alg": "RS256", "crit": null, "kid": 5}),
            json!({"typ": "JWT"}),
            json!([]),
            json!(["RS256", "a", null]),
        ] {
            assert!(!parsed(header.clone()), "{header}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = token(&json!({"alg": "ES256"}), "{}");
        assert!(Unverified::parse(&good).is_some());
        let (input, _) = good.rsplit_once('.').unwrap();
        for bad in [
            "",
            ".",
            "..",
            "a.b.c",
            input,
            &format!("{input}."),
            &format!("{good}.x"),
            &format!("{good}="),
            &format!("{}{good}", "A".repeat(MAX_LENGTH)),
            &good.replacen('.', "=.", 1),
        ] {
            let taken = Unverified::parse(bad).is_some();
            // A signature is only looked at when it is verified.
            assert!(!taken || bad.ends_with('='), "{bad}");
        }
        assert!(
            Unverified::parse(&token(&json!({"alg": "ES256"}), r#"{"iss":"a","iss":"b"}"#)).is_none(),
            "two issuers"
        );
    }

    #[test]
    fn audiences_and_times_are_read_as_the_rfc_says() {
        let read = claims(&json!({"aud": ["a", "b"], "exp": 10.9, "nbf": 5})).unwrap();
        assert_eq!(
            (read.aud.as_slice(), read.exp, read.nbf),
            (&["a".to_owned(), "b".into()][..], Some(10), Some(5))
        );
        assert!(!read.is_only_for("a"), "it is for b as well");
        assert!(claims(&json!({"aud": "a"})).unwrap().is_only_for("a"));
        assert!(claims(&json!({"aud": ["a"]})).unwrap().is_only_for("a"));
        for wrong in [
            json!({"exp": "10"}),
            json!({"exp": 1e300}),
            json!({"exp": null}),
            json!({"aud": 5}),
            json!({"aud": null}),
            json!({"sub": 5}),
            json!(["iss", "sub", "aud", 10, 5, 5, "jti", "tid", "appid", "azp"]),
        ] {
            assert!(claims(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_good_between_its_times() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let token = claims(&json!({"exp": 2000, "nbf": 1000, "iat": 1000})).unwrap();
        assert_eq!(token.good_at(at(1000)), Ok(at(2000)));
        assert_eq!(token.good_at(at(1000 - LEEWAY_S)), Ok(at(2000)));
        assert_eq!(token.good_at(at(1000 - LEEWAY_S - 1)), Err("nbf is in the future"));
        assert_eq!(token.good_at(at(1999)), Ok(at(2000)));
        assert_eq!(token.good_at(at(2000)), Err("exp is past"));
        assert_eq!(claims(&json!({})).unwrap().good_at(at(0)), Err("exp is missing"));
        let issued_later = claims(&json!({"exp": 2000, "iat": 1500})).unwrap();
        assert_eq!(issued_later.good_at(at(1000)), Err("iat is in the future"));
    }
}
