//! The secrets we hand out: what they look like, how a typo is recognised, what of them is stored.
//!
//! ```text
//! rcs_0198f3c2a1b47c3d8e9f001122334455_<43 characters>_<6 characters>
//! │   │                                │               └ checksum: CRC-32 of all before it, base62
//! │   │                                └ the secret: 43 random characters of base62, 256 bits
//! │   └ the id of its row: a UUID, 32 hexadecimal digits in lower case
//! └ kind: rcs provisioning, rca administration, rcc OAuth client
//! ```
//!
//! The id finds the row without an index on secrets; the checksum recognises a mistyped or cut-off secret without a
//! query (a CRC-32 finds every single wrong character and every swap of neighbours); and the whole form is one that
//! secret scanners can match: `rc[sac]_[0-9a-f]{32}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}`. The checksum protects nothing.
//! Only the SHA-256 of the whole text is stored: with 256 random bits behind it, a slow hash would gain nothing.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use platform::{Error, Result};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// log2(62^43) = 256.03
const RANDOM_LEN: usize = 43;
/// 62^6 > 2^32
const CHECKSUM_LEN: usize = 6;

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tenant's client provisions with it.
    Provisioning,
    /// Administers the platform.
    Admin,
    /// An OAuth client's `client_secret`.
    Client,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Provisioning, Kind::Admin, Kind::Client];

    /// What secrets of this kind begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Kind::Provisioning => "rcs",
            Kind::Admin => "rca",
            Kind::Client => "rcc",
        }
    }
}

/// The stored form: SHA-256 of the whole text.
#[derive(Clone, Copy)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Compared with when there is no row, so that this takes as long. No text is known that hashes to it.
    pub const OF_NOTHING: Self = Self([0; 32]);

    /// From the column. A hash of another length was never ours and equals nothing.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// For the column.
    pub fn to_stored(self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Hash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A well-formed secret that a client presented: no proof of anything yet.
pub struct Presented {
    /// By its prefix.
    pub kind: Kind,
    /// The row it claims to belong to.
    pub id: Uuid,
    /// To compare with the row's.
    pub hash: Hash,
}

/// Makes a secret for the row `id`.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn mint(kind: Kind, id: Uuid) -> Result<(SecretString, Hash)> {
    let random = base62(|bytes| getrandom::fill(bytes).map_err(no_randomness))?;
    Ok(written(kind, id, &random))
}

/// Makes the secret for the row `id` from bytes that nobody can guess: the same bytes, the same secret.
///
/// # Errors
/// What `fill` answers.
pub fn derive(
    kind: Kind,
    id: Uuid,
    fill: impl FnMut(&mut [u8]) -> Result<()>,
) -> Result<(SecretString, Hash)> {
    let random = base62(fill)?;
    Ok(written(kind, id, &random))
}

fn written(kind: Kind, id: Uuid, random: &Zeroizing<String>) -> (SecretString, Hash) {
    let mut text = Zeroizing::new(format!("{}_{}_{}", kind.prefix(), id.simple(), random.as_str()));
    let checksum = checksum(&text);
    text.push('_');
    text.push_str(&checksum);
    let hash = hash(&text);
    (SecretString::from(text.as_str()), hash)
}

/// Takes a secret apart; `None` unless it has our form and its checksum is right.
pub fn parse(secret: &SecretString) -> Option<Presented> {
    let text = secret.expose_secret();
    let (body, given) = text.rsplit_once('_')?;
    if given.len() != CHECKSUM_LEN || checksum(body) != given {
        return None;
    }
    let (prefix, rest) = body.split_once('_')?;
    let (id, random) = rest.split_once('_')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.prefix() == prefix)?;
    // One spelling only: a UUID parser would take upper case, hyphens and braces too.
    let id = Uuid::try_parse(id).ok().filter(|parsed| parsed.simple().to_string() == id)?;
    if random.len() != RANDOM_LEN || !random.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    Some(Presented { kind, id, hash: hash(text) })
}

fn hash(text: &str) -> Hash {
    Hash(Sha256::digest(text.as_bytes()).into())
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

/// 43 characters, each as likely as the other, of the random bytes that `fill` gives.
fn base62(mut fill: impl FnMut(&mut [u8]) -> Result<()>) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(RANDOM_LEN));
    let mut bytes = Zeroizing::new([0u8; 64]);
    loop {
        fill(bytes.as_mut_slice())?;
        for byte in bytes.iter() {
            // 248 = 4 × 62: what lies above would make the first characters likelier.
            if *byte < 248 {
                text.push(char::from(BASE62[usize::from(byte % 62)]));
            }
            if text.len() == RANDOM_LEN {
                return Ok(text);
            }
        }
    }
}

/// The operating system refused random bytes.
pub(super) fn no_randomness(error: getrandom::Error) -> Error {
    Error::internal(format!("the operating system gives no random bytes: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minted(kind: Kind, id: u128) -> String {
        mint(kind, Uuid::from_u128(id)).unwrap().0.expose_secret().to_owned()
    }

    fn read(text: &str) -> Option<Presented> {
        parse(&SecretString::from(text))
    }

    #[test]
    fn it_has_the_form_that_scanners_match() {
        let text = minted(Kind::Provisioning, 1);
        let parts: Vec<&str> = text.split('_').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [3, 32, 43, 6], "{text}");
        assert!(text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()));
    }

    #[test]
    fn what_only_looks_alike_is_refused() {
        let text = minted(Kind::Admin, 7);
        let (body, _) = text.rsplit_once('_').unwrap();
        let with_checksum = |body: &str| format!("{body}_{}", checksum(body));
        assert!(read(&with_checksum(body)).is_some());
        assert!(read(&with_checksum(&body.replace("rca_", "rcx_"))).is_none(), "unknown kind");
        assert!(read(&with_checksum(&body.replacen('0', "A", 1))).is_none(), "id in another spelling");
        assert!(read(&with_checksum(&body[..body.len() - 1])).is_none(), "too short");
        assert!(read(&with_checksum(&format!("{body}-"))).is_none(), "foreign character");
        for text in ["", "_", "___", "rcs_", "rcs___", "Bearer x", "ä_ö_ü_ß"] {
            assert!(read(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn no_two_are_alike() {
        assert_ne!(minted(Kind::Client, 1), minted(Kind::Client, 1));
    }

    proptest! {
        #[test]
        fn what_is_minted_parses_back(id: u128, kind in prop::sample::select(Kind::ALL.to_vec())) {
            let (secret, stored) = mint(kind, Uuid::from_u128(id)).unwrap();
            let presented = parse(&secret).unwrap();
            prop_assert_eq!(presented.id, Uuid::from_u128(id));
            prop_assert_eq!(presented.kind, kind);
            prop_assert!(presented.hash.matches(&stored));
        }

        #[test]
        fn every_single_typo_is_recognised(id: u128, at in 0usize..87, typo in prop::char::range('!', '~')) {
            let mut text: Vec<char> = minted(Kind::Provisioning, id).chars().collect();
            prop_assume!(text[at] != typo);
            text[at] = typo;
            prop_assert!(read(&text.into_iter().collect::<String>()).is_none());
        }

        #[test]
        fn swapped_neighbours_are_recognised(id: u128, at in 0usize..86) {
            let mut text: Vec<char> = minted(Kind::Provisioning, id).chars().collect();
            prop_assume!(text[at] != text[at + 1]);
            text.swap(at, at + 1);
            prop_assert!(read(&text.into_iter().collect::<String>()).is_none());
        }

        #[test]
        fn cut_off_secrets_are_recognised(id: u128, len in 0usize..87) {
            prop_assert!(read(&minted(Kind::Provisioning, id)[..len]).is_none());
        }

        #[test]
        fn no_input_panics(text: String) {
            let _ = read(&text);
        }
    }
}
