//! Under which URL the client sees us: the beginning of every `location` and `$ref`.

use ::scim::ErrorKind;
use http::request::Parts;
use http::uri::Authority;

use crate::config::Config;
use crate::error::{Error, Result};

/// Scheme and authority, without a slash at the end: the configured one, else what the request says.
///
/// # Errors
/// `InvalidValue` when the request does not name a host.
pub(crate) fn origin(config: &Config, parts: &Parts) -> Result<String> {
    if !config.public_url.is_empty() {
        return Ok(config.public_url.trim_end_matches('/').to_owned());
    }
    let forwarded = |name: &str| {
        let value = parts.headers.get(name).filter(|_| config.trust_forwarded)?.to_str().ok()?;
        // A chain of proxies appends; the first entry is the client's side.
        value.split(',').next().map(str::trim)
    };
    let scheme = match forwarded("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    let host = forwarded("x-forwarded-host")
        .or_else(|| parts.uri.authority().map(Authority::as_str))
        .or_else(|| parts.headers.get(http::header::HOST)?.to_str().ok())
        .unwrap_or_default();
    let authority = host.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'));
    let authority = authority.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidValue,
            "the header Host is missing or is no host name: it must be `host` or `host:port`",
        )
    })?;
    Ok(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(config: &Config, headers: &[(&str, &str)]) -> Result<String> {
        let mut request = http::Request::builder().uri("/scim/v2/Users");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        origin(config, &request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn from_the_request_unless_configured() {
        let config = Config::default();
        assert_eq!(seen(&config, &[("host", "a.example:8080")]).unwrap(), "http://a.example:8080");
        let set = Config { public_url: "https://scim.example.com/".into(), ..Config::default() };
        assert_eq!(seen(&set, &[("host", "evil.example")]).unwrap(), "https://scim.example.com");
    }

    #[test]
    fn forwarded_headers_count_only_when_trusted() {
        let sent = [
            ("host", "inner:80"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "outer.example"),
        ];
        assert_eq!(seen(&Config::default(), &sent).unwrap(), "http://inner:80");
        let trusting = Config { trust_forwarded: true, ..Config::default() };
        assert_eq!(seen(&trusting, &sent).unwrap(), "https://outer.example");
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        for host in ["", "a b", "user@host", "<script>"] {
            assert_eq!(
                seen(&Config::default(), &[("host", host)]).unwrap_err().kind(),
                ErrorKind::InvalidValue,
                "{host}"
            );
        }
    }
}
