//! Public keys of others as JSON Web Keys (RFC 7517): which we take, and which algorithms each may verify.
//!
//! | key | algorithms |
//! | --- | --- |
//! | RSA, 2048 to 4096 bits | RS256, RS384, RS512, PS256, PS384, PS512 |
//! | EC P-256 | ES256 |
//! | EC P-384 | ES384 |
//! | OKP Ed25519 | EdDSA |
//!
//! What a token says of its algorithm is only ever compared with this table, so that no token chooses how it is verified:
//! `none` and the HMACs are in no row.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value, json};

/// Names of the algorithms that assertions may be signed with, for metadata.
pub const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

const OF_RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
/// Members that only private or symmetric keys have (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const MAX_KID_CHARS: usize = 200;

/// The algorithm of that name; `None` for `none`, the HMACs and whatever else we do not take.
pub fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// A public key.
#[derive(Clone)]
pub struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
    /// The members that matter, for the column.
    public: Value,
}

impl Key {
    /// From one JWK.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it.
    pub fn read(jwk: &Value) -> Result<Self, String> {
        let Some(jwk) = jwk.as_object() else { return Err("a key must be a JSON object".to_owned()) };
        if let Some(member) = PRIVATE.iter().find(|member| jwk.contains_key(**member)) {
            return Err(format!("it has the private member `{member}`: send public keys only"));
        }
        if optional(jwk, "use")?.is_some_and(|wanted| wanted != "sig") {
            return Err("its `use` must be `sig`".to_owned());
        }
        let (mut algorithms, decoding, mut public) = material(jwk)?;
        if let Some(name) = optional(jwk, "alg")? {
            algorithms.retain(|allowed| algorithm(name) == Some(*allowed));
            if algorithms.is_empty() {
                return Err("its `alg` does not fit its `kty`, or is none that is taken".to_owned());
            }
            public["alg"] = name.into();
        }
        let kid = optional(jwk, "kid")?.map(str::to_owned);
        if let Some(kid) = &kid {
            if kid.is_empty() || kid.chars().count() > MAX_KID_CHARS || kid.chars().any(char::is_control) {
                return Err(format!("its `kid` must have 1 to {MAX_KID_CHARS} characters"));
            }
            public["kid"] = kid.as_str().into();
        }
        Ok(Self { kid, algorithms, decoding, public })
    }

    /// Whether the signature is this key's over `input`, by an algorithm that this key may be used with.
    pub fn verifies(&self, input: &str, signature: &str, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
            && jsonwebtoken::crypto::verify(signature, input.as_bytes(), &self.decoding, algorithm)
                .unwrap_or(false)
    }
}

/// Algorithms, key and public members by `kty`.
fn material(jwk: &Map<String, Value>) -> Result<(Vec<Algorithm>, DecodingKey, Value), String> {
    let curve = || required(jwk, "crv");
    match required(jwk, "kty")? {
        "RSA" => {
            let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
            let bits = bits(&n);
            if !(2048..=4096).contains(&bits) {
                return Err(format!("an RSA key has 2048 to 4096 bits, not {bits}"));
            }
            if e.len() > 4 || self::bits(&e) < 2 || e.last().is_none_or(|last| last % 2 == 0) {
                return Err("its `e` must be an odd number from 3 on, of at most 32 bits".to_owned());
            }
            let public = json!({"kty": "RSA", "n": required(jwk, "n")?, "e": required(jwk, "e")?});
            Ok((OF_RSA.to_vec(), DecodingKey::from_rsa_raw_components(&n, &e), public))
        }
        "EC" => {
            let (algorithm, length) = match curve()? {
                "P-256" => (Algorithm::ES256, 32),
                "P-384" => (Algorithm::ES384, 48),
                _ => return Err("the curves of EC keys are P-256 and P-384".to_owned()),
            };
            let (x, y) = (required(jwk, "x")?, required(jwk, "y")?);
            if bytes(jwk, "x")?.len() != length || bytes(jwk, "y")?.len() != length {
                return Err(format!("its `x` and `y` must have {length} bytes each"));
            }
            let decoding = DecodingKey::from_ec_components(x, y).map_err(|_| "it is no EC key".to_owned())?;
            Ok((vec![algorithm], decoding, json!({"kty": "EC", "crv": curve()?, "x": x, "y": y})))
        }
        "OKP" => {
            if curve()? != "Ed25519" {
                return Err("the curve of OKP keys is Ed25519".to_owned());
            }
            let x = required(jwk, "x")?;
            let point = bytes(jwk, "x")?;
            if point.len() != 32 {
                return Err("its `x` must have 32 bytes".to_owned());
            }
            if is_weak(&point) {
                return Err("its `x` is a point of small order, under which anybody can sign".to_owned());
            }
            let decoding =
                DecodingKey::from_ed_components(x).map_err(|_| "it is no Ed25519 key".to_owned())?;
            Ok((vec![Algorithm::EdDSA], decoding, json!({"kty": "OKP", "crv": "Ed25519", "x": x})))
        }
        _ => Err("its `kty` must be RSA, EC or OKP".to_owned()),
    }
}

/// Whether a point of Ed25519 is one of the eight of small order, in whatever encoding: the identity among them, for which a
/// signature of zeros is good over anything.
fn is_weak(point: &[u8]) -> bool {
    /// Of y = 8th roots; little-endian, without the sign of x.
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let [first, middle @ .., last] = point else { return true };
    let last = last & 0x7f;
    // y = 0 and 1; and y = p - 1, p and p + 1, where p = 2^255 - 19.
    let is_small = *first <= 1 && middle.iter().all(|byte| *byte == 0) && last == 0;
    let is_near_p = (0xec..=0xee).contains(first) && middle.iter().all(|byte| *byte == 0xff) && last == 0x7f;
    let is_order_8 = |y: &[u8; 32]| y[0] == *first && y[1..31] == *middle && y[31] == last;
    is_small || is_near_p || ORDER_8.iter().any(is_order_8)
}

fn optional<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("its `{name}` must be a string")),
    }
}

fn required<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    optional(jwk, name)?.ok_or_else(|| format!("it has no `{name}`"))
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let decoded = URL_SAFE_NO_PAD.decode(required(jwk, name)?);
    decoded.map_err(|_| format!("its `{name}` must be base64url without padding"))
}

/// Of a number, most significant byte first.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let rest = &number[zeros..];
    rest.first().map_or(0, |first| rest.len() * 8 - first.leading_zeros() as usize)
}

/// A set of public keys.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// The most keys of a client.
    pub const MAX_OF_CLIENT: usize = 10;
    const MAX_OF_ISSUER: usize = 100;

    /// The JWK Set that a client is registered with.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it.
    pub fn of_client(json: &[u8]) -> Result<Self, String> {
        let listed = listed(json)?;
        if listed.is_empty() || listed.len() > Self::MAX_OF_CLIENT {
            return Err(format!("a client has 1 to {} keys", Self::MAX_OF_CLIENT));
        }
        let mut keys: Vec<Key> = Vec::new();
        for (at, jwk) in listed.iter().enumerate() {
            let key = Key::read(jwk).map_err(|wrong| format!("key {}: {wrong}", at + 1))?;
            if listed.len() > 1 && key.kid.is_none() {
                return Err(format!("key {}: it needs a `kid`, because there are several", at + 1));
            }
            if keys.iter().any(|other| other.kid == key.kid) {
                return Err(format!("key {}: another key has the same `kid`", at + 1));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The JWK Set that an issuer publishes. Keys that are not for us (other types, other uses) are passed over.
    ///
    /// # Errors
    /// When it is no JWK Set.
    pub fn of_issuer(json: &[u8]) -> Result<Self, String> {
        let listed = listed(json)?;
        let keys = listed.iter().take(Self::MAX_OF_ISSUER).filter_map(|jwk| Key::read(jwk).ok()).collect();
        Ok(Self { keys })
    }

    /// The key that a token names; where it names none, the only one there is.
    pub fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match kid {
            Some(kid) => self.keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
            None if self.keys.len() == 1 => self.keys.first(),
            None => None,
        }
    }

    /// The `kid`s, for the record.
    pub fn ids(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.kid.clone().unwrap_or_default()).collect()
    }

    /// The public members alone, as a JWK Set: what rests and what is shown.
    pub fn to_json(&self) -> String {
        let keys: Vec<&Value> = self.keys.iter().map(|key| &key.public).collect();
        json!({ "keys": keys }).to_string()
    }
}

fn listed(json: &[u8]) -> Result<Vec<Value>, String> {
    let set: Value = serde_json::from_slice(json).map_err(|_| "it is not JSON".to_owned())?;
    match set {
        Value::Object(mut set) => match set.remove("keys") {
            Some(Value::Array(keys)) => Ok(keys),
            _ => Err("a JWK Set is a JSON object with an array `keys`".to_owned()),
        },
        _ => Err("a JWK Set is a JSON object with an array `keys`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn b64(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn rsa(bits: usize) -> Value {
        let mut n = vec![0xff; bits / 8];
        n[0] = 0x80;
        json!({"kty": "RSA", "n": b64(&n), "e": "AQAB", "kid": "r"})
    }

    fn set(keys: &[Value]) -> Result<KeySet, String> {
        KeySet::of_client(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn each_type_verifies_with_its_own_algorithms_only() {
        let p256 = json!({"kty": "EC", "crv": "P-256", "x": b64(&[1; 32]), "y": b64(&[2; 32])});
        let p384 = json!({"kty": "EC", "crv": "P-384", "x": b64(&[1; 48]), "y": b64(&[2; 48])});
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&[1; 32])});
        let mut pinned = rsa(2048);
        pinned["alg"] = "PS256".into();
        for (jwk, expected) in [
            (rsa(2048), OF_RSA),
            (rsa(4096), OF_RSA),
            (pinned, &[Algorithm::PS256][..]),
            (p256, &[Algorithm::ES256]),
            (p384, &[Algorithm::ES384]),
            (ed, &[Algorithm::EdDSA]),
        ] {
            assert_eq!(Key::read(&jwk).map(|key| key.algorithms).unwrap(), expected, "{jwk}");
        }
        for name in ["none", "None", "HS256", "HS512", "ES512", ""] {
            assert_eq!(algorithm(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_without_quoting_it() {
        let with = |member: &str, value: Value| {
            let mut jwk = rsa(2048);
            jwk[member] = value;
            jwk
        };
        let identity = |sign: u8| {
            let mut point = [0; 32];
            (point[0], point[31]) = (1, sign);
            point
        };
        let ec = |crv: &str, len: usize| json!({"kty": "EC", "crv": crv, "x": b64(&vec![7; len]), "y": b64(&vec![7; len])});
        for (jwk, said) in [
            (json!("key"), "JSON object"),
            (json!({}), "`kty`"),
            (json!({"kty": "oct", "k": "c2VjcmV0"}), "`k`"),
            (json!({"kty": "oct"}), "RSA, EC or OKP"),
            (with("d", "c2VjcmV0".into()), "`d`"),
            (with("qi", "c2VjcmV0".into()), "`qi`"),
            (with("use", "enc".into()), "`use`"),
            (with("alg", "HS256".into()), "`alg`"),
            (with("alg", "ES256".into()), "`alg`"),
            (with("alg", json!(5)), "`alg`"),
            (with("e", "AA".into()), "`e`"),
            (with("e", "AQ".into()), "`e`"),
            (with("e", "Ag".into()), "`e`"),
            (with("n", "!".into()), "base64url"),
            (with("kid", "".into()), "`kid`"),
            (rsa(1024), "2048"),
            (rsa(8192), "4096"),
            (ec("P-256", 31), "32 bytes"),
            (ec("P-384", 32), "48 bytes"),
            (ec("P-521", 66), "P-256 and P-384"),
            (ec("secp256k1", 32), "P-256 and P-384"),
            (json!({"kty": "OKP", "crv": "X25519", "x": b64(&[1; 32])}), "Ed25519"),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&[0; 32])}), "small order"),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&identity(0))}), "small order"),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&identity(0x80))}), "small order"),
            (
                json!({"kty": "OKP", "crv": "Ed25519", "x": "7f_______________________________________38"}),
                "small order",
            ),
        ] {
            let wrong = Key::read(&jwk).err().unwrap_or_else(|| panic!("{jwk} was taken"));
            assert!(wrong.contains(said) && !wrong.contains("c2VjcmV0"), "{jwk}: {wrong}");
        }
    }

    #[test]
    fn a_client_has_a_few_keys_that_can_be_told_apart() {
        let named = |kid: &str| {
            let mut jwk = rsa(2048);
            jwk["kid"] = kid.into();
            jwk
        };
        let mut nameless = rsa(2048);
        nameless.as_object_mut().unwrap().remove("kid");
        assert!(set(&[nameless.clone()]).unwrap().find(None).is_some());
        assert!(set(&[nameless.clone()]).unwrap().find(Some("x")).is_none());
        assert!(set(&[nameless, named("a")]).is_err());
        assert!(set(&[named("a"), named("a")]).is_err());
        assert!(set(&[]).is_err());
        let eleven: Vec<Value> = (0..11).map(|at| named(&at.to_string())).collect();
        assert!(set(&eleven).is_err());
        let ten = set(&eleven[..10]).unwrap();
        assert!(ten.find(Some("9")).is_some() && ten.find(None).is_none());
        assert_eq!(KeySet::of_client(ten.to_json().as_bytes()).unwrap().ids(), ten.ids());
        for wrong in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert!(KeySet::of_client(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_is_public_and_known_is_kept() {
        let mut jwk = rsa(2048);
        jwk["x5c"] = json!(["MIIC"]);
        jwk["note"] = "hello".into();
        let kept = set(&[jwk]).unwrap().to_json();
        assert!(
            !kept.contains("MIIC") && !kept.contains("hello") && kept.contains("\"kid\":\"r\""),
            "{kept}"
        );
    }

    #[test]
    fn keys_of_an_issuer_that_are_not_for_us_are_passed_over() {
        let encryption = json!({"kty": "RSA", "use": "enc"});
        let published = json!({"keys": [encryption, {"kty": "new"}, rsa(2048), rsa(1024)]}).to_string();
        assert_eq!(KeySet::of_issuer(published.as_bytes()).unwrap().ids(), ["r"]);
    }
}
