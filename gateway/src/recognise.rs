//! Whose client this is, by what its requests look like: for tenants whose dialect is `auto`.
//!
//! One table, [`SIGNS`], and the same one for people in `docs/operations.md`. To add a sign: a line in both.

use http::request::Parts;
use proto::common::v1::Dialect;

/// Something that only one kind of client sends.
pub(crate) struct Sign {
    /// Shown to administrators, and in the documentation.
    pub(crate) name: &'static str,
    /// Whose it is.
    pub(crate) dialect: Dialect,
    seen: fn(&Parts) -> bool,
}

/// In the order in which they count: what a client says of itself before what an administrator wrote into the URL.
const SIGNS: [Sign; 3] = [
    // ENTRA.md, section 1: on every request of the provisioning service, which sends no User-Agent.
    Sign {
        name: "header ADSCIMVersion",
        dialect: Dialect::Entra,
        seen: |parts| parts.headers.contains_key("adscimversion"),
    },
    Sign {
        name: "header User-Agent: Okta SCIM Client",
        dialect: Dialect::Okta,
        seen: |parts| {
            let agent = parts.headers.get(http::header::USER_AGENT);
            let agent = agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default();
            agent.get(..OKTA.len()).is_some_and(|start| start.eq_ignore_ascii_case(OKTA))
        },
    },
    // The compliance flag that administrators of Entra append to the Tenant URL.
    Sign {
        name: "query parameter aadOptscim062020",
        dialect: Dialect::Entra,
        seen: |parts| {
            let query = parts.uri.query().unwrap_or_default();
            form_urlencoded::parse(query.as_bytes())
                .any(|(name, _)| name.eq_ignore_ascii_case("aadOptscim062020"))
        },
    },
];

/// Followed by a version.
const OKTA: &str = "Okta SCIM Client";

/// The first sign that the request bears.
pub(crate) fn sign(parts: &Parts) -> Option<&'static Sign> {
    SIGNS.iter().find(|sign| (sign.seen)(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(uri: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        sign(&request.body(()).unwrap().into_parts().0).map(|sign| sign.name)
    }

    #[test]
    fn clients_are_recognised_by_what_they_alone_send() {
        let entra = [("ADSCIMVersion", "Date:2026-11-22, ActivityId:1")];
        assert_eq!(seen("/scim/v2/Users", &entra), Some("header ADSCIMVersion"));
        let okta = [("user-agent", "Okta SCIM Client 1.0.0")];
        let by_agent = Some("header User-Agent: Okta SCIM Client");
        assert_eq!(seen("/scim/v2/Users", &okta), by_agent);
        assert_eq!(
            seen("/scim/v2/Users?aadOptscim062020", &okta),
            by_agent,
            "what the client says of itself"
        );
        for query in ["aadOptscim062020", "a=b&aadOptscim062020=true", "AADOPTSCIM062020="] {
            let uri = format!("/scim/v2/Users?{query}");
            assert_eq!(seen(&uri, &[]), Some("query parameter aadOptscim062020"), "{query}");
        }
        for nobody in ["curl/8", "okta", "Okta SCIM Clien\u{e9}", "", "NotOkta SCIM Client"] {
            assert_eq!(
                seen("/scim/v2/Users?filter=aadOptscim062020", &[("user-agent", nobody)]),
                None,
                "{nobody}"
            );
        }
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let documentation = include_str!("../../docs/operations.md");
        let rows = documentation.lines().filter_map(|line| line.strip_prefix("| sign: "));
        let documented: Vec<(&str, &str)> =
            rows.map(|row| row.trim_end_matches(['|', ' ']).split_once(" | ").unwrap()).collect();
        let names = SIGNS.map(|sign| {
            let dialect = sign.dialect.as_str_name().trim_start_matches("DIALECT_").to_lowercase();
            (format!("`{}`", sign.name), format!("`{dialect}`"))
        });
        let expected: Vec<(&str, &str)> =
            names.iter().map(|(name, dialect)| (name.as_str(), dialect.as_str())).collect();
        assert_eq!(documented, expected);
    }
}
