//! Reads the form fields of the query protocol into the JSON that the model describes.
//!
//! `Tags.member.1.Key=a` becomes `{"Tags":[{"Key":"a"}]}`. Texts become numbers and booleans where the model says so.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Kind, Model, ShapeId};
use crate::aws::fault::Fault;

/// How deep names may nest; the deepest input of the query services needs 8.
const DEPTH_MAX: usize = 32;
/// Parts of all names together. Each may cost a map of half a kilobyte; the largest honest request has a few thousand.
const PARTS_MAX: usize = 20_000;

/// A field's value and the fields below it.
#[derive(Default)]
struct Node<'a> {
    text: Option<&'a str>,
    below: BTreeMap<&'a str, Node<'a>>,
}

/// Reads an operation's input.
pub(crate) fn decode(model: &Model, input: Option<ShapeId>, fields: &[(String, String)]) -> Result<Value, Fault> {
    let Some(shape) = input else { return Ok(Value::Object(Map::new())) };
    let mut root = Node::default();
    let mut parts = 0;
    for (name, text) in fields {
        let depth = name.bytes().filter(|byte| *byte == b'.').count();
        parts += depth + 1;
        if depth > DEPTH_MAX || parts > PARTS_MAX {
            return Err(Fault::client("MalformedInput", "Unexpected nesting of parameters"));
        }
        let node = name.split('.').fold(&mut root, |node, part| node.below.entry(part).or_default());
        node.text = Some(text);
    }
    value(model, shape, &root)
}

fn value(model: &Model, id: ShapeId, node: &Node<'_>) -> Result<Value, Fault> {
    let text = node.text.unwrap_or_default();
    let malformed = |wanted: &str| Fault::client("MalformedInput", format!("'{text}' cannot be converted to {wanted}"));
    match &model.shape(id).kind {
        Kind::Structure(members) => {
            let mut object = Map::new();
            for member in members {
                let name = member.target.location_name.as_ref().unwrap_or(&member.name);
                if let Some(node) = node.below.get(name.as_str()) {
                    object.insert(member.name.clone(), value(model, member.target.shape, node)?);
                }
            }
            Ok(Value::Object(object))
        }
        Kind::List { item, flattened } => {
            let between = item.location_name.as_deref().unwrap_or("member");
            let items = if *flattened { Some(node) } else { node.below.get(between) };
            let nodes = items.map(numbered).unwrap_or_default();
            let items: Result<Vec<Value>, Fault> =
                nodes.into_iter().map(|node| value(model, item.shape, node)).collect();
            Ok(Value::Array(items?))
        }
        Kind::Map { key, value: target, flattened } => {
            let entries = if *flattened { Some(node) } else { node.below.get("entry") };
            let key_name = key.location_name.as_deref().unwrap_or("key");
            let value_name = target.location_name.as_deref().unwrap_or("value");
            let mut object = Map::new();
            for entry in entries.map(numbered).unwrap_or_default() {
                let name = entry.below.get(key_name).and_then(|node| node.text).unwrap_or_default();
                if let Some(node) = entry.below.get(value_name) {
                    object.insert(name.to_owned(), value(model, target.shape, node)?);
                }
            }
            Ok(Value::Object(object))
        }
        Kind::Document => Ok(Value::String(text.to_owned())),
        Kind::String { .. } | Kind::Blob => Ok(Value::from(text)),
        Kind::Integer | Kind::Long => text.parse::<i64>().map(Value::from).map_err(|_| malformed("Integer")),
        Kind::Double => text.parse::<f64>().map(Value::from).map_err(|_| malformed("Double")),
        Kind::Boolean => match text {
            "true" | "True" | "TRUE" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" => Ok(Value::Bool(false)),
            _ => Err(malformed("Boolean")),
        },
        Kind::Timestamp => {
            let format = &time::format_description::well_known::Rfc3339;
            let at = time::OffsetDateTime::parse(text, format).map_err(|_| malformed("Timestamp"))?;
            Ok(Value::from(at.unix_timestamp()))
        }
    }
}

/// The nodes below in the order of their numbers: 10 comes after 2, and gaps do not matter.
fn numbered<'a, 'n>(node: &'n Node<'a>) -> Vec<&'n Node<'a>> {
    let mut nodes: Vec<(u32, &Node<'a>)> =
        node.below.iter().filter_map(|(name, node)| Some((name.parse().ok()?, node))).collect();
    nodes.sort_by_key(|(number, _)| *number);
    nodes.into_iter().map(|(_, node)| node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_whose_parts_would_fill_the_memory_are_refused() {
        let model = crate::iam::SERVICE.model();
        let input = model.operation("CreateRole").unwrap().input;
        let deep = |count: usize| -> Vec<(String, String)> {
            (0..count).map(|number| (format!("{number}{}", ".a".repeat(DEPTH_MAX)), "x".to_owned())).collect()
        };
        assert!(decode(model, input, &deep(PARTS_MAX / (DEPTH_MAX + 1))).is_ok());
        assert!(decode(model, input, &deep(PARTS_MAX / (DEPTH_MAX + 1) + 1)).is_err());
    }
}
