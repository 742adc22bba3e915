//! Pages of exchanges, latest first.

use platform::clock::Timestamp;
use platform::{Error, Result};
use scim::ErrorKind;
use uuid::Uuid;

const DEFAULT: usize = 100;
const MOST: usize = 1000;

/// Where a page ends: the next one goes on with what is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: Timestamp,
    pub(crate) id: Uuid,
}

impl Place {
    /// The page token, opaque to clients.
    pub(crate) fn token(self) -> String {
        format!("{}.{}", self.at.micros(), self.id.simple())
    }

    /// The place that a token names; none for the first page.
    ///
    /// # Errors
    /// `InvalidCursor`.
    pub(crate) fn read(token: &str) -> Result<Option<Self>> {
        if token.is_empty() {
            return Ok(None);
        }
        let place = token.split_once('.').and_then(|(at, id)| {
            Some(Self { at: Timestamp::from_micros(at.parse().ok()?), id: Uuid::try_parse(id).ok()? })
        });
        place.map(Some).ok_or_else(|| {
            let detail = "the page token is not one of ours: pass back the next_page_token of the page before, unchanged";
            Error::new(ErrorKind::InvalidCursor, detail).with_attribute("page_token")
        })
    }
}

/// Exchanges on a page.
pub(crate) fn size(asked: i32) -> usize {
    match usize::try_from(asked) {
        Ok(0) | Err(_) => DEFAULT,
        Ok(asked) => asked.min(MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_garbage_is_refused() {
        let place = Place { at: Timestamp::from_micros(1_700_000_000_000_000), id: Uuid::from_u128(7) };
        assert_eq!(Place::read(&place.token()).unwrap(), Some(place));
        assert_eq!(Place::read("").unwrap(), None);
        for garbage in ["x", "1.x", ".", "x.00000000000000000000000000000007"] {
            assert_eq!(Place::read(garbage).unwrap_err().kind, ErrorKind::InvalidCursor, "{garbage}");
        }
    }

    #[test]
    fn sizes_are_clamped() {
        assert_eq!([size(0), size(-5), size(7), size(5000)], [100, 100, 7, 1000]);
    }
}
