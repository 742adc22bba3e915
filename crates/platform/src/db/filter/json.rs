//! Looking into a JSON document, in each database's words.

use sea_orm::DbBackend;
use sea_orm::sea_query::{BinOper, Expr, ExprTrait, Func, Query as Sql, SelectStatement};

use super::{call, literal};

/// A place in a document or in an element of one of its arrays.
pub(super) struct Node {
    within: Within,
    keys: Vec<String>,
}

enum Within {
    Document(Expr),
    /// An element of the array that is unfolded under this alias.
    Element(String),
}

impl Node {
    pub(super) fn of_document(document: Expr, keys: &[String]) -> Self {
        Self { within: Within::Document(document), keys: keys.to_vec() }
    }

    pub(super) fn of_element(depth: usize, keys: &[String]) -> Self {
        Self { within: Within::Element(alias(depth)), keys: keys.to_vec() }
    }
}

fn alias(depth: usize) -> String {
    format!("e{depth}")
}

/// The JSON functions of one database. None of its conditions fails on unexpected JSON; they are NULL or false.
#[derive(Clone, Copy)]
pub(super) enum Json {
    Sqlite,
    Postgres,
}

impl Json {
    pub(super) fn new(backend: DbBackend) -> Self {
        if backend == DbBackend::Postgres { Self::Postgres } else { Self::Sqlite }
    }

    /// The text of a string.
    pub(super) fn text(self, node: &Node) -> Expr {
        match self {
            Self::Sqlite => sqlite_value(node),
            Self::Postgres => match (&node.within, node.keys.split_last()) {
                (Within::Document(_) | Within::Element(_), Some((last, path))) => {
                    let parent = descend(postgres_root(node), path);
                    parent.binary(BinOper::Custom("->>"), last.as_str())
                }
                (_, None) => {
                    postgres_root(node).binary(BinOper::Custom("#>>"), Expr::cust("CAST('{}' AS text[])"))
                }
            },
        }
    }

    /// A number, comparable with [`Json::integer`] and [`Json::decimal`].
    pub(super) fn number(self, node: &Node) -> Expr {
        match self {
            Self::Sqlite => sqlite_value(node),
            Self::Postgres => postgres_value(node),
        }
    }

    // sqlx caches prepared statements by their text: without the casts, a statement prepared with an integer would read the
    // bits of a float as one.
    pub(super) fn integer(self, value: i64) -> Expr {
        match self {
            Self::Sqlite => value.into(),
            Self::Postgres => call("to_jsonb", [Expr::from(value).cast_as("bigint")]),
        }
    }

    pub(super) fn decimal(self, value: f64) -> Expr {
        match self {
            Self::Sqlite => value.into(),
            Self::Postgres => call("to_jsonb", [Expr::from(value).cast_as("double precision")]),
        }
    }

    pub(super) fn is_text(self, node: &Node) -> Expr {
        self.kind(node).eq(match self {
            Self::Sqlite => literal("text"),
            Self::Postgres => literal("string"),
        })
    }

    pub(super) fn is_number(self, node: &Node) -> Expr {
        match self {
            Self::Sqlite => self.kind(node).is_in([literal("integer"), literal("real")]),
            Self::Postgres => self.kind(node).eq(literal("number")),
        }
    }

    pub(super) fn is_boolean(self, node: &Node, value: bool) -> Expr {
        let name = literal(if value { "true" } else { "false" });
        match self {
            Self::Sqlite => self.kind(node).eq(name),
            Self::Postgres => self.kind(node).eq(literal("boolean")).and(self.text(node).eq(name)),
        }
    }

    /// Not null, not `""`, not an empty array or object; NULL when it is not there at all.
    pub(super) fn is_present(self, node: &Node) -> Expr {
        let nothing = self.kind(node).eq(literal("null"));
        let blank = self.is_text(node).and(self.text(node).eq(literal("")));
        let hollow = self
            .kind(node)
            .is_in([literal("array"), literal("object")])
            .and(self.text(node).is_in([literal("[]"), literal("{}")]));
        nothing.or(blank).or(hollow).not()
    }

    /// `SELECT 1` for each element of an array, to which conditions about the element are added; none for anything else.
    pub(super) fn elements(self, node: &Node, depth: usize) -> SelectStatement {
        let mut select = Sql::select();
        select.expr(Expr::cust("1"));
        match self {
            Self::Sqlite => {
                let (document, path) = sqlite_place(node);
                select.from_function(Func::cust("json_each").args([document, path]), alias(depth));
                // An object's members have text keys, a lone value none.
                select.and_where(call("typeof", [Expr::col((alias(depth), "key"))]).eq(literal("integer")));
            }
            Self::Postgres => {
                let is_array = self.kind(node).eq(literal("array"));
                let array =
                    Expr::case(is_array, postgres_value(node)).finally(Expr::cust("CAST('[]' AS jsonb)"));
                select.from_function(Func::cust("jsonb_array_elements").arg(array), alias(depth));
            }
        }
        select
    }

    /// The element that stands for all: the primary one, else the first. A subquery or expression of `inner`'s text.
    pub(super) fn of_main_element(
        self,
        array: &Node,
        inner: &[String],
        read: impl Fn(Self, &Node) -> Expr,
    ) -> Expr {
        match self {
            Self::Sqlite => {
                let mut select = self.elements(array, 0);
                let primary = self.is_boolean(&Node::of_element(0, &["primary".to_owned()]), true);
                select.clear_selects().expr(read(self, &Node::of_element(0, inner)));
                select.order_by_expr(super::never_null(primary), sea_orm::sea_query::Order::Desc);
                select.order_by_expr(Expr::col((alias(0), "key")), sea_orm::sea_query::Order::Asc).limit(1);
                super::subquery(select)
            }
            Self::Postgres => {
                let array = postgres_value(array);
                let path = Expr::cust("CAST('$[*] ? (@.primary == true)' AS jsonpath)");
                let primary = call("jsonb_path_query_first", [array.clone(), path]);
                let first = array.binary(BinOper::Custom("->"), Expr::cust("0"));
                let element = call("coalesce", [primary, first]);
                read(self, &Node::of_document(element, inner))
            }
        }
    }

    /// The database's name of the value's JSON type; NULL when there is none.
    fn kind(self, node: &Node) -> Expr {
        match self {
            Self::Sqlite => match &node.within {
                Within::Element(alias) if node.keys.is_empty() => Expr::col((alias.clone(), "type")),
                _ => {
                    let (document, path) = sqlite_place(node);
                    call("json_type", [document, path])
                }
            },
            Self::Postgres => call("jsonb_typeof", [postgres_value(node)]),
        }
    }
}

fn sqlite_value(node: &Node) -> Expr {
    match &node.within {
        Within::Element(alias) if node.keys.is_empty() => Expr::col((alias.clone(), "value")),
        _ => {
            let (document, path) = sqlite_place(node);
            call("json_extract", [document, path])
        }
    }
}

/// Document and path of a node. An element that is no object has no members to look for, and its value may not be JSON.
fn sqlite_place(node: &Node) -> (Expr, Expr) {
    let document = match &node.within {
        Within::Document(document) => document.clone(),
        Within::Element(alias) => {
            let is_object = Expr::col((alias.clone(), "type")).eq(literal("object"));
            Expr::case(is_object, Expr::col((alias.clone(), "value"))).finally(literal("{}")).into()
        }
    };
    let mut path = String::from("$");
    for key in &node.keys {
        // Keys are names and URNs of schemas, which have neither quotes nor backslashes (scim::Schema::parse).
        path.push_str(".\"");
        path.push_str(key);
        path.push('"');
    }
    (document, path.into())
}

fn postgres_root(node: &Node) -> Expr {
    match &node.within {
        Within::Document(document) => document.clone(),
        Within::Element(alias) => Expr::col((alias.clone(), "value")),
    }
}

fn postgres_value(node: &Node) -> Expr {
    descend(postgres_root(node), &node.keys)
}

fn descend(json: Expr, keys: &[String]) -> Expr {
    keys.iter().fold(json, |json, key| json.binary(BinOper::Custom("->"), key.as_str()))
}
