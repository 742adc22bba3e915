//! Before the engine: every way in which clients write role and teams becomes the schema's. ENTRA.md of the design notes,
//! section 3.7, has the evidence.
//!
//! ```json
//! "teams": "[{\"slug\":\"sales\"}]"              →  [{"slug": "sales"}]
//! "teams": [{"value": "sales"}]                  →  [{"slug": "sales"}]
//! "teams": [{"value": "{\"uuid\":\"018f…\"}"}]   →  [{"uuid": "018f…"}]
//! "teams": "sales"                               →  [{"slug": "sales"}]
//! "teams": ""  and null                          →  []
//! {"op": "Add", "path": "urn:…:User:teams", …}   →  {"op": "replace", …}
//! ```

use scim::filter::{Filter, Literal};
use scim::patch::{Op, Operation};
use scim::path::Path;
use scim::{Map, Warning};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ROLE, RoleTeams, SLUG, Sent, TEAMS, UUID, VALUE};

/// Text in a value in a list in text: deeper than this nobody wraps a team.
const DEEPEST: usize = 6;

/// What a name in a request stands for.
enum Part {
    Role,
    Teams,
    Extension,
    Other,
}

impl RoleTeams {
    /// Tidies the body of a POST or PUT, and says what it speaks of.
    pub(crate) fn tidy_resource(&self, body: &mut Value, warnings: &mut Vec<Warning>) -> Sent {
        let mut sent = Sent::NEITHER;
        let objects = body.as_object_mut().into_iter().flatten();
        for (_, extension) in objects.filter(|(key, _)| key.eq_ignore_ascii_case(&self.urn)) {
            let Some(extension) = extension.as_object_mut() else { continue };
            let mut tidied = Map::new();
            for (key, value) in std::mem::take(extension) {
                let value = match part_of_extension(&key) {
                    Part::Role => self.role(value, warnings).inspect(|_| sent.role = true),
                    Part::Teams => {
                        sent.teams = true;
                        Some(self.teams(value, warnings))
                    }
                    Part::Extension | Part::Other => Some(value),
                };
                tidied.extend(value.map(|value| (key, value)));
            }
            *extension = tidied;
        }
        sent
    }

    /// Tidies the operations of a PATCH.
    pub(crate) fn tidy_operations(
        &self,
        operations: Vec<Operation>,
        warnings: &mut Vec<Warning>,
    ) -> Vec<Operation> {
        if self.strict {
            return operations;
        }
        let mut tidied = Vec::with_capacity(operations.len());
        for mut operation in operations {
            match &mut operation.path {
                Some(path) if path.filter.is_none() => match self.part(&path.attribute) {
                    Part::Role => tidied.extend(self.role_operation(operation, warnings)),
                    Part::Teams => tidied.push(self.teams_operation(operation, warnings)),
                    Part::Extension if operation.op != Op::Remove => {
                        let mut apart = Vec::new();
                        if let Some(Value::Object(object)) = &mut operation.value {
                            self.take_keys(object, part_of_extension, &operation.path, &mut apart);
                        }
                        self.push_apart(operation, apart, &mut tidied, warnings);
                    }
                    Part::Extension | Part::Other => tidied.push(operation),
                },
                Some(path) => {
                    if let (Part::Teams, Some(filter)) = (self.part(&path.attribute), &mut path.filter) {
                        name_by_column(filter);
                    }
                    tidied.push(operation);
                }
                None => {
                    let mut apart = Vec::new();
                    if let Some(Value::Object(object)) = &mut operation.value {
                        for (key, value) in object.iter_mut() {
                            if let (true, Value::Object(extension)) = (key.eq_ignore_ascii_case(&self.urn), value) {
                                self.take_keys(extension, part_of_extension, &None, &mut apart);
                            }
                        }
                        object.retain(|key, value| {
                            !key.eq_ignore_ascii_case(&self.urn) || value.as_object().is_none_or(|left| !left.is_empty())
                        });
                        self.take_keys(object, |key| self.part_below_urn(key), &None, &mut apart);
                    }
                    self.push_apart(operation, apart, &mut tidied, warnings);
                }
            }
        }
        tidied
    }

    /// Moves role and teams out of an object of attributes.
    fn take_keys(
        &self,
        object: &mut Map,
        part: impl Fn(&str) -> Part,
        _path: &Option<Path>,
        apart: &mut Vec<(&'static str, Value)>,
    ) {
        let mut left = Map::new();
        for (key, value) in std::mem::take(object) {
            match part(&key) {
                Part::Role => apart.push((ROLE, value)),
                Part::Teams => apart.push((TEAMS, value)),
                Part::Extension | Part::Other => {
                    left.insert(key, value);
                }
            }
        }
        *object = left;
    }
}
