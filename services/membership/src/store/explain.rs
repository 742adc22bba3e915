//! Why a user is a member of a group, from the rows.

use std::collections::HashMap;

use platform::Result;
use platform::ids::TenantId;
use sea_orm::{ColumnTrait, FromQueryResult, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::entity::{InTenant, group};
use super::queries::up;
use super::{CHUNK, Store};
use crate::domain::paths::{self, Paths};

/// Memberships above one user that a search looks at. Whoever has more of them above gets some of the paths.
const MOST_EDGES: usize = 20_000;

/// A direct membership.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Edge {
    /// The user or group.
    pub member: Uuid,
    /// The group it is in.
    pub container: Uuid,
    /// Microseconds since the Unix epoch.
    pub added_at: i64,
    /// Correlation id of the request that added it.
    pub request_id: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// Each from the user up to the group; shortest first.
    pub paths: Vec<Vec<Edge>>,
    /// There are more.
    pub truncated: bool,
    /// displayName of each group on a path.
    pub names: HashMap<Uuid, String>,
}

impl Store {
    /// At most `most` of the paths between a user and a group, whether the user is active or not.
    ///
    /// # Errors
    /// The database's.
    pub async fn explain(&self, tenant: TenantId, user: Uuid, group: Uuid, most: usize) -> Result<Explained> {
        let _turn = self.fair.turn(tenant).await?;
        // The type of a parameter that is selected has to be said.
        let sql = match self.db.backend() {
            sea_orm::DbBackend::Postgres => edges_sql().replace("(SELECT $2 AS", "(SELECT $2::uuid AS"),
            _ => edges_sql(),
        };
        let limit = i64::try_from(MOST_EDGES + 1).unwrap_or(i64::MAX);
        let values = [tenant.uuid().into(), user.into(), limit.into()];
        let mut edges = Edge::find_by_statement(self.statement(sql, values)).all(self.db.read()).await?;
        let cut_off = edges.len() > MOST_EDGES;
        edges.truncate(MOST_EDGES);

        let graph: Vec<(Uuid, Uuid)> = edges.iter().map(|edge| (edge.member, edge.container)).collect();
        // Half a second of searching a mesh must not hold up the other calls of this thread.
        let searched = tokio::task::spawn_blocking(move || paths::paths(user, group, &graph, most)).await;
        let Paths { paths, truncated } = searched.map_err(platform::Error::internal)?;
        let mut on_paths: Vec<Uuid> = paths.iter().flatten().map(|edge| edges[*edge].container).collect();
        on_paths.sort_unstable();
        on_paths.dedup();
        let mut names = HashMap::with_capacity(on_paths.len());
        for chunk in on_paths.chunks(CHUNK) {
            let query = group::Entity::in_tenant(tenant)
                .filter(group::Column::Id.is_in(chunk.iter().copied()))
                .select_only()
                .columns([group::Column::Id, group::Column::DisplayName]);
            let rows: Vec<(Uuid, String)> = query.into_tuple().all(self.db.read()).await?;
            names.extend(rows);
        }
        // A group that was deleted since has no name any more, and leads nowhere.
        let chain =
            |path: Vec<usize>| -> Vec<Edge> { path.into_iter().map(|edge| edges[edge].clone()).collect() };
        let mut paths: Vec<Vec<Edge>> = paths.into_iter().map(chain).collect();
        paths.retain(|path| path.iter().all(|edge| names.contains_key(&edge.container)));
        Ok(Explained { paths, truncated: truncated || cut_off, names })
    }
}

/// The members twice, once for the index by member, and in this order, which CROSS JOIN keeps SQLite to: left to itself it reads all
/// members of the tenant.
fn edges_sql() -> String {
    let up = up("= $2");
    format!(
        "{up} SELECT m.member_id AS member, m.group_id AS container, e.added_at, e.request_id \
         FROM (SELECT $2 AS member_id UNION SELECT group_id FROM up) AS below \
         CROSS JOIN group_members m CROSS JOIN group_members e \
         WHERE m.tenant_id = $1 AND m.member_id = below.member_id \
             AND e.tenant_id = m.tenant_id AND e.group_id = m.group_id AND e.member_id = m.member_id LIMIT $3"
    )
}

#[cfg(test)]
mod tests {
    use super::super::plan_within_the_tenant;
    use super::*;

    #[test]
    fn only_memberships_above_the_user_are_read() {
        testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Membership, |db| async move {
            plan_within_the_tenant(&db, &edges_sql()).await;
        });
    }
}
