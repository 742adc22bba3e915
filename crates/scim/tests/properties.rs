//! Properties that hold for all input.

mod common;

use std::collections::BTreeMap;

use common::{ENTERPRISE, object, request, user};
use proptest::prelude::*;
use scim::filter::{CompareOp, Filter, Literal, eval, resolve};
use scim::patch::PatchRequest;
use scim::path::Path;
use scim::resource::{create, parse_json, replace};
use scim::{Dialect, Difference, Limits, Map, REDACTED, difference, fold};
use serde_json::{Value, json};

/// Attribute names: known and unknown, with and without URN and sub-attribute.
fn name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "userName",
        "active",
        "title",
        "name.givenName",
        "emails",
        "emails.value",
        "emails.type",
        "externalId",
        "id",
        "meta.created",
        "schemas",
        "addresses.country",
        "not",
        "and",
        "pr",
    ]);
    prop_oneof![
        4 => known.prop_map(str::to_owned),
        1 => Just(format!("{ENTERPRISE}:manager")),
        1 => Just(ENTERPRISE.to_owned()),
        1 => "[a-zA-Z$][a-zA-Z0-9_$-]{0,8}",
    ]
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Boolean),
        any::<i64>().prop_map(|number| Literal::Number(number.into())),
        any::<f64>().prop_filter_map("JSON has no NaN", |number| serde_json::Number::from_f64(number)
            .map(Literal::Number)),
        "[^\0]{0,12}".prop_map(Literal::String),
    ]
}

fn term() -> impl Strategy<Value = Filter> {
    let op = prop::sample::select(CompareOp::ALL.to_vec());
    prop_oneof![
        3 => (name(), op, literal()).prop_map(|(attribute, op, value)| Filter::Compare { attribute, op, value }),
        1 => name().prop_map(Filter::Present),
    ]
}

/// A filter without value paths: what may stand in `[…]`.
fn flat_filter() -> impl Strategy<Value = Filter> {
    term().prop_recursive(4, 24, 3, combined)
}

fn filter() -> impl Strategy<Value = Filter> {
    let value_path = (name(), flat_filter())
        .prop_map(|(attribute, filter)| Filter::ValuePath { attribute, filter: Box::new(filter) });
    prop_oneof![3 => term(), 1 => value_path].prop_recursive(4, 24, 3, combined)
}

fn combined(inner: impl Strategy<Value = Filter> + Clone + 'static) -> impl Strategy<Value = Filter> {
    prop_oneof![
        prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::all),
        prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::any),
        inner.prop_map(|inner| Filter::Not(Box::new(inner))),
    ]
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(Dialect::ALL.to_vec())
}

/// JSON that is often nearly a resource.
fn json_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "True",
            "work",
            "a\0",
            "[{\"value\":\"x\"}]",
            "{\"value\":\"y\"}",
            "2011-05-13T04:42:34Z"
        ])
        .prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            name(),
            prop::sample::select(vec![
                "value",
                "type",
                "primary",
                "givenName",
                "manager",
                "department",
                "password"
            ])
            .prop_map(str::to_owned),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn operations() -> impl Strategy<Value = Value> {
    let op = prop::sample::select(vec!["add", "remove", "replace", "Add", "REPLACE"]);
    let path = prop_oneof![
        Just(None),
        name().prop_map(Some),
        (name(), flat_filter()).prop_map(|(name, filter)| Some(format!("{name}[{filter}]"))),
        prop::sample::select(vec![
            "emails[type eq \"work\"].value",
            "emails[primary eq \"True\"]",
            "addresses[type eq \"x\"].country"
        ])
        .prop_map(|path| Some(path.to_owned())),
    ];
    let operation = (op, path, json_value()).prop_map(|(op, path, value)| match path {
        Some(path) => json!({ "op": op, "path": path, "value": value }),
        None => json!({ "op": op, "value": value }),
    });
    prop::collection::vec(operation, 1..4).prop_map(Value::from)
}

fn start() -> Map {
    object(json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "a", "active": true,
        "emails": [{ "type": "work", "value": "x", "primary": true }, { "type": "home", "value": "y" }],
    }))
}

/// What a resource must be at all times.
fn assert_sound(resource: &Map) {
    let again = create(&user(), &Dialect::RFC, &Value::Object(resource.clone()))
        .expect("a stored resource is a good one");
    assert_eq!(&again.resource, resource, "decoding a stored resource changes nothing");
    let folded = fold(&user(), &Value::Object(resource.clone()));
    assert_eq!(fold(&user(), &folded), folded, "folding is idempotent");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn filters_print_and_parse(filter in filter()) {
        let text = filter.to_string();
        prop_assume!(text.len() < 8_000);
        prop_assert_eq!(Filter::parse(&text, &Limits::DEFAULT), Ok(filter), "{}", text);
    }

    #[test]
    fn paths_print_and_parse(attribute in name(), filter in proptest::option::of(flat_filter()), sub in "[a-z$]{1,6}") {
        let sub = filter.is_some().then_some(sub);
        let path = Path { attribute, filter, sub };
        let text = path.to_string();
        prop_assume!(text.len() < 8_000);
        prop_assert_eq!(Path::parse(&text, &Limits::DEFAULT), Ok(path), "{}", text);
    }

    #[test]
    fn parsers_never_panic(text in "[a-z$\"\\[\\]().:ü\\\\ 0-9]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = Filter::parse(&text, &Limits::DEFAULT);
        let _ = Path::parse(&text, &Limits::DEFAULT);
        let _ = parse_json(&bytes, &Limits::DEFAULT);
        let _ = parse_json(text.as_bytes(), &Limits::DEFAULT);
        let _ = scim::date::parse(&text);
    }

    #[test]
    fn not_is_the_opposite(filter in filter(), dialect in dialect()) {
        let folded = fold(&user(), &Value::Object(start()));
        if let Ok(query) = resolve(&filter, &user(), &dialect) {
            let opposite = resolve(&Filter::Not(Box::new(filter)), &user(), &dialect).expect("not adds no error");
            prop_assert_ne!(eval(&query, &folded), eval(&opposite, &folded));
        }
    }

    #[test]
    fn bodies_never_panic_and_what_is_accepted_is_sound(body in json_value(), dialect in dialect()) {
        let mut body = body;
        if let Value::Object(body) = &mut body {
            body.insert("userName".into(), "a".into());
            body.insert("schemas".into(), json!(["urn:ietf:params:scim:schemas:core:2.0:User"]));
        }
        if let Ok(decoded) = create(&user(), &dialect, &body) {
            assert_sound(&decoded.resource);
            let put = replace(&user(), &dialect, &decoded.resource, &body).expect("the same again is good");
            prop_assert_eq!(put.resource, decoded.resource);
        }
    }

    #[test]
    fn patches_never_panic_and_what_is_accepted_is_sound(operations in operations(), dialect in dialect()) {
        let current = start();
        let Ok(patch) = PatchRequest::parse(&request(operations), &dialect, &Limits::DEFAULT) else { return Ok(()) };
        if let Ok(outcome) = scim::patch::apply(&user(), &dialect, &current, &patch) {
            prop_assert_eq!(outcome.changed, outcome.resource != current);
            prop_assert_eq!(outcome.changed, !outcome.changed_paths.is_empty());
            assert_sound(&outcome.resource);
        }
    }

    #[test]
    fn differences_are_there_only_after_a_change_and_mirror_each_other(operations in operations()) {
        let before = start();
        prop_assert_eq!(difference(&user(), &before, &before, &[]), []);
        let Ok(after) = apply(&Dialect::ENTRA, &before, &operations) else { return Ok(()) };
        let forth = difference(&user(), &before, &after, &["userName"]);
        prop_assert!(after != before || forth.is_empty());
        let text_of = |resource: &Map| Value::Object(resource.clone()).to_string();
        for Difference { path, before: old, after: new } in &forth {
            prop_assert!(old.is_some() || new.is_some(), "{}", path);
            for (value, resource) in [(old, &before), (new, &after)] {
                let Some(value) = value.as_deref().filter(|value| *value != REDACTED) else { continue };
                prop_assert!(text_of(resource).contains(value), "{} says {}", path, value);
            }
        }
        let turned = |it: Difference| Difference { path: it.path, before: it.after, after: it.before };
        let mut back: Vec<_> = difference(&user(), &after, &before, &["userName"]).into_iter().map(turned).collect();
        let mut forth = forth;
        for list in [&mut forth, &mut back] {
            list.sort_by(|a, b| (&a.path, &a.before, &a.after).cmp(&(&b.path, &b.before, &b.after)));
        }
        prop_assert_eq!(forth, back);
    }

    /// Several operations at once come to the same as one by one, and one bad operation spoils them all.
    #[test]
    fn a_patch_is_its_operations_in_order_or_nothing(operations in operations(), dialect in dialect()) {
        let together = apply(&dialect, &start(), &operations);
        let mut step_by_step = Ok(start());
        for operation in operations.as_array().unwrap() {
            step_by_step = step_by_step.and_then(|current| apply(&dialect, &current, &json!([operation])));
        }
        match (together, step_by_step) {
            (Ok(together), Ok(step_by_step)) => prop_assert_eq!(together, step_by_step),
            (Err(together), Err(_)) => prop_assert!(together.detail.starts_with("Operations["), "{}", together),
            (together, step_by_step) => prop_assert!(false, "{together:?} but {step_by_step:?}"),
        }
    }
}

fn apply(dialect: &Dialect, current: &Map, operations: &Value) -> scim::Result<Map> {
    let patch = PatchRequest::parse(&request(operations.clone()), dialect, &Limits::DEFAULT)?;
    Ok(scim::patch::apply(&user(), dialect, current, &patch)?.resource)
}

/// What Entra does to a user, in a model that knows nothing of JSON: one value per place.
#[derive(Debug, Clone)]
enum Step {
    Set { place: usize, value: String, op: &'static str },
    Clear { place: usize, how: usize },
}

fn places() -> Vec<String> {
    let mut places: Vec<String> =
        ["title", "name.givenName", "name.familyName", "externalId"].map(str::to_owned).into();
    places.push(format!("{ENTERPRISE}:department"));
    places.push(format!("{ENTERPRISE}:manager.value"));
    for kind in ["work", "home"] {
        places.push(format!("emails[type eq \"{kind}\"].value"));
        places.push(format!("addresses[type eq \"{kind}\"].country"));
        places.push(format!("addresses[type eq \"{kind}\"].locality"));
    }
    places
}

fn step() -> impl Strategy<Value = Step> {
    let place = 0..places().len();
    prop_oneof![
        3 => (place.clone(), "[a-zA-Z]{1,4}", prop::sample::select(vec!["Add", "Replace", "add"]))
            .prop_map(|(place, value, op)| Step::Set { place, value, op }),
        1 => (place, 0..3_usize).prop_map(|(place, how)| Step::Clear { place, how }),
    ]
}

fn read(resource: &Value, place: &str) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some((list, rest)) = place.split_once("[type eq \"") {
        let (kind, sub) = rest.split_once("\"].").expect("the places are written like this");
        let elements = resource.get(list)?.as_array()?;
        return elements
            .iter()
            .find(|element| element["type"] == kind)
            .and_then(|element| text(element.get(sub)?));
    }
    let (object, rest) = match place.strip_prefix(&format!("{ENTERPRISE}:")) {
        Some(rest) => (resource.get(ENTERPRISE)?, rest),
        None => (resource, place),
    };
    rest.split('.').try_fold(object, |object, key| object.get(key)).and_then(text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn entras_steps_come_to_what_the_model_says(steps in prop::collection::vec(step(), 1..20)) {
        let places = places();
        let mut model: BTreeMap<usize, String> = BTreeMap::new();
        let mut operations = Vec::new();
        for step in &steps {
            operations.push(match step {
                Step::Set { place, value, op } => {
                    model.insert(*place, value.clone());
                    json!({ "op": op, "path": places[*place], "value": value })
                }
                Step::Clear { place, how } => {
                    model.remove(place);
                    match how {
                        0 => json!({ "op": "Remove", "path": places[*place] }),
                        1 => json!({ "op": "replace", "path": places[*place], "value": "" }),
                        _ => json!({ "op": "Replace", "path": places[*place], "value": null }),
                    }
                }
            });
        }
        let start = object(json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "a" }));
        let after = apply(&Dialect::ENTRA, &start, &operations.clone().into()).expect("Entra's steps work");
        let resource = Value::Object(after.clone());
        let again = Value::Object(apply(&Dialect::ENTRA, &after, &operations.into()).expect("the same again works"));
        for (index, place) in places.iter().enumerate() {
            prop_assert_eq!(read(&resource, place), model.get(&index).cloned(), "{}", place);
            prop_assert_eq!(read(&again, place), model.get(&index).cloned(), "the same again: {}", place);
        }
        for list in ["emails", "addresses"] {
            let elements = resource.get(list).and_then(Value::as_array).map_or(0, Vec::len);
            prop_assert!(elements <= 2, "one element per type");
        }
    }
}
