//! Configuration: embedded defaults < file < environment, with errors that name the key and where it stood.

use std::fmt;
use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Loads `T` from `defaults` (TOML shipped in the binary), then the file, then `ROLLCALL_SECTION__KEY`.
///
/// `T` should be `deny_unknown_fields` throughout, so that a misspelt key is an error rather than ignored.
///
/// # Errors
/// Names the key, what is wrong with it, and the source it came from.
pub fn load<T: DeserializeOwned>(defaults: &str, file: Option<&Path>) -> Result<T, Box<figment::Error>> {
    let mut figment = Figment::from(Toml::string(defaults));
    if let Some(file) = file {
        figment = figment.merge(Toml::file_exact(file));
    }
    // Keys of the command line's own (ROLLCALL_SERVER, ROLLCALL_ADMIN_TOKEN) are no settings of a section.
    let env = Env::prefixed("ROLLCALL_").filter(|key| key.as_str().contains("__")).split("__");
    figment.merge(env).extract().map_err(Box::new)
}

/// A secret among the settings: read like any text, shown like none.
#[derive(Clone, Default)]
pub struct Secret(Option<SecretString>);

impl Secret {
    /// `None` when it is empty.
    pub fn get(&self) -> Option<&SecretString> {
        self.0.as_ref()
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Secret()" } else { "Secret(…)" })
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self((!text.is_empty()).then(|| text.into()))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { "[redacted]" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::from(text.to_owned()))
            }

            // Serde's own words would repeat the value.
            fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("a secret that looks like a number must be in quotes"))
            }

            fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Secret, E> {
                self.visit_i64(0)
            }

            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Secret, E> {
                self.visit_i64(0)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// Several texts: a list, or, as suits the environment, one text with commas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct List(pub Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts, or one text with commas")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<List, E> {
                Ok(split(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<List, A::Error> {
                let mut list = Vec::new();
                while let Some(part) = parts.next_element::<String>()? {
                    if part.contains(',') {
                        return Err(A::Error::custom("a comma separates texts, so it cannot be in one"));
                    }
                    list.push(part);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

fn split(text: &str) -> List {
    List(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// Several secrets, as [`List`].
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Secrets(pub Vec<Secret>);

impl Secrets {
    /// From text with commas or line breaks.
    pub fn from_text(text: &str) -> Self {
        Self(split(&text.replace(['\n', '\r'], ",")).0.into_iter().map(Secret::from).collect())
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(List::deserialize(deserializer)?.0.into_iter().map(Secret::from).collect()))
    }
}

/// The secret of a setting that may stand in it or in a file it names (`<key>_file`), whose white space at the ends is no part of it.
/// `key` is for errors, e.g. `database.url`.
///
/// # Errors
/// Names the key: both are set, or the file cannot be read or is empty.
pub fn secret(key: &str, value: &Secret, file: &Path) -> Result<Option<SecretString>, String> {
    if file.as_os_str().is_empty() {
        return Ok(value.get().map(|secret| secret.expose_secret().to_owned().into()));
    }
    if !value.is_empty() {
        return Err(format!("{key} and {key}_file are both set: remove one of them"));
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{key}_file: the file {} cannot be read: {error}", file.display()))?;
    match text.trim() {
        "" => Err(format!("{key}_file: the file {} is empty", file.display())),
        text => Ok(Some(text.to_owned().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        http: Http,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Http {
        body_limit_bytes: usize,
    }

    #[test]
    fn a_file_wins_over_defaults_and_a_misspelt_key_is_named() {
        let file = std::env::temp_dir().join(format!("rollcall-config-{}.toml", std::process::id()));
        std::fs::write(&file, "[http]\nbody_limit_bytes = 7\n").unwrap();
        let settings: Settings = load("[http]\nbody_limit_bytes = 1\n", Some(&file)).unwrap();
        assert_eq!(settings.http.body_limit_bytes, 7);

        std::fs::write(&file, "[http]\nbody_limit = 7\n").unwrap();
        let error = load::<Settings>("[http]\nbody_limit_bytes = 1\n", Some(&file)).unwrap_err().to_string();
        std::fs::remove_file(&file).unwrap();
        assert!(error.contains("body_limit"), "{error}");
    }

    #[derive(Debug, Deserialize, Serialize)]
    struct Shown {
        password: Secret,
        names: List,
    }

    #[test]
    fn secrets_are_read_and_never_shown() {
        let shown: Shown = load("password = \"hunter2\"\nnames = \"a, b\"", None).unwrap();
        assert_eq!(shown.password.get().unwrap().expose_secret(), "hunter2");
        assert_eq!(shown.names.0, ["a", "b"]);
        let texts = format!("{shown:?} {}", serde_json::to_string(&shown).unwrap());
        assert!(!texts.contains("hunter2") && texts.contains("[redacted]"), "{texts}");
        let error = load::<Shown>("password = 12345\nnames = []", None).unwrap_err().to_string();
        assert!(
            !error.contains("12345") && error.contains("in quotes") && error.contains("password"),
            "{error}"
        );
    }

    #[test]
    fn a_secret_stands_in_one_place() {
        let file = std::env::temp_dir().join(format!("rollcall-secret-{}", std::process::id()));
        std::fs::write(&file, "from the file\n").unwrap();
        let (none, some) = (Secret::default(), Secret::from("here".to_owned()));
        assert_eq!(secret("a.b", &none, &file).unwrap().unwrap().expose_secret(), "from the file");
        assert_eq!(secret("a.b", &some, Path::new("")).unwrap().unwrap().expose_secret(), "here");
        assert!(secret("a.b", &none, Path::new("")).unwrap().is_none());
        assert!(secret("a.b", &some, &file).unwrap_err().contains("a.b and a.b_file are both set"));
        std::fs::write(&file, "\n").unwrap();
        assert!(secret("a.b", &none, &file).unwrap_err().contains("is empty"));
        std::fs::remove_file(&file).unwrap();
        assert!(secret("a.b", &none, &file).unwrap_err().contains("a.b_file"));
    }
}
