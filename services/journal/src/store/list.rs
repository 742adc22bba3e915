//! Searching, latest first.
//!
//! A search is for some subjects (or for everybody) with some outcomes. For each pair there is a range of an index that is in
//! the order of the answer, so the first page of the whole lies within the first page of each range: the statement takes that
//! much from every range, and of it the latest. What it reads depends on the page and not on how much there is.

use std::collections::{BTreeSet, HashMap};

use platform::clock::Timestamp;
use platform::db::Reader;
use platform::ids::TenantId;
use platform::{Error, Result};
use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};
use uuid::Uuid;

use super::Store;
use crate::domain::exchange::{Exchange, Outcome};
use crate::domain::page::Place;
use crate::domain::query::{Query, Reference};

/// Facts on a page, bytes: consumers' gRPC libraries take 4 MiB a message unless told otherwise.
const PAGE_BYTES: i64 = 2 * 1024 * 1024;
/// Ids that one name leads to, the latest. Nobody's name was given to more people than this.
const IDS_OF_A_NAME: i64 = 10;
/// Subjects of one search: with every outcome SQLite still takes them as one statement.
const MOST_SUBJECTS: usize = 80;

/// A page.
pub(crate) struct Found {
    pub(crate) exchanges: Vec<Exchange>,
    /// Where the next page goes on; none on the last.
    pub(crate) next: Option<Place>,
    /// Whom the users and groups that were asked for stand for.
    pub(crate) users: BTreeSet<Uuid>,
    pub(crate) groups: BTreeSet<Uuid>,
}

/// A statement in the making: its text and what is bound to it.
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// The place of a further value.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }
}

impl Store {
    /// One page of what is wanted, which may be some seconds old: exchanges are written behind their answers anyway.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn list(&self, tenant: TenantId, query: Query, now: Timestamp) -> Result<Found> {
        let db = self.db.read_page_of_log(query.after.map(|place| place.at), now);
        let users = subjects(db, tenant, &query.users).await?;
        let groups = subjects(db, tenant, &query.groups).await?;
        if query.outcomes.is_empty() || query.from >= query.until {
            return Ok(Found { exchanges: Vec::new(), next: None, users, groups });
        }
        let mut sql = statement(tenant, &query, &users, &groups);
        // One more, to know whether there is another page.
        let keys = rows(db, std::mem::take(&mut sql.text), sql.values).await?;
        let mut page: Vec<Place> = Vec::new();
        let (mut bytes, mut next) = (0_i64, None);
        for row in &keys {
            let place =
                Place { at: Timestamp::from_micros(row.try_get("", "at_us")?), id: row.try_get("", "id")? };
            bytes += i64::from(row.try_get::<i32>("", "bytes")?);
            if page.len() == query.limit || (bytes > PAGE_BYTES && !page.is_empty()) {
                next = page.last().copied();
                break;
            }
            page.push(place);
        }
        let mut found = exchanges(db, tenant, &page).await?;
        // The primary may have told the places, and a replica that lacks the latest what stands there.
        let lacking: Vec<Place> =
            page.iter().filter(|place| !found.contains_key(&place.id)).copied().collect();
        found.extend(exchanges(self.db.read(), tenant, &lacking).await?);
        // One that has expired in between is not there any more.
        let exchanges = page.iter().filter_map(|place| found.remove(&place.id)).collect();
        Ok(Found { exchanges, next, users, groups })
    }
}

/// Everybody who was called that.
async fn subjects(db: &Reader, tenant: TenantId, references: &[Reference]) -> Result<BTreeSet<Uuid>> {
    let mut subjects = BTreeSet::new();
    for Reference { id, names } in references {
        subjects.extend(*id);
        for name in names {
            subjects.insert(*name);
            let sql = "SELECT subject_id FROM subject_names WHERE tenant_id = $1 AND name_id = $2 \
                       ORDER BY subject_id DESC LIMIT $3";
            let values = vec![tenant.uuid().into(), (*name).into(), IDS_OF_A_NAME.into()];
            for row in rows(db, sql.to_owned(), values).await? {
                subjects.insert(row.try_get("", "subject_id")?);
            }
        }
    }
    Ok(subjects.into_iter().rev().take(MOST_SUBJECTS).collect())
}

/// The exchanges that are at these places.
async fn exchanges(db: &Reader, tenant: TenantId, places: &[Place]) -> Result<HashMap<Uuid, Exchange>> {
    let mut found = HashMap::with_capacity(places.len());
    if places.is_empty() {
        return Ok(found);
    }
    let mut sql = Sql { text: String::new(), values: vec![tenant.uuid().into()] };
    let ids: Vec<String> = places.iter().map(|place| sql.bind(place.id)).collect();
    sql.text = format!(
        "SELECT id, at_us, outcome, request_id, expires_at_us, facts FROM exchanges WHERE tenant_id = $1 AND id IN ({})",
        ids.join(", ")
    );
    for row in rows(db, sql.text, sql.values).await? {
        let exchange = exchange(tenant, &row)?;
        found.insert(exchange.id, exchange);
    }
    Ok(found)
}

async fn rows(db: &Reader, sql: String, values: Vec<Value>) -> Result<Vec<QueryResult>> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.query_all_raw(statement).await?)
}

/// The keys of a page and one more, latest first.
fn statement(tenant: TenantId, query: &Query, users: &BTreeSet<Uuid>, groups: &BTreeSet<Uuid>) -> Sql {
    let mut sql = Sql { text: String::new(), values: Vec::new() };
    let tenant = sql.bind(tenant.uuid());
    let (from, until) = (sql.bind(query.from.micros()), sql.bind(query.until.micros()));
    let limit = sql.bind(i64::try_from(query.limit + 1).unwrap_or(i64::MAX));
    let after = query.after.map(|place| (sql.bind(place.at.micros()), sql.bind(place.id)));
    // Of users and groups, users lead: their stories are shorter.
    let (leading, also) = if users.is_empty() { (groups, users) } else { (users, groups) };

    let mut ranges = Vec::new();
    let mut range = |table: &str, id: &str, of: String, sql: &mut Sql| {
        let mut text = format!(
            "SELECT at_us, {id} AS id FROM {table} AS x WHERE tenant_id = {tenant} AND {of} \
             AND at_us >= {from} AND at_us < {until}"
        );
        if let Some((at, place)) = &after {
            text.push_str(&format!(" AND (at_us, {id}) < ({at}, {place})"));
        }
        if !also.is_empty() {
            let also: Vec<String> = also.iter().map(|subject| sql.bind(*subject)).collect();
            text.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM exchange_subjects AS a WHERE a.tenant_id = {tenant} \
                 AND a.exchange_id = x.{id} AND a.subject_id IN ({}))",
                also.join(", ")
            ));
        }
        if table != "exchanges" && !query.request_id.is_empty() {
            let request = sql.bind(query.request_id.as_str());
            text.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM exchanges AS e WHERE e.tenant_id = {tenant} AND e.id = x.{id} \
                 AND e.request_id = {request})"
            ));
        }
        ranges.push(format!("SELECT * FROM ({text} ORDER BY at_us DESC, {id} DESC LIMIT {limit}) AS r"));
    };
    if !leading.is_empty() {
        for subject in leading {
            let subject = sql.bind(*subject);
            for outcome in &query.outcomes {
                let outcome = sql.bind(outcome.number());
                let of = format!("subject_id = {subject} AND outcome = {outcome}");
                range("exchange_subjects", "exchange_id", of, &mut sql);
            }
        }
    } else if !query.request_id.is_empty() {
        let request = sql.bind(query.request_id.as_str());
        let mut of = format!("request_id = {request}");
        if query.outcomes.len() < Outcome::ALL.len() {
            let outcomes: Vec<String> =
                query.outcomes.iter().map(|outcome| sql.bind(outcome.number())).collect();
            of.push_str(&format!(" AND outcome IN ({})", outcomes.join(", ")));
        }
        range("exchanges", "id", of, &mut sql);
    } else {
        for outcome in &query.outcomes {
            let outcome = sql.bind(outcome.number());
            range("exchanges", "id", format!("outcome = {outcome}"), &mut sql);
        }
    }
    // One exchange may be about several of them.
    sql.text = format!(
        "SELECT k.at_us, k.id, e.bytes FROM (SELECT DISTINCT at_us, id FROM ({}) AS u ORDER BY at_us DESC, id DESC LIMIT {limit}) AS k \
         JOIN exchanges AS e ON e.tenant_id = {tenant} AND e.id = k.id ORDER BY k.at_us DESC, k.id DESC",
        ranges.join(" UNION ALL ")
    );
    sql
}

fn exchange(tenant: TenantId, row: &QueryResult) -> Result<Exchange> {
    let outcome = Outcome::from_number(row.try_get("", "outcome")?);
    let facts: String = row.try_get("", "facts")?;
    Ok(Exchange {
        tenant,
        id: row.try_get("", "id")?,
        at: Timestamp::from_micros(row.try_get("", "at_us")?),
        outcome: outcome
            .ok_or_else(|| Error::internal("an exchange has an outcome that this version does not know"))?,
        request_id: row.try_get("", "request_id")?,
        expires_at: Timestamp::from_micros(row.try_get("", "expires_at_us")?),
        facts: serde_json::from_str(&facts).map_err(Error::internal)?,
    })
}

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;

    use super::*;
    use crate::domain::exchange::Facts;
    use crate::domain::query;
    use platform::db::Database;

    /// How the database goes about it, line by line.
    async fn plan(db: &Database, sql: Sql) -> Vec<String> {
        let (prefix, column) = match db.backend() {
            DbBackend::Postgres => ("EXPLAIN", "QUERY PLAN"),
            _ => ("EXPLAIN QUERY PLAN", "detail"),
        };
        let text = format!("{prefix} {}", sql.text);
        let statement = Statement::from_sql_and_values(db.backend(), text, sql.values);
        let rows = db.read().query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get("", column).unwrap()).collect()
    }

    fn exchange(tenant: TenantId, number: u128) -> Exchange {
        let resource_id = Uuid::from_u128(number % 100).to_string();
        Exchange {
            tenant,
            id: Uuid::from_u128(number),
            at: Timestamp::from_micros(i64::try_from(number).unwrap()),
            outcome: if number.is_multiple_of(1000) { Outcome::Failed } else { Outcome::Unchanged },
            request_id: number.to_string(),
            expires_at: Timestamp::from_micros(i64::MAX / 2),
            facts: Facts { resource_type: "User".into(), resource_id, ..Facts::default() },
        }
    }

    testkit::store_tests! {
        service: Journal;

        async fn no_search_walks_over_what_it_does_not_want(db: Database) {
            let store = Store::new(db.clone());
            let tenant = TenantId::from_uuid(Uuid::from_u128(1));
            for batch in 0..10 {
                let exchanges = (0..1000).map(|number| exchange(tenant, 1 + batch * 1000 + number));
                store.append(exchanges.collect()).await.unwrap();
            }
            db.migrator().execute_unprepared("ANALYZE").await.unwrap();
            let all = Query {
                users: Vec::new(),
                groups: Vec::new(),
                outcomes: query::outcomes(&[], false),
                from: Timestamp::from_micros(0),
                until: Timestamp::from_micros(i64::MAX),
                request_id: String::new(),
                after: Some(Place { at: Timestamp::from_micros(5000), id: Uuid::from_u128(5000) }),
                limit: 10,
            };
            let nobody = BTreeSet::new();
            let (user, group) = (BTreeSet::from([Uuid::from_u128(7)]), BTreeSet::from([Uuid::from_u128(8), Uuid::from_u128(9)]));
            let of_request = Query { request_id: "77".into(), ..all.clone() };
            let failed = Query { outcomes: BTreeSet::from([Outcome::Failed]), ..all.clone() };
            for (query, users, groups) in [
                (&all, &nobody, &nobody),
                (&failed, &nobody, &nobody),
                (&of_request, &nobody, &nobody),
                (&all, &user, &nobody),
                (&failed, &nobody, &group),
                (&all, &user, &group),
                (&of_request, &user, &group),
            ] {
                let lines = plan(&db, statement(tenant, query, users, groups)).await;
                let bad = |line: &String| {
                    // What was taken from the ranges is walked over; a table never is.
                    ["Seq Scan on exchange", "SCAN x", "SCAN e", "SCAN a"].iter().any(|scan| line.contains(scan))
                };
                assert!(!lines.iter().any(bad), "{query:?}\n{}", lines.join("\n"));
                // The ranges come in order: nothing but their heads is sorted.
                let ranges = lines.iter().filter(|line| line.contains("exchanges_") || line.contains("exchange_subjects")).count();
                assert!(ranges > 0, "{}", lines.join("\n"));
            }
        }
    }
}
