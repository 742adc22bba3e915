use std::time::Duration;

use platform::auth::with_token;
use proto::token::v1::begin_request_response::State;
use proto::token::v1::{
    AbandonRequestRequest, BeginRequestRequest, BeginRequestResponse, CreateAdminRequest,
    FinishRequestRequest,
};
use sea_orm::{ConnectionTrait, Statement};
use token::domain::idempotency::{Key, LOST_AFTER, REMEMBERED};
use tonic::{Code, Status};

use crate::support::{World, assert_refused};

const PRINT: [u8; 32] = [1; 32];
const OTHER_PRINT: [u8; 32] = [2; 32];

async fn begin(
    world: &World,
    admin: &str,
    key: &str,
    fingerprint: &[u8],
) -> Result<BeginRequestResponse, Status> {
    let token = world.resolve(admin).await.unwrap().access_token;
    let request = BeginRequestRequest { key: key.to_owned(), fingerprint: fingerprint.to_vec().into() };
    Ok(world.idempotency().begin_request(with_token(request, &token).unwrap()).await?.into_inner())
}

async fn state(world: &World, key: &str) -> State {
    begin(world, &world.admin_secret, key, &PRINT).await.unwrap().state()
}

/// Takes the key; the attempt.
async fn take(world: &World, key: &str) -> String {
    let begun = begin(world, &world.admin_secret, key, &PRINT).await.unwrap();
    assert_eq!(begun.state(), State::New);
    assert!(!begun.attempt.is_empty());
    begun.attempt
}

/// Keeps an answer; whether another attempt has the key.
async fn finish(world: &World, key: &str, attempt: &str, answer: &[u8]) -> Result<bool, Status> {
    let answer = answer.to_vec().into();
    let request = FinishRequestRequest { key: key.to_owned(), attempt: attempt.to_owned(), answer };
    let finished = world.idempotency().finish_request(world.as_admin(request).await).await;
    Ok(finished?.into_inner().overtaken)
}

/// Gives a key free; whether another attempt has it.
async fn abandon(world: &World, key: &str, attempt: &str) -> bool {
    let request = AbandonRequestRequest { key: key.to_owned(), attempt: attempt.to_owned() };
    let abandoned = world.idempotency().abandon_request(world.as_admin(request).await).await;
    abandoned.unwrap().into_inner().overtaken
}

/// A second administrator's secret.
async fn second_admin(world: &World) -> String {
    let request = world.as_admin(CreateAdminRequest { label: String::new() }).await;
    world.admins().create_admin(request).await.unwrap().into_inner().secret
}

async fn rows(db: &platform::db::Database) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let sql = "SELECT key_sha256, sealed_answer FROM idempotency_keys ORDER BY began_at_us";
    let rows = db.read().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
    rows.iter()
        .map(|row| (row.try_get("", "key_sha256").unwrap(), row.try_get("", "sealed_answer").unwrap()))
        .collect()
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

testkit::store_tests! {
    service: Token;

    async fn the_first_is_carried_out_and_the_others_get_its_answer(db: Database) {
        let world = World::start(db.clone()).await;
        let attempt = take(&world, "k").await;
        assert_eq!(state(&world, "k").await, State::UnderWay);
        assert_ne!(take(&world, "l").await, attempt, "another key");
        let secret = b"rcs_of_the_answer";
        assert!(!finish(&world, "k", &attempt, secret).await.unwrap());
        let again = begin(&world, &world.admin_secret, "k", &PRINT).await.unwrap();
        assert_eq!((again.state(), &again.answer[..]), (State::Answered, &secret[..]));
        assert!(!finish(&world, "k", &attempt, b"late").await.unwrap());
        assert_eq!(begin(&world, &world.admin_secret, "k", &PRINT).await.unwrap(), again, "the first answer stays");
        let other = begin(&world, &world.admin_secret, "k", &OTHER_PRINT).await.unwrap();
        assert_eq!((other.state(), other.answer.len()), (State::Misused, 0));
        for (_, sealed) in rows(&db).await {
            assert!(!contains(&sealed.unwrap_or_default(), secret), "at rest it is sealed");
        }
    }

    async fn keys_of_different_callers_never_meet(db: Database) {
        let world = World::start(db.clone()).await;
        let second = second_admin(&world).await;
        let attempt = take(&world, "k").await;
        assert_eq!(begin(&world, &second, "k", &OTHER_PRINT).await.unwrap().state(), State::New);
        finish(&world, "k", &attempt, b"mine").await.unwrap();
        assert_eq!(begin(&world, &second, "k", &OTHER_PRINT).await.unwrap().state(), State::UnderWay);
        // A row put under another caller's name does not open there.
        let own = world.resolve(&world.admin_secret).await.unwrap().credential_id;
        let others = world.resolve(&second).await.unwrap().credential_id;
        let sql = format!(
            "UPDATE idempotency_keys SET fingerprint = (SELECT fingerprint FROM idempotency_keys WHERE subject = '{own}'), \
             sealed_answer = (SELECT sealed_answer FROM idempotency_keys WHERE subject = '{own}') WHERE subject = '{others}'"
        );
        db.write(move |txn| {
            let sql = sql.clone();
            Box::pin(async move { Ok(txn.execute_unprepared(&sql).await.map(|_| ())?) })
        })
        .await
        .unwrap();
        assert_refused(begin(&world, &second, "k", &PRINT).await, Code::Internal, "Internal");
    }

    async fn a_lost_request_may_be_tried_anew_and_so_may_an_abandoned_one(db: Database) {
        let world = World::start(db).await;
        assert_eq!(state(&world, "k").await, State::New);
        world.clock.advance(LOST_AFTER - Duration::from_micros(1));
        assert_eq!(state(&world, "k").await, State::UnderWay);
        world.clock.advance(Duration::from_micros(1));
        assert_eq!(state(&world, "k").await, State::New);
        assert_eq!(state(&world, "k").await, State::UnderWay, "the minute counts anew");
        world.clock.advance(LOST_AFTER);
        let lost = take(&world, "k").await;
        assert!(!abandon(&world, "k", &lost).await);
        assert!(!abandon(&world, "k", &lost).await);
        let attempt = take(&world, "k").await;
        finish(&world, "k", &attempt, b"answer").await.unwrap();
        assert!(!abandon(&world, "k", &attempt).await);
        assert_eq!(state(&world, "k").await, State::Answered, "what was answered stays");
    }

    async fn an_attempt_that_was_lost_settles_nothing_any_more(db: Database) {
        let world = World::start(db).await;
        let lost = take(&world, "k").await;
        world.clock.advance(LOST_AFTER);
        let attempt = take(&world, "k").await;
        assert!(abandon(&world, "k", &lost).await, "told so");
        assert_eq!(state(&world, "k").await, State::UnderWay, "it is not free");
        assert!(finish(&world, "k", &lost, b"of the lost one").await.unwrap(), "told so");
        assert_eq!(state(&world, "k").await, State::UnderWay, "it is not answered");
        assert!(abandon(&world, "k", "").await, "none is not any");
        assert!(!finish(&world, "k", &attempt, b"answer").await.unwrap());
        assert!(finish(&world, "k", &lost, b"of the lost one").await.unwrap());
        let answered = begin(&world, &world.admin_secret, "k", &PRINT).await.unwrap();
        assert_eq!((answered.state(), &answered.answer[..]), (State::Answered, &b"answer"[..]));
    }

    async fn one_that_comes_to_its_end_late_but_alone_is_answered(db: Database) {
        let world = World::start(db).await;
        let slow = take(&world, "k").await;
        world.clock.advance(LOST_AFTER);
        assert!(!finish(&world, "k", &slow, b"answer").await.unwrap());
        assert_eq!(state(&world, "k").await, State::Answered);
    }

    async fn whoever_comes_meanwhile_is_told_when_to_come_again(db: Database) {
        let world = World::start(db).await;
        take(&world, "k").await;
        let mut waits = Vec::new();
        loop {
            let begun = begin(&world, &world.admin_secret, "k", &PRINT).await.unwrap();
            if begun.state() == State::New {
                break;
            }
            assert_eq!((begun.state(), &begun.attempt[..]), (State::UnderWay, ""));
            waits.push(begun.retry_after_s);
            world.clock.advance(Duration::from_secs(begun.retry_after_s.into()));
        }
        assert_eq!(waits, [1, 1, 2, 4, 8, 16, 28], "a minute in all");
    }

    /// While replicas of it are still there.
    async fn what_the_version_before_takes_over_is_its_own(db: Database) {
        let world = World::start(db.clone()).await;
        let lost = take(&world, "k").await;
        world.clock.advance(LOST_AFTER);
        let now = world.clock.now().micros();
        let sql = format!("UPDATE idempotency_keys SET began_at_us = {now}");
        db.write(move |txn| {
            let sql = sql.clone();
            Box::pin(async move { Ok(txn.execute_unprepared(&sql).await.map(|_| ())?) })
        })
        .await
        .unwrap();
        assert!(finish(&world, "k", &lost, b"of the lost one").await.unwrap());
        assert!(!finish(&world, "k", "", b"answer").await.unwrap());
        let answered = begin(&world, &world.admin_secret, "k", &PRINT).await.unwrap();
        assert_eq!(&answered.answer[..], b"answer");
    }

    async fn of_many_at_once_one_carries_it_out(db: Database) {
        let world = World::start(db).await;
        for past in [Duration::ZERO, LOST_AFTER, REMEMBERED] {
            world.clock.advance(past);
            let mut attempts = tokio::task::JoinSet::new();
            for _ in 0..16 {
                let mut idempotency = world.idempotency();
                let request = BeginRequestRequest { key: "k".into(), fingerprint: PRINT.to_vec().into() };
                let request = world.as_admin(request).await;
                attempts.spawn(async move { idempotency.begin_request(request).await.unwrap().into_inner().state() });
            }
            let states = attempts.join_all().await;
            assert_eq!(states.iter().filter(|state| **state == State::New).count(), 1, "{states:?}");
            assert_eq!(states.iter().filter(|state| **state == State::UnderWay).count(), 15, "{states:?}");
        }
    }

    async fn after_a_day_a_key_is_forgotten_and_its_answer_gone(db: Database) {
        let world = World::start(db.clone()).await;
        let second = second_admin(&world).await;
        let attempt = take(&world, "k").await;
        finish(&world, "k", &attempt, b"answer").await.unwrap();
        world.clock.advance(REMEMBERED - Duration::from_secs(1));
        assert_eq!(state(&world, "k").await, State::Answered);
        assert_eq!(begin(&world, &second, "young", &PRINT).await.unwrap().state(), State::New);
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(begin(&world, &world.admin_secret, "k", &OTHER_PRINT).await.unwrap().state(), State::New);
        // Also those of callers who never come back.
        world.clock.advance(REMEMBERED);
        assert_eq!(begin(&world, &second, "last", &PRINT).await.unwrap().state(), State::New);
        let kept: Vec<Vec<u8>> = rows(&db).await.into_iter().map(|row| row.0).collect();
        assert_eq!(kept, [Key::parse("", "last").unwrap().sha256]);
    }

    async fn a_caller_has_so_many_keys_and_no_more(db: Database) {
        let world = World::start(db.clone()).await;
        let subject = world.resolve(&world.admin_secret).await.unwrap().credential_id;
        let now = world.clock.now().micros();
        let numbers = if db.backend() == sea_orm::DbBackend::Postgres {
            "SELECT n, decode(lpad(to_hex(n), 8, '0'), 'hex') AS k FROM generate_series(1, 9999) n"
        } else {
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 9999) SELECT n, CAST(n AS blob) AS k FROM s"
        };
        let sql = format!(
            "INSERT INTO idempotency_keys (subject, key_sha256, fingerprint, state, began_at_us) \
             SELECT '{subject}', k, k, 'under_way', {now} FROM ({numbers}) many"
        );
        db.write(move |txn| {
            let sql = sql.clone();
            Box::pin(async move { Ok(txn.execute_unprepared(&sql).await.map(|_| ())?) })
        })
        .await
        .unwrap();
        let attempt = take(&world, "10000th").await;
        let refused = begin(&world, &world.admin_secret, "one more", &PRINT).await;
        assert_refused(refused, Code::ResourceExhausted, "RateLimited");
        assert_eq!(state(&world, "10000th").await, State::UnderWay, "those that are there go on");
        let second = second_admin(&world).await;
        assert_eq!(begin(&world, &second, "one more", &PRINT).await.unwrap().state(), State::New);
        abandon(&world, "10000th", &attempt).await;
        assert_eq!(state(&world, "one more").await, State::New, "the refused one left nothing behind");
    }

    async fn bad_requests_are_told_what_would_be_right(db: Database) {
        let world = World::start(db).await;
        let (_, of_tenant) = world.tenant("Contoso").await;
        for wrong in ["", "ä", "a\nb", &"k".repeat(256)] {
            let refused = begin(&world, &world.admin_secret, wrong, &PRINT).await;
            let status = assert_refused(refused, Code::InvalidArgument, "InvalidValue");
            assert!(status.message().contains("1 to 255"), "{}", status.message());
        }
        let refused = begin(&world, &world.admin_secret, "k", &[1; 31]).await;
        assert_refused(refused, Code::InvalidArgument, "InvalidValue");
        assert_refused(finish(&world, "never began", "", b"").await, Code::NotFound, "NotFound");
        let attempt = take(&world, "k").await;
        let refused = finish(&world, "k", &attempt, &vec![0; 64 * 1024 + 1]).await;
        assert_refused(refused, Code::InvalidArgument, "InvalidValue");
        finish(&world, "k", &attempt, &vec![0; 64 * 1024]).await.unwrap();
        let refused = begin(&world, &of_tenant, "k", &PRINT).await;
        assert_refused(refused, Code::PermissionDenied, "Forbidden");
    }
}
