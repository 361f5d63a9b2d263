//! CRAN: numbers between dots and hyphens; the longer of two that are equal so far is newer.

use std::cmp::Ordering;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other): (Vec<&str>, Vec<&str>) = (one.split(['.', '-']).collect(), other.split(['.', '-']).collect());
    let pairs = one.iter().zip(&other).map(|(one, other)| component(one, other));
    pairs.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| one.len().cmp(&other.len()))
}

/// What is no number is older than all numbers.
fn component(one: &str, other: &str) -> Ordering {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match (number(one), number(other)) {
        (true, true) => super::numbers(one, other),
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => one.cmp(other),
    }
}
