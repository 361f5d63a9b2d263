//! How much of its log a container keeps whose log only the node has: of the driver `json-file`, or of none.
//!
//! In: `max-size` and `max-file` as Docker reads them. Out: bytes, of which the oldest go first. Segments are Cove's own,
//! so `max-file` is only a factor.

use cove_model::task_definition::{ContainerDefinition, LogDriver};

/// Of a container that says nothing of a log: nobody asked for one, so it is for looking at what happened lately. Eight
/// of a stream's largest segments, so that an eighth of it goes at a time.
const UNASKED_BYTES_MAX: u64 = 64 << 20;
/// Docker's decimal units.
const UNITS: [(char, f64); 5] = [('k', 1e3), ('m', 1e6), ('g', 1e9), ('t', 1e12), ('p', 1e15)];

/// `None` where a driver is named and no size: the node's own caps are enough. The reason is in Docker's words.
pub(super) fn limit(definition: &ContainerDefinition) -> Result<Option<u64>, String> {
    let Some(log) = &definition.log_configuration else { return Ok(Some(UNASKED_BYTES_MAX)) };
    if log.log_driver != Some(LogDriver::JsonFile) {
        return Ok(None);
    }
    let files = match log.options.get("max-file") {
        None => 1,
        Some(text) => match text.parse::<u64>() {
            Ok(0) => return Err("max-file cannot be less than 1".to_owned()),
            Ok(files) => files,
            Err(_) => return Err(format!("strconv.Atoi: parsing \"{text}\": invalid syntax")),
        },
    };
    let Some(text) = log.options.get("max-size") else { return Ok(None) };
    match bytes(text) {
        None => Err(format!("invalid size: '{text}'")),
        Some(0) => Err("max-size must be a positive number".to_owned()),
        Some(bytes) => Ok(Some(bytes.saturating_mul(files))),
    }
}

/// As in `10m`, `1.5 GB` or `4096`.
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let factor = match unit.as_str() {
        "" | "b" => 1.0,
        unit => {
            let mut letters = unit.chars();
            let (letter, rest) = (letters.next()?, letters.as_str());
            let (_, factor) = UNITS.iter().find(|(known, _)| *known == letter)?;
            matches!(rest, "" | "b" | "ib").then_some(*factor)?
        }
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; beyond u64 it is u64's end")]
    Some((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(options: serde_json::Value) -> Result<Option<u64>, String> {
        let log = serde_json::json!({"logDriver": "json-file", "options": options});
        let whole = serde_json::json!({"name": "a", "image": "b", "logConfiguration": log});
        limit(&serde_json::from_value(whole).unwrap())
    }

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, wanted) in
            [("10m", 10_000_000), ("1.5 GB", 1_500_000_000), ("4096", 4096), ("3kb", 3000), ("1KiB", 1000)]
        {
            assert_eq!(bytes(text), Some(wanted), "{text}");
        }
        for text in ["", "m", "ten", "1x", "1mm", "-1", "1é", "1.2.3"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn files_multiply_the_size_and_mean_nothing_without_one() {
        use serde_json::json;
        assert_eq!(limited(json!({"max-size": "2m", "max-file": "3"})), Ok(Some(6_000_000)));
        assert_eq!(limited(json!({"max-file": "3"})), Ok(None));
        assert_eq!(limited(json!({})), Ok(None));
        assert!(limited(json!({"max-file": "0"})).is_err());
        assert!(limited(json!({"max-size": "much"})).is_err());
        assert!(limited(json!({"max-size": "0"})).is_err());
    }

    #[test]
    fn a_log_that_nobody_asked_for_is_small_and_one_of_cloudwatch_is_as_large_as_the_node_allows() {
        let of = |whole: serde_json::Value| limit(&serde_json::from_value(whole).unwrap());
        assert_eq!(of(serde_json::json!({"name": "a", "image": "b"})), Ok(Some(UNASKED_BYTES_MAX)));
        let log = serde_json::json!({"logDriver": "awslogs", "options": {"max-size": "1m"}});
        assert_eq!(of(serde_json::json!({"name": "a", "image": "b", "logConfiguration": log})), Ok(None));
    }
}
