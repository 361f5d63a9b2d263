//! Semantic versions, leniently: a leading `v`, any number of components, missing ones as zero.

use std::cmp::Ordering;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (Parsed::of(one), Parsed::of(other));
    super::padded(&one.numbers, &other.numbers, "0", super::numbers).then_with(|| pre_releases(one.pre, other.pre))
}

pub(super) struct Parsed<'a> {
    pub(super) numbers: Vec<&'a str>,
    /// After the hyphen, or whatever comes after the numbers.
    pub(super) pre: &'a str,
}

impl<'a> Parsed<'a> {
    pub(super) fn of(version: &'a str) -> Self {
        let version = version.strip_prefix(['v', 'V', '=']).unwrap_or(version).trim_start();
        let version = version.split('+').next().unwrap_or_default();
        let mut numbers = Vec::new();
        let mut rest = version;
        loop {
            let (number, after) = super::digits(rest);
            if number.is_empty() {
                break;
            }
            numbers.push(number);
            rest = after;
            match after.strip_prefix('.') {
                Some(next) if next.starts_with(|sign: char| sign.is_ascii_digit()) => rest = next,
                Some(_) | None => break,
            }
        }
        Self { numbers, pre: rest.strip_prefix(['-', '.']).unwrap_or(rest) }
    }
}

/// None at all is the release itself, and newer than any.
pub(super) fn pre_releases(one: &str, other: &str) -> Ordering {
    match (one.is_empty(), other.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let (one, other): (Vec<&str>, Vec<&str>) = (one.split('.').collect(), other.split('.').collect());
            let pairs = one.iter().zip(&other).map(|(one, other)| identifiers(one, other));
            pairs.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| one.len().cmp(&other.len()))
        }
    }
}

/// Numbers come before words.
fn identifiers(one: &str, other: &str) -> Ordering {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (number(one), number(other)) {
        (true, true) => super::numbers(one, other),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => one.cmp(other),
    }
}
