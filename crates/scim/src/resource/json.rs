//! JSON with a budget.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use crate::{Error, Limits, Map, Result};

/// Parses a JSON body. `invalidSyntax`, with line and column, for what is not JSON, nests too deep, has too many values, or
/// names a key twice.
/// NUL characters, which PostgreSQL cannot store, are refused where the value is used, by the name of its attribute.
pub fn parse_json(bytes: &[u8], limits: &Limits) -> Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let values_left = Cell::new(limits.json_values);
    let mut parse = || {
        let value = Node { depth_left: limits.json_depth, values_left: &values_left }
            .deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    };
    parse().map_err(|error: serde_json::Error| {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Error::invalid_syntax("the body is empty; expected a JSON object");
        }
        Error::invalid_syntax(format!("the body is not acceptable JSON: {error}"))
    })
}

/// One JSON value, with what depth is left below it and how many values in all.
#[derive(Clone, Copy)]
struct Node<'a> {
    depth_left: usize,
    values_left: &'a Cell<usize>,
}

impl<'a> Node<'a> {
    fn deeper<E: de::Error>(self) -> std::result::Result<Node<'a>, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Node { depth_left, ..self }),
            None => Err(E::custom("nested deeper than is allowed")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        let Some(left) = self.values_left.get().checked_sub(1) else {
            return Err(de::Error::custom("more values than are allowed"));
        };
        self.values_left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, boolean: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(boolean))
    }

    fn visit_i64<E>(self, integer: i64) -> std::result::Result<Value, E> {
        Ok(integer.into())
    }

    fn visit_u64<E>(self, integer: u64) -> std::result::Result<Value, E> {
        Ok(integer.into())
    }

    fn visit_f64<E: de::Error>(self, float: f64) -> std::result::Result<Value, E> {
        Number::from_f64(float).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> std::result::Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> std::result::Result<Value, A::Error> {
        let node = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(node)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> std::result::Result<Value, A::Error> {
        let node = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if object.contains_key(&key) {
                let shown: String = key.chars().take(40).collect();
                return Err(de::Error::custom(format!("the key {shown:?} is there twice")));
            }
            let value = access.next_value_seed(node)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn parse(text: &str) -> Result<Value> {
        parse_json(text.as_bytes(), &Limits::DEFAULT)
    }

    #[test]
    fn values_are_counted() {
        let limits = Limits { json_values: 3, ..Limits::DEFAULT };
        assert!(
            parse_json(b"[1, {\"a\": 2}]", &limits)
                .unwrap_err()
                .detail
                .contains("more values than are allowed")
        );
        assert!(parse_json(b"[1, 2]", &limits).is_ok());
    }

    #[test]
    fn is_serde_jsons_value() {
        let text = r#"{"a":[1,-2,3.5,true,null,"ü\n",{"b":{}}],"c":18446744073709551615}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn refusals_name_the_place() {
        let cases = [
            ("", "the body is empty"),
            (" \n", "the body is empty"),
            ("{\"a\":1,}", "the body is not acceptable JSON: trailing comma at line 1 column 8"),
            ("{\"a\":1\n\"b\"}", "the body is not acceptable JSON: expected `,` or `}` at line 2 column 1"),
            (
                "{\"a\":1,\"a\":2}",
                "the body is not acceptable JSON: the key \"a\" is there twice at line 1 column",
            ),
            ("{} x", "the body is not acceptable JSON: trailing characters at line 1 column 4"),
            ("{\"a\":1e999}", "the body is not acceptable JSON: number out of range"),
            ("{\"a\":\"\\ud800\"}", "the body is not acceptable JSON: "),
            (&"[".repeat(33), "the body is not acceptable JSON: nested deeper than is allowed at line 1"),
            (&"[".repeat(100_000), "the body is not acceptable JSON: nested deeper than is allowed"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidSyntax);
            assert!(error.detail.starts_with(expected), "{}", error.detail);
        }
        assert!(parse_json(b"\"\xff\"", &Limits::DEFAULT).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(32), "]".repeat(32))).is_ok());
    }
}
