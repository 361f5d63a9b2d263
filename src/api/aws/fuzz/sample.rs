//! Inputs made from the model: right in type and mostly in limits, senseless in meaning.

use cove_fuzz::Rng;
use serde_json::{Map, Value, json};

use crate::aws::model::{Kind, Model, Shape, ShapeId};

/// Shapes that hold themselves end here.
const DEPTH_MAX: usize = 8;
/// Texts that mean something to some operation.
const TEXTS: [&str; 24] = [
    "a",
    "default",
    "web",
    "web:1",
    "a/b",
    "arn:aws:ecs:us-east-1:000000000000:cluster/default",
    "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef",
    "arn:aws:logs:us-east-1:000000000000:log-group:g:*",
    "arn:aws:iam::000000000000:role/ecsTaskExecutionRole",
    "arn:::::",
    "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "subnet-0",
    "attribute:a exists",
    "256",
    "0.25 vCPU",
    "1 GB",
    "8080-8090",
    "0-0",
    "{ $.a = 1 }",
    "{\"Version\":\"2012-10-17\",\"Statement\":[]}",
    "busybox",
    "",
    "\u{1F980}é",
    "9999999999999999999999",
];
const NUMBERS: [i64; 10] =
    [0, 1, -1, 80, 65_535, 65_536, i32::MAX as i64, i32::MIN as i64, i64::MAX, 1_700_000_000_000];

pub(super) fn value(model: &Model, id: ShapeId, rng: &mut Rng, depth: usize) -> Value {
    let shape = model.shape(id);
    match &shape.kind {
        Kind::Structure(members) => {
            let mut object = Map::new();
            for member in members {
                if member.required || (depth < DEPTH_MAX && rng.below(3 + depth) == 0) {
                    object.insert(member.name.clone(), value(model, member.target.shape, rng, depth + 1));
                }
            }
            Value::Object(object)
        }
        Kind::Document => json!({ "a": 1 }),
        Kind::List { item, .. } => {
            let count = if depth < DEPTH_MAX { rng.below(3) } else { 0 };
            (0..count).map(|_| value(model, item.shape, rng, depth + 1)).collect()
        }
        Kind::Map { key, value: target, .. } => {
            let count = if depth < DEPTH_MAX { rng.below(3) } else { 0 };
            let entries =
                (0..count).map(|_| (text(model.shape(key.shape), rng), value(model, target.shape, rng, depth + 1)));
            Value::Object(entries.collect())
        }
        Kind::String { .. } => Value::from(text(shape, rng)),
        Kind::Integer => Value::from(*rng.pick(&NUMBERS[..8])),
        Kind::Long => Value::from(*rng.pick(&NUMBERS)),
        Kind::Double => Value::from(rng.below(300) as f64 - 100.0),
        Kind::Boolean => Value::Bool(rng.below(2) == 0),
        Kind::Timestamp => Value::from(*rng.pick(&NUMBERS)),
        Kind::Blob => Value::from(*rng.pick(&["", "YQ==", "////"])),
    }
}

fn text(shape: &Shape, rng: &mut Rng) -> String {
    match &shape.kind {
        Kind::String { values, .. } if !values.is_empty() => rng.pick(values).clone(),
        _ => (*rng.pick(&TEXTS)).to_owned(),
    }
}
