//! Many users without as many POSTs: what one POST left in the databases is copied, row by row, with other ids, numbers and times.
//!
//! Nothing here knows which tables there are. A user is created by POST; every row of identity and of membership that names its id is
//! its own; all of them are copied by `INSERT … SELECT` while the server is stopped. The number of the user, nine digits, stands in every
//! name, and is replaced wherever it stands. What the copies lack: request ids of their own in the change log, on PostgreSQL a
//! transaction of their own, and entries in the provisioning log. [`compare`] shows that nothing else differs.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use uuid::Uuid;

use crate::requests::{Filled, Tenant, digits};
use crate::target::{Service, Target};
use crate::{PATIENCE, common};

const SERVICES: [Service; 2] = [Service::Identity, Service::Membership];
/// Users in one transaction.
const BATCH: u64 = 50_000;

/// Copies the user `template`, who was just created, to users of these numbers. The server is stopped meanwhile, and started again.
pub async fn run(target: &mut Target, tenant: &Tenant, template: u64, numbers: Range<u64>) -> Result<()> {
    let begun = Instant::now();
    let id: Uuid = tenant.id(template)?.parse()?;
    await_projection(target, id).await?;
    target.terminate().await.context("stopping for the filling")?;
    let many = numbers.end - numbers.start;
    // Ids and times are those of users who came one a millisecond, the last of them just before the template.
    let born = u64::try_from(id.as_u128() >> 80)?.checked_sub(many).context("the id is a UUIDv7")?;
    let filled = Filled { numbers, born };
    let copy = Copy { tenant: tenant.uuid(), template: (template, id), filled };
    for service in SERVICES {
        let db = target.database(service).await?;
        copy.all(&db).await.with_context(|| format!("filling {}", service.name()))?;
        db.close().await?;
    }
    skip_log(target).await?;
    tenant.know(copy.filled);
    target.start_again().await?;
    eprintln!("filled {} users in {}", common::count(many as f64), common::time(begun.elapsed()));
    Ok(())
}

/// What a POST left of one user must be what the filling left of another, as far as it is not said above.
pub async fn compare(target: &Target, tenant: &Tenant, posted: u64, filled: u64) -> Result<()> {
    await_projection(target, tenant.id(posted)?.parse()?).await?;
    for service in SERVICES {
        let db = target.database(service).await?;
        for table in tables(&db).await? {
            let expected = table.told(&db, tenant, posted).await?;
            let found = table.told(&db, tenant, filled).await?;
            ensure!(
                expected == found,
                "{}.{}: a POST leaves {expected:#?}, the filling left {found:#?}",
                service.name(),
                table.name
            );
        }
        db.close().await?;
    }
    Ok(())
}

/// Returns when membership has heard of the user.
async fn await_projection(target: &Target, user: Uuid) -> Result<()> {
    let db = target.database(Service::Membership).await?;
    let sql = format!("SELECT 1 FROM users WHERE user_id = {}", literal(&db, user));
    let heard = async {
        while rows(&db, &sql).await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, heard).await.context("membership does not hear of the user")??;
    Ok(db.close().await?)
}

/// Membership need not read the copies in identity's log: it has its own.
async fn skip_log(target: &Target) -> Result<()> {
    let (identity, membership) =
        (target.database(Service::Identity).await?, target.database(Service::Membership).await?);
    let text = if identity.get_database_backend() == DbBackend::Postgres { "xid::text" } else { "xid" };
    let last = format!(
        "SELECT {text} || '.' || seq AS place FROM change_log ORDER BY change_log.xid DESC, seq DESC LIMIT 1"
    );
    let last = rows(&identity, &last).await?;
    let place: String = last.first().context("identity's log is empty")?.try_get_by_index(0)?;
    let sql = format!("UPDATE follower_cursor SET cursor = '{place}' WHERE log = 'identity'");
    let changed = membership.execute_unprepared(&sql).await?.rows_affected();
    ensure!(changed == 1, "membership follows {changed} logs called identity");
    identity.close().await?;
    Ok(membership.close().await?)
}

struct Copy {
    tenant: Uuid,
    /// Its number and its id.
    template: (u64, Uuid),
    filled: Filled,
}

impl Copy {
    async fn all(&self, db: &DatabaseConnection) -> Result<()> {
        let is_sqlite = db.get_database_backend() != DbBackend::Postgres;
        if is_sqlite {
            db.execute_unprepared("PRAGMA synchronous = OFF").await?;
        }
        let mut touched = Vec::new();
        for table in tables(db).await? {
            let Some(own) = table.of(db, self.tenant, self.template.1) else { continue };
            let Table { name, .. } = &table;
            db.execute_unprepared(&format!(
                "CREATE TEMP TABLE \"from_{name}\" AS SELECT * FROM \"{name}\" WHERE {own}"
            ))
            .await?;
            if rows(db, &format!("SELECT 1 FROM \"from_{name}\"")).await?.is_empty() {
                continue;
            }
            touched.push(table);
        }
        ensure!(!touched.is_empty(), "a POST left nothing here");
        let Range { start, end } = self.filled.numbers;
        let mut first = start;
        while first < end {
            let next = end.min(first + BATCH);
            db.execute_unprepared("BEGIN").await?;
            for table in &touched {
                db.execute_unprepared(&self.statement(db, table, first..next)).await?;
            }
            db.execute_unprepared("COMMIT").await?;
            first = next;
        }
        // As autovacuum and the next checkpoint would have done in the time that the POSTs take.
        if is_sqlite {
            db.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await?;
            return Ok(());
        }
        for table in &touched {
            db.execute_unprepared(&format!("VACUUM (ANALYZE) \"{}\"", table.name)).await?;
        }
        db.execute_unprepared("CHECKPOINT").await?;
        Ok(())
    }

    fn statement(&self, db: &DatabaseConnection, table: &Table, numbers: Range<u64>) -> String {
        let Table { name, columns } = table;
        let kept: Vec<&Column> = columns.iter().filter(|column| !column.is_given()).collect();
        let names: Vec<String> = kept.iter().map(|column| format!("\"{}\"", column.name)).collect();
        let values: Vec<String> = kept.iter().map(|column| self.value(db, column)).collect();
        let (names, values) = (names.join(", "), values.join(", "));
        let (first, last) = (numbers.start, numbers.end - 1);
        match db.get_database_backend() {
            DbBackend::Postgres => format!(
                "INSERT INTO \"{name}\" ({names}) SELECT {values} FROM generate_series({first}::bigint, {last}::bigint) AS n
                 CROSS JOIN \"from_{name}\" ORDER BY n"
            ),
            // CROSS: SQLite takes the tables in this order.
            _ => format!(
                "INSERT INTO \"{name}\" ({names})
                 WITH RECURSIVE numbers(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})
                 SELECT {values} FROM numbers CROSS JOIN \"from_{name}\""
            ),
        }
    }

    /// What stands there for user `n`.
    fn value(&self, db: &DatabaseConnection, column: &Column) -> String {
        let is_postgres = db.get_database_backend() == DbBackend::Postgres;
        let (number, id) = self.template;
        let Filled { numbers, born } = &self.filled;
        let (start, end, name) = (numbers.start, numbers.end, format!("\"{}\"", column.name));
        match column.kind {
            Kind::Id => {
                let (time, tail) = (format!("{born} + (n - {start})"), {
                    let (factor, addend) = Filled::TAIL;
                    format!("((n * {factor} + {addend}) & 281474976710655)")
                });
                let fresh = match is_postgres {
                    true => format!(
                        "(lpad(to_hex({time}), 12, '0') || '70008000' || lpad(to_hex({tail}), 12, '0'))::uuid"
                    ),
                    false => format!("unhex(printf('%012x70008000%012x', {time}, {tail}))"),
                };
                format!("CASE WHEN {name} = {} THEN {fresh} ELSE {name} END", literal(db, id))
            }
            Kind::Text if is_postgres => {
                let text = format!("replace({name}::text, '{}', lpad(n::text, 9, '0'))", digits(number));
                format!("{text}::{}", column.declared)
            }
            Kind::Text => format!("replace({name}, '{}', printf('%09d', n))", digits(number)),
            Kind::Time => format!("{name} - ({end} - n) * 1000"),
            Kind::Other => name,
        }
    }
}

struct Table {
    name: String,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    declared: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Id,
    /// JSON as well.
    Text,
    /// Microseconds since 1970.
    Time,
    Other,
}

impl Column {
    fn new(name: String, declared: String) -> Self {
        let kind = match declared.to_lowercase().as_str() {
            "uuid" | "blob" if name != "tenant_id" => Kind::Id,
            "text" | "jsonb" | "json" => Kind::Text,
            "bigint" | "integer" if name.ends_with("_at") || name.ends_with("_us") => Kind::Time,
            _ => Kind::Other,
        };
        Self { name, declared, kind }
    }

    /// By the database, as a row comes into the change log.
    fn is_given(&self) -> bool {
        self.name == "seq" || self.name == "xid"
    }
}

/// Those of a service, users first since others refer to them.
async fn tables(db: &DatabaseConnection) -> Result<Vec<Table>> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
             WHERE table_schema = current_schema() ORDER BY table_name <> 'users', table_name, ordinal_position"
        }
        _ => {
            "SELECT m.name, p.name, p.type FROM sqlite_master m JOIN pragma_table_info(m.name) p
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name <> 'users', m.name, p.cid"
        }
    };
    let mut tables: Vec<Table> = Vec::new();
    for row in rows(db, sql).await? {
        let name: String = row.try_get_by_index(0)?;
        let column = Column::new(row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        match tables.last_mut().filter(|table| table.name == name) {
            Some(table) => table.columns.push(column),
            None => tables.push(Table { name, columns: vec![column] }),
        }
    }
    Ok(tables)
}

impl Table {
    /// The condition for rows that name this user; none, if the table has neither tenants nor ids.
    fn of(&self, db: &DatabaseConnection, tenant: Uuid, user: Uuid) -> Option<String> {
        self.columns.iter().find(|column| column.name == "tenant_id")?;
        let ids = self.columns.iter().filter(|column| column.kind == Kind::Id);
        let user = literal(db, user);
        let named: Vec<String> = ids.map(|column| format!("\"{}\" = {user}", column.name)).collect();
        let tenant = literal(db, tenant);
        (!named.is_empty()).then(|| format!("tenant_id = {tenant} AND ({})", named.join(" OR ")))
    }

    /// What the rows of a user say, without what differs from user to user.
    async fn told(&self, db: &DatabaseConnection, tenant: &Tenant, number: u64) -> Result<Vec<String>> {
        let user: Uuid = tenant.id(number)?.parse()?;
        let Some(own) = self.of(db, tenant.uuid(), user) else { return Ok(Vec::new()) };
        let mut values = Vec::new();
        for column in &self.columns {
            if column.is_given() || column.kind == Kind::Time {
                continue;
            }
            let name = format!("\"{}\"", column.name);
            values.push(match db.get_database_backend() {
                DbBackend::Postgres => format!("coalesce({name}::text, 'null')"),
                _ => format!(
                    "CASE typeof({name}) WHEN 'blob' THEN lower(hex({name})) ELSE coalesce({name}, 'null') END"
                ),
            });
        }
        let sql = format!("SELECT {} AS told FROM \"{}\" WHERE {own}", values.join(" || ' ' || "), self.name);
        let mut told = Vec::new();
        for row in rows(db, &sql).await? {
            let text: String = row.try_get_by_index(0)?;
            let text = text.replace(&user.to_string(), "ID").replace(&user.simple().to_string(), "ID");
            told.push(without_request(&text.replace(&digits(number), "NUMBER")));
        }
        told.sort();
        Ok(told)
    }
}

/// Each request has an id of its own, which the change log repeats.
fn without_request(text: &str) -> String {
    let name = "\"request_id\":";
    let Some((before, behind)) = text.split_once(name) else { return text.to_owned() };
    let behind = behind.trim_start().trim_start_matches('"');
    format!("{before}{name}{}", behind.split_once('"').map_or("", |(_, rest)| rest))
}

fn literal(db: &DatabaseConnection, id: Uuid) -> String {
    match db.get_database_backend() {
        DbBackend::Postgres => format!("'{id}'::uuid"),
        _ => format!("x'{}'", id.simple()),
    }
}

async fn rows(db: &DatabaseConnection, sql: &str) -> Result<Vec<sea_orm::QueryResult>> {
    Ok(db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?)
}
