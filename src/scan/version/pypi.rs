//! PyPI: PEP 440; what is not of its form is older than all that is, and ordered as setuptools once did.

use std::cmp::Ordering;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    match (Version::parse(&one), Version::parse(&other)) {
        (Some(one), Some(other)) => one.compare(&other),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => legacy(&one).cmp(&legacy(&other)),
    }
}

struct Version<'a> {
    epoch: &'a str,
    release: Vec<&'a str>,
    /// 0 to 2 for a, b, rc.
    pre: Option<(u8, &'a str)>,
    post: Option<&'a str>,
    dev: Option<&'a str>,
    local: Vec<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (public, local) = text.split_once('+').map_or((text, None), |(public, local)| (public, Some(local)));
        let (epoch, mut rest) = match public.split_once('!') {
            Some((epoch, rest)) if !epoch.is_empty() && super::digits(epoch).1.is_empty() => (epoch, rest),
            Some(_) => return None,
            None => ("0", public),
        };
        let mut release = Vec::new();
        loop {
            let (number, after) = super::digits(rest);
            if number.is_empty() {
                return None;
            }
            release.push(number);
            rest = after;
            match after.strip_prefix('.') {
                Some(next) if next.starts_with(|sign: char| sign.is_ascii_digit()) => rest = next,
                Some(_) | None => break,
            }
        }
        let (pre, rest) = pre(rest);
        let (post, rest) = post(rest);
        let (dev, rest) = word(rest, &["dev"]).map_or((None, rest), |(_, number, rest)| (Some(number), rest));
        let local: Vec<&str> = local.map(|local| local.split(['.', '-', '_']).collect()).unwrap_or_default();
        let good = local.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        (rest.is_empty() && good).then_some(Self { epoch, release, pre, post, dev, local })
    }

    fn compare(&self, other: &Self) -> Ordering {
        super::numbers(self.epoch, other.epoch)
            .then_with(|| super::padded(&self.release, &other.release, "0", super::numbers))
            .then_with(|| {
                let ((rank, number), (rank_of_other, number_of_other)) = (self.pre_key(), other.pre_key());
                rank.cmp(&rank_of_other).then_with(|| super::numbers(number, number_of_other))
            })
            .then_with(|| optional(self.post, other.post, Ordering::Less))
            .then_with(|| optional(self.dev, other.dev, Ordering::Greater))
            .then_with(|| locals(&self.local, &other.local))
    }

    /// A development release of the release itself comes before its pre-releases.
    fn pre_key(&self) -> (u8, &'a str) {
        match self.pre {
            Some((kind, number)) => (kind + 1, number),
            None if self.post.is_none() && self.dev.is_some() => (0, ""),
            None => (u8::MAX, ""),
        }
    }
}

/// `missing` is how nothing compares to something.
fn optional(one: Option<&str>, other: Option<&str>, missing: Ordering) -> Ordering {
    match (one, other) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => missing,
        (Some(_), None) => missing.reverse(),
        (Some(one), Some(other)) => super::numbers(one, other),
    }
}

fn locals(one: &[&str], other: &[&str]) -> Ordering {
    let pairs = one.iter().zip(other).map(|(one, other)| {
        let number = |text: &str| super::digits(text).1.is_empty();
        match (number(one), number(other)) {
            (true, true) => super::numbers(one, other),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => one.cmp(other),
        }
    });
    pairs.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| one.len().cmp(&other.len()))
}

fn pre(rest: &str) -> (Option<(u8, &str)>, &str) {
    // Longer words first: `preview` before `pre`, `alpha` before `a`.
    let words = ["alpha", "beta", "preview", "pre", "rc", "a", "b", "c"];
    match word(rest, &words) {
        Some((which, number, after)) => (Some(([0, 1, 2, 2, 2, 0, 1, 2][which], number)), after),
        None => (None, rest),
    }
}

fn post(rest: &str) -> (Option<&str>, &str) {
    if let Some((_, number, after)) = word(rest, &["post", "rev", "r"]) {
        return (Some(number), after);
    }
    // `1.0-1`
    match rest.strip_prefix('-').map(super::digits) {
        Some((number, after)) if !number.is_empty() => (Some(number), after),
        Some(_) | None => (None, rest),
    }
}

/// An optional separator, one of the words, an optional separator, an optional number.
fn word<'a>(rest: &'a str, words: &[&str]) -> Option<(usize, &'a str, &'a str)> {
    let text = rest.strip_prefix(['.', '-', '_']).unwrap_or(rest);
    let which = words.iter().position(|word| text.starts_with(word))?;
    let after = &text[words[which].len()..];
    let (number, behind) = super::digits(after.strip_prefix(['.', '-', '_']).unwrap_or(after));
    Some(if number.is_empty() { (which, "0", after) } else { (which, number, behind) })
}

/// The key of setuptools' old order.
fn legacy(version: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in legacy_parts(version) {
        if part.starts_with('*') {
            if part.as_str() < "*final" {
                while parts.last().is_some_and(|last| last == "*final-") {
                    parts.pop();
                }
            }
            while parts.last().is_some_and(|last| last.bytes().all(|byte| byte == b'0')) {
                parts.pop();
            }
        }
        parts.push(part);
    }
    parts
}

fn legacy_parts(version: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let (part, after) = match first {
            '0'..='9' => super::digits(rest),
            'a'..='z' => super::letters(rest),
            other => rest.split_at(other.len_utf8()),
        };
        rest = after;
        found.push(match part {
            "." => continue,
            "pre" | "preview" | "rc" => "*c".to_owned(),
            "-" => "*final-".to_owned(),
            "dev" => "*@".to_owned(),
            number if first.is_ascii_digit() => format!("{number:0>8}"),
            word => format!("*{word}"),
        });
    }
    found.push("*final".to_owned());
    found
}
