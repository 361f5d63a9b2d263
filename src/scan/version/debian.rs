//! dpkg: `[epoch:]upstream[-revision]`, each part by the order of deb-version(7).

use std::cmp::Ordering;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (parts(one), parts(other));
    part(one.0, other.0).then_with(|| part(one.1, other.1)).then_with(|| part(one.2, other.2))
}

fn parts(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    (epoch, upstream, revision)
}

/// Alternately the parts without digits and the numbers.
fn part(mut one: &str, mut other: &str) -> Ordering {
    while !one.is_empty() || !other.is_empty() {
        let (words, rests) = (words(one), words(other));
        let order = word(words.0, rests.0);
        if order.is_ne() {
            return order;
        }
        let (numbers, others) = (super::digits(words.1), super::digits(rests.1));
        let order = super::numbers(numbers.0, others.0);
        if order.is_ne() {
            return order;
        }
        (one, other) = (numbers.1, others.1);
    }
    Ordering::Equal
}

fn words(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(|byte| !byte.is_ascii_digit()).count())
}

fn word(one: &str, other: &str) -> Ordering {
    let (one, other): (Vec<u16>, Vec<u16>) = (one.bytes().map(rank).collect(), other.bytes().map(rank).collect());
    super::padded(&one, &other, END, |one, other| one.cmp(&other))
}

const END: u16 = 1;

/// A tilde comes before the end, letters before everything else.
fn rank(byte: u8) -> u16 {
    match byte {
        b'~' => 0,
        letter if letter.is_ascii_alphabetic() => END + u16::from(letter),
        other => END + 256 + u16::from(other),
    }
}
