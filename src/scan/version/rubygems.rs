//! RubyGems: runs of digits and letters; words come before numbers, and so make pre-releases.

use std::cmp::Ordering;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    super::padded(&segments(one), &segments(other), "0", segment)
}

/// Zeros at the end of the numbers and of the rest do not count. A hyphen is `.pre.`.
fn segments(version: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let mut words = false;
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let (segment, after) = match first {
            '0'..='9' => super::digits(rest),
            'a'..='z' | 'A'..='Z' => super::letters(rest),
            '-' => ("pre", &rest[1..]),
            other => {
                rest = &rest[other.len_utf8()..];
                continue;
            }
        };
        if !words && !is_number(segment) {
            drop_zeros(&mut found);
            words = true;
        }
        found.push(segment);
        rest = after;
    }
    drop_zeros(&mut found);
    found
}

fn drop_zeros(segments: &mut Vec<&str>) {
    while segments.last().is_some_and(|last| last.bytes().all(|byte| byte == b'0')) {
        segments.pop();
    }
}

fn is_number(segment: &str) -> bool {
    segment.starts_with(|sign: char| sign.is_ascii_digit())
}

fn segment(one: &str, other: &str) -> Ordering {
    match (is_number(one), is_number(other)) {
        (true, true) => super::numbers(one, other),
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => one.cmp(other),
    }
}
