//! Replies in CBOR (RFC 8949), as far as Smithy's RPC v2 protocol uses it; requests are read by [`cove_model::cbor`].
//!
//! Byte strings are base64 text in JSON, as in the JSON protocols; a timestamp (tag 1) is its number of seconds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cove_model::cbor::head;
use serde_json::Value;

use super::{Kind, Model, ShapeId};

const TIMESTAMP_TAG: u64 = 1;

/// Writes a reply as its shape says.
pub(crate) fn encode(model: &Model, shape: Option<ShapeId>, value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    match shape {
        Some(shape) => shaped(model, shape, value, &mut out),
        None => plain(value, &mut out),
    }
    out
}

fn shaped(model: &Model, id: ShapeId, value: &Value, out: &mut Vec<u8>) {
    match (&model.shape(id).kind, value) {
        (Kind::Structure(members), Value::Object(object)) => {
            head(5, object.len() as u64, out);
            for (name, value) in object {
                text(name, out);
                match members.iter().find(|member| member.name == *name) {
                    Some(member) => shaped(model, member.target.shape, value, out),
                    None => plain(value, out),
                }
            }
        }
        (Kind::List { item, .. }, Value::Array(items)) => {
            head(4, items.len() as u64, out);
            items.iter().for_each(|value| shaped(model, item.shape, value, out));
        }
        (Kind::Map { value: target, .. }, Value::Object(entries)) => {
            head(5, entries.len() as u64, out);
            for (name, value) in entries {
                text(name, out);
                shaped(model, target.shape, value, out);
            }
        }
        (Kind::Timestamp, Value::Number(seconds)) => {
            head(6, TIMESTAMP_TAG, out);
            double(seconds.as_f64().unwrap_or_default(), out);
        }
        (Kind::Double, Value::Number(number)) => double(number.as_f64().unwrap_or_default(), out),
        (Kind::Blob, Value::String(base64)) => {
            let bytes = STANDARD.decode(base64).unwrap_or_default();
            head(2, bytes.len() as u64, out);
            out.extend_from_slice(&bytes);
        }
        (_, value) => plain(value, out),
    }
}

/// Writes a value without a shape.
pub(crate) fn plain(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(no) if !no => out.push(0xf4),
        Value::Bool(_) => out.push(0xf5),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => head(0, number, out),
            (None, Some(number)) => head(1, (-1 - number).unsigned_abs(), out),
            (None, None) => double(number.as_f64().unwrap_or_default(), out),
        },
        Value::String(string) => text(string, out),
        Value::Array(items) => {
            head(4, items.len() as u64, out);
            items.iter().for_each(|value| plain(value, out));
        }
        Value::Object(entries) => {
            head(5, entries.len() as u64, out);
            for (name, value) in entries {
                text(name, out);
                plain(value, out);
            }
        }
    }
}

fn text(string: &str, out: &mut Vec<u8>) {
    head(3, string.len() as u64, out);
    out.extend_from_slice(string.as_bytes());
}

fn double(number: f64, out: &mut Vec<u8>) {
    out.push(0xfb);
    out.extend_from_slice(&number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use cove_model::cbor::{Keys, decode};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_has_tagged_times_and_doubles_where_the_model_says_so() {
        let model = crate::monitoring::SERVICE.model();
        let output = model.operation("GetMetricStatistics").unwrap().output;
        let reply = json!({"Datapoints": [{"Timestamp": 1, "Sum": 2, "Unit": "None"}]});
        let got = hex::encode(encode(model, output, &reply));
        let sum = "6353756dfb4000000000000000";
        assert!(got.contains(sum) && got.contains("c1fb3ff0000000000000"), "{got}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text: String, number: i64, list: Vec<bool>, float in -1e300..1e300f64) {
            let value = json!({"text": text, "number": number, "list": list, "float": float, "none": null});
            let mut bytes = Vec::new();
            plain(&value, &mut bytes);
            prop_assert_eq!(decode(&bytes, Keys::Texts, 1000), Ok(value));
        }
    }
}
