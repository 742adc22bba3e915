//! What the statements look like. That they mean the same as `scim::filter::eval` on both databases is shown by the
//! property test of the identity service.

use scim::Dialect;
use scim::filter::Filter;
use scim::schema::ResourceType;
use sea_orm::sea_query::{PostgresQueryBuilder, Query as Sql, SqliteQueryBuilder};

use super::*;

fn table() -> Table {
    let column = |name: &'static str| Expr::col(("users", name));
    let mut owners = Sql::select();
    owners.column("user_id").from("user_emails").and_where(Expr::col("tenant_id").eq(7));
    Table {
        id: column("id"),
        search: column("search"),
        columns: vec![
            ("id", Column::Uuid(column("id"))),
            ("userName", Column::RequiredText(column("user_name_key"))),
            ("externalId", Column::Text(column("external_id"))),
            ("meta.lastModified", Column::Time(column("updated_at"))),
            ("groups", Column::Refused("not here")),
        ],
        rows: vec![Rows {
            attribute: "emails",
            owners,
            columns: vec![("emails.value", Column::Text(Expr::col("value_key")))],
            in_search: true,
        }],
    }
}

fn query(filter: &str) -> Query {
    let filter = Filter::parse(filter, &scim::Limits::DEFAULT).unwrap();
    scim::filter::resolve(&filter, &ResourceType::user(), &Dialect::ENTRA).unwrap()
}

fn sql(filter: &str, backend: DbBackend) -> String {
    let mut select = Sql::select();
    select.expr(Expr::cust("1")).and_where(compile(&query(filter), &table(), backend).unwrap());
    let text = match backend {
        DbBackend::Postgres => select.to_string(PostgresQueryBuilder),
        _ => select.to_string(SqliteQueryBuilder),
    };
    text.replace("SELECT 1 WHERE ", "")
}

#[test]
fn indexed_attributes_are_plain_comparisons_of_columns() {
    for backend in [DbBackend::Sqlite, DbBackend::Postgres] {
        assert_eq!(sql(r#"userName eq "A@X.de""#, backend), r#""users"."user_name_key" = 'a@x.de'"#);
        assert_eq!(
            sql(r#"externalId eq "Ab""#, backend),
            r#""users"."external_id" IS NOT NULL AND "users"."external_id" = 'Ab'"#
        );
        assert_eq!(
            sql(r#"userName sw "ab""#, backend),
            r#""users"."user_name_key" >= 'ab' AND "users"."user_name_key" < 'ac'"#
        );
        assert_eq!(
            sql(r#"meta.lastModified gt "1970-01-01T00:00:01Z""#, backend),
            r#""users"."updated_at" > 1000000"#
        );
        assert_eq!(sql(r#"id eq "no uuid""#, backend), "FALSE");
    }
}

#[test]
fn elements_are_looked_up_in_rows_where_all_of_it_is_there_and_in_json_where_not() {
    let rows = sql(r#"emails.value eq "A@x""#, DbBackend::Sqlite);
    assert!(
        rows.starts_with(r#""users"."id" IN (SELECT "user_id" FROM "user_emails" WHERE "tenant_id" = 7"#),
        "{rows}"
    );
    let json = sql(r#"emails[value eq "A@x" and display eq "d"]"#, DbBackend::Sqlite);
    assert!(json.starts_with("EXISTS(SELECT 1 FROM json_each("), "{json}");
    let json = sql(r#"emails[value eq "A@x" and display eq "d"]"#, DbBackend::Postgres);
    assert!(json.contains("jsonb_array_elements("), "{json}");
}

#[test]
fn values_never_become_part_of_the_statement() {
    let mut select = Sql::select();
    let hostile = r#"title eq "'; DROP TABLE users --" or userName co "%_'""#;
    select.expr(Expr::cust("1")).and_where(compile(&query(hostile), &table(), DbBackend::Postgres).unwrap());
    let (text, values) = select.build(PostgresQueryBuilder);
    assert!(!text.to_lowercase().contains("drop") && !text.contains('%'), "{text}");
    assert!(format!("{values:?}").contains("drop table users"));
}

#[test]
fn what_cannot_be_asked_is_named() {
    for filter in [r#"groups.value eq "g""#, "groups pr"] {
        let error = compile(&query(filter), &table(), DbBackend::Sqlite).unwrap_err();
        assert_eq!(error.kind, scim::ErrorKind::InvalidFilter, "{filter}");
        assert!(error.attribute.is_some(), "{filter}");
    }
}

#[test]
fn the_end_of_a_prefix() {
    assert_eq!(after_prefix("ab").as_deref(), Some("ac"));
    assert_eq!(after_prefix("a\u{10FFFF}").as_deref(), Some("b"));
    assert_eq!(after_prefix("\u{D7FF}").as_deref(), Some("\u{E000}"));
    assert_eq!(after_prefix("\u{10FFFF}"), None);
}
