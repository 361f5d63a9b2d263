//! rpm: `[epoch:]version[-release]`, each part as `rpmvercmp` does it.

use std::cmp::Ordering;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (parts(one), parts(other));
    part(one.0, other.0).then_with(|| part(one.1, other.1)).then_with(|| match (one.2, other.2) {
        (Some(one), Some(other)) => part(one, other),
        (one, other) => one.is_some().cmp(&other.is_some()),
    })
}

fn parts(version: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (version, release) = rest.split_once('-').map_or((rest, None), |(version, release)| (version, Some(release)));
    (if epoch.is_empty() { "0" } else { epoch }, version, release)
}

/// In their order when everything before was equal.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tilde,
    End,
    Caret,
    Word,
    Number,
}

fn part(mut one: &str, mut other: &str) -> Ordering {
    loop {
        let (first, second) = (segment(one), segment(other));
        let order = first.0.cmp(&second.0);
        if order.is_ne() || first.0 == Kind::End {
            return order;
        }
        let order = match first.0 {
            Kind::Number => super::numbers(first.1, second.1),
            Kind::Tilde | Kind::End | Kind::Caret | Kind::Word => first.1.cmp(second.1),
        };
        if order.is_ne() {
            return order;
        }
        (one, other) = (first.2, second.2);
    }
}

/// The next segment, and what comes after it. Everything but letters, digits, `~` and `^` separates.
fn segment(text: &str) -> (Kind, &str, &str) {
    let text = text.trim_start_matches(|sign: char| !sign.is_ascii_alphanumeric() && sign != '~' && sign != '^');
    let (kind, (found, rest)) = match text.as_bytes().first() {
        None => (Kind::End, ("", "")),
        Some(b'~') => (Kind::Tilde, text.split_at(1)),
        Some(b'^') => (Kind::Caret, text.split_at(1)),
        Some(digit) if digit.is_ascii_digit() => (Kind::Number, super::digits(text)),
        Some(_) => (Kind::Word, super::letters(text)),
    };
    (kind, found, rest)
}
