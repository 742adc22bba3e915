//! xsd:dateTime values (RFC 7643, section 2.3.5).

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Reads an xsd:dateTime; without an offset it is UTC. `None` when it is none, or outside of the years 1 to 9999 (UTC).
pub fn parse(text: &str) -> Option<OffsetDateTime> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339))
        .ok()?;
    let utc = parsed.checked_to_offset(UtcOffset::UTC)?;
    (1..=9999).contains(&utc.year()).then_some(utc)
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`: fixed width, so that byte order is time order. What filters compare.
pub fn fold(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    format!("{}.{:06}Z", to_the_second(at), at.microsecond())
}

/// `YYYY-MM-DDTHH:MM:SS.fffZ`: what `meta` shows. From microseconds since 1970 UTC, as the databases store them.
/// What lies outside of the calendar is shown as its nearest end.
pub fn from_micros(micros: i64) -> String {
    let end = if micros < 0 { time::PrimitiveDateTime::MIN } else { time::PrimitiveDateTime::MAX };
    let at =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).unwrap_or(end.assume_utc());
    format!("{}.{:03}Z", to_the_second(at), at.millisecond())
}

fn to_the_second(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_fold_to_the_same_text_whatever_the_offset() {
        for text in [
            "2011-05-13T04:42:34Z",
            "2011-05-13T04:42:34",
            "2011-05-13T06:42:34.0000+02:00",
            "2011-05-13t04:42:34z",
        ] {
            assert_eq!(fold(parse(text).unwrap()), "2011-05-13T04:42:34.000000Z", "{text}");
        }
        assert_eq!(fold(parse("2011-05-13T04:42:34.1234567Z").unwrap()), "2011-05-13T04:42:34.123456Z");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in
            ["", "2011", "2011-05-13", "2011-13-01T00:00:00Z", "yesterday", "0001-01-01T00:00:00+02:00"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn micros_show_as_milliseconds() {
        assert_eq!(from_micros(1_305_261_754_123_999), "2011-05-13T04:42:34.123Z");
        assert_eq!(from_micros(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(from_micros(0), "1970-01-01T00:00:00.000Z");
    }
}
