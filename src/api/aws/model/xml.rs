//! Writes replies and errors of the query protocol as XML.

use cove_base::Timestamp;
use serde_json::Value;

use super::{Kind, Model, Operation, Reference};
use crate::aws::fault::Fault;

/// A reply, with its result wrapper and the request's id.
pub(crate) fn reply(model: &Model, operation: &Operation, value: &Value, request_id: &str) -> String {
    let mut out = String::with_capacity(512);
    let name = &operation.name;
    out.push('<');
    out.push_str(name);
    out.push_str("Response xmlns=\"");
    out.push_str(&model.xml_namespace);
    out.push_str("\">");
    if is_ec2(&model.xml_namespace) {
        element(&mut out, "requestId", |out| escape(request_id, out));
        if let Some(shape) = operation.output {
            let reference = Reference { shape, location_name: None, flattened: false };
            content(model, &reference, value, &mut out);
        }
        out.push_str("</");
        out.push_str(name);
        out.push_str("Response>");
        return out;
    }
    if let Some(shape) = operation.output {
        let wrapper = operation.result_wrapper.clone().unwrap_or_else(|| format!("{name}Result"));
        element(&mut out, &wrapper, |out| {
            let reference = Reference { shape, location_name: None, flattened: false };
            content(model, &reference, value, out);
        });
    }
    element(&mut out, "ResponseMetadata", |out| element(out, "RequestId", |out| escape(request_id, out)));
    out.push_str("</");
    out.push_str(name);
    out.push_str("Response>");
    out
}

/// EC2 has replies without wrappers, and a list of errors.
fn is_ec2(namespace: &str) -> bool {
    namespace.starts_with("http://ec2.amazonaws.com/")
}

/// An error; of EC2, whose clients read no other form, by its namespace.
pub(crate) fn error(namespace: &str, fault: &Fault, request_id: &str) -> String {
    let mut out = String::with_capacity(256);
    if is_ec2(namespace) {
        element(&mut out, "Response", |out| {
            element(out, "Errors", |out| element(out, "Error", |out| code_and_message(fault, out)));
            element(out, "RequestID", |out| escape(request_id, out));
        });
        return out;
    }
    out.push_str("<ErrorResponse");
    if !namespace.is_empty() {
        out.push_str(" xmlns=\"");
        out.push_str(namespace);
        out.push('"');
    }
    out.push('>');
    element(&mut out, "Error", |out| {
        element(out, "Type", |out| out.push_str(fault.blamed()));
        code_and_message(fault, out);
    });
    element(&mut out, "RequestId", |out| escape(request_id, out));
    out.push_str("</ErrorResponse>");
    out
}

/// An error as S3 has it: nothing around it.
pub(crate) fn bare_error(fault: &Fault, request_id: &str) -> String {
    let mut out = String::with_capacity(256);
    element(&mut out, "Error", |out| {
        code_and_message(fault, out);
        element(out, "RequestId", |out| escape(request_id, out));
    });
    out
}

fn code_and_message(fault: &Fault, out: &mut String) {
    element(out, "Code", |out| escape(fault.old_code(), out));
    element(out, "Message", |out| escape(&fault.message, out));
}

fn element(out: &mut String, name: &str, inside: impl FnOnce(&mut String)) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    inside(out);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// A member under its name; a flattened list repeats the name.
fn member(model: &Model, name: &str, target: &Reference, value: &Value, out: &mut String) {
    let shape = model.shape(target.shape);
    if let (Kind::List { item, flattened }, Value::Array(items)) = (&shape.kind, value)
        && (*flattened || target.flattened)
    {
        for value in items {
            element(out, item.location_name.as_deref().unwrap_or(name), |out| content(model, item, value, out));
        }
        return;
    }
    element(out, name, |out| content(model, target, value, out));
}

fn content(model: &Model, target: &Reference, value: &Value, out: &mut String) {
    match (&model.shape(target.shape).kind, value) {
        (Kind::Structure(members), Value::Object(object)) => {
            for known in members {
                if let Some(value) = object.get(&known.name) {
                    let name = known.target.location_name.as_ref().unwrap_or(&known.name);
                    member(model, name, &known.target, value, out);
                }
            }
        }
        (Kind::List { item, .. }, Value::Array(items)) => {
            let name = item.location_name.as_deref().unwrap_or("member");
            items.iter().for_each(|value| element(out, name, |out| content(model, item, value, out)));
        }
        (Kind::Map { key, value: inner, .. }, Value::Object(entries)) => {
            let key_name = key.location_name.as_deref().unwrap_or("key");
            let value_name = inner.location_name.as_deref().unwrap_or("value");
            for (name, value) in entries {
                element(out, "entry", |out| {
                    element(out, key_name, |out| escape(name, out));
                    element(out, value_name, |out| content(model, inner, value, out));
                });
            }
        }
        (Kind::Timestamp, Value::Number(seconds)) => {
            #[allow(clippy::cast_possible_truncation, reason = "milliseconds of a date")]
            let millis = (seconds.as_f64().unwrap_or_default() * 1000.0).round() as i64;
            out.push_str(&Timestamp(millis).rfc3339());
        }
        (_, Value::String(text)) => escape(text, out),
        (_, Value::Bool(yes)) => out.push_str(if *yes { "true" } else { "false" }),
        (_, Value::Number(number)) => out.push_str(&number.to_string()),
        // Replies were checked against the model where it matters; what does not fit is left out.
        (_, Value::Null | Value::Array(_) | Value::Object(_)) => {}
    }
}

/// Text as XML; characters that XML cannot hold become U+FFFD.
fn escape(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(char),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(char),
        }
    }
}
