//! Idempotency keys. The primary key decides who takes one.

use sea_orm::sea_query::{Condition, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
    Select,
};

use platform::clock::Timestamp;
use platform::{Error, Result};
use scim::ErrorKind;

use super::entities::idempotency_keys::{ActiveModel, Column, Entity, Model};
use super::{Store, of_platform};
use crate::domain::idempotency::{Attempt, Key, MAX_KEYS, REMEMBERED, Record, Settled, Standing};

/// The states in the column, for people who look at the table: what counts is whether there is an answer.
const UNDER_WAY: &str = "under_way";
const ANSWERED: &str = "answered";
/// How often a key may vanish under who takes it.
const ATTEMPTS: usize = 5;

impl Store {
    /// Takes the key for this attempt at a request of this fingerprint, unless it is taken.
    ///
    /// # Errors
    /// `RateLimited` when the caller has as many keys as are remembered, `Unavailable` when it is taken and given free all the time.
    pub async fn begin_request(
        &self,
        key: Key,
        fingerprint: Vec<u8>,
        attempt: Attempt,
    ) -> Result<Standing<Vec<u8>>> {
        self.db
            .write(move |txn| {
                let (key, fingerprint, attempt) = (key.clone(), fingerprint.clone(), attempt.clone());
                Box::pin(async move {
                    let row = ActiveModel {
                        subject: Set(key.subject.clone()),
                        key_sha256: Set(key.sha256.clone()),
                        fingerprint: Set(fingerprint.clone()),
                        state: Set(UNDER_WAY.to_owned()),
                        sealed_answer: Set(None),
                        began_at_us: Set(attempt.began_at.micros()),
                        attempt: Set(Some(attempt.id.clone())),
                    };
                    for _ in 0..ATTEMPTS {
                        let taken =
                            OnConflict::columns([Column::Subject, Column::KeySha256]).do_nothing().to_owned();
                        let insert = Entity::insert(row.clone()).on_conflict(taken);
                        if insert.exec_without_returning(txn).await? == 1 {
                            has_room(txn, &key.subject, attempt.began_at).await?;
                            return Ok(Standing::New(attempt));
                        }
                        let Some(found) = by_key(&key).lock_exclusive().one(txn).await? else {
                            // Given free or forgotten between the two statements.
                            continue;
                        };
                        let standing = record(found).standing(&fingerprint, attempt.clone());
                        if let Standing::New(_) = standing {
                            Entity::update(row).exec(txn).await?;
                        }
                        return Ok(standing);
                    }
                    Err(Error::unavailable(
                        "the idempotency key is being given free again and again: try again",
                    ))
                })
            })
            .await
    }

    /// Keeps the sealed answer under the key, unless a later attempt has it. One that is there already stays: it was given to
    /// somebody.
    ///
    /// # Errors
    /// `NotFound` when no request took the key.
    pub async fn finish_request(&self, key: Key, attempt: String, sealed_answer: Vec<u8>) -> Result<Settled> {
        self.db
            .write(move |txn| {
                let (key, attempt, sealed_answer) = (key.clone(), attempt.clone(), sealed_answer.clone());
                Box::pin(async move {
                    let found = by_key(&key).lock_exclusive().one(txn).await?;
                    let found = found
                        .ok_or_else(|| Error::not_found("no request with this idempotency key began"))?;
                    let found = record(found);
                    if !found.is_of(&attempt) {
                        return Ok(Settled::Overtaken);
                    }
                    if found.sealed_answer.is_some() {
                        return Ok(Settled::Done);
                    }
                    let row = ActiveModel {
                        subject: Set(key.subject),
                        key_sha256: Set(key.sha256),
                        state: Set(ANSWERED.to_owned()),
                        sealed_answer: Set(Some(sealed_answer)),
                        ..Default::default()
                    };
                    Entity::update(row).exec(txn).await?;
                    Ok(Settled::Done)
                })
            })
            .await
    }

    /// Gives a key free whose request was not answered, unless a later attempt has it. There being none is fine.
    ///
    /// # Errors
    /// The database's.
    pub async fn abandon_request(&self, key: Key, attempt: String) -> Result<Settled> {
        self.db
            .write(move |txn| {
                let (key, attempt) = (key.clone(), attempt.clone());
                Box::pin(async move {
                    let Some(found) = by_key(&key).lock_exclusive().one(txn).await? else {
                        return Ok(Settled::Done);
                    };
                    let found = record(found);
                    if !found.is_of(&attempt) {
                        return Ok(Settled::Overtaken);
                    }
                    if found.sealed_answer.is_none() {
                        Entity::delete_many().filter(is(&key)).exec(txn).await?;
                    }
                    Ok(Settled::Done)
                })
            })
            .await
    }

    /// Forgets at most `limit` keys that are no longer to be remembered; says how many it were.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_requests(&self, now: Timestamp, limit: u64) -> Result<u64> {
        let over = now.minus(REMEMBERED).micros();
        self.db
            .write(move |txn| {
                Box::pin(async move {
                    let oldest = of_platform::<Entity>().filter(Column::BeganAtUs.lte(over));
                    let mut forgotten = 0;
                    for found in oldest.limit(limit).all(txn).await? {
                        let key = Key { subject: found.subject, sha256: found.key_sha256 };
                        // Unless it was taken anew meanwhile.
                        let still = is(&key).add(Column::BeganAtUs.lte(over));
                        forgotten += Entity::delete_many().filter(still).exec(txn).await?.rows_affected;
                    }
                    Ok(forgotten)
                })
            })
            .await
    }
}

fn is(key: &Key) -> Condition {
    Condition::all().add(Column::Subject.eq(&key.subject)).add(Column::KeySha256.eq(key.sha256.clone()))
}

fn by_key(key: &Key) -> Select<Entity> {
    of_platform::<Entity>().filter(is(key))
}

/// Checks that the caller has no more keys than are remembered, the one that was just taken included.
async fn has_room<C: ConnectionTrait>(txn: &C, subject: &str, now: Timestamp) -> Result<()> {
    let remembered = Column::BeganAtUs.gt(now.minus(REMEMBERED).micros());
    let keys = of_platform::<Entity>().filter(Column::Subject.eq(subject)).filter(remembered);
    if keys.count(txn).await? <= MAX_KEYS {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::RateLimited,
        format!(
            "{MAX_KEYS} idempotency keys of this caller are remembered, each for 24 hours: wait, or use none"
        ),
    ))
}

fn record(row: Model) -> Record {
    Record {
        fingerprint: row.fingerprint,
        began_at: Timestamp::from_micros(row.began_at_us),
        sealed_answer: row.sealed_answer,
        attempt: row.attempt,
    }
}
