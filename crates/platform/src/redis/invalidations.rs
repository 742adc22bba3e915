//! Invalidations of one process reach all others, and where one may have been missed, everything cached is dropped.
//!
//! Messages are `<process> <kind> <id>`. Each is also noted under a key for as long as the shared cache may hold anything from
//! before it (see `shared_cache.rs`), in the same script.

use std::time::Duration;

use futures::StreamExt;
use redis::{RedisError, Script};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::shared_cache::{NOTE_LIFETIME_MS, NOTES, note_of};
use super::{CONNECT_PATIENCE, PROBE_EVERY, PROBE_PATIENCE, RECONNECT_AFTER, Redis};
use crate::cache::{Invalidation, Invalidations};
use crate::clock::Clock;
use crate::ids::CredentialId;
use crate::metrics;

/// How long a resolved token is remembered while invalidations do not arrive, because Redis is gone.
pub const MEMORY_WITHOUT_REDIS: Duration = Duration::from_secs(5);

const CHANNEL: &str = "invalidations";
const PUBLISH_PATIENCE: Duration = Duration::from_millis(500);
const PUBLISH_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// `KEYS[1]` is the note, `ARGV` its lifetime in milliseconds, the channel, the message.
const PUBLISH: &str = r"
local clock = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%.0f', clock[1] * 1000000 + clock[2]), 'PX', ARGV[1])
return redis.call('PUBLISH', ARGV[2], ARGV[3])
";

/// Tells the other processes what is invalidated here, and this one what is invalidated there, until `stop`.
pub async fn share_invalidations(redis: Redis, invalidations: Invalidations, stop: CancellationToken) {
    // Until we listen, nothing arrives.
    invalidations.set_longest_memory(Some(MEMORY_WITHOUT_REDIS));
    metrics::metrics().redis_up("invalidations", false);
    metrics::metrics().redis_fallbacks("invalidations", 0);
    let here = CredentialId::new(&Clock::system()).to_string();
    tokio::select! {
        () = stop.cancelled() => {}
        () = speak(&redis, invalidations.for_others(), &here) => {}
        () = listen(&redis, &invalidations, &here) => {}
    }
}

/// What could not be said is said as soon as Redis is back: until then other processes remember for a short time only.
async fn speak(redis: &Redis, mut inbox: Receiver<Invalidation>, here: &str) {
    let script = Script::new(PUBLISH);
    loop {
        let what = match inbox.recv().await {
            Ok(what) => what,
            Err(RecvError::Lagged(_)) => Invalidation::Everything,
            Err(RecvError::Closed) => return,
        };
        let note = redis.key(&format!("{NOTES}{}", note_of(what)));
        let (channel, message) = (redis.key(CHANNEL), format!("{here} {}", encode(what)));
        loop {
            let mut invocation = script.prepare_invoke();
            invocation.key(&note).arg(NOTE_LIFETIME_MS).arg(&channel).arg(&message);
            let said = redis
                .ask_within(PUBLISH_PATIENCE, |mut link| async move {
                    invocation.invoke_async::<u64>(&mut link).await
                })
                .await;
            if said.is_some() {
                break;
            }
            metrics::metrics().redis_fallbacks("invalidations", 1);
            tokio::time::sleep(PUBLISH_AGAIN_AFTER).await;
        }
    }
}

async fn listen(redis: &Redis, invalidations: &Invalidations, here: &str) {
    loop {
        match listen_once(redis, invalidations, here).await {
            Ok(()) => tracing::warn!("Redis closed the subscription to invalidations"),
            Err(error) => {
                let why = redis.shared.dialer.explain(&error);
                tracing::debug!(%error, "cannot listen to invalidations: {why}");
            }
        }
        metrics::metrics().redis_up("invalidations", false);
        invalidations.set_longest_memory(Some(MEMORY_WITHOUT_REDIS));
        // What was remembered for longer than that must go.
        invalidations.deliver(Invalidation::Everything);
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

async fn listen_once(redis: &Redis, invalidations: &Invalidations, here: &str) -> Result<(), RedisError> {
    let silent = || RedisError::from((redis::ErrorKind::Io, "Redis does not answer"));
    let connecting = async {
        let mut connection = redis.shared.dialer.listen().await?;
        connection.subscribe(redis.key(CHANNEL)).await?;
        Ok::<_, RedisError>(connection)
    };
    let connection = tokio::time::timeout(CONNECT_PATIENCE, connecting).await.map_err(|_| silent())??;
    let (mut sink, mut messages) = connection.split();
    // Something may have been said while we did not listen.
    invalidations.deliver(Invalidation::Everything);
    invalidations.set_longest_memory(None);
    metrics::metrics().redis_up("invalidations", true);
    let mut probe = tokio::time::interval(PROBE_EVERY);
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { return Ok(()) };
                let text = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
                let Some((process, what)) = text.split_once(' ') else { continue };
                if process != here {
                    // Said by a newer version, or damaged: better to forget too much.
                    invalidations.deliver(decode(what).unwrap_or(Invalidation::Everything));
                }
            }
            _ = probe.tick() => {
                tokio::time::timeout(PROBE_PATIENCE, sink.ping::<redis::Value>()).await.map_err(|_| silent())??;
            }
        }
    }
}

fn encode(what: Invalidation) -> String {
    match what {
        Invalidation::Credential(id) => format!("credential {id}"),
        Invalidation::Client(id) => format!("client {id}"),
        Invalidation::Tenant(id) => format!("tenant {id}"),
        Invalidation::Everything => "everything".to_owned(),
    }
}

fn decode(text: &str) -> Option<Invalidation> {
    if text == "everything" {
        return Some(Invalidation::Everything);
    }
    let (kind, id) = text.split_once(' ')?;
    match kind {
        "credential" => Some(Invalidation::Credential(id.parse().ok()?)),
        "client" => Some(Invalidation::Client(id.parse().ok()?)),
        "tenant" => Some(Invalidation::Tenant(id.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClientId, TenantId};

    #[test]
    fn what_is_said_is_understood() {
        let clock = Clock::system();
        for what in [
            Invalidation::Credential(CredentialId::new(&clock)),
            Invalidation::Client(ClientId::new(&clock)),
            Invalidation::Tenant(TenantId::new(&clock)),
            Invalidation::Everything,
        ] {
            assert_eq!(decode(&encode(what)), Some(what));
        }
        assert_eq!(decode("planet earth"), None);
    }
}
