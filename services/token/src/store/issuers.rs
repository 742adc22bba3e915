//! Trusted issuers of tenants.

use sea_orm::sea_query::Condition;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Select, SqlErr, Statement,
};
use serde_json::{Value, json};

use platform::clock::Timestamp;
use platform::ids::{IssuerId, TenantId};
use platform::{Error, Result};
use scim::ErrorKind;

use super::entities::{tenants, trusted_issuers};
use super::{Deed, Store, tenants as tenant_rows};
use crate::domain::issuer::{MAX_OF_TENANT, Pins, TrustedIssuer};
use crate::domain::jwt::Claims;
use crate::domain::tenant::Tenant;

impl Store {
    /// Inserts a trusted issuer.
    ///
    /// # Errors
    /// `Uniqueness` when some token could also mean another registration, of whatever tenant; `NotFound`; `Conflict` for a
    /// tenant that is being deleted or trusts as many as it may.
    pub async fn insert_issuer(&self, new: TrustedIssuer, deed: Deed) -> Result<()> {
        self.db
            .write(move |txn| {
                let (new, deed) = (new.clone(), deed.clone());
                Box::pin(async move {
                    tenant_rows::locked_and_alive(txn, new.tenant).await?;
                    if in_tenant(new.tenant).count(txn).await? >= MAX_OF_TENANT {
                        let detail = format!(
                            "a tenant has at most {MAX_OF_TENANT} trusted issuers: delete one that is no longer needed"
                        );
                        return Err(Error::new(ErrorKind::Conflict, detail));
                    }
                    one_at_a_time(txn, &new.pins).await?;
                    let alike = of_every_tenant(&new.pins.issuer, &new.pins.audience).all(txn).await?;
                    if let Some(other) =
                        alike.into_iter().map(issuer).find(|other| other.pins.overlap(&new.pins))
                    {
                        return Err(taken(other.tenant == new.tenant));
                    }
                    let (tenant, id, facts) = (new.tenant, new.id.uuid(), facts(&new));
                    let insert = trusted_issuers::Entity::insert(row(new)).exec_without_returning(txn).await;
                    insert.map_err(|error| match error.sql_err() {
                        Some(SqlErr::UniqueConstraintViolation(_)) => taken(false),
                        _ => error.into(),
                    })?;
                    deed.record_facts(txn, "issuer.created", Some(tenant), (id, 1), (Value::Null, facts)).await
                })
            })
            .await
    }

    /// A tenant's trusted issuers, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn issuers(&self, tenant: TenantId) -> Result<Vec<TrustedIssuer>> {
        let oldest_first = in_tenant(tenant)
            .order_by_asc(trusted_issuers::Column::CreatedAtUs)
            .order_by_asc(trusted_issuers::Column::Id);
        Ok(oldest_first.all(self.db.read()).await?.into_iter().map(issuer).collect())
    }

    /// Deletes a trusted issuer; says whether there was one.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_issuer(&self, tenant: TenantId, id: IssuerId, deed: Deed) -> Result<bool> {
        self.db
            .write(move |txn| {
                let deed = deed.clone();
                Box::pin(async move {
                    let by_id = in_tenant(tenant).filter(trusted_issuers::Column::Id.eq(id.uuid()));
                    let Some(found) = by_id.lock_exclusive().one(txn).await? else { return Ok(false) };
                    trusted_issuers::Entity::delete_many()
                        .filter(trusted_issuers::Column::TenantId.eq(tenant.uuid()))
                        .filter(trusted_issuers::Column::Id.eq(id.uuid()))
                        .exec(txn)
                        .await?;
                    let facts = (facts(&issuer(found)), Value::Null);
                    deed.record_facts(txn, "issuer.deleted", Some(tenant), (id.uuid(), 2), facts).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// Whose token this claims to be. No two registrations take one token; were there two, it would be nobody's.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_issuer(&self, claims: &Claims) -> Result<Option<(TrustedIssuer, Tenant)>> {
        use trusted_issuers::Column::{AppId, DirectoryId, Subject};
        let (Some(iss), [audience]) = (&claims.iss, claims.aud.as_slice()) else { return Ok(None) };
        let unless_pinned = |column: trusted_issuers::Column, claims: &[&Option<String>]| {
            let mut fits = Condition::any().add(column.eq(""));
            for claim in claims.iter().filter_map(|claim| claim.as_deref()) {
                fits = fits.add(column.eq(claim));
            }
            fits
        };
        let mut found = of_every_tenant(iss, audience)
            .filter(unless_pinned(DirectoryId, &[&claims.tid]))
            .filter(unless_pinned(AppId, &[&claims.appid, &claims.azp]))
            .filter(unless_pinned(Subject, &[&claims.sub]))
            .find_also_related(tenants::Entity)
            .limit(20)
            .all(self.db.read())
            .await?;
        found.retain(|(row, _)| issuer(row.clone()).pins.matches(claims));
        let (Some((row, Some(tenant))), None) = (found.pop(), found.pop()) else { return Ok(None) };
        Ok(Some((issuer(row), tenant_rows::tenant(tenant)?)))
    }
}

/// Removes every trusted issuer of a tenant.
pub(super) async fn purge<C: ConnectionTrait>(txn: &C, tenant: TenantId) -> Result<()> {
    trusted_issuers::Entity::delete_many()
        .filter(trusted_issuers::Column::TenantId.eq(tenant.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// Every query within a tenant starts here.
fn in_tenant(tenant: TenantId) -> Select<trusted_issuers::Entity> {
    #[expect(clippy::disallowed_methods, reason = "the one helper that scopes by tenant")]
    trusted_issuers::Entity::find().filter(trusted_issuers::Column::TenantId.eq(tenant.uuid()))
}

/// Those of one issuer and audience: what finds the tenant of a token, and tells that it would find two.
fn of_every_tenant(issuer: &str, audience: &str) -> Select<trusted_issuers::Entity> {
    #[expect(clippy::disallowed_methods, reason = "finds the tenant of a token")]
    trusted_issuers::Entity::find()
        .filter(trusted_issuers::Column::Issuer.eq(issuer))
        .filter(trusted_issuers::Column::Audience.eq(audience))
}

/// Registrations of one issuer and audience happen one after the other, so that of two that overlap one sees the other.
/// SQLite has one writer anyway.
async fn one_at_a_time<C: ConnectionTrait>(txn: &C, pins: &Pins) -> Result<()> {
    let backend = txn.get_database_backend();
    if backend != DbBackend::Postgres {
        return Ok(());
    }
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))";
    let key = format!("trusted issuer {} {}", pins.issuer, pins.audience);
    txn.execute_raw(Statement::from_sql_and_values(backend, lock, [key.into()])).await?;
    Ok(())
}

fn taken(by_same_tenant: bool) -> Error {
    let whose = if by_same_tenant { "this tenant" } else { "a tenant" };
    let detail = format!(
        "tokens like these already belong to {whose}, and a token must lead to one: register a directory_id, app_id or \
         subject that tells them apart, or delete the other one"
    );
    Error::new(ErrorKind::Uniqueness, detail).with_attribute("issuer")
}

fn facts(issuer: &TrustedIssuer) -> Value {
    let TrustedIssuer { id: _, tenant: _, label, pins, created_at: _ } = issuer;
    let Pins { issuer, audience, directory_id, app_id, subject } = pins;
    json!({
        "label": label, "issuer": issuer, "audience": audience, "directory_id": directory_id, "app_id": app_id,
        "subject": subject,
    })
}

fn row(issuer: TrustedIssuer) -> trusted_issuers::ActiveModel {
    let TrustedIssuer { id, tenant, label, pins, created_at } = issuer;
    let Pins { issuer, audience, directory_id, app_id, subject } = pins;
    trusted_issuers::ActiveModel {
        tenant_id: Set(tenant.uuid()),
        id: Set(id.uuid()),
        label: Set(label),
        issuer: Set(issuer),
        audience: Set(audience),
        directory_id: Set(directory_id),
        app_id: Set(app_id),
        subject: Set(subject),
        created_at_us: Set(created_at.micros()),
    }
}

fn issuer(row: trusted_issuers::Model) -> TrustedIssuer {
    TrustedIssuer {
        id: IssuerId::from_uuid(row.id),
        tenant: TenantId::from_uuid(row.tenant_id),
        label: row.label,
        pins: Pins {
            issuer: row.issuer,
            audience: row.audience,
            directory_id: row.directory_id,
            app_id: row.app_id,
            subject: row.subject,
        },
        created_at: Timestamp::from_micros(row.created_at_us),
    }
}
