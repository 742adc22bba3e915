//! What overtakes a lookup, at each place where it can: what is remembered must not outlive it.

use std::sync::atomic::AtomicUsize;

use http_body_util::Full;
use platform::ids::CredentialId;
use tonic::body::Body;

use super::*;

const SECRET: &str = "rct_secret";

/// A token service that finds every secret good, and counts how often it was asked.
struct World {
    sessions: Sessions,
    invalidations: Invalidations,
    credential: CredentialId,
    resolved: Arc<AtomicUsize>,
}

impl World {
    /// `meanwhile` happens after it has looked, before it answers.
    fn new(meanwhile: impl Fn(&Invalidations, CredentialId) + Send + Sync + Clone + 'static) -> Self {
        let clock = Clock::system();
        let credential = CredentialId::new(&clock);
        let (invalidations, resolved) = (Invalidations::default(), Arc::new(AtomicUsize::new(0)));
        let told = (invalidations.clone(), resolved.clone());
        let answer = ResolveResponse {
            credential_id: credential.to_string(),
            access_token_expires_at_us: clock.now().plus(Duration::from_secs(300)).micros(),
            ..Default::default()
        };
        let service = tower::service_fn(move |_| {
            told.1.fetch_add(1, Ordering::SeqCst);
            meanwhile(&told.0, credential);
            let mut frame = vec![0];
            let message = answer.encode_to_vec();
            frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            frame.extend(message);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let body = http_body_util::BodyExt::with_trailers(
                Full::new(bytes::Bytes::from(frame)),
                std::future::ready(Some(Ok(trailers))),
            );
            let response = http::Response::builder().header("content-type", "application/grpc");
            std::future::ready(Ok(response.body(Body::new(body)).unwrap()))
        });
        let credentials = CredentialsClient::new(Transport::new(service));
        let sessions = Sessions::new(credentials, Duration::from_secs(30), &invalidations, clock);
        Self { sessions, invalidations, credential, resolved }
    }

    async fn ask(&self) {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {SECRET}").parse().unwrap());
        self.sessions.of(&headers).await.unwrap();
    }

    fn resolved(&self) -> usize {
        self.resolved.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn what_nothing_overtakes_is_remembered() {
    let world = World::new(|_, _| ());
    world.ask().await;
    world.ask().await;
    assert_eq!(world.resolved(), 1);
    world.invalidations.publish(Invalidation::Credential(CredentialId::new(&Clock::system())));
    world.ask().await;
    assert_eq!(world.resolved(), 1, "somebody else's");
    world.invalidations.publish(Invalidation::Credential(world.credential));
    world.ask().await;
    assert_eq!(world.resolved(), 2);
}

#[tokio::test]
async fn what_is_revoked_while_it_is_resolved_is_not_remembered() {
    let world = World::new(|told, credential| told.publish(Invalidation::Credential(credential)));
    world.ask().await;
    world.ask().await;
    assert_eq!(world.resolved(), 2);
}

/// Between the end of the lookup and its place in the cache, where another request may take the revocation in.
#[tokio::test]
async fn what_is_revoked_before_it_has_its_place_is_not_remembered() {
    let world = World::new(|_, _| ());
    let key: [u8; 32] = Sha256::digest(SECRET).into();
    let mut flight = None;
    let look_up = async {
        let entry = world.sessions.look_up(SECRET, &mut flight).await;
        world.invalidations.publish(Invalidation::Credential(world.credential));
        world.sessions.drop_invalidated();
        entry
    };
    world.sessions.remembered(key, look_up).await;
    assert_eq!(world.resolved(), 1);
    world.ask().await;
    assert_eq!(world.resolved(), 2);
}

/// Right behind: the entry has its place, the lookup is not over yet.
#[tokio::test]
async fn what_is_revoked_when_it_has_its_place_is_not_remembered() {
    let world = World::new(|_, _| ());
    let key: [u8; 32] = Sha256::digest(SECRET).into();
    let mut flight = None;
    world.sessions.remembered(key, world.sessions.look_up(SECRET, &mut flight)).await;
    world.invalidations.publish(Invalidation::Credential(world.credential));
    world.ask().await;
    assert_eq!(world.resolved(), 2);
    drop(flight);
    world.ask().await;
    assert_eq!(world.resolved(), 2, "and then what is remembered is the new one");
}

#[tokio::test]
async fn nothing_is_left_of_a_lookup() {
    let world = World::new(|_, _| ());
    world.ask().await;
    assert!(lock(&world.sessions.inbox).flights.is_empty());
}
