//! Signing keys.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::OnConflict};
use serde_json::{Value, json};
use uuid::Uuid;

use platform::Result;
use platform::clock::Timestamp;

use super::entities::signing_keys;
use super::{Deed, Store, of_platform};
use crate::domain::keys::StoredKey;

impl Store {
    /// Every signing key: a handful.
    ///
    /// # Errors
    /// The database's.
    pub async fn signing_keys(&self) -> Result<Vec<StoredKey>> {
        let rows = of_platform::<signing_keys::Entity>().all(self.db.read()).await?;
        Ok(rows.into_iter().map(key).collect())
    }

    /// Adds a key, unless another replica added one of this generation first, and removes dead ones. Says whether
    /// it was added.
    ///
    /// # Errors
    /// The database's.
    pub async fn rotate_signing_key(&self, new: StoredKey, dead: Vec<Uuid>, deed: Deed) -> Result<bool> {
        self.db
            .write(move |txn| {
                let (new, dead, deed) = (new.clone(), dead.clone(), deed.clone());
                Box::pin(async move {
                    let StoredKey { id, generation, public_key, sealed_private_key, created_at, signs_from } =
                        new;
                    let row = signing_keys::ActiveModel {
                        id: Set(id),
                        generation: Set(generation),
                        public_key: Set(public_key),
                        sealed_private_key: Set(sealed_private_key),
                        created_at_us: Set(created_at.micros()),
                        signs_from_us: Set(signs_from.micros()),
                    };
                    let same_generation =
                        OnConflict::column(signing_keys::Column::Generation).do_nothing().to_owned();
                    let insert = signing_keys::Entity::insert(row).on_conflict(same_generation);
                    if insert.exec_without_returning(txn).await? == 0 {
                        return Ok(false);
                    }
                    let facts = json!({"generation": generation, "signs_from_us": signs_from.micros()});
                    deed.record_facts(txn, "signing_key.created", None, (id, 1), (Value::Null, facts))
                        .await?;
                    for id in dead {
                        signing_keys::Entity::delete_many()
                            .filter(signing_keys::Column::Id.eq(id))
                            .exec(txn)
                            .await?;
                        deed.record_facts(
                            txn,
                            "signing_key.removed",
                            None,
                            (id, 2),
                            (Value::Null, Value::Null),
                        )
                        .await?;
                    }
                    Ok(true)
                })
            })
            .await
    }
}

fn key(row: signing_keys::Model) -> StoredKey {
    StoredKey {
        id: row.id,
        generation: row.generation,
        public_key: row.public_key,
        sealed_private_key: row.sealed_private_key,
        created_at: Timestamp::from_micros(row.created_at_us),
        signs_from: Timestamp::from_micros(row.signs_from_us),
    }
}
