//! Random resources and random filters over a resource type: reproducible from one seed.

use std::fmt::Write;

use scim::Map;
use scim::schema::{Attribute, Kind, Mutability, ResourceType, Returned};
use serde_json::{Value, json};

/// Little enough text that random filters hit, and everything that LIKE, collations, JSON or quoting could trip over.
const TEXTS: &[&str] = &[
    "a",
    "A",
    "ab",
    "aB",
    "abc",
    "b",
    "B",
    "ba",
    "ä",
    "Ä",
    "äb",
    "z",
    "Z",
    "_",
    "%",
    "a%b",
    "a_b",
    "'",
    "\"",
    "\\",
    "\\u",
    "é",
    "e\u{301}",
    "straße",
    "STRASSE",
    "İ",
    "\u{D7FF}",
    "\u{E000}",
    "\u{FFFF}",
    "\u{1F600}",
    "a\u{10FFFF}",
    " ",
    " a",
    "a ",
    "1",
    "01",
    "true",
    "null",
    "[]",
    "{}",
    "$",
    ".",
    "a.b",
    "a\nb",
    "\u{1}",
];
const INSTANTS: &[&str] = &[
    "2011-05-13T04:42:34Z",
    "2011-05-13T06:42:34+02:00",
    "2011-05-13T04:42:34.5Z",
    "1969-12-31T23:59:59Z",
    "2026-11-22T01:00:00.000001Z",
    "9999-12-31T23:59:59Z",
];
const NUMBERS: &[f64] = &[0.0, 1.0, -1.0, 1.5, 0.1, 1e-7, 2.5e10, -0.25];
const INTEGERS: &[i64] = &[-1, 0, 1, 2, 10, 9, 9_007_199_254_740_991];

/// SplitMix64.
pub struct Random {
    pub seed: u64,
    state: u64,
}

impl Random {
    /// Seeded by `ROLLCALL_TEST_SEED`, to repeat a failure, or afresh.
    pub fn new() -> Self {
        let given =
            std::env::var("ROLLCALL_TEST_SEED").ok().map(|seed| seed.parse().expect("the seed is a number"));
        let seed = given.unwrap_or_else(|| platform::clock::Clock::system().now().micros().unsigned_abs());
        Self { seed, state: seed }
    }

    /// From a part of another seed.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A resource with a random part of the attributes. With `wild`, some values are of another type than the schema says.
    pub fn resource(&mut self, rt: &ResourceType, wild: bool) -> Map {
        let mut resource = Map::new();
        for attribute in rt.schema.attributes.iter().filter(|attribute| is_asked(attribute)) {
            self.assign(&mut resource, attribute, wild);
        }
        for extension in &rt.extensions {
            let mut object = Map::new();
            for attribute in &extension.schema.attributes {
                self.assign(&mut object, attribute, wild);
            }
            if !object.is_empty() {
                resource.insert(extension.schema.id.clone(), object.into());
            }
        }
        resource
    }

    fn assign(&mut self, object: &mut Map, attribute: &Attribute, wild: bool) {
        if self.chance(40) {
            return;
        }
        let value = if attribute.multi_valued {
            let mut elements = Vec::new();
            for _ in 0..self.below(4) {
                elements.push(self.value(attribute, wild));
            }
            keep_one_primary(&mut elements);
            elements.into()
        } else {
            self.value(attribute, wild)
        };
        object.insert(attribute.name.clone(), value);
    }

    fn value(&mut self, attribute: &Attribute, wild: bool) -> Value {
        if wild && self.chance(8) {
            let odd = [
                json!(null),
                json!(""),
                json!("a"),
                json!(1),
                json!(true),
                json!([]),
                json!({}),
                json!(["a"]),
                json!({ "value": "a" }),
            ];
            return self.pick(&odd).clone();
        }
        match attribute.kind {
            Kind::Boolean => self.chance(50).into(),
            Kind::Integer => (*self.pick(INTEGERS)).into(),
            Kind::Decimal => (*self.pick(NUMBERS)).into(),
            Kind::DateTime => (*self.pick(INSTANTS)).into(),
            Kind::Binary => "YWI=".into(),
            Kind::String | Kind::Reference => (*self.pick(TEXTS)).into(),
            Kind::Complex => {
                let mut object = Map::new();
                for sub in &attribute.sub_attributes {
                    self.assign(&mut object, sub, wild);
                }
                object.into()
            }
        }
    }

    /// A filter as a client would write it.
    pub fn filter(&mut self, rt: &ResourceType, extra: &[&str]) -> String {
        let mut text = String::new();
        self.term(rt, extra, 3, &mut text);
        text
    }

    fn term(&mut self, rt: &ResourceType, extra: &[&str], depth: usize, text: &mut String) {
        match if depth == 0 { 9 } else { self.below(10) } {
            0..=3 => {
                let word = *self.pick(&[" and ", " or "]);
                text.push('(');
                self.term(rt, extra, depth - 1, text);
                text.push_str(word);
                self.term(rt, extra, depth - 1, text);
                text.push(')');
            }
            4 => {
                text.push_str("not (");
                self.term(rt, extra, depth - 1, text);
                text.push(')');
            }
            5 if !extra.is_empty() => text.push_str(extra[self.below(extra.len())]),
            _ => self.about_an_attribute(rt, text),
        }
    }

    fn about_an_attribute(&mut self, rt: &ResourceType, text: &mut String) {
        let extension = if self.chance(30) { rt.extensions.last() } else { None };
        let (prefix, attributes) = match extension {
            Some(extension) => (format!("{}:", extension.schema.id), &extension.schema.attributes),
            None => (String::new(), &rt.schema.attributes),
        };
        let asked: Vec<&Attribute> = attributes.iter().filter(|attribute| is_asked(attribute)).collect();
        let attribute = *self.pick(&asked);
        let name = format!("{prefix}{}", attribute.name);
        if attribute.kind != Kind::Complex {
            return self.comparison(&name, attribute, text);
        }
        if self.chance(10) {
            let _ = write!(text, "{name} pr");
        } else if self.chance(40) {
            let _ = write!(text, "{name}[");
            self.about_an_element(attribute, 2, text);
            text.push(']');
        } else {
            let sub = self.pick(&attribute.sub_attributes);
            self.comparison(&format!("{name}.{}", sub.name), sub, text);
        }
    }

    fn about_an_element(&mut self, attribute: &Attribute, depth: usize, text: &mut String) {
        match if depth == 0 { 9 } else { self.below(6) } {
            0 | 1 => {
                let word = *self.pick(&[" and ", " or "]);
                self.about_an_element(attribute, 0, text);
                text.push_str(word);
                self.about_an_element(attribute, depth - 1, text);
            }
            2 => {
                text.push_str("not (");
                self.about_an_element(attribute, depth - 1, text);
                text.push(')');
            }
            _ => {
                let sub = self.pick(&attribute.sub_attributes);
                self.comparison(&sub.name, sub, text);
            }
        }
    }

    fn comparison(&mut self, name: &str, attribute: &Attribute, text: &mut String) {
        let name = if self.chance(20) { name.to_ascii_uppercase() } else { name.to_owned() };
        if self.chance(15) {
            let _ = write!(text, "{name} pr");
            return;
        }
        let operators: &[&str] = match attribute.kind {
            Kind::String | Kind::Reference => &["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"],
            Kind::Integer | Kind::Decimal | Kind::DateTime => &["eq", "ne", "gt", "ge", "lt", "le"],
            Kind::Boolean | Kind::Binary | Kind::Complex => &["eq", "ne"],
        };
        let operator = *self.pick(operators);
        let value = match attribute.kind {
            _ if self.chance(4) && matches!(operator, "eq" | "ne") => Value::Null,
            // Entra's "" means nothing, and only eq and ne compare with nothing.
            Kind::String | Kind::Reference if self.chance(20) && matches!(operator, "eq" | "ne") => "".into(),
            Kind::Integer if self.chance(20) => (*self.pick(NUMBERS)).into(),
            _ => self.value(attribute, false),
        };
        let _ = write!(text, "{name} {operator} {value}");
    }
}

/// What filters can be about: no secrets, and nothing that others compose.
fn is_asked(attribute: &Attribute) -> bool {
    attribute.mutability != Mutability::ReadOnly && attribute.returned != Returned::Never
}

/// At most one element may be primary (RFC 7643, section 2.4).
fn keep_one_primary(elements: &mut [Value]) {
    let mut seen = false;
    for element in elements {
        if element.get("primary") == Some(&json!(true)) {
            if seen {
                element["primary"] = json!(false);
            }
            seen = true;
        }
    }
}
