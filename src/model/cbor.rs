//! CBOR (RFC 8949), as far as signatures and Smithy's RPC v2 protocol use it.
//!
//! In: bytes of anybody. Out: JSON. Byte strings are base64 text in JSON, as in the JSON protocols of AWS; a timestamp
//! (tag 1) is its number of seconds.
//!
//! Holds: reading takes memory in proportion to the text, never deeper than a constant and never more values than the caller
//! allows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

/// The deepest input of a service needs 8.
const DEPTH_MAX: usize = 32;

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What the keys of maps may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// As in JSON.
    Texts,
    /// Numbers too, which become texts.
    Labels,
}

/// Reads a whole document of at most so many values.
///
/// # Errors
/// When it is none, is too deep or has too many values, or a map names something twice.
pub fn decode(bytes: &[u8], keys: Keys, values_max: usize) -> Result<Value, Malformed> {
    let mut reader = Reader { rest: bytes, keys, values_left: values_max };
    let value = reader.value(0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(Malformed) }
}

struct Reader<'a> {
    rest: &'a [u8],
    keys: Keys,
    values_left: usize,
}

/// The first byte of an item: its major type, and what the low five bits say.
struct Head {
    major: u8,
    /// `None`: of indefinite length, or the end of such a thing.
    argument: Option<u64>,
    low: u8,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let first = self.take(1)?[0];
        let low = first & 0x1f;
        let argument = match low {
            0..=23 => Some(u64::from(low)),
            24..=27 => {
                let bytes = self.take(1 << (low - 24))?;
                Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            31 => None,
            _ => return Err(Malformed),
        };
        Ok(Head { major: first >> 5, argument, low })
    }

    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        let head = self.head()?;
        self.of_head(&head, depth)
    }

    fn of_head(&mut self, head: &Head, depth: usize) -> Result<Value, Malformed> {
        self.values_left = self.values_left.checked_sub(1).filter(|_| depth <= DEPTH_MAX).ok_or(Malformed)?;
        match (head.major, head.argument) {
            (0, Some(number)) => Ok(Value::from(number)),
            (1, Some(number)) => i64::try_from(number).map(|number| Value::from(-1 - number)).map_err(|_| Malformed),
            (2, _) => Ok(Value::from(STANDARD.encode(self.text(head)?))),
            (3, _) => String::from_utf8(self.text(head)?).map(Value::from).map_err(|_| Malformed),
            (4, count) => self.list(count, depth),
            (5, count) => self.map(count, depth),
            // A tag says what the value means; the reader knows that already.
            (6, Some(_)) => self.value(depth + 1),
            (7, Some(argument)) => simple(head.low, argument),
            _ => Err(Malformed),
        }
    }

    /// The bytes of a string, which may come in pieces.
    fn text(&mut self, head: &Head) -> Result<Vec<u8>, Malformed> {
        if let Some(length) = head.argument {
            return Ok(self.take(usize::try_from(length).map_err(|_| Malformed)?)?.to_vec());
        }
        let mut whole = Vec::new();
        loop {
            let piece = self.head()?;
            match piece.argument {
                None if piece.major == 7 => return Ok(whole),
                Some(length) if piece.major == head.major => {
                    whole.extend_from_slice(self.take(usize::try_from(length).map_err(|_| Malformed)?)?);
                }
                _ => return Err(Malformed),
            }
        }
    }

    fn list(&mut self, count: Option<u64>, depth: usize) -> Result<Value, Malformed> {
        let mut items = Vec::new();
        while let Some(head) = self.next(count, items.len())? {
            items.push(self.of_head(&head, depth + 1)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, count: Option<u64>, depth: usize) -> Result<Value, Malformed> {
        let mut object = Map::new();
        let mut entries = 0;
        while let Some(head) = self.next(count, entries)? {
            let name = match (self.of_head(&head, depth + 1)?, self.keys) {
                // Bytes would look like texts.
                (Value::String(name), _) if head.major == 3 => name,
                (Value::Number(number), Keys::Labels) => number.to_string(),
                _ => return Err(Malformed),
            };
            if object.insert(name, self.value(depth + 1)?).is_some() {
                return Err(Malformed);
            }
            entries += 1;
        }
        Ok(Value::Object(object))
    }

    /// The head of the next item, unless the collection ends here.
    fn next(&mut self, count: Option<u64>, so_far: usize) -> Result<Option<Head>, Malformed> {
        if count.is_some_and(|count| so_far as u64 >= count) {
            return Ok(None);
        }
        let head = self.head()?;
        let is_break = head.major == 7 && head.argument.is_none();
        match (is_break, count) {
            (true, None) => Ok(None),
            (true, Some(_)) => Err(Malformed),
            (false, _) => Ok(Some(head)),
        }
    }
}

/// Booleans, null and floating-point numbers. JSON has no infinities, and no model allows them.
fn simple(low: u8, argument: u64) -> Result<Value, Malformed> {
    let float = match low {
        20 => return Ok(Value::Bool(false)),
        21 => return Ok(Value::Bool(true)),
        22 | 23 => return Ok(Value::Null),
        25 => half(u16::try_from(argument).map_err(|_| Malformed)?),
        26 => f64::from(f32::from_bits(u32::try_from(argument).map_err(|_| Malformed)?)),
        27 => f64::from_bits(argument),
        _ => return Err(Malformed),
    };
    Number::from_f64(float).map(Value::Number).ok_or(Malformed)
}

/// A number of sixteen bits: sign, five bits of exponent, ten of fraction.
fn half(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction > 0.0 => f64::NAN,
        31 => f64::INFINITY,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// Writes the head of an item: its major type, and its argument.
#[allow(clippy::cast_possible_truncation, reason = "each arm's range says that it fits")]
pub fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let examples: [(&str, Value); 17] = [
            ("00", json!(0)),
            ("1bffffffffffffffff", json!(u64::MAX)),
            ("3903e7", json!(-1000)),
            ("f93c00", json!(1.0)),
            ("f90001", json!(5.960464477539063e-8)),
            ("fa47c35000", json!(100000.0)),
            ("fbc010666666666666", json!(-4.1)),
            ("f4", json!(false)),
            ("f6", Value::Null),
            ("c11a514b67b0", json!(1_363_896_240)),
            ("4401020304", json!("AQIDBA==")),
            ("62c3bc", json!("ü")),
            ("7f657374726561646d696e67ff", json!("streaming")),
            ("9f018202039f0405ffff", json!([1, [2, 3], [4, 5]])),
            ("a201020304", Value::Null),
            ("bf61610161629f0203ffff", json!({"a": 1, "b": [2, 3]})),
            ("826161a161626163", json!(["a", {"b": "c"}])),
        ];
        for (text, expected) in examples {
            let got = decode(&unhex(text), Keys::Texts, 100);
            // Keys that are no texts have no place in a model.
            let expected = if text == "a201020304" { Err(Malformed) } else { Ok(expected) };
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn what_is_cut_deep_or_without_end_is_refused() {
        let deep = [&[0x81; DEPTH_MAX + 2][..], &[0][..]].concat();
        for wrong in [&b""[..], b"\x82\x01", b"\xff", b"\x9f", b"\x00\x00", b"\x5f\x61a\xff", b"\xf9\x7c\x00", &deep] {
            assert_eq!(decode(wrong, Keys::Texts, 100), Err(Malformed), "{wrong:02x?}");
        }
        assert_eq!(
            decode(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", Keys::Texts, 100),
            Err(Malformed),
            "nothing is reserved for a count"
        );
    }

    #[test]
    fn labels_may_be_numbers_where_that_is_wanted_and_nothing_is_named_twice() {
        let read = |text: &str| decode(&unhex(text), Keys::Labels, 100);
        assert_eq!(read("a20126182103"), Ok(json!({"1": -7, "33": 3})));
        assert_eq!(read("a1410103"), Err(Malformed), "bytes");
        assert_eq!(read("a2010261310a"), Err(Malformed), "a number and its text");
        assert_eq!(decode(&unhex("83000000"), Keys::Texts, 3), Err(Malformed), "a list and three");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode(&bytes, Keys::Labels, 1000);
        }
    }
}
