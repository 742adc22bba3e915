//! Administrators' secrets.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::OnConflict,
};

use platform::clock::Timestamp;
use platform::ids::CredentialId;
use platform::{Error, Result};
use scim::ErrorKind;
use serde_json::Value;

use super::entities::admin_credentials::{ActiveModel, Column, Entity, Model};
use super::{Deed, Store, of_platform};
use crate::domain::admin::{Admin, MAX_LIVE};
use crate::domain::secret::Hash;

/// The most that a list shows.
const MAX_LISTED: u64 = 1000;

impl Store {
    /// An administrator's secret: its facts and its hash.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_admin(&self, id: CredentialId) -> Result<Option<(Admin, Hash)>> {
        let row = of_platform::<Entity>().filter(Column::Id.eq(id.uuid())).one(self.db.read()).await?;
        Ok(row.and_then(|row| {
            let hash = Hash::from_stored(&row.secret_sha256)?;
            Some((admin(row), hash))
        }))
    }

    /// Whether anybody administers this platform.
    ///
    /// # Errors
    /// The database's.
    pub async fn has_admin(&self) -> Result<bool> {
        let live = of_platform::<Entity>().filter(Column::RevokedAtUs.is_null());
        Ok(live.one(self.db.read()).await?.is_some())
    }

    /// Administrators' secrets, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn admins(&self) -> Result<Vec<Admin>> {
        let newest = of_platform::<Entity>().order_by_desc(Column::CreatedAtUs).order_by_desc(Column::Id);
        let rows = newest.limit(MAX_LISTED).all(self.db.read()).await?;
        Ok(rows.into_iter().map(admin).collect())
    }

    /// Inserts an administrator's secret; one of this id that is there already stays as it is, revoked or not.
    ///
    /// # Errors
    /// `Conflict` when there are as many live ones as there may be.
    pub async fn insert_admin(&self, new: Admin, hash: Hash, deed: Deed) -> Result<()> {
        self.db
            .write(move |txn| {
                let (new, deed) = (new.clone(), deed.clone());
                Box::pin(async move {
                    let live = of_platform::<Entity>().filter(Column::RevokedAtUs.is_null()).count(txn).await?;
                    if live >= MAX_LIVE as u64 {
                        return Err(Error::new(
                            ErrorKind::Conflict,
                            format!("there are at most {MAX_LIVE} live admin tokens: revoke one that is no longer needed"),
                        ));
                    }
                    let facts = new.facts();
                    let Admin { id, label, created_at, last_used_at, revoked_at } = new;
                    let row = ActiveModel {
                        id: Set(id.uuid()),
                        label: Set(label),
                        secret_sha256: Set(hash.to_stored()),
                        created_at_us: Set(created_at.micros()),
                        last_used_at_us: Set(last_used_at.map(Timestamp::micros)),
                        revoked_at_us: Set(revoked_at.map(Timestamp::micros)),
                    };
                    let same_id = OnConflict::column(Column::Id).do_nothing().to_owned();
                    let insert = Entity::insert(row).on_conflict(same_id);
                    if insert.exec_without_returning(txn).await? == 0 {
                        return Ok(());
                    }
                    let facts = (Value::Null, facts);
                    deed.record_facts(txn, "admin_credential.created", None, (id.uuid(), 1), facts).await
                })
            })
            .await
    }

    /// Revokes an administrator's secret and says how it is now. Doing it twice is doing it once. The row stays, so that
    /// the secret in the operator's file is not registered again at the next start.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for the last live one, after which nobody could administer.
    pub async fn revoke_admin(&self, id: CredentialId, deed: Deed) -> Result<Admin> {
        self.db
            .write(move |txn| {
                let deed = deed.clone();
                Box::pin(async move {
                    let row = of_platform::<Entity>().filter(Column::Id.eq(id.uuid())).one(txn).await?;
                    let row = row.ok_or_else(|| Error::not_found("there is no such admin token"))?;
                    // All live ones, locked: two that revoke each other's at once must not leave none.
                    let live = of_platform::<Entity>()
                        .filter(Column::RevokedAtUs.is_null())
                        .order_by_asc(Column::Id)
                        .lock_exclusive()
                        .all(txn)
                        .await?;
                    if !live.iter().any(|row| row.id == id.uuid()) {
                        let revoked_at_us = row.revoked_at_us.or(Some(deed.at.micros()));
                        return Ok(admin(Model { revoked_at_us, ..row }));
                    }
                    if live.len() == 1 {
                        return Err(Error::new(
                            ErrorKind::Conflict,
                            "this is the last admin token: create another one first",
                        ));
                    }
                    let revoked_at_us = Some(deed.at.micros());
                    let update = ActiveModel {
                        id: Set(id.uuid()),
                        revoked_at_us: Set(revoked_at_us),
                        ..Default::default()
                    };
                    Entity::update(update).exec(txn).await?;
                    let (before, after) = (admin(row.clone()), admin(Model { revoked_at_us, ..row }));
                    let facts = (before.facts(), after.facts());
                    deed.record_facts(txn, "admin_credential.revoked", None, (id.uuid(), 2), facts).await?;
                    Ok(after)
                })
            })
            .await
    }
}

fn admin(row: Model) -> Admin {
    Admin {
        id: CredentialId::from_uuid(row.id),
        label: row.label,
        created_at: Timestamp::from_micros(row.created_at_us),
        last_used_at: row.last_used_at_us.map(Timestamp::from_micros),
        revoked_at: row.revoked_at_us.map(Timestamp::from_micros),
    }
}
