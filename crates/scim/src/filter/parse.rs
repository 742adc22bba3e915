//! The parser: recursive descent with a budget and exact positions.
//!
//! ```text
//! or     := and ("or" and)*
//! and    := unary ("and" unary)*
//! unary  := "not" "(" or ")" | "(" or ")" | term
//! term   := attribute ("pr" | op value | "[" or "]" [ "." sub ("pr" | op value) ])
//! ```
//! Wider than the RFC where clients are: blanks around parentheses and brackets are optional, keywords come in any case, and a
//! value path may carry a comparison: `emails[type eq "work"].value eq "x"` (SCIM-SDK's grammar does the same).

use serde_json::Number;

use super::{CompareOp, Filter, Literal};
use crate::{Error, Limits, Result};

impl Filter {
    /// Parses; errors are `invalidFilter` with the position in characters and what was expected there.
    pub fn parse(text: &str, limits: &Limits) -> Result<Filter> {
        let mut parser = Parser::new(text, limits)?;
        let filter = parser.or()?;
        parser.end()?;
        Ok(filter)
    }
}

/// Also the parser of PATCH paths, which share attribute names and value filters.
pub(crate) struct Parser<'a> {
    text: &'a str,
    /// Byte offset of what comes next.
    at: usize,
    depth_left: usize,
    terms_left: usize,
    in_value_filter: bool,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str, limits: &Limits) -> Result<Parser<'a>> {
        if text.len() > limits.filter_length {
            return Err(Error::too_many(format!(
                "the filter is {} bytes long; at most {} are allowed",
                text.len(),
                limits.filter_length
            )));
        }
        Ok(Parser {
            text,
            at: 0,
            depth_left: limits.filter_depth,
            terms_left: limits.filter_terms,
            in_value_filter: false,
        })
    }

    /// Nothing may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.blanks();
        if self.rest().is_empty() { Ok(()) } else { Err(self.expected("`and`, `or` or the end")) }
    }

    /// An attribute name as filters and paths write it: letters, digits and `$-_.:`.
    pub(crate) fn attribute(&mut self) -> Result<&'a str> {
        self.blanks();
        let word = self.peek_word();
        if !word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '$') {
            return Err(self.expected("an attribute name"));
        }
        self.at += word.len();
        Ok(word)
    }

    /// `[…]` if it comes next.
    pub(crate) fn value_filter(&mut self) -> Result<Option<Filter>> {
        self.blanks();
        if !self.take('[') {
            return Ok(None);
        }
        if self.in_value_filter {
            self.at -= 1;
            return Err(self.wrong("a value filter cannot contain another one"));
        }
        self.in_value_filter = true;
        let filter = self.deeper(Parser::or)?;
        self.in_value_filter = false;
        self.expect(']')?;
        Ok(Some(filter))
    }

    /// `.sub` if it comes next.
    pub(crate) fn sub_attribute(&mut self) -> Result<Option<&'a str>> {
        if self.take('.') { self.attribute().map(Some) } else { Ok(None) }
    }

    fn or(&mut self) -> Result<Filter> {
        let mut members = vec![self.and()?];
        while self.keyword("or") {
            members.push(self.and()?);
        }
        Ok(Filter::any(members))
    }

    fn and(&mut self) -> Result<Filter> {
        let mut members = vec![self.unary()?];
        while self.keyword("and") {
            members.push(self.unary()?);
        }
        Ok(Filter::all(members))
    }

    fn unary(&mut self) -> Result<Filter> {
        self.blanks();
        let before = self.at;
        if self.keyword("not") {
            self.blanks();
            if self.take('(') {
                let inner = self.deeper(Parser::or)?;
                self.expect(')')?;
                return Ok(Filter::Not(Box::new(inner)));
            }
            self.at = before; // an attribute of that name
        }
        if self.take('(') {
            let inner = self.deeper(Parser::or)?;
            self.expect(')')?;
            return Ok(inner);
        }
        self.term()
    }

    fn term(&mut self) -> Result<Filter> {
        if self.terms_left == 0 {
            return Err(Error::too_many("the filter has more comparisons than are allowed"));
        }
        self.terms_left -= 1;
        let attribute = self.attribute()?.to_owned();
        let Some(selection) = self.value_filter()? else { return self.comparison(attribute) };
        let filter = match self.sub_attribute()? {
            Some(sub) => Filter::all(vec![selection, self.comparison(sub.to_owned())?]),
            None => selection,
        };
        Ok(Filter::ValuePath { attribute, filter: Box::new(filter) })
    }

    fn comparison(&mut self, attribute: String) -> Result<Filter> {
        self.blanks();
        let word = self.peek_word();
        if word.eq_ignore_ascii_case("pr") {
            self.at += word.len();
            return Ok(Filter::Present(attribute));
        }
        let Some(op) = CompareOp::from_spelling(word) else {
            return Err(self.expected("an operator (eq, ne, co, sw, ew, gt, ge, lt, le or pr)"));
        };
        self.at += word.len();
        let value = self.literal()?;
        Ok(Filter::Compare { attribute, op, value })
    }

    fn literal(&mut self) -> Result<Literal> {
        self.blanks();
        if self.rest().starts_with('"') {
            return self.string();
        }
        let word = self.peek_literal_word();
        let literal = if word.eq_ignore_ascii_case("true") {
            Literal::Boolean(true)
        } else if word.eq_ignore_ascii_case("false") {
            Literal::Boolean(false)
        } else if word.eq_ignore_ascii_case("null") {
            Literal::Null
        } else if let Some(number) = number(word) {
            Literal::Number(number)
        } else {
            return Err(self.expected("a value: a string in double quotes, a number, true, false or null"));
        };
        self.at += word.len();
        Ok(literal)
    }

    fn string(&mut self) -> Result<Literal> {
        let mut escaped = false;
        let end = self.rest().bytes().skip(1).position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        let Some(end) = end else { return Err(self.wrong("the string is not closed by a double quote")) };
        let quoted = &self.rest()[..end + 2];
        let Ok(text) = serde_json::from_str::<String>(quoted) else {
            return Err(self.wrong("not a JSON string (a backslash is written \\\\, a double quote \\\")"));
        };
        if text.contains('\0') {
            return Err(self.wrong("the NUL character is not allowed"));
        }
        self.at += quoted.len();
        Ok(Literal::String(text))
    }

    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Result<Filter>) -> Result<Filter> {
        if self.depth_left == 0 {
            return Err(Error::too_many("the filter nests deeper than is allowed"));
        }
        self.depth_left -= 1;
        let filter = inner(self)?;
        self.depth_left += 1;
        Ok(filter)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, expected: char) -> bool {
        let there = self.rest().starts_with(expected);
        if there {
            self.at += expected.len_utf8();
        }
        there
    }

    fn expect(&mut self, expected: char) -> Result<()> {
        self.blanks();
        if self.take(expected) { Ok(()) } else { Err(self.expected(&format!("`{expected}`, `and` or `or`"))) }
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        self.blanks();
        let there = self.peek_word().eq_ignore_ascii_case(keyword);
        if there {
            self.at += keyword.len();
        }
        there
    }

    fn peek_word(&self) -> &'a str {
        let rest = self.rest();
        let is_part = |char: char| char.is_ascii_alphanumeric() || "$-_.:".contains(char);
        &rest[..rest.find(|char| !is_part(char)).unwrap_or(rest.len())]
    }

    fn peek_literal_word(&self) -> &'a str {
        let rest = self.rest();
        let is_part = |char: char| char.is_ascii_alphanumeric() || "+-.".contains(char);
        &rest[..rest.find(|char| !is_part(char)).unwrap_or(rest.len())]
    }

    fn expected(&self, what: &str) -> Error {
        match self.rest().chars().next() {
            Some(_) => {
                let found: String = self.rest().chars().take(20).collect();
                self.wrong(&format!("expected {what}, found {found:?}"))
            }
            None => self.wrong(&format!("expected {what}, found the end")),
        }
    }

    fn wrong(&self, what: &str) -> Error {
        let position = self.text[..self.at].chars().count() + 1;
        Error::invalid_filter(format!("at character {position}: {what}"))
    }
}

/// A JSON number; fractions exactly as Rust reads them (serde_json may be off by the last bit).
fn number(text: &str) -> Option<Number> {
    let number: Number = serde_json::from_str(text).ok()?;
    if number.is_f64() { Number::from_f64(text.parse().ok()?) } else { Some(number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn parse(text: &str) -> Filter {
        Filter::parse(text, &Limits::DEFAULT).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn error(text: &str) -> String {
        let error = Filter::parse(text, &Limits::DEFAULT).expect_err(text);
        assert_eq!(error.kind, ErrorKind::InvalidFilter, "{text}");
        error.detail
    }

    fn canonical(text: &str) -> String {
        parse(text).to_string()
    }

    #[test]
    fn every_example_of_the_rfc() {
        let examples = [
            r#"userName eq "bjensen""#,
            r#"name.familyName co "O'Malley""#,
            r#"userName sw "J""#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
            "title pr",
            r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
            r#"meta.lastModified ge "2011-05-13T04:42:34Z""#,
            r#"meta.lastModified lt "2011-05-13T04:42:34Z""#,
            r#"meta.lastModified le "2011-05-13T04:42:34Z""#,
            r#"title pr and userType eq "Employee""#,
            r#"title pr or userType eq "Intern""#,
            r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#,
            r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#,
            r#"userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")"#,
            r#"emails[type eq "work" and value co "@example.com"]"#,
            r#"emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
        ];
        for example in examples {
            assert_eq!(canonical(example), example);
        }
        assert_eq!(
            canonical(r#"userType eq "Employee" and (emails.type eq "work")"#),
            r#"userType eq "Employee" and emails.type eq "work""#
        );
    }

    #[test]
    fn what_clients_really_send() {
        let cases = [
            (r#"emails[type eq "work"].value eq "x""#, r#"emails[type eq "work" and value eq "x"]"#),
            (
                r#"emails[type eq "a" or type eq "b"].value pr"#,
                r#"emails[(type eq "a" or type eq "b") and value pr]"#,
            ),
            ("(a pr)or(b pr)", "a pr or b pr"),
            ("not(a pr)", "not (a pr)"),
            (r#"userName Eq "x" AND active EQ True"#, r#"userName eq "x" and active eq true"#),
            (r#"  id eq "g"  and members eq "u" "#, r#"id eq "g" and members eq "u""#),
            ("not eq 1", "not eq 1"),
            (r#"emails [ type eq "w" ]"#, r#"emails[type eq "w"]"#),
            ("members.$ref pr", "members.$ref pr"),
            (r#"a eq "x"and b pr"#, r#"a eq "x" and b pr"#),
            ("a eq -1.50e2", "a eq -150.0"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text), expected);
        }
    }

    #[test]
    fn and_binds_tighter_than_or() {
        assert_eq!(parse("a pr or b pr and c pr"), parse("a pr or (b pr and c pr)"));
        assert_ne!(parse("a pr or b pr and c pr"), parse("(a pr or b pr) and c pr"));
        assert_eq!(canonical("(a pr or b pr) and c pr"), "(a pr or b pr) and c pr");
    }

    #[test]
    fn strings_are_json() {
        assert_eq!(
            parse(r#"a eq "\u00fc\"\\ü""#),
            Filter::Compare {
                attribute: "a".into(),
                op: CompareOp::Eq,
                value: Literal::String("ü\"\\ü".into())
            }
        );
    }

    #[test]
    fn errors_name_the_place_and_what_was_expected() {
        let cases = [
            ("", "at character 1: expected an attribute name, found the end"),
            ("userName", "at character 9: expected an operator"),
            ("userName xx 1", "at character 10: expected an operator"),
            ("userName eq bjensen", "at character 13: expected a value: a string in double quotes"),
            ("userName eq 'x'", "at character 13: expected a value"),
            ("userName eq", "at character 12: expected a value"),
            (r#"ü eq "x""#, "at character 1: expected an attribute name"),
            (r#"a eq "ü" b pr"#, "at character 10: expected `and`, `or` or the end, found \"b pr\""),
            (r#"a eq "x"#, "at character 6: the string is not closed"),
            (r#"a eq "\x""#, "at character 6: not a JSON string"),
            (r#"a eq "\u0000""#, "at character 6: the NUL character"),
            ("(a pr", "at character 6: expected `)`"),
            ("a pr)", "at character 5: expected `and`, `or` or the end"),
            ("a[b pr", "at character 7: expected `]`"),
            ("a[b[c pr]]", "at character 4: a value filter cannot contain another"),
            ("a[b pr].c", "at character 10: expected an operator"),
            ("a pr and", "at character 9: expected an attribute name"),
            ("a eq 01", "at character 6: expected a value"),
            ("a eq 1e999", "at character 6: expected a value"),
        ];
        for (text, expected) in cases {
            let detail = error(text);
            assert!(detail.starts_with(expected), "{text}: {detail}");
        }
    }

    #[test]
    fn budgets_hold() {
        let limits = Limits { filter_depth: 3, filter_terms: 3, filter_length: 60, ..Limits::DEFAULT };
        for (text, fits) in [
            ("(((a pr)))", true),
            ("((((a pr))))", false),
            ("not (not (a[b pr]))", true),
            ("not (not (not (a[b pr])))", false),
            ("a pr or b pr or c pr", true),
            ("a pr or b pr or c pr or d pr", false),
            (r#"a eq "0123456789012345678901234567890123456789012345678901234567890123456789""#, false),
        ] {
            let parsed = Filter::parse(text, &limits);
            assert_eq!(parsed.is_ok(), fits, "{text}: {parsed:?}");
            assert!(parsed.is_ok() || parsed.unwrap_err().kind == ErrorKind::TooMany);
        }
        let bomb = "(".repeat(8_000);
        assert_eq!(Filter::parse(&bomb, &Limits::DEFAULT).unwrap_err().kind, ErrorKind::TooMany);
    }
}
