//! `rollcall.identity.v1.TenantData`.

use platform::Error;
use platform::Result;
use platform::auth::{self, Scope};
use platform::ids::TenantId;
use proto::identity::v1::tenant_data_server::TenantData;
use proto::identity::v1::{
    ExportTenantRequest, ExportTenantResponse, PurgeTenantRequest, PurgeTenantResponse,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::tail::{self, Caller, Ended};
use super::{Api, Stream};
use crate::domain::User;
use crate::domain::team::Team;
use crate::store::{Extension, Store};

/// Things that are read at once. A user may have 256 KiB.
const PAGE: u64 = 64;

#[tonic::async_trait]
impl TenantData for Api {
    type ExportTenantStream = Stream<ExportTenantResponse>;

    async fn purge_tenant(
        &self,
        request: Request<PurgeTenantRequest>,
    ) -> Result<Response<PurgeTenantResponse>, Status> {
        let tenant = auth::caller(&request)?.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        self.shared.store.purge(tenant).await?;
        Ok(Response::new(PurgeTenantResponse {}))
    }

    async fn export_tenant(
        &self,
        request: Request<ExportTenantRequest>,
    ) -> Result<Response<Self::ExportTenantStream>, Status> {
        let tenant = auth::caller(&request)?.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let turn = self.stream_of(tenant).await?;

        let (answers, stream) = mpsc::channel(tail::AHEAD);
        let caller = Caller::new(answers, self.shared.stop.clone());
        let store = self.shared.store.clone();
        tokio::spawn(tail::run(caller, async move |caller| {
            let _turn = turn;
            export(&store, tenant, caller).await
        }));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

async fn export(store: &Store, tenant: TenantId, caller: &Caller<ExportTenantResponse>) -> Result<(), Ended> {
    for extension in store.extensions(tenant).await? {
        caller.send(thing("schema", &schema_json(extension))?).await?;
    }
    let mut after = None;
    loop {
        let teams = store.teams(tenant, after, PAGE).await?;
        for team in &teams {
            caller.send(thing("team", &team_json(team))?).await?;
        }
        after = teams.last().map(|last| scim::fold_str(&last.slug));
        if after.is_none() {
            break;
        }
    }
    let mut after = None;
    loop {
        let users = store.everybody_of(tenant, after, PAGE).await?;
        for user in &users {
            caller.send(thing("user", &user_json(user))?).await?;
        }
        after = users.last().map(|last| last.id);
        if after.is_none() {
            break;
        }
    }
    let mut after = None;
    loop {
        let users = store.suspended_in_full(tenant, after, PAGE).await?;
        for (user, purge_at) in &users {
            let mut json = user_json(user);
            json["purge_at_us"] = purge_at.micros().into();
            caller.send(thing("suspended_user", &json)?).await?;
        }
        after = users.last().map(|(last, _)| last.id);
        if after.is_none() {
            break;
        }
    }
    Ok(())
}

fn thing(kind: &str, json: &Value) -> Result<ExportTenantResponse> {
    let json = serde_json::to_vec(json).map_err(Error::internal)?.into();
    Ok(ExportTenantResponse { kind: kind.to_owned(), json })
}

fn schema_json(extension: Extension) -> Value {
    let Extension { urn, document, required, version, created_at, updated_at, reindexing: _, role_and_teams } =
        extension;
    json!({
        "urn": urn,
        "document": document,
        "required": required,
        "role_and_teams": role_and_teams,
        "version": version,
        "created_at_us": created_at.micros(),
        "updated_at_us": updated_at.micros(),
    })
}

fn team_json(team: &Team) -> Value {
    let Team { id, slug, name, created_at, updated_at } = team;
    json!({
        "id": id.to_string(),
        "slug": slug,
        "name": name,
        "created_at_us": created_at.micros(),
        "updated_at_us": updated_at.micros(),
    })
}

/// `updated_at_us` of a suspended user is when it was suspended.
fn user_json(user: &User) -> Value {
    let User { id, version, created_at, updated_at, attributes: _ } = user;
    json!({
        "id": id.to_string(),
        "version": version,
        "created_at_us": created_at.micros(),
        "updated_at_us": updated_at.micros(),
        "resource": user.shown(),
    })
}
