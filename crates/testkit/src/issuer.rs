//! A real OpenID Connect issuer on loopback: it publishes keys by discovery and signs whatever claims a test wants, also wrong
//! ones. It can be slow, down, or lie.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use rsa::pkcs1::{EncodeRsaPrivateKey, EncodeRsaPublicKey, LineEnding};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 version 1 (RFC 8410, section 7).
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What type of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// RSA of 2048 bits: one of three of this process, in turn, because they take time to make.
    Rsa,
    /// EC P-256.
    P256,
    /// EC P-384.
    P384,
    /// Ed25519.
    Ed25519,
}

/// A key pair with a name.
#[derive(Clone)]
pub struct KeyPair {
    /// Its `kid`.
    pub kid: String,
    key_type: KeyType,
    private: EncodingKey,
    public: Value,
    /// An RSA public key as people publish it, PEM: what an attacker would use as the secret of an HMAC.
    pub public_pem: String,
}

impl KeyPair {
    /// A new key pair. The `nth` RSA key and the `nth + 3`rd are the same; an issuer starts with the first.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub fn new(key_type: KeyType, kid: &str, nth: usize) -> KeyPair {
        let random = SystemRandom::new();
        let ec = |algorithm: &'static EcdsaSigningAlgorithm| {
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("random bytes");
            EncodingKey::from_ec_der(document.as_ref())
        };
        let mut public_pem = String::new();
        let private = match key_type {
            KeyType::Rsa => {
                let (private, pem) = rsa_key(nth);
                public_pem = pem;
                private
            }
            KeyType::P256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            KeyType::P384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            KeyType::Ed25519 => {
                let mut seed = [0; 32];
                random.fill(&mut seed).expect("random bytes");
                EncodingKey::from_ed_der(&[ED25519_PKCS8.as_slice(), &seed].concat())
            }
        };
        let jwk = Jwk::from_encoding_key(&private, algorithm(key_type)).expect("a key that was just made");
        let mut public = serde_json::to_value(jwk).expect("a JWK is JSON");
        let members = public.as_object_mut().expect("a JWK is an object");
        members.retain(|name, _| ["kty", "crv", "n", "e", "x", "y"].contains(&name.as_str()));
        members.insert("kid".to_owned(), kid.into());
        members.insert("use".to_owned(), "sig".into());
        KeyPair { kid: kid.to_owned(), key_type, private, public, public_pem }
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        self.public.clone()
    }

    /// A JWK Set of this key alone.
    pub fn jwks(&self) -> Value {
        json!({"keys": [self.public]})
    }

    /// Signs claims with the usual algorithm of this type of key.
    ///
    /// # Panics
    /// When signing fails, which a good key does not.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(algorithm(self.key_type), claims)
    }

    /// Signs claims with another algorithm of its type.
    ///
    /// # Panics
    /// When the algorithm is not for this type of key.
    pub fn sign_as(&self, algorithm: Algorithm, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &self.private).expect("the algorithm fits the key")
    }
}

/// A token that says it needs no signature, with an empty one or with some.
pub fn unsigned(kid: &str, claims: &Value, signature: &str) -> String {
    let header = json!({"alg": "none", "kid": kid});
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}.{signature}", encode(&header), encode(claims))
}

/// A token that is signed by HMAC with what everybody knows.
///
/// # Panics
/// Never: any bytes are a secret.
pub fn signed_with_public_key(kid: &str, claims: &Value, public: &[u8]) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(public)).expect("any bytes are a secret")
}

fn algorithm(key_type: KeyType) -> Algorithm {
    match key_type {
        KeyType::Rsa => Algorithm::RS256,
        KeyType::P256 => Algorithm::ES256,
        KeyType::P384 => Algorithm::ES384,
        KeyType::Ed25519 => Algorithm::EdDSA,
    }
}

fn rsa_key(nth: usize) -> (EncodingKey, String) {
    static MADE: [OnceLock<(EncodingKey, String)>; 3] = [const { OnceLock::new() }; 3];
    let made = MADE[nth % 3].get_or_init(|| {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("random bytes");
        let der = key.to_pkcs1_der().expect("a key that was just made");
        let pem = key.to_public_key().to_pkcs1_pem(LineEnding::LF).expect("a key that was just made");
        (EncodingKey::from_rsa_der(der.as_bytes()), pem)
    });
    made.clone()
}

/// How it behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    #[default]
    Good,
    /// Every answer is 503.
    Down,
    /// Answers wait until the mood changes.
    Slow,
    /// The document names another issuer.
    LyingAboutIssuer,
    /// The document's `jwks_uri` is this.
    JwksUri(&'static str),
    /// The document is answered by a redirect to itself.
    RedirectingDocument,
    /// The keys are answered by a redirect to themselves.
    RedirectingKeys,
    /// The document has a megabyte.
    LargeDocument,
    /// The key set has a megabyte.
    LargeKeys,
    /// The document is not JSON.
    Nonsense,
}

/// A running issuer; gone when dropped.
pub struct Issuer {
    /// Claim `iss`, `http://127.0.0.1:PORT/PATH`.
    pub url: String,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    origin: String,
    url: String,
    keys: Mutex<Vec<KeyPair>>,
    made: Mutex<usize>,
    mood: watch::Sender<Mood>,
    fetched: Mutex<Fetched>,
}

/// How often it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// For its document.
    pub documents: usize,
    /// For its keys.
    pub keys: usize,
}

impl Issuer {
    /// Starts one with one RSA key; `path` follows the origin in its URL, e.g. `/TENANT/v2.0`.
    ///
    /// # Panics
    /// When loopback has no port left.
    pub async fn start(path: &str) -> Issuer {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let listener = listener.expect("loopback has ports");
        let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
        let url = format!("{origin}{path}");
        let shared = Arc::new(Shared {
            origin,
            url: url.clone(),
            keys: Mutex::default(),
            made: Mutex::default(),
            mood: watch::Sender::default(),
            fetched: Mutex::default(),
        });
        let document = format!("{}/.well-known/openid-configuration", path.trim_end_matches('/'));
        let app = Router::new()
            .route(&document, get(answer_document))
            .route("/keys", get(answer_keys))
            .with_state(shared.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                panic!("the issuer stopped: {error}");
            }
        });
        let issuer = Issuer { url, shared, server };
        issuer.rotate();
        issuer
    }

    /// Takes all keys back and publishes a new RSA key.
    pub fn rotate(&self) -> KeyPair {
        let key = self.new_key(KeyType::Rsa);
        *lock(&self.shared.keys) = vec![key.clone()];
        key
    }

    /// Publishes a further key.
    pub fn add_key(&self, key_type: KeyType) -> KeyPair {
        let key = self.new_key(key_type);
        lock(&self.shared.keys).push(key.clone());
        key
    }

    fn new_key(&self, key_type: KeyType) -> KeyPair {
        let mut made = lock(&self.shared.made);
        *made += 1;
        KeyPair::new(key_type, &format!("key-{made}"), *made)
    }

    /// The latest key.
    ///
    /// # Panics
    /// Never: there always is one.
    pub fn key(&self) -> KeyPair {
        lock(&self.shared.keys).last().cloned().expect("it starts with a key")
    }

    /// Signs claims with the latest key.
    pub fn sign(&self, claims: &Value) -> String {
        self.key().sign(claims)
    }

    /// Behaves otherwise from now on. Answers that wait go on in the new mood.
    pub fn set_mood(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// How often it was asked so far.
    pub fn fetched(&self) -> Fetched {
        *lock(&self.shared.fetched)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn response(status: StatusCode, location: Option<String>, body: String) -> Response<Body> {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    if let Some(location) = location {
        response = response.header("location", location);
    }
    response.body(Body::from(body)).expect("the parts are good")
}

/// The mood, once it is one to answer in.
async fn mood(shared: &Shared) -> Mood {
    let mut moods = shared.mood.subscribe();
    match moods.wait_for(|mood| *mood != Mood::Slow).await {
        Ok(mood) => *mood,
        Err(_) => Mood::Down,
    }
}

async fn answer_document(State(shared): State<Arc<Shared>>) -> Response<Body> {
    lock(&shared.fetched).documents += 1;
    let document = |issuer: &str, keys: &str| {
        let document = json!({"issuer": issuer, "jwks_uri": keys, "response_types_supported": ["id_token"]});
        response(StatusCode::OK, None, document.to_string())
    };
    let keys = format!("{}/keys", shared.origin);
    match mood(&shared).await {
        Mood::Down => response(StatusCode::SERVICE_UNAVAILABLE, None, String::new()),
        Mood::LyingAboutIssuer => document("http://127.0.0.1:1/other", &keys),
        Mood::JwksUri(uri) => document(&shared.url, uri),
        Mood::RedirectingDocument => {
            let location = format!("{}/.well-known/openid-configuration", shared.url.trim_end_matches('/'));
            response(StatusCode::FOUND, Some(location), String::new())
        }
        Mood::LargeDocument => {
            let padding = "x".repeat(1024 * 1024);
            let document = json!({"issuer": shared.url, "jwks_uri": keys, "padding": padding});
            response(StatusCode::OK, None, document.to_string())
        }
        Mood::Nonsense => response(StatusCode::OK, None, "<html>".to_owned()),
        Mood::Good | Mood::Slow | Mood::RedirectingKeys | Mood::LargeKeys => document(&shared.url, &keys),
    }
}

async fn answer_keys(State(shared): State<Arc<Shared>>) -> Response<Body> {
    lock(&shared.fetched).keys += 1;
    let mood = mood(&shared).await;
    let keys: Vec<Value> = lock(&shared.keys).iter().map(KeyPair::jwk).collect();
    match mood {
        Mood::Down => response(StatusCode::SERVICE_UNAVAILABLE, None, String::new()),
        Mood::RedirectingKeys => {
            response(StatusCode::FOUND, Some(format!("{}/keys", shared.origin)), String::new())
        }
        Mood::LargeKeys => {
            let padding = "x".repeat(1024 * 1024);
            response(StatusCode::OK, None, json!({"keys": keys, "padding": padding}).to_string())
        }
        _ => response(StatusCode::OK, None, json!({"keys": keys}).to_string()),
    }
}
