//! apk (version 3): `number{.number}[letter]{_suffix[number]}[~hash][-rNUMBER]`.
//!
//! Tokens are compared from the left. At the first difference of kind the one that goes on is newer, unless it goes on with
//! a suffix of a pre-release. What is no version from some place on is older than what ends there.

use std::cmp::Ordering;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    First(&'a str),
    Number(&'a str),
    Letter(u8),
    Suffix(usize),
    SuffixNumber(&'a str),
    Hash(&'a str),
    Revision(&'a str),
    End,
    /// All that is left.
    Invalid(&'a str),
}

/// Those before the fifth mark what comes before a release.
const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];
const PRE_RELEASES: usize = 4;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (Tokens { rest: one, last: None }, Tokens { rest: other, last: None });
    loop {
        let (token, against) = (one.next(), other.next());
        let order = rank(token).cmp(&rank(against)).then_with(|| same_kind(token, against));
        if order.is_ne() || matches!(token, Token::End | Token::Invalid(_)) {
            return order;
        }
    }
}

fn rank(token: Token) -> u8 {
    match token {
        Token::Suffix(suffix) if suffix < PRE_RELEASES => 0,
        Token::Invalid(_) => 1,
        Token::End => 2,
        Token::Revision(_) => 3,
        Token::Hash(_) => 4,
        Token::SuffixNumber(_) => 5,
        Token::Suffix(_) => 6,
        Token::Letter(_) => 7,
        Token::Number(_) => 8,
        Token::First(_) => 9,
    }
}

fn same_kind(one: Token, other: Token) -> Ordering {
    use Token as T;
    match (one, other) {
        // As in Gentoo, a leading zero makes decimals of them.
        (T::Number(one), T::Number(other)) if one.starts_with('0') || other.starts_with('0') => one.cmp(other),
        (T::First(one), T::First(other))
        | (T::Number(one), T::Number(other))
        | (T::SuffixNumber(one), T::SuffixNumber(other))
        | (T::Revision(one), T::Revision(other)) => super::numbers(one, other),
        (T::Letter(one), T::Letter(other)) => one.cmp(&other),
        (T::Suffix(one), T::Suffix(other)) => one.cmp(&other),
        (T::Hash(one), T::Hash(other)) => one.cmp(other),
        (T::Invalid(one), T::Invalid(other)) => invalid(one).cmp(invalid(other)),
        (_, _) => Ordering::Equal,
    }
}

/// As text; behind a wrong hyphen all are equal.
fn invalid(rest: &str) -> &str {
    if rest.starts_with('-') { "-" } else { rest }
}

struct Tokens<'a> {
    rest: &'a str,
    last: Option<Token<'a>>,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Token<'a> {
        let (token, rest) = self.parse().unwrap_or((Token::Invalid(self.rest), ""));
        (self.last, self.rest) = (Some(token), rest);
        token
    }

    fn parse(&self) -> Option<(Token<'a>, &'a str)> {
        use Token as T;
        let rest = self.rest;
        let Some(last) = self.last else {
            let (number, rest) = super::digits(rest);
            return (!number.is_empty()).then_some((T::First(number), rest));
        };
        let Some(&first) = rest.as_bytes().first() else { return Some((T::End, "")) };
        let in_numbers = matches!(last, T::First(_) | T::Number(_));
        let before_hash = in_numbers || matches!(last, T::Letter(_) | T::Suffix(_) | T::SuffixNumber(_));
        match first {
            b'a'..=b'z' if in_numbers => Some((T::Letter(first), &rest[1..])),
            b'.' if in_numbers => {
                let (number, rest) = super::digits(&rest[1..]);
                (!number.is_empty()).then_some((T::Number(number), rest))
            }
            b'0'..=b'9' if matches!(last, T::Suffix(_)) => {
                let (number, rest) = super::digits(rest);
                Some((T::SuffixNumber(number), rest))
            }
            b'_' if before_hash => {
                let (word, rest) = super::letters(&rest[1..]);
                SUFFIXES.iter().position(|suffix| *suffix == word).map(|at| (T::Suffix(at), rest))
            }
            b'~' if before_hash => {
                let hex = rest[1..].bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
                (hex > 0).then(|| (T::Hash(&rest[1..=hex]), &rest[1 + hex..]))
            }
            b'-' if before_hash || matches!(last, T::Hash(_)) => {
                let (number, rest) = super::digits(rest.strip_prefix("-r")?);
                (rest.is_empty() || rest.starts_with('-')).then_some((T::Revision(number), rest))
            }
            _ => None,
        }
    }
}
