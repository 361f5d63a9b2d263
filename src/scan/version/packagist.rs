//! Packagist: PHP's `version_compare`, after composer has dropped the leading `v`.

use std::cmp::Ordering;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    super::padded(&parts(one), &parts(other), END, part)
}

/// Stands for what is missing: newer than a release candidate, older than a number or a patch.
const END: &str = "#end";

fn parts(version: &str) -> Vec<&str> {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let version = version.split(" as ").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let (part, after) = match first {
            '0'..='9' => super::digits(rest),
            '.' | '-' | '_' | '+' => {
                rest = &rest[1..];
                continue;
            }
            _ => {
                let end = rest.find(|sign: char| sign.is_ascii_digit() || ".-_+".contains(sign));
                rest.split_at(end.unwrap_or(rest.len()))
            }
        };
        found.push(part);
        rest = after;
    }
    found
}

fn part(one: &str, other: &str) -> Ordering {
    let order = rank(one).cmp(&rank(other));
    order.then_with(|| if rank(one) == NUMBER { super::numbers(one, other) } else { Ordering::Equal })
}

const NUMBER: u8 = 6;

fn rank(part: &str) -> u8 {
    match part.to_ascii_lowercase().as_str() {
        number if number.starts_with(|sign: char| sign.is_ascii_digit()) => NUMBER,
        "dev" => 1,
        "a" | "alpha" => 2,
        "b" | "beta" => 3,
        "rc" | "c" => 4,
        END => 5,
        "pl" | "p" | "patch" => 7,
        _ => 0,
    }
}
