//! Pages of a list: by index (RFC 7644, section 3.4.2.4) and by cursor (RFC 9865).
//!
//! A cursor page continues behind a key, not behind a number of rows: `(sort value, id) > (…)`. A row that stays where it
//! is in the order is met exactly once, whatever is inserted or deleted around it. The default order is that of creation,
//! in which nothing ever moves.

use std::ops::ControlFlow;

use proto::common::v1::Page;
use scim::ErrorKind;
use sea_orm::sea_query::{Expr, ExprTrait, Order as Direction, Query, SelectStatement};
use sea_orm::{ConnectionTrait, QueryResult};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Reader;
use super::cursor::Cursors;
use super::filter::{SortKey, SortValue};
use crate::error::{Error, Result};
use crate::ids::TenantId;

/// Bytes of resources after which a page ends, full or not: a page must fit into one message, and into memory. A client
/// sees from `itemsPerPage` where to go on (RFC 7644, section 3.4.2.4: the server may return fewer than `count`).
pub const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// The column that [`Order::apply`] adds to the selection for [`Order::place`].
const KEY: &str = "sort_key";
/// The column of a count.
const TOTAL: &str = "total";

/// How large pages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageSize {
    /// Without `count`.
    pub default: u64,
    /// At most, whatever `count` says.
    pub max: u64,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { default: 100, max: 1000 }
    }
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// `limit` rows behind the first `offset`.
    Index {
        /// Rows to leave out.
        offset: u64,
        /// Rows at most.
        limit: u64,
    },
    /// `limit` rows behind a place, or from the start.
    Cursor {
        /// Where the page before ended.
        after: Option<Place>,
        /// Rows at most.
        limit: u64,
    },
}

impl Wanted {
    /// Reads a request's page. `bound_to` is what its cursor must have been made for.
    ///
    /// # Errors
    /// `InvalidCursor`; `InvalidValue` when both ways of paging are mixed.
    pub fn read(page: Option<&Page>, size: PageSize, cursors: &Cursors, bound_to: &[&str]) -> Result<Self> {
        let Some(page) = page else { return Ok(Self::Index { offset: 0, limit: size.default }) };
        let asked = page.count.map_or(size.default, |count| u64::try_from(count).unwrap_or(0));
        let limit = if asked > size.max { size.max } else { asked };
        let Some(cursor) = &page.cursor else {
            let offset = u64::try_from(page.start_index).unwrap_or(0).saturating_sub(1);
            return Ok(Self::Index { offset, limit });
        };
        if page.start_index != 0 {
            let detail = "startIndex and cursor cannot be used together; send one of them";
            return Err(Error::new(ErrorKind::InvalidValue, detail));
        }
        let after = if cursor.is_empty() { None } else { Some(cursors.open(bound_to, cursor)?) };
        Ok(Self::Cursor { after, limit })
    }

    /// Rows at most.
    pub fn limit(&self) -> u64 {
        match self {
            Self::Index { limit, .. } | Self::Cursor { limit, .. } => *limit,
        }
    }

    /// How many rows there are in all, where it can be told from this page: how many it has, and whether nothing comes behind.
    fn total(&self, items: usize, is_last: bool) -> Option<i64> {
        let items = u64::try_from(items).ok()?;
        let before = match self {
            Self::Index { offset, .. } if *offset == 0 || items > 0 => *offset,
            Self::Cursor { after: None, .. } => 0,
            Self::Index { .. } | Self::Cursor { .. } => return None,
        };
        i64::try_from(before + items).ok().filter(|_| is_last)
    }
}

/// The order of a list: by a key where one is wanted, then by id.
pub struct Order {
    /// The key; none for the order of creation.
    pub key: Option<SortKey>,
    /// The id column.
    pub id: Expr,
    /// Largest first. Rows without a key value are last in ascending order and first in descending (RFC 7644, 3.4.2.3).
    pub descending: bool,
}

/// Where a row stands in an [`Order`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    value: Option<KeyValue>,
    #[serde(rename = "i")]
    id: Uuid,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum KeyValue {
    #[serde(rename = "t")]
    Text(String),
    #[serde(rename = "n")]
    Integer(i64),
    /// The bits of a float: its decimal form might not come back to the same.
    #[serde(rename = "r")]
    Real(u64),
}

impl Order {
    /// Orders, limits and positions `select`, which selects from one table. One row more than the limit is asked for with
    /// a cursor, to know whether it was the last page.
    pub fn apply(&self, select: &mut SelectStatement, wanted: &Wanted) {
        match wanted {
            Wanted::Index { offset: 0, limit } => {
                select.limit(*limit);
            }
            Wanted::Index { offset, limit } => {
                // The ids first: what is selected of a row would be read, and made, for all those too that are passed over.
                let mut ids = select.clone();
                ids.clear_selects().expr(self.id.clone()).offset(*offset).limit(*limit);
                self.order(&mut ids);
                select.and_where(self.id.clone().in_subquery(ids));
            }
            Wanted::Cursor { after, limit } => {
                if let Some(after) = after {
                    select.and_where(self.behind(after));
                }
                select.limit(limit + 1);
            }
        }
        if let Some(key) = &self.key {
            select.expr_as(key.value.clone(), KEY);
        }
        self.order(select);
    }

    fn order(&self, select: &mut SelectStatement) {
        let direction = if self.descending { Direction::Desc } else { Direction::Asc };
        if let Some(key) = &self.key {
            if key.nullable {
                select.order_by_expr(key.value.clone().is_null(), direction.clone());
            }
            select.order_by_expr(key.value.clone(), direction.clone());
        }
        select.order_by_expr(self.id.clone(), direction);
    }

    /// Where a row that [`Order::apply`] selected stands.
    ///
    /// # Errors
    /// The row has no such columns.
    pub fn place(&self, row: &QueryResult, id: Uuid) -> Result<Place> {
        let value = match self.key.as_ref().map(|key| key.kind) {
            None => None,
            Some(SortValue::Text) => row.try_get::<Option<String>>("", KEY)?.map(KeyValue::Text),
            Some(SortValue::Integer) => row.try_get::<Option<i64>>("", KEY)?.map(KeyValue::Integer),
            Some(SortValue::Real) => {
                row.try_get::<Option<f64>>("", KEY)?.map(|real| KeyValue::Real(real.to_bits()))
            }
        };
        Ok(Place { value, id })
    }

    /// Reads the page of `select` that `wanted` names: as many rows as it may have, and no more than [`PAGE_BYTES`] of them
    /// but for the first; and how many rows there are in all. `item` makes something of a row and says how many bytes that is.
    ///
    /// # Errors
    /// The database's, and what `item` returns.
    pub async fn read<T: Send>(
        &self,
        db: &Reader,
        mut select: SelectStatement,
        total: Total,
        wanted: &Wanted,
        item: impl Fn(&QueryResult) -> Result<Item<T>> + Send + Sync,
    ) -> Result<Taken<T>> {
        let count = total.statement(&select);
        let limit = usize::try_from(wanted.limit()).unwrap_or(usize::MAX);
        let (mut items, mut next, mut is_last) = (Vec::new(), None, true);
        if limit == 0 {
            return Ok(Taken { items, next, total: counted(db, &count).await? });
        }
        self.apply(&mut select, wanted);
        let mut last = None;
        let mut room = PAGE_BYTES;
        let statement = db.get_database_backend().build(&select);
        db.each(statement, |row| {
            let is_full = items.len() == limit;
            let Item { id, bytes, value } = item(&row)?;
            if is_full || (bytes > room && !items.is_empty()) {
                // There is another page, and with cursors it begins here.
                next = last.take();
                is_last = false;
                return Ok(ControlFlow::Break(()));
            }
            room = room.saturating_sub(bytes);
            if matches!(wanted, Wanted::Cursor { .. }) {
                last = Some(self.place(&row, id)?);
            }
            items.push(value);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        // By index no row more is asked for than the page has.
        is_last &= matches!(wanted, Wanted::Cursor { .. }) || items.len() < limit;
        let total = match wanted.total(items.len(), is_last) {
            Some(total) => total,
            None => counted(db, &count).await?,
        };
        Ok(Taken { items, next, total })
    }

    fn behind(&self, place: &Place) -> Expr {
        let behind_id = self.beyond(self.id.clone(), place.id.into());
        let Some(key) = &self.key else { return behind_id };
        let value = match &place.value {
            Some(KeyValue::Text(text)) => Some(Expr::from(text.as_str())),
            Some(KeyValue::Integer(number)) => Some(Expr::from(*number)),
            Some(KeyValue::Real(bits)) => Some(Expr::from(f64::from_bits(*bits))),
            None => None,
        };
        let absent = key.value.clone().is_null();
        match (value, self.descending) {
            (Some(value), descending) => {
                // `from … and …` rather than `a or (b and c)`: the first part alone is a range of the index.
                let tied_or_beyond = self.beyond(key.value.clone(), value.clone()).or(behind_id);
                let from =
                    if descending { key.value.clone().lte(value) } else { key.value.clone().gte(value) };
                let behind = from.and(tied_or_beyond);
                if key.nullable && !descending { behind.or(absent) } else { behind }
            }
            (None, false) => absent.and(behind_id),
            (None, true) => absent.clone().not().or(absent.and(behind_id)),
        }
    }

    fn beyond(&self, column: Expr, value: Expr) -> Expr {
        if self.descending { column.lt(value) } else { column.gt(value) }
    }
}

/// A row of a page.
pub struct Item<T> {
    /// Its id column.
    pub id: Uuid,
    /// About how large it is on the wire.
    pub bytes: usize,
    /// What was made of it.
    pub value: T,
}

/// A page that was read.
#[derive(Debug)]
pub struct Taken<T> {
    /// In order.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last page and with paging by index.
    pub next: Option<Place>,
    /// How many rows there are in all.
    pub total: i64,
}

/// How many rows a list has in all, where the page does not tell.
#[derive(Clone, Copy, Debug)]
pub enum Total {
    /// They are counted.
    Counted,
    /// Triggers keep the number (`migrations/src/kept_counts.rs`), in a few rows of this table, however many there are: for a list
    /// of everything of its kind that the tenant has.
    Kept(&'static str, TenantId),
}

impl Total {
    /// Of `select`, which says what the list is of.
    fn statement(self, select: &SelectStatement) -> SelectStatement {
        match self {
            Self::Counted => select.clone().clear_selects().expr_as(Expr::cust("COUNT(*)"), TOTAL).take(),
            Self::Kept(table, tenant) => Query::select()
                // On PostgreSQL the sum of bigints is none.
                .expr_as(Expr::cust("CAST(COALESCE(SUM(n), 0) AS bigint)"), TOTAL)
                .from(table)
                .and_where(Expr::col("tenant_id").eq(tenant.uuid()))
                .take(),
        }
    }
}

async fn counted(db: &Reader, count: &SelectStatement) -> Result<i64> {
    let row = db.query_one(count).await?;
    let row = row.ok_or_else(|| Error::internal("a count was answered without a row"))?;
    Ok(row.try_get("", TOTAL)?)
}

/// The length of a value as JSON text.
pub fn json_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    let text = |text: &str| {
        // `\n` is two bytes, other control characters are up to six.
        let escaped = text.bytes().filter(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\')).count();
        text.len() + 2 + 5 * escaped
    };
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 24,
        Value::String(string) => text(string),
        Value::Array(items) => 2 + items.iter().map(|item| json_bytes(item) + 1).sum::<usize>(),
        Value::Object(map) => {
            2 + map.iter().map(|(name, value)| text(name) + json_bytes(value) + 2).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(page: Page) -> Result<Wanted> {
        Wanted::read(Some(&page), PageSize::default(), &Cursors::new(&"key".into()), &["q"])
    }

    #[test]
    fn counts_are_kept_within_bounds() {
        let page = |start_index, count| Page { start_index, count, cursor: None };
        assert_eq!(read(page(0, None)).unwrap(), Wanted::Index { offset: 0, limit: 100 });
        assert_eq!(read(page(-5, Some(-1))).unwrap(), Wanted::Index { offset: 0, limit: 0 });
        assert_eq!(read(page(11, Some(5000))).unwrap(), Wanted::Index { offset: 10, limit: 1000 });
    }

    #[test]
    fn a_page_tells_the_total_when_it_is_the_last() {
        let index = |offset| Wanted::Index { offset, limit: 10 };
        assert_eq!(index(0).total(3, true), Some(3));
        assert_eq!(index(0).total(0, true), Some(0));
        assert_eq!(index(20).total(3, true), Some(23));
        assert_eq!(index(20).total(0, true), None, "behind the end, wherever that is");
        assert_eq!(index(0).total(3, false), None, "cut short by its bytes");
        assert_eq!(index(0).total(10, false), None);
        assert_eq!(Wanted::Cursor { after: None, limit: 10 }.total(10, true), Some(10));
        let after = Some(Place { value: None, id: Uuid::nil() });
        assert_eq!(Wanted::Cursor { after, limit: 10 }.total(3, true), None);
    }

    #[test]
    fn the_length_of_json_is_not_underestimated() {
        let value = serde_json::json!({
            "text": "plain \u{1}\u{2}\"\\\n\u{e9}", "list": [1, -2.5e300, null, true, [], {}], "deep": { "a": { "b": "c" } },
        });
        let exact = value.to_string().len();
        assert!((exact..exact + 150).contains(&json_bytes(&value)), "{exact} {}", json_bytes(&value));
        let long = serde_json::Value::from("x".repeat(10_000));
        assert_eq!(json_bytes(&long), 10_002);
    }

    #[test]
    fn a_cursor_excludes_a_start_index() {
        let page = Page { start_index: 3, count: None, cursor: Some(String::new()) };
        assert_eq!(read(page).unwrap_err().kind, ErrorKind::InvalidValue);
        let page = Page { start_index: 0, count: Some(7), cursor: Some(String::new()) };
        assert_eq!(read(page).unwrap(), Wanted::Cursor { after: None, limit: 7 });
        let page = Page { start_index: 0, count: None, cursor: Some("made-up".into()) };
        assert_eq!(read(page).unwrap_err().kind, ErrorKind::InvalidCursor);
    }
}
