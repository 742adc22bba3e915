//! The two requests of discovery: the issuer's document, then its keys.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, Response, Url, redirect};
use serde::Deserialize;

use super::guard;
use crate::domain::jwk::KeySet;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// For each request, from name resolution to the last byte.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// Entra's documents have 2 kB, its key sets 20 kB.
const MAX_DOCUMENT: usize = 64 * 1024;
const MAX_KEYS: usize = 512 * 1024;
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// What of the document we need (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

/// See the module.
pub(super) struct Fetcher {
    allow_inside: bool,
    /// Made at the first use: it reads the machine's certificates, which most installations never need.
    client: OnceLock<Result<Client, String>>,
}

/// Where the document of `issuer` is.
///
/// # Errors
/// What is wrong with the issuer as a URL.
pub(super) fn discovery_url(issuer: &str, allow_inside: bool) -> Result<Url, String> {
    let url = Url::parse(issuer).map_err(|_| "it is not a URL".to_owned())?;
    guard::check(&url, allow_inside)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an issuer has neither query nor fragment".to_owned());
    }
    let document = format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/'));
    Url::parse(&document).map_err(|_| "it is not a URL".to_owned())
}

impl Fetcher {
    pub(super) fn new(allow_inside: bool) -> Self {
        Self { allow_inside, client: OnceLock::new() }
    }

    pub(super) fn allows_inside(&self) -> bool {
        self.allow_inside
    }

    /// The keys of `issuer`, now.
    ///
    /// # Errors
    /// Why not, for the log: nothing of what the issuer sent.
    pub(super) async fn keys(&self, issuer: &str) -> Result<KeySet, String> {
        let body = self.get(discovery_url(issuer, self.allow_inside)?, MAX_DOCUMENT).await;
        let body = body.map_err(|wrong| format!("its discovery document: {wrong}"))?;
        let document: Document = serde_json::from_slice(&body)
            .map_err(|_| "its discovery document has no issuer and jwks_uri".to_owned())?;
        if document.issuer != issuer {
            return Err("its discovery document is another issuer's".to_owned());
        }
        let url = Url::parse(&document.jwks_uri).map_err(|_| "its jwks_uri is not a URL".to_owned())?;
        let body = match guard::check(&url, self.allow_inside) {
            Ok(()) => self.get(url, MAX_KEYS).await,
            Err(wrong) => Err(wrong),
        };
        let body = body.map_err(|wrong| format!("its jwks_uri: {wrong}"))?;
        KeySet::of_issuer(&body).map_err(|wrong| format!("its keys: {wrong}"))
    }

    async fn get(&self, url: Url, limit: usize) -> Result<Vec<u8>, String> {
        let client = self.client.get_or_init(|| client(self.allow_inside)).as_ref().map_err(Clone::clone)?;
        let response = client.get(url).send().await.map_err(|error| reason(&error))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("it answered {}, not 200", response.status().as_u16()));
        }
        read(response, limit).await
    }
}

async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(format!("it has more than {limit} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn client(allow_inside: bool) -> Result<Client, String> {
    // Fails when the process has chosen already, which is as good.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .https_only(!allow_inside)
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        .user_agent("rollcall");
    if !allow_inside {
        builder = builder.dns_resolver(guard::Outside);
    }
    builder.build().map_err(|error| format!("no HTTP client could be made: {}", reason(&error)))
}

/// The innermost reason, which says most. None of them quotes the URL or the answer.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() { "it did not answer in time".to_owned() } else { innermost.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_stands_below_the_issuer() {
        let of = |issuer: &str| discovery_url(issuer, false).map(String::from);
        let tid = "0198f3c2-a1b4-7c3d-8e9f-001122334455";
        assert_eq!(
            of(&format!("https://sts.windows.net/{tid}/")).unwrap(),
            format!("https://sts.windows.net/{tid}/.well-known/openid-configuration")
        );
        assert_eq!(
            of(&format!("https://login.microsoftonline.com/{tid}/v2.0")).unwrap(),
            format!("https://login.microsoftonline.com/{tid}/v2.0/.well-known/openid-configuration")
        );
        for wrong in
            ["", "sts.windows.net", "https://a.example/?x", "https://a.example/#x", "http://a.example/"]
        {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_to_an_address_inside() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fetcher = Fetcher::new(false);
        for (issuer, said) in [
            (format!("https://127.0.0.1:{port}"), "inside"),
            (format!("https://localhost:{port}"), "inside"),
            (format!("http://127.0.0.1:{port}"), "https"),
        ] {
            let wrong = fetcher.keys(&issuer).await.err().unwrap();
            assert!(wrong.contains(said), "{issuer}: {wrong}");
        }
        // Somebody does call now, and is the first who did.
        let probe = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_, first) = listener.accept().await.unwrap();
        assert_eq!(first, probe.local_addr().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_that_does_not_answer_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let begun = tokio::time::Instant::now();
        let wrong = Fetcher::new(true).keys(&issuer).await.err().unwrap();
        assert!(wrong.contains("did not answer in time"), "{wrong}");
        assert!(begun.elapsed() <= ANSWER_WITHIN + Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
