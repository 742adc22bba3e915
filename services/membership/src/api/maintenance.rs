//! `rollcall.membership.v1.Maintenance`.

use platform::Error;
use platform::auth::{Scope, caller};
use proto::membership::v1;
use proto::membership::v1::maintenance_server::Maintenance;
use scim::ErrorKind;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Service;
use crate::domain::verify::{Difference, Expected, Report};
use crate::verify::Verification;

/// The most users of one run.
const MOST_USERS: usize = 1000;

#[tonic::async_trait]
impl Maintenance for Service {
    async fn verify_tenant(
        &self,
        request: Request<v1::VerifyTenantRequest>,
    ) -> Result<Response<v1::VerifyTenantResponse>, Status> {
        let tenant = caller(&request)?.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let v1::VerifyTenantRequest { tenant_id: _, since, after_id, users, is_last } = request.into_inner();
        if users.len() > MOST_USERS {
            let detail = format!("users has {} entries: at most {MOST_USERS} in one run", users.len());
            return Err(Error::new(ErrorKind::TooMany, detail).with_attribute("users").into());
        }
        let users = users.iter().map(|json| Expected::read(json)).collect::<Result<_, Error>>()?;
        let since = match since.as_str() {
            "" => self.store.revision().await?,
            text => text.parse()?,
        };
        let after = match after_id.as_str() {
            "" => Uuid::nil(),
            text => Uuid::try_parse(text).map_err(|_| Error::invalid_value("after_id must be a UUID"))?,
        };
        let verification = Verification::new(self.store.clone(), self.index(), tenant, since, after);
        let Report { groups, memberships, index_compared, differences, truncated } =
            verification.run(users, is_last).await?;
        Ok(Response::new(v1::VerifyTenantResponse {
            since: since.to_string(),
            groups,
            memberships,
            index_compared,
            differences: differences.into_iter().map(difference).collect(),
            truncated,
        }))
    }
}

fn difference(found: Difference) -> v1::Difference {
    let Difference { what, id, group, detail } = found;
    v1::Difference {
        what: what.to_owned(),
        id: id.to_string(),
        group_id: group.map(|group| group.to_string()).unwrap_or_default(),
        detail,
    }
}
