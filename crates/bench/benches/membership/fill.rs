//! Fills a SQLite file of membership with a tenant, by SQL alone: ten million rows in a minute or two.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};

use crate::common;
use crate::tenant::Tenant;

/// The database of the tenant in `dir`, made unless it is there.
pub async fn database(tenant: &Tenant, dir: &Path) -> Result<PathBuf> {
    let Tenant { users, groups, depth, .. } = tenant;
    let name = format!("membership-{users}-{groups}-{}-{depth}.db", tenant.edges());
    let (done, part) = (dir.join(&name), dir.join(format!("{name}.part")));
    if done.exists() {
        eprintln!("{} is there already", done.display());
        return Ok(done);
    }
    let begun = Instant::now();
    if part.exists() {
        std::fs::remove_file(&part)?;
    }
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", part.display()));
    options.max_connections(1).sqlx_logging(false);
    let db = Database::connect(options).await?;
    fill(tenant, &db).await.context("filling the database")?;
    db.close().await?;
    std::fs::rename(&part, &done)?;
    eprintln!("filled {} in {}", done.display(), common::time(begun.elapsed()));
    Ok(done)
}

async fn fill(tenant: &Tenant, db: &DatabaseConnection) -> Result<()> {
    for pragma in ["journal_mode = OFF", "synchronous = OFF", "temp_store = MEMORY", "cache_size = -1000000"]
    {
        db.execute_unprepared(&format!("PRAGMA {pragma}")).await?;
    }
    migrations::up(db, migrations::Service::Membership).await?;
    for index in ["group_members_member", "group_members_nesting"] {
        db.execute_unprepared(&format!("DROP INDEX {index}")).await?;
    }
    db.execute_unprepared("BEGIN").await?;
    db.execute_unprepared("CREATE TEMP TABLE numbers (n integer PRIMARY KEY)").await?;
    db.execute_unprepared("CREATE TEMP TABLE plan (g integer PRIMARY KEY, size integer, step integer)")
        .await?;
    let Tenant { users, groups, .. } = tenant;
    let most = users.max(groups);
    db.execute_unprepared(&format!(
        "INSERT INTO numbers WITH RECURSIVE up(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM up WHERE n < {most} - 1)
         SELECT n FROM up"
    ))
    .await?;
    let plan: Vec<(usize, i64)> = tenant.sizes.iter().copied().enumerate().collect();
    for rows in plan.chunks(1000) {
        let rows: Vec<String> =
            rows.iter().map(|(group, size)| format!("({group},{size},{})", (users / size).max(1))).collect();
        db.execute_unprepared(&format!("INSERT INTO plan VALUES {}", rows.join(","))).await?;
    }
    for statement in statements(tenant) {
        db.execute_unprepared(&statement).await?;
    }
    db.execute_unprepared("COMMIT").await?;
    // As the migration made them: with the table full that is much faster.
    db.execute_unprepared(
        "CREATE INDEX group_members_member ON group_members (tenant_id, member_id, group_id)",
    )
    .await?;
    db.execute_unprepared(
        "CREATE INDEX group_members_nesting ON group_members (tenant_id, group_id, member_id) WHERE member_type = 2",
    )
    .await?;
    let row = db.query_one_raw(sea_orm::Statement::from_string(
        db.get_database_backend(),
        "SELECT count(*) FROM group_members WHERE member_type = 1",
    ));
    let filled: i64 = row.await?.context("a count")?.try_get_by_index(0)?;
    ensure!(filled == tenant.edges(), "{filled} memberships, not {}", tenant.edges());
    Ok(())
}

/// Users, groups, and who is in them, in the order of the primary keys.
fn statements(tenant: &Tenant) -> [String; 4] {
    let Tenant { users, groups, depth, .. } = tenant;
    let own = format!("x'{}'", tenant.id().uuid().simple());
    let chained = tenant.first_chained();
    let id = |base: &str, variant: &str, number: &str| {
        format!(
            "unhex(printf('%012x7000{variant}%012x', {base} + ({number}), \
             (({number}) * 25214903917 + 11) & 281474976710655))"
        )
    };
    let user = |number: &str| id("1717986918400", "8000", number);
    let group = |number: &str| id("1786706395136", "8001", number);
    [
        format!(
            "INSERT INTO users (tenant_id, user_id, version, deleted, user_name, user_name_key, external_id, active)
             SELECT {own}, {}, 1, 0, printf('User%08d@contoso.example', n), printf('user%08d@contoso.example', n),
                 printf('ext-%08d', n), 1 FROM numbers WHERE n < {users} ORDER BY n",
            user("n")
        ),
        format!(
            r#"INSERT INTO "groups" (tenant_id, id, display_name, display_name_key, created_at, updated_at, version, attributes, search)
             SELECT {own}, {}, printf('Group %d', n), printf('group %d', n), 1, 1, 1,
                 printf('{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Group %d"}}', n),
                 printf('{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"group %d"}}', n)
             FROM numbers WHERE n < {groups} ORDER BY n"#,
            group("n")
        ),
        format!(
            "INSERT INTO group_members (tenant_id, group_id, member_id, member_type, added_at)
             SELECT {own}, {}, {}, 1, 1 FROM plan CROSS JOIN numbers ON n < size ORDER BY g, n",
            group("g"),
            user("n * step + (((n * 7919 + g * 104729) * 40503) >> 8) % step")
        ),
        format!(
            "INSERT INTO group_members (tenant_id, group_id, member_id, member_type, added_at)
             SELECT {own}, {}, {}, 2, 1 FROM (
                 SELECT g AS above, g + 1 AS below FROM plan
                     WHERE g >= {chained} AND (g - {chained}) % {depth} <> {depth} - 1
                 UNION ALL
                 SELECT g, g + n FROM plan CROSS JOIN numbers ON n BETWEEN 1 AND 9
                     WHERE g % 10 = 0 AND g + 9 < {chained})",
            group("above"),
            group("below")
        ),
    ]
}
