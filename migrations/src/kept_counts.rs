//! How many rows a tenant has in a table, kept as they come and go (version 1, frozen as every migration is): the total of a list
//! without a filter, which to count anew takes the longer the more there are.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Creates the table `counts`, fills it from `counted`, and has triggers of `counted` keep it. The previous version's code, which
/// knows nothing of it, thus keeps it too.
///
/// A tenant's count is the sum of its rows' `n`. On PostgreSQL a row of `counted` counts in one of 64 shards, which the last byte of
/// its id says: whoever creates holds the lock of a shard until the end of his transaction, and with one shard all of a tenant would
/// queue there. Measured with 32 at once, each 5 ms long: 16 shards let through nine times as many as one, 64 twelve times, and 256
/// no more than that. SQLite has one writer, and shard 0. No trigger is there for updates: `tenant_id` and `id` never change.
///
/// On PostgreSQL nobody writes to `counted` from here until the migration commits, so that what is counted and what the triggers see
/// leave nothing out and have nothing twice. Writers wait, first as long as those before them take to end (15 s at most, as
/// `platform::db::Patience` has it), then for the count, some 0.5 s per million rows. Readers do not wait.
pub(crate) async fn create_v1(manager: &SchemaManager<'_>, counted: &str, counts: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Postgres => postgres(counted, counts),
        _ => sqlite(counted, counts),
    };
    manager.get_connection().execute_unprepared(&sql).await?;
    Ok(())
}

/// The triggers run per statement: one that deletes or copies many rows changes each shard once, and in order, so that no two of
/// them wait for each other.
///
/// The function finds its table whatever the search path of the caller is, and runs with the caller's rights. Whoever may write to
/// `counted` is therefore given the right to count in this transaction, not by `rollcall migrate` after it: in between, the
/// previous version's writes would be refused.
fn postgres(counted: &str, counts: &str) -> String {
    format!(
        r#"
        LOCK TABLE "{counted}" IN SHARE ROW EXCLUSIVE MODE;
        CREATE TABLE {counts} (
            tenant_id uuid     NOT NULL,
            shard     smallint NOT NULL,
            n         bigint   NOT NULL,
            PRIMARY KEY (tenant_id, shard)
        );
        DO $$
        DECLARE
            writer text;
        BEGIN
            FOR writer IN
                SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
                FROM pg_class, aclexplode(relacl)
                WHERE pg_class.oid = '"{counted}"'::regclass AND privilege_type IN ('INSERT', 'DELETE') AND grantee <> relowner
            LOOP
                EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON {counts} TO %s', writer);
            END LOOP;
        END $$;
        CREATE FUNCTION keep_{counts}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
        BEGIN
            INSERT INTO {counts} AS kept (tenant_id, shard, n)
                SELECT tenant_id, get_byte(uuid_send(id), 15) & 63 AS shard, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
                FROM changed GROUP BY tenant_id, shard ORDER BY tenant_id, shard
            ON CONFLICT (tenant_id, shard) DO UPDATE SET n = kept.n + excluded.n;
            RETURN NULL;
        END $$;
        CREATE TRIGGER {counts}_insert AFTER INSERT ON "{counted}" REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION keep_{counts}();
        CREATE TRIGGER {counts}_delete AFTER DELETE ON "{counted}" REFERENCING OLD TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION keep_{counts}();
        INSERT INTO {counts} (tenant_id, shard, n)
            SELECT tenant_id, get_byte(uuid_send(id), 15) & 63 AS shard, count(*) FROM "{counted}" GROUP BY tenant_id, shard;
        "#
    )
}

fn sqlite(counted: &str, counts: &str) -> String {
    format!(
        r#"
        CREATE TABLE {counts} (
            tenant_id blob    NOT NULL,
            shard     integer NOT NULL,
            n         integer NOT NULL,
            PRIMARY KEY (tenant_id, shard)
        ) WITHOUT ROWID;
        CREATE TRIGGER {counts}_insert AFTER INSERT ON "{counted}" BEGIN
            INSERT INTO {counts} (tenant_id, shard, n) VALUES (NEW.tenant_id, 0, 1)
                ON CONFLICT (tenant_id, shard) DO UPDATE SET n = n + 1;
        END;
        CREATE TRIGGER {counts}_delete AFTER DELETE ON "{counted}" BEGIN
            UPDATE {counts} SET n = n - 1 WHERE tenant_id = OLD.tenant_id AND shard = 0;
        END;
        INSERT INTO {counts} (tenant_id, shard, n) SELECT tenant_id, 0, count(*) FROM "{counted}" GROUP BY tenant_id;
        "#
    )
}
