//! `rollcall.membership.v1.Projection`.

use platform::auth::{Scope, caller};
use platform::{Error, Result};
use proto::identity::v1::UserChange;
use proto::membership::v1;
use proto::membership::v1::projection_server::Projection;
use tonic::{Request, Response, Status};

use crate::Service;
use crate::domain::user::{UserFacts, UserState};

#[tonic::async_trait]
impl Projection for Service {
    async fn apply_user_change(
        &self,
        request: Request<v1::ApplyUserChangeRequest>,
    ) -> Result<Response<v1::ApplyUserChangeResponse>, Status> {
        let caller = caller(&request)?.clone();
        let change = request.into_inner().change.ok_or_else(|| Error::invalid_value("change is missing"))?;
        let tenant =
            caller.authorize_any(&[Scope::Scim, Scope::Internal, Scope::Admin], &change.tenant_id)?;
        let mut state = user_state(change)?;
        state.tenant = tenant;
        let revision = self.store.apply_user(state).await?;
        Ok(Response::new(v1::ApplyUserChangeResponse { revision: revision.to_string() }))
    }
}

/// A change as identity tells it.
pub(crate) fn user_state(change: UserChange) -> Result<UserState> {
    let UserChange {
        tenant_id,
        user_id,
        version,
        deleted,
        user_name,
        external_id,
        display_name,
        active,
        role,
        team_ids,
        team_slugs,
    } = change;
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let facts = (!deleted).then(|| UserFacts {
        user_name,
        external_id: given(external_id),
        display_name: given(display_name),
        active,
        role: given(role),
        team_ids,
        team_slugs,
    });
    UserState::new(&tenant_id, &user_id, version, facts)
}
