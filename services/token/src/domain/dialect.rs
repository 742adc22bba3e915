//! How a tenant's requests are read: by a dialect that the administrator chose, or by the traffic.

use platform::clock::Timestamp;
use platform::{Error, Result};

/// With which dialect the traffic of an unknown client is read: the most tolerant one.
const UNTIL_RECOGNISED: &str = "entra";
/// The most characters of a sign.
const MAX_SIGN_CHARS: usize = 100;

/// What an administrator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A dialect that `scim` knows.
    Fixed(&'static str),
    /// Whatever the traffic is recognised as.
    Auto,
}

/// How a tenant's requests are read, and since when, if not by choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The dialect in force. One that a later version wrote may be unknown here.
    pub name: String,
    /// Whether it goes by the traffic.
    pub auto: bool,
    /// What the client was recognised by; only with `auto`.
    pub recognised: Option<Recognised>,
}

/// What a client was recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// For people, e.g. `header ADSCIMVersion`.
    pub sign: String,
    /// When.
    pub at: Timestamp,
}

impl Dialect {
    /// One that was chosen.
    pub fn fixed(name: &str) -> Self {
        Self { name: name.to_owned(), auto: false, recognised: None }
    }

    /// By the traffic, of which nothing is known yet.
    pub fn auto() -> Self {
        Self { name: UNTIL_RECOGNISED.to_owned(), auto: true, recognised: None }
    }

    /// What follows from a choice. Choosing `auto` again begins anew.
    pub fn chosen(choice: Choice) -> Self {
        match choice {
            Choice::Fixed(name) => Self::fixed(name),
            Choice::Auto => Self::auto(),
        }
    }

    /// Whether the client is still to be recognised.
    pub fn is_open(&self) -> bool {
        self.auto && self.recognised.is_none()
    }

    /// The choice, by name.
    pub fn choice(&self) -> &str {
        if self.auto { "auto" } else { &self.name }
    }
}

/// A recognition that a gateway reports.
///
/// # Errors
/// `InvalidValue` for a sign that is none.
pub fn recognition(name: &'static str, sign: &str, now: Timestamp) -> Result<Dialect> {
    let fine = (1..=MAX_SIGN_CHARS).contains(&sign.chars().count()) && !sign.chars().any(char::is_control);
    if !fine {
        return Err(Error::invalid_value(format!(
            "a sign has 1 to {MAX_SIGN_CHARS} characters and no control characters"
        ))
        .with_attribute("sign"));
    }
    let recognised = Some(Recognised { sign: sign.to_owned(), at: now });
    Ok(Dialect { name: name.to_owned(), auto: true, recognised })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_open_until_a_client_is_recognised() {
        assert!(Dialect::auto().is_open());
        assert!(scim::Dialect::by_name(&Dialect::auto().name).is_some());
        assert!(!Dialect::fixed("rfc").is_open());
        let okta = recognition("okta", "header User-Agent", Timestamp::from_micros(1)).unwrap();
        assert!(!okta.is_open());
        assert_eq!((okta.choice(), okta.name.as_str()), ("auto", "okta"));
        assert_eq!(Dialect::chosen(Choice::Auto), Dialect::auto(), "choosing it again begins anew");
    }

    #[test]
    fn signs_are_checked() {
        for wrong in ["", "a\nb", &"s".repeat(101)] {
            assert!(recognition("okta", wrong, Timestamp::from_micros(1)).is_err(), "{wrong:?}");
        }
    }
}
