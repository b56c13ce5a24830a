//! Schema: what editors check a configuration by while it is typed (JSON schema, draft 7, as taplo and its likes read it). Made of
//! the [shapes](super::shape) of the tables; what depends on other keys only `sluice check` knows.

use super::{
    file,
    shape::{Key, Shape, TableShape},
};
use serde_json::{Map, Value, json};

/// What holds in every string that has `${NAME}` in it: only the daemon's environment knows what it will be.
const REPLACED: &str = r"\$\{";

/// The schema of a whole file.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let whole = table(&file::layout(), &mut definitions);
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The configuration of Sluice",
    });
    if let (Some(schema), Value::Object(whole)) = (schema.as_object_mut(), whole) {
        schema.extend(whole);
        schema.insert("definitions".to_owned(), definitions.into());
    }
    schema
}

fn of(shape: &Shape, definitions: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer => json!({ "type": "integer" }),
        Shape::Text { form: None, .. } => json!({ "type": "string" }),
        Shape::Text { form: Some(form), .. } => {
            json!({ "type": "string", "pattern": format!("^({form})$|{REPLACED}") })
        }
        Shape::Words(words) => {
            json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": REPLACED }] })
        }
        Shape::Either(shapes) => any_of(shapes.iter().map(|shape| of(shape, definitions)).collect()),
        Shape::OneOrMany(shape) => {
            let one = of(shape, definitions);
            let many = json!({ "type": "array", "items": one });
            any_of(vec![one, many])
        }
        Shape::Many(shape) => json!({ "type": "array", "items": of(shape, definitions) }),
        Shape::Named(shape) => json!({ "type": "object", "additionalProperties": of(shape, definitions) }),
        Shape::Table(shape) => {
            if !definitions.contains_key(shape.name) {
                // Its name is taken before its keys are looked at.
                definitions.insert(shape.name.to_owned(), Value::Null);
                let made = table(shape, definitions);
                definitions.insert(shape.name.to_owned(), made);
            }
            json!({ "$ref": format!("#/definitions/{}", shape.name) })
        }
    }
}

/// Any of these; alternatives within alternatives are alternatives.
fn any_of(schemas: Vec<Value>) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for schema in schemas {
        let inner = schema.as_object().filter(|schema| schema.len() == 1).and_then(|schema| schema.get("anyOf"));
        let flat = inner.and_then(Value::as_array).cloned().unwrap_or_else(|| vec![schema.clone()]);
        for schema in flat {
            if !all.contains(&schema) {
                all.push(schema);
            }
        }
    }
    match all.as_slice() {
        [only] => only.clone(),
        _ => json!({ "anyOf": all }),
    }
}

fn table(shape: &TableShape, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for key in &shape.keys {
        properties.insert(key.knob.key.to_owned(), property(key, definitions));
    }
    let mut branches = Vec::new();
    for (kind, keys) in &shape.kinds {
        let mut own = Map::new();
        for key in keys {
            let made = property(key, definitions);
            // Of a key that several kinds have, each in its own way, the table allows all, and the branch of the kind its own.
            let known = properties.get(key.knob.key).filter(|known| **known != made);
            let all = known.map_or_else(|| made.clone(), |known| any_of(vec![known.clone(), made.clone()]));
            properties.insert(key.knob.key.to_owned(), all);
            own.insert(key.knob.key.to_owned(), made);
        }
        let names: Vec<_> = shape.keys.iter().chain(keys).map(|key| key.knob.key).collect();
        branches.push(json!({
            "if": { "properties": { "type": { "const": kind } }, "required": ["type"] },
            "then": { "propertyNames": { "enum": names }, "properties": own, "required": required(keys) },
        }));
    }
    let about = shape.about.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut made = json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "additionalProperties": false,
        "required": required(&shape.keys),
    });
    if let Some(made) = made.as_object_mut().filter(|_| !branches.is_empty()) {
        made.insert("allOf".to_owned(), branches.into());
    }
    made
}

fn required(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().filter(|key| key.knob.is_required()).map(|key| key.knob.key).collect()
}

fn property(key: &Key, definitions: &mut Map<String, Value>) -> Value {
    let mut made = of(&key.shape, definitions);
    // What stands beside a reference, nobody looks at.
    if made.get("$ref").is_some() {
        made = json!({ "allOf": [made] });
    }
    if let Some(made) = made.as_object_mut() {
        made.insert("description".to_owned(), key.knob.text().into());
        let bounds = key.knob.bounds().filter(|_| matches!(key.shape, Shape::Integer));
        let number = |text: &str| text.parse::<i64>().ok();
        if let Some((least, most)) = bounds.and_then(|(least, most)| number(&least).zip(number(&most))) {
            made.insert("minimum".to_owned(), least.into());
            made.insert("maximum".to_owned(), most.into());
        }
        if let Some(default) = key.knob.default().and_then(|default| typed(&key.shape, &default)) {
            made.insert("default".to_owned(), default);
        }
    }
    made
}

/// A default as a value, where it is one.
fn typed(shape: &Shape, said: &str) -> Option<Value> {
    let word = said.split([',', ';']).next().unwrap_or(said).trim().trim_matches(['`', '"']);
    match shape {
        Shape::Bool => word.parse::<bool>().ok().map(Value::from),
        Shape::Integer => word.parse::<i64>().ok().map(Value::from),
        Shape::Words(words) => words.contains(&word).then(|| word.into()),
        Shape::Text { .. }
        | Shape::Either(_)
        | Shape::OneOrMany(_)
        | Shape::Many(_)
        | Shape::Named(_)
        | Shape::Table(_) => None,
    }
}
