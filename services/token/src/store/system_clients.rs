//! The platform's own clients where everyone derives them.

use sea_orm::sea_query::{Condition, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use serde_json::Value;

use platform::ids::ClientId;
use platform::{Error, Result};

use super::clients::{client as from_row, row};
use super::entities::clients::{Column, Entity};
use super::{Deed, Store, of_platform};
use crate::domain::client::{Client, join};
use crate::domain::secret::Hash;
use crate::domain::tenant::Name;

impl Store {
    /// Sees to it that this client of the platform itself is there, in place of another one of this name; says which one that
    /// was. When it is there already, also because another replica was faster, nothing happens.
    ///
    /// # Errors
    /// `Unavailable` when replicas with different secrets start at the same moment.
    pub async fn ensure_system_client(
        &self,
        client: Client,
        name: Name,
        hash: Hash,
        deed: Deed,
    ) -> Result<Option<ClientId>> {
        self.db
            .write(move |txn| {
                let (client, name, deed) = (client.clone(), name.clone(), deed.clone());
                Box::pin(async move {
                    let row = row(client.clone(), &name, Some(hash), true);
                    let mut replaced = None;
                    for _ in 0..3 {
                        let of_name =
                            OnConflict::columns([Column::IsSystem, Column::NameKey]).do_nothing().to_owned();
                        let insert = Entity::insert(row.clone()).on_conflict(of_name);
                        if insert.exec_without_returning(txn).await? == 1 {
                            let facts = (Value::Null, client.facts());
                            deed.record_facts(txn, "client.created", None, (client.id.uuid(), 1), facts)
                                .await?;
                            return Ok(replaced);
                        }
                        let of_name = Condition::all()
                            .add(Column::IsSystem.eq(true))
                            .add(Column::NameKey.eq(name.key()));
                        let found = of_platform::<Entity>().filter(of_name).lock_exclusive().one(txn).await?;
                        // Gone meanwhile: try again.
                        let Some(found) = found else { continue };
                        let same = found.id == client.id.uuid()
                            && found.secret_sha256 == hash.to_stored()
                            && found.scopes == join(&client.scopes);
                        if same {
                            return Ok(replaced);
                        }
                        Entity::delete_many().filter(Column::Id.eq(found.id)).exec(txn).await?;
                        let (id, facts) = (found.id, (from_row(found).facts(), Value::Null));
                        deed.record_facts(txn, "client.deleted", None, (id, 2), facts).await?;
                        replaced = Some(ClientId::from_uuid(id));
                    }
                    Err(Error::unavailable(
                        "another replica registers another client of this name at the same time",
                    ))
                })
            })
            .await
    }
}
