//! The service's own public keys, without a call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use platform::Result;
use platform::auth::KeySource;

use crate::domain::authority::Authority;

/// See [`crate::Service::key_source`].
#[derive(Clone)]
pub struct LocalKeys {
    authority: Arc<Authority>,
}

impl LocalKeys {
    pub(crate) fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }
}

impl KeySource for LocalKeys {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<JwkSet>> + Send + '_>> {
        Box::pin(self.authority.published_keys())
    }
}
