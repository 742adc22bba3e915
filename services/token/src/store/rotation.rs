//! One secret takes the place of another. A rotation is a mark on the successor; the tenant's row is locked throughout, so
//! that of two that start, complete or cancel at once one is first.
//!
//! ```text
//! start ──> Started ──complete, or the old secret is revoked──> Completed
//!              └────cancel, or the successor is revoked───────> Cancelled
//! ```

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use platform::ids::{CredentialId, TenantId};
use platform::{Error, Result};
use scim::ErrorKind;

use super::credentials::{credential, has_room, in_tenant, insert, locked, update};
use super::entities::credentials;
use super::{Deed, Store, tenants as tenant_rows};
use crate::domain::credential::{Credential, Rotation, Stage};
use crate::domain::secret::Hash;

impl Store {
    /// Inserts the successor of a live secret and says how it is; without a label it gets that of the secret it replaces.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the secret is not live or part of a rotation already, for a tenant that is being deleted or
    /// has as many live secrets as it may.
    pub async fn start_rotation(
        &self,
        successor: Credential,
        replaces: CredentialId,
        hash: Hash,
        deed: Deed,
    ) -> Result<Credential> {
        self.db
            .write(move |txn| {
                let (mut successor, deed) = (successor.clone(), deed.clone());
                Box::pin(async move {
                    let tenant = successor.tenant;
                    tenant_rows::locked_and_alive(txn, tenant).await?;
                    let old = locked(txn, tenant, replaces).await?;
                    if !old.is_live(deed.at) {
                        return Err(conflict("the secret is not live any more: mint another one instead"));
                    }
                    if old.replacing().is_some() {
                        return Err(conflict(
                            "the secret is itself about to replace another: complete or cancel that rotation first",
                        ));
                    }
                    for earlier in successors(txn, &old).await? {
                        if earlier.is_live(deed.at) {
                            return Err(conflict(
                                "the secret is being replaced already: complete or cancel that rotation first",
                            ));
                        }
                        // It expired before anybody completed or cancelled it.
                        mark(txn, earlier, Stage::Cancelled, "credential.rotation_cancelled", &deed).await?;
                    }
                    has_room(txn, tenant, deed.at).await?;
                    if successor.label.is_empty() {
                        successor.label = old.label;
                    }
                    successor.rotation = Some(Rotation { replaces, stage: Stage::Started });
                    insert(txn, successor.clone(), hash, "credential.rotation_started", &deed).await?;
                    Ok(successor)
                })
            })
            .await
    }

    /// Revokes the secret that `successor` is to replace; says how the successor is, and which secret that was. Doing it
    /// twice is doing it once.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for a secret that replaces none, whose rotation was cancelled, or that is not live itself.
    pub async fn complete_rotation(
        &self,
        tenant: TenantId,
        successor: CredentialId,
        deed: Deed,
    ) -> Result<(Credential, CredentialId)> {
        self.db
            .write(move |txn| {
                let deed = deed.clone();
                Box::pin(async move {
                    tenant_rows::locked(txn, tenant).await?;
                    let successor = locked(txn, tenant, successor).await?;
                    let Rotation { replaces, stage } = successor.rotation.ok_or_else(replaces_none)?;
                    match stage {
                        Stage::Completed => return Ok((successor, replaces)),
                        Stage::Cancelled => return Err(conflict("the rotation was cancelled: start another one")),
                        Stage::Started => {}
                    }
                    if !successor.is_live(deed.at) {
                        return Err(conflict(
                            "the successor is not live any more, so its client would be locked out: start another rotation",
                        ));
                    }
                    let old = locked(txn, tenant, replaces).await?;
                    if old.revoked_at.is_none() {
                        revoke(txn, old, &deed).await?;
                    }
                    let kind = "credential.rotation_completed";
                    Ok((mark(txn, successor, Stage::Completed, kind, &deed).await?, replaces))
                })
            })
            .await
    }

    /// Revokes the successor and says how it is. Doing it twice is doing it once.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for a secret that replaces none, or that has done so.
    pub async fn cancel_rotation(
        &self,
        tenant: TenantId,
        successor: CredentialId,
        deed: Deed,
    ) -> Result<Credential> {
        self.db
            .write(move |txn| {
                let deed = deed.clone();
                Box::pin(async move {
                    tenant_rows::locked(txn, tenant).await?;
                    let mut successor = locked(txn, tenant, successor).await?;
                    let Rotation { replaces, stage } = successor.rotation.ok_or_else(replaces_none)?;
                    if stage == Stage::Cancelled {
                        return Ok(successor);
                    }
                    let old = locked(txn, tenant, replaces).await?;
                    if stage == Stage::Completed || old.revoked_at.is_some() {
                        return Err(conflict(
                            "the rotation is complete, and the secret that was replaced is revoked for good",
                        ));
                    }
                    let before = successor.facts();
                    successor.revoked_at = successor.revoked_at.or(Some(deed.at));
                    successor.rotation = Some(Rotation { replaces, stage: Stage::Cancelled });
                    update(txn, &successor).await?;
                    let facts = (before, successor.facts());
                    let resource = (successor.id.uuid(), 2);
                    deed.record_facts(txn, "credential.rotation_cancelled", Some(tenant), resource, facts)
                        .await?;
                    Ok(successor)
                })
            })
            .await
    }
}

/// Revokes a live secret, and ends the rotation that it is part of: the secret that was to be replaced is gone, or its
/// successor is.
pub(super) async fn revoke_by_hand<C: ConnectionTrait>(
    txn: &C,
    mut found: Credential,
    deed: &Deed,
) -> Result<Credential> {
    for successor in successors(txn, &found).await? {
        let (stage, kind) = match successor.is_live(deed.at) {
            true => (Stage::Completed, "credential.rotation_completed"),
            false => (Stage::Cancelled, "credential.rotation_cancelled"),
        };
        mark(txn, successor, stage, kind, deed).await?;
    }
    if let Some(rotation) = &mut found.rotation
        && rotation.stage == Stage::Started
    {
        // The mark goes into the same row and the same line of the log as the revocation.
        let before = found.facts();
        found.rotation = found.rotation.map(|it| Rotation { stage: Stage::Cancelled, ..it });
        return revoked(txn, found, before, deed).await;
    }
    revoke(txn, found, deed).await
}

/// Revokes a live secret.
pub(super) async fn revoke<C: ConnectionTrait>(
    txn: &C,
    found: Credential,
    deed: &Deed,
) -> Result<Credential> {
    let before = found.facts();
    revoked(txn, found, before, deed).await
}

async fn revoked<C: ConnectionTrait>(
    txn: &C,
    mut found: Credential,
    before: serde_json::Value,
    deed: &Deed,
) -> Result<Credential> {
    found.revoked_at = Some(deed.at);
    update(txn, &found).await?;
    let facts = (before, found.facts());
    deed.record_facts(txn, "credential.revoked", Some(found.tenant), (found.id.uuid(), 2), facts).await?;
    Ok(found)
}

/// Those that were started to replace this one: one at most, unless an earlier version of the code left something behind.
async fn successors<C: ConnectionTrait>(txn: &C, old: &Credential) -> Result<Vec<Credential>> {
    let started = in_tenant(old.tenant)
        .filter(credentials::Column::Replaces.eq(old.id.uuid()))
        .filter(credentials::Column::Rotation.eq(Stage::Started.name()));
    Ok(started.all(txn).await?.into_iter().map(credential).collect())
}

async fn mark<C: ConnectionTrait>(
    txn: &C,
    mut successor: Credential,
    stage: Stage,
    kind: &'static str,
    deed: &Deed,
) -> Result<Credential> {
    let before = successor.facts();
    successor.rotation = successor.rotation.map(|it| Rotation { stage, ..it });
    update(txn, &successor).await?;
    let (resource, facts) = ((successor.id.uuid(), 2), (before, successor.facts()));
    deed.record_facts(txn, kind, Some(successor.tenant), resource, facts).await?;
    Ok(successor)
}

/// Ends every rotation of a tenant, all of whose secrets were revoked.
pub(super) async fn cancel_all<C: ConnectionTrait>(txn: &C, tenant: TenantId) -> Result<()> {
    use credentials::Column::{Rotation, TenantId as Tenant};
    credentials::Entity::update_many()
        .col_expr(Rotation, Stage::Cancelled.name().into())
        .filter(Tenant.eq(tenant.uuid()))
        .filter(Rotation.eq(Stage::Started.name()))
        .exec(txn)
        .await?;
    Ok(())
}

fn conflict(detail: &str) -> Error {
    Error::new(ErrorKind::Conflict, detail)
}

fn replaces_none() -> Error {
    conflict("this secret was not made to replace another: start a rotation of the other one")
}
