//! Changes of an input that know no format, and those that know JSON.

use serde_json::{Map, Value};

use crate::rng::Rng;

/// Whether inputs are changed as JSON trees too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json {
    Yes,
    No,
}

/// Edges of number types.
const EDGES: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];
/// Numbers as text.
const TEXT_NUMBERS: [&str; 10] =
    ["0", "-1", "255", "65536", "4294967296", "9223372036854775807", "18446744073709551616", "1e309", "-0.5", "007"];
const REPEATS_MAX: usize = 64;
/// Deeper than any recursion limit that a parser should have.
const NESTING_MAX: usize = 600;

/// One change.
pub(crate) fn once(rng: &mut Rng, input: &mut Vec<u8>, other: &[u8], tokens: &[&[u8]], json: Json) {
    if json == Json::Yes && rng.below(2) == 0 && in_json(rng, input) {
        return;
    }
    match rng.below(12) {
        0 => {
            let at = rng.below(input.len());
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        1 => {
            let (at, byte) = (rng.below(input.len()), rng.number() as u8);
            if let Some(place) = input.get_mut(at) {
                *place = byte;
            }
        }
        2 => {
            let (from, to) = range(rng, input.len());
            input.drain(from..to);
        }
        3 => {
            let (from, to) = range(rng, input.len());
            let piece = input[from..to].to_vec();
            let at = rng.below(input.len() + 1);
            insert(input, at, &piece);
        }
        4 => {
            let (from, to) = range(rng, other.len());
            let at = rng.below(input.len() + 1);
            insert(input, at, &other[from..to]);
        }
        5 => {
            let (from, _) = range(rng, other.len());
            input.truncate(rng.below(input.len() + 1));
            input.extend_from_slice(&other[from..]);
        }
        6 => input.truncate(rng.below(input.len() + 1)),
        7 => edge(rng, input),
        8 => text_number(rng, input),
        9 => {
            let (from, to) = range(rng, input.len().min(256));
            let piece = input[from..to].repeat(rng.below(REPEATS_MAX));
            let at = rng.below(input.len() + 1);
            insert(input, at, &piece);
        }
        _ if !tokens.is_empty() => {
            let token = *rng.pick(tokens);
            let at = rng.below(input.len() + 1);
            if rng.below(2) == 0 {
                insert(input, at, token);
            } else {
                let end = (at + token.len()).min(input.len());
                input.splice(at..end, token.iter().copied());
            }
        }
        _ => {
            let (at, byte) = (rng.below(input.len() + 1), rng.number() as u8);
            input.insert(at, byte);
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}

/// Short ones more often.
fn range(rng: &mut Rng, length: usize) -> (usize, usize) {
    let from = rng.below(length + 1);
    let most = if rng.below(4) == 0 { length - from } else { (length - from).min(16) };
    (from, from + rng.below(most + 1))
}

/// A number's edge over 1, 2, 4 or 8 bytes, in either order.
fn edge(rng: &mut Rng, input: &mut [u8]) {
    let width = 1 << rng.below(4);
    if input.len() < width {
        return;
    }
    let at = rng.below(input.len() - width + 1);
    let number = rng.pick(&EDGES).wrapping_add(rng.below(3) as u64).wrapping_sub(1);
    if rng.below(2) == 0 {
        input[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
    } else {
        input[at..at + width].copy_from_slice(&number.to_be_bytes()[8 - width..]);
    }
}

/// A run of digits becomes another number.
fn text_number(rng: &mut Rng, input: &mut Vec<u8>) {
    let begins: Vec<usize> = (0..input.len())
        .filter(|at| input[*at].is_ascii_digit() && (*at == 0 || !input[*at - 1].is_ascii_digit()))
        .collect();
    if begins.is_empty() {
        return;
    }
    let from = *rng.pick(&begins);
    let to = (from..input.len()).find(|at| !input[*at].is_ascii_digit()).unwrap_or(input.len());
    input.splice(from..to, rng.pick(&TEXT_NUMBERS).bytes());
}

/// `false` when it is no JSON.
fn in_json(rng: &mut Rng, input: &mut Vec<u8>) -> bool {
    let Ok(mut tree) = serde_json::from_slice::<Value>(input) else { return false };
    let nodes = count(&tree);
    let mut at = rng.below(nodes);
    change(&mut tree, &mut at, rng);
    *input = serde_json::to_vec(&tree).unwrap_or_default();
    true
}

fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Changes the node that comes `at`-th; `true` when it was found.
fn change(tree: &mut Value, at: &mut usize, rng: &mut Rng) -> bool {
    if *at == 0 {
        change_node(tree, rng);
        return true;
    }
    *at -= 1;
    match tree {
        Value::Array(items) => items.iter_mut().any(|item| change(item, at, rng)),
        Value::Object(members) => members.values_mut().any(|member| change(member, at, rng)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn change_node(node: &mut Value, rng: &mut Rng) {
    match (rng.below(9), &mut *node) {
        (0, Value::Array(items)) if !items.is_empty() => {
            items.remove(rng.below(items.len()));
        }
        (1, Value::Array(items)) if !items.is_empty() => {
            let copy = rng.pick(items).clone();
            items.extend(std::iter::repeat_n(copy, 1 + rng.below(REPEATS_MAX)));
        }
        (0, Value::Object(members)) if !members.is_empty() => {
            let name = members.keys().nth(rng.below(members.len())).cloned().unwrap_or_default();
            members.remove(&name);
        }
        (1, Value::Object(members)) if !members.is_empty() => {
            let name = members.keys().nth(rng.below(members.len())).cloned().unwrap_or_default();
            let value = members.get(&name).cloned().unwrap_or_default();
            members.insert(format!("{name}{}", rng.below(100)), value);
        }
        (0, Value::String(text)) => *text = text.repeat(rng.below(REPEATS_MAX)),
        (1, Value::String(text)) => {
            text.pop();
        }
        (2, other) => *other = Value::Null,
        (3, other) => *other = Value::Bool(rng.below(2) == 0),
        (4, other) => {
            let edge = *rng.pick(&EDGES);
            *other = if rng.below(2) == 0 { Value::from(edge) } else { Value::from(edge.cast_signed()) };
        }
        (5, other) => {
            *other = Value::from(*rng.pick(&["", "/", "..", "a/../../b", "\u{0}", "\u{1F600}", "sha256:", "*", "é\n"]));
        }
        (6, other) => *other = Value::Array(vec![other.take()]),
        (7, other) => {
            let mut members = Map::new();
            members.insert("a".to_owned(), other.take());
            *other = Value::Object(members);
        }
        (8, other) if rng.below(8) == 0 => {
            for _ in 0..rng.below(NESTING_MAX) {
                *other = Value::Array(vec![other.take()]);
            }
        }
        (_, other) => *other = Value::from(rng.number() as f64 / 1e3),
    }
}
