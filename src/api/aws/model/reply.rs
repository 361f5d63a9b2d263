//! Checks a reply against its model: no nulls, no unknown members, right types, required members there.

use serde_json::Value;

use super::{Kind, Model, ShapeId};

/// Where and how a reply breaks the model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply breaks the model at `{path}`: {what}")]
pub(crate) struct Breach {
    path: String,
    what: String,
}

/// Checks a whole reply. No output shape means an empty reply.
pub(crate) fn validate_reply(model: &Model, output: Option<ShapeId>, reply: &Value) -> Result<(), Breach> {
    let Some(shape) = output else {
        let empty = reply.is_null() || reply.as_object().is_some_and(serde_json::Map::is_empty);
        return if empty { Ok(()) } else { breach("", "the operation has no output") };
    };
    check(model, shape, reply, "")
}

fn breach<T>(path: &str, what: impl Into<String>) -> Result<T, Breach> {
    Err(Breach { path: path.to_owned(), what: what.into() })
}

fn check(model: &Model, id: ShapeId, value: &Value, path: &str) -> Result<(), Breach> {
    let wrong = |wanted: &str| breach(path, format!("`{value}` is no {wanted}"));
    if value.is_null() {
        return breach(path, "null");
    }
    match &model.shape(id).kind {
        Kind::Structure(members) => {
            let Some(object) = value.as_object() else { return wrong("structure") };
            for (name, value) in object {
                match members.iter().find(|member| &member.name == name) {
                    Some(member) => check(model, member.target.shape, value, &format!("{path}.{name}"))?,
                    None => return breach(&format!("{path}.{name}"), "no such member"),
                }
            }
            match members.iter().find(|member| member.required && !object.contains_key(&member.name)) {
                Some(member) => breach(&format!("{path}.{}", member.name), "a required member is missing"),
                None => Ok(()),
            }
        }
        Kind::Document => Ok(()),
        Kind::List { item, .. } => {
            let Some(items) = value.as_array() else { return wrong("list") };
            let mut all = items.iter().enumerate();
            all.try_for_each(|(index, value)| check(model, item.shape, value, &format!("{path}[{index}]")))
        }
        Kind::Map { value: target, .. } => {
            let Some(entries) = value.as_object() else { return wrong("map") };
            let mut all = entries.iter();
            all.try_for_each(|(name, value)| check(model, target.shape, value, &format!("{path}.{name}")))
        }
        Kind::String { values, .. } => match value.as_str() {
            None => wrong("string"),
            Some(text) if !values.is_empty() && !values.iter().any(|value| value == text) => wrong("value of its enum"),
            Some(_) => Ok(()),
        },
        Kind::Blob if !value.is_string() => wrong("base64 text"),
        Kind::Integer | Kind::Long if !value.is_i64() => wrong("whole number"),
        Kind::Double | Kind::Timestamp if !value.is_number() => wrong("number"),
        Kind::Boolean if !value.is_boolean() => wrong("boolean"),
        Kind::Blob | Kind::Integer | Kind::Long | Kind::Double | Kind::Timestamp | Kind::Boolean => Ok(()),
    }
}
