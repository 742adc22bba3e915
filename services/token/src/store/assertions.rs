//! Assertions that were used: each may be presented once.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use platform::Result;
use platform::clock::Timestamp;
use platform::ids::ClientId;

use super::Store;
use super::entities::used_assertions;

impl Store {
    /// Notes that a client used an assertion, which is to be remembered until `end`; says whether that was the first time.
    /// The primary key is the check: of two that come at once, on whatever replicas, one is the first.
    ///
    /// # Errors
    /// The database's.
    pub async fn use_assertion(
        &self,
        client: ClientId,
        jti_sha256: [u8; 32],
        end: Timestamp,
    ) -> Result<bool> {
        self.db
            .write(move |txn| {
                Box::pin(async move {
                    let row = used_assertions::ActiveModel {
                        client_id: Set(client.uuid()),
                        jti_sha256: Set(jti_sha256.to_vec()),
                        ends_at_us: Set(end.micros()),
                    };
                    let key = [used_assertions::Column::ClientId, used_assertions::Column::JtiSha256];
                    let insert = used_assertions::Entity::insert(row)
                        .on_conflict(OnConflict::columns(key).do_nothing().to_owned());
                    Ok(insert.exec_without_returning(txn).await? == 1)
                })
            })
            .await
    }

    /// Forgets assertions that have expired, and would be refused for that.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_assertions(&self, now: Timestamp) -> Result<()> {
        self.db
            .write(move |txn| {
                Box::pin(async move {
                    let over = used_assertions::Column::EndsAtUs.lte(now.micros());
                    used_assertions::Entity::delete_many().filter(over).exec(txn).await?;
                    Ok(())
                })
            })
            .await
    }
}
