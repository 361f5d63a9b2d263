//! Maven: the order that its POM reference describes.
//!
//! A version is cut at dots, hyphens and between digits and letters (as at a hyphen); `0`, ``, `final` and `ga` at the end
//! of what stands before a hyphen do not count; the shorter one is filled up with such nothings.

use std::cmp::Ordering;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token<'a> {
    hyphen: bool,
    text: &'a str,
}

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let (one, other) = (tokens(&one), tokens(&other));
    for at in 0..one.len().max(other.len()) {
        let order = match (one.get(at), other.get(at)) {
            (Some(one), Some(other)) => token(*one, *other),
            (Some(one), None) => token(*one, nothing_like(*one)),
            (None, Some(other)) => token(nothing_like(*other), *other),
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// What a shorter version is filled up with.
fn nothing_like(token: Token) -> Token<'static> {
    Token { hyphen: token.hyphen, text: if is_number(token.text) { "0" } else { "" } }
}

fn tokens(version: &str) -> Vec<Token<'_>> {
    let mut found: Vec<Token> = Vec::new();
    let mut hyphen = false;
    for (at, part) in version.split_inclusive(['.', '-']).enumerate() {
        let text = part.trim_end_matches(['.', '-']);
        hyphen = at > 0 && hyphen;
        push(&mut found, text, hyphen);
        hyphen = part.ends_with('-');
    }
    trim(found)
}

/// Cuts one part between digits and letters.
fn push<'a>(found: &mut Vec<Token<'a>>, part: &'a str, mut hyphen: bool) {
    if part.is_empty() {
        found.push(Token { hyphen, text: "0" });
    }
    let mut rest = part;
    while !rest.is_empty() {
        let (mut text, mut after) = super::digits(rest);
        if text.is_empty() {
            (text, after) = rest.split_at(rest.bytes().take_while(|byte| !byte.is_ascii_digit()).count());
            // Short forms count when a number follows at once.
            if !after.is_empty() {
                text = match text {
                    "a" => "alpha",
                    "b" => "beta",
                    "m" => "milestone",
                    other => other,
                };
            }
        }
        found.push(Token { hyphen, text });
        (rest, hyphen) = (after, true);
    }
}

/// Takes away what says nothing before each hyphen and at the end.
fn trim(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if token.hyphen {
            drop_nothings(&mut kept);
        }
        kept.push(token);
    }
    drop_nothings(&mut kept);
    kept
}

/// The first token stays whatever it is.
fn drop_nothings(tokens: &mut Vec<Token>) {
    while tokens.len() > 1 && tokens.last().is_some_and(|last| is_nothing(last.text)) {
        tokens.pop();
    }
}

fn is_nothing(text: &str) -> bool {
    matches!(text, "final" | "ga" | "release") || text.bytes().all(|byte| byte == b'0')
}

fn is_number(text: &str) -> bool {
    text.starts_with(|sign: char| sign.is_ascii_digit())
}

fn token(one: Token, other: Token) -> Ordering {
    match (is_number(one.text), is_number(other.text)) {
        // `-1` is older than `.1`.
        (true, true) => other.hyphen.cmp(&one.hyphen).then_with(|| super::numbers(one.text, other.text)),
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let (rank, rank_of_other) = (qualifier(one.text), qualifier(other.text));
            let by_text = || if rank == UNKNOWN { one.text.cmp(other.text) } else { Ordering::Equal };
            // `.rc` is older than `-rc`.
            one.hyphen.cmp(&other.hyphen).then(rank.cmp(&rank_of_other)).then_with(by_text)
        }
    }
}

const UNKNOWN: u8 = 7;

fn qualifier(text: &str) -> u8 {
    match text {
        "alpha" => 0,
        "beta" => 1,
        "milestone" => 2,
        "rc" | "cr" => 3,
        "snapshot" => 4,
        "" | "final" | "ga" | "release" => 5,
        "sp" => 6,
        _ => UNKNOWN,
    }
}
