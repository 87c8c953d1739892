//! The JSON Schema of `sluice.yaml`, for editors.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::document::Document;
use crate::protocols;

/// The schema as JSON: the generic half of a target joined with each protocol's own half.
pub(crate) fn json_schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let document = generator.subschema_for::<Document>();
    let halves: Vec<(&str, Value)> = protocols::PROTOCOLS
        .iter()
        .map(|lane| (lane.schema().protocol, lane.shape(&mut generator).to_value()))
        .collect();
    let mut definitions = Value::Object(generator.take_definitions(true));
    join_targets(&mut definitions, &halves);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sluice.yaml",
        "$ref": document.as_value().get("$ref").cloned().unwrap_or(Value::Null),
        "$defs": definitions,
    })
}

/// Puts every protocol's keys beside the generic ones: in the file they are one mapping.
fn join_targets(definitions: &mut Value, halves: &[(&str, Value)]) {
    let own: Vec<(&str, Value)> = halves
        .iter()
        .filter_map(|(name, half)| {
            let path = half.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
            Some((*name, definitions.get(path)?.clone()))
        })
        .collect();
    let Some(generic) = definitions.get("TargetEntry").cloned() else { return };
    let joined: Vec<Value> = own.iter().map(|(name, half)| joined(&generic, name, half)).collect();
    if let Some(entry) = definitions.get_mut("TargetEntry") {
        *entry = json!({ "description": generic.get("description"), "oneOf": joined });
    }
}

fn joined(generic: &Value, protocol: &str, half: &Value) -> Value {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for part in [generic, half] {
        let of = |key: &str| part.get(key).cloned().unwrap_or(Value::Null);
        if let Value::Object(more) = of("properties") {
            properties.extend(more);
        }
        if let Value::Array(more) = of("required") {
            required.extend(more);
        }
    }
    properties.insert("protocol".to_owned(), json!({ "const": protocol }));
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}
