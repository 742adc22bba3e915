//! Every operation becomes ones with a path to an attribute, and the dialect's rewrites have run.

use serde_json::Value;

use super::{Op, Operation, PatchRequest};
use crate::decode::Decoder;
use crate::dialect::Scene;
use crate::path::{Path, Target};
use crate::resource::SCHEMAS;
use crate::schema::{Name, ResourceType};
use crate::{Error, Result, Warning};

impl PatchRequest {
    /// The operations in order, each with a path; and what was skipped on the way.
    pub(super) fn flattened(&self, rt: &ResourceType) -> Result<(Vec<Operation>, Vec<Warning>)> {
        if self.is_flat {
            return Ok((self.operations.clone(), self.warnings.clone()));
        }
        let scene = Scene { rt, dialect: &self.dialect, limits: &self.limits };
        let mut flattening =
            Flattening { scene, decoder: Decoder::new(&self.dialect), operations: Vec::new() };
        for operation in &self.operations {
            let index = operation.index;
            flattening
                .operation(operation.clone())
                .map_err(|error| error.within(&format!("Operations[{index}]")))?;
        }
        Ok((flattening.operations, flattening.decoder.warnings))
    }
}

struct Flattening<'a> {
    scene: Scene<'a>,
    decoder: Decoder<'a>,
    operations: Vec<Operation>,
}

impl Flattening<'_> {
    fn operation(&mut self, operation: Operation) -> Result<()> {
        let Some(operation) = self.rewritten(operation)? else { return Ok(()) };
        let Some(path) = &operation.path else { return self.keys(&operation, "") };
        let is_object = operation.op != Op::Remove && operation.value.as_ref().is_some_and(Value::is_object);
        match path.resolve(self.scene.rt, self.scene.dialect)? {
            Target::Resource if operation.op == Op::Remove => {
                Err(Error::no_target("a whole resource is removed by DELETE; name the attribute"))
            }
            Target::Resource => self.keys(&operation, ""),
            Target::Extension(extension) if is_object => self.keys(&operation, &extension.schema.id),
            Target::Extension(_) | Target::Attribute { .. } => {
                self.operations.push(operation);
                Ok(())
            }
        }
    }

    fn rewritten(&self, mut operation: Operation) -> Result<Option<Operation>> {
        for rewrite in self.scene.dialect.operations {
            match (rewrite.apply)(&self.scene, operation)? {
                Some(rewritten) => operation = rewritten,
                None => return Ok(None),
            }
        }
        Ok(Some(operation))
    }

    /// One operation per key of the value, an object of attributes of the resource or of an extension.
    fn keys(&mut self, operation: &Operation, urn: &str) -> Result<()> {
        let Some(Value::Object(object)) = &operation.value else {
            let detail = "value: without a path to an attribute, expected an object of attributes";
            return Err(Error::invalid_value(detail).about("value"));
        };
        for (key, value) in object {
            // As in bodies (`resource.rs`): some clients write `schemas` into extensions too.
            if !urn.is_empty() && urn != self.scene.rt.schema.id && key.eq_ignore_ascii_case(SCHEMAS) {
                continue;
            }
            let name = if urn.is_empty() { key.clone() } else { format!("{urn}:{key}") };
            match self.key_path(&name, key)? {
                None => self.decoder.unknown(&name)?,
                Some(path) => self.operation(Operation {
                    path: Some(path),
                    value: Some(value.clone()),
                    from_key: true,
                    ..*operation
                })?,
            }
        }
        Ok(())
    }

    /// The path that a key stands for: the name of an attribute, the URN of a schema, or, where the dialect has it so,
    /// any path. `None` when the schema does not know it.
    fn key_path(&self, name: &str, key: &str) -> Result<Option<Path>> {
        let Scene { rt, dialect, limits } = self.scene;
        if !dialect.path_keys {
            let is_plain = match rt.find(name) {
                Some(Name::Attribute(located)) => key.eq_ignore_ascii_case(&located.attribute.name),
                Some(Name::Resource | Name::Extension(_)) => true,
                None => false,
            };
            return Ok(is_plain.then(|| Path::plain(name)));
        }
        let Ok(path) = Path::parse(name, limits) else { return Ok(None) };
        if path.resolve(rt, dialect).is_ok() {
            return Ok(Some(path));
        }
        // A rewrite may make an unknown path a known one.
        let operation = Operation { index: 0, op: Op::Add, path: Some(path), value: None, from_key: true };
        let path = self.rewritten(operation)?.and_then(|rewritten| rewritten.path);
        Ok(path.filter(|path| path.resolve(rt, dialect).is_ok()))
    }
}
