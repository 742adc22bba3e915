//! `rollcall.identity.v1.Schemas`.

use std::time::Duration;

use platform::auth::{self, Caller, Scope};
use platform::ids::TenantId;
use platform::{Error, Result};
use proto::identity::v1::schemas_server::Schemas;
use proto::identity::v1::{
    DeleteExtensionRequest, DeleteExtensionResponse, Extension, GetExtensionRequest, GetExtensionResponse,
    ListExtensionsRequest, ListExtensionsResponse, PutExtensionRequest, PutExtensionResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, wire};
use crate::domain::{self, Definition};
use crate::store;

/// How long an answer waits for stored values to be searchable by the new schema: long enough for most tenants.
const PATIENCE: Duration = Duration::from_secs(3);

#[tonic::async_trait]
impl Schemas for Api {
    async fn put_extension(
        &self,
        request: Request<PutExtensionRequest>,
    ) -> Result<Response<PutExtensionResponse>, Status> {
        let caller = auth::caller(&request)?;
        let PutExtensionRequest {
            tenant_id,
            resource_type,
            document,
            required,
            expected_version,
            request_id,
            role_and_teams,
        } = request.get_ref();
        let tenant = caller.authorize(Scope::Admin, tenant_id)?;
        if !matches!(resource_type.as_str(), "" | "User") {
            let detail = "resource_type: only User can be extended";
            return Err(Error::invalid_value(detail).with_attribute("resource_type").into());
        }
        let definition = Definition::parse(document, *required, &self.shared.limits)?;
        let definition = Definition { role_and_teams: *role_and_teams, ..definition };
        let author = wire::administrator(caller, tenant, request_id);
        let expected = *expected_version;

        let (mut extension, revision) = self.shared.store.put_extension(author, definition, expected).await?;
        if extension.reindexing {
            extension.reindexing = !self.shared.store.wait_for_reindexing(tenant, PATIENCE).await?;
        }
        Ok(Response::new(PutExtensionResponse {
            extension: Some(wire_extension(extension)),
            revision: revision.to_string(),
        }))
    }

    async fn get_extension(
        &self,
        request: Request<GetExtensionRequest>,
    ) -> Result<Response<GetExtensionResponse>, Status> {
        let GetExtensionRequest { tenant_id, urn } = request.get_ref();
        let tenant = reader(auth::caller(&request)?, tenant_id)?;

        let extension = self.shared.store.extension(tenant, urn).await?;
        let extension = extension.ok_or_else(domain::no_such_extension)?;
        Ok(Response::new(GetExtensionResponse { extension: Some(wire_extension(extension)) }))
    }

    async fn list_extensions(
        &self,
        request: Request<ListExtensionsRequest>,
    ) -> Result<Response<ListExtensionsResponse>, Status> {
        let tenant = reader(auth::caller(&request)?, &request.get_ref().tenant_id)?;

        let extensions = self.shared.store.extensions(tenant).await?;
        let extensions = extensions.into_iter().map(wire_extension).collect();
        Ok(Response::new(ListExtensionsResponse { extensions }))
    }

    async fn delete_extension(
        &self,
        request: Request<DeleteExtensionRequest>,
    ) -> Result<Response<DeleteExtensionResponse>, Status> {
        let DeleteExtensionRequest { tenant_id, urn, expected_version, request_id } = request.get_ref();
        let caller = auth::caller(&request)?;
        let author = wire::administrator(caller, caller.authorize(Scope::Admin, tenant_id)?, request_id);

        let revision = self.shared.store.delete_extension(author, urn, *expected_version).await?;
        Ok(Response::new(DeleteExtensionResponse { revision: revision.to_string() }))
    }
}

/// The gateway reads with the tenant's token, an administrator with their own.
fn reader(caller: &Caller, tenant: &str) -> Result<TenantId> {
    caller.authorize_any(&[Scope::Scim, Scope::Admin], tenant)
}

pub(super) fn wire_extension(extension: store::Extension) -> Extension {
    let store::Extension {
        urn,
        document,
        required,
        version,
        created_at,
        updated_at,
        reindexing,
        role_and_teams,
    } = extension;
    Extension {
        urn,
        document: document.to_string().into(),
        required,
        version,
        created_at_us: created_at.micros(),
        updated_at_us: updated_at.micros(),
        reindexing,
        role_and_teams,
    }
}
