//! The base score of a CVSS vector, versions 2 to 4. Threat and environmental metrics of a vector do not count.

#[cfg(test)]
mod tests;
mod v2;
mod v3;
mod v4;

use crate::severity::Score;

/// A vector has a few dozen metrics of a few letters.
const VECTOR_MAX_BYTES: usize = 512;

/// Version and base score of a vector; nothing when it is none.
pub(crate) fn score(vector: &str) -> Option<(&'static str, Score)> {
    let vector = vector.trim();
    if vector.len() > VECTOR_MAX_BYTES {
        return None;
    }
    let (version, metrics) = match vector.strip_prefix("CVSS:") {
        Some(rest) => rest.split_once('/')?,
        None => ("2.0", vector.trim_start_matches('(').trim_end_matches(')')),
    };
    let metrics = Metrics(metrics);
    match version {
        "2.0" => Some(("2.0", v2::score(metrics)?)),
        "3.0" => Some(("3.0", v3::score(metrics, v3::round_up_3_0)?)),
        "3.1" => Some(("3.1", v3::score(metrics, v3::round_up_3_1)?)),
        "4.0" => Some(("4.0", v4::score(metrics)?)),
        _ => None,
    }
}

/// `AV:N/AC:L/…`
#[derive(Clone, Copy)]
struct Metrics<'a>(&'a str);

impl<'a> Metrics<'a> {
    fn get(self, name: &str) -> Option<&'a str> {
        self.0
            .split('/')
            .filter_map(|metric| metric.split_once(':'))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The weight of a metric's value.
    fn weight<T: Copy>(self, name: &str, weights: &[(&str, T)]) -> Option<T> {
        let value = self.get(name)?;
        weights.iter().find(|(key, _)| *key == value).map(|(_, weight)| *weight)
    }
}
