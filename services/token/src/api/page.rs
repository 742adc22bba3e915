//! Page tokens of lists by name: the place after the last row, opaque to clients.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use platform::{Error, Result};
use scim::ErrorKind;
use uuid::Uuid;

const DEFAULT: u64 = 100;
const MOST: u64 = 1000;

/// Rows on a page.
pub(super) fn size(asked: i32) -> u64 {
    match u64::try_from(asked) {
        Ok(0) | Err(_) => DEFAULT,
        Ok(asked) => asked.min(MOST),
    }
}

/// The token of the page after the row of this name and id.
pub(super) fn token(name: &str, id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode([id.as_bytes(), scim::fold_str(name).as_bytes()].concat())
}

/// Cuts `rows`, one more than a page if there is another, to a page; the token of the next, or empty.
pub(super) fn cut<T>(rows: &mut Vec<T>, size: u64, token: impl Fn(&T) -> String) -> String {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if rows.len() <= size {
        return String::new();
    }
    rows.truncate(size);
    rows.last().map(token).unwrap_or_default()
}

/// The place (name key, id) that [`token`] wrote; `None` for the first page.
pub(super) fn place(token: &str) -> Result<Option<(String, Uuid)>> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, key) = bytes.split_at_checked(16)?;
        Some((String::from_utf8(key.to_vec()).ok()?, Uuid::from_slice(id).ok()?))
    };
    let place = read().ok_or_else(|| {
        let detail =
            "the page token is not one of ours: pass back the next_page_token of the page before, unchanged";
        Error::new(ErrorKind::InvalidCursor, detail).with_attribute("page_token")
    })?;
    Ok(Some(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_garbage_is_refused() {
        let id = Uuid::from_u128(7);
        assert_eq!(place(&token("Ärzte GmbH", id)).unwrap(), Some(("ärzte gmbh".to_owned(), id)));
        assert_eq!(place("").unwrap(), None);
        for garbage in ["x", "====", "AAAA", "ä"] {
            assert_eq!(place(garbage).unwrap_err().kind, ErrorKind::InvalidCursor, "{garbage}");
        }
    }

    #[test]
    fn sizes_are_clamped() {
        assert_eq!([size(0), size(-5), size(7), size(5000)], [100, 100, 7, 1000]);
    }
}
