//! The profile as text, read into a table for one architecture and one set of capabilities.

use std::collections::{BTreeMap, HashMap};

use crate::capability::{self, Capabilities};

const RULES: &str = include_str!("profile.txt");
const NUMBERS: &str = include_str!("numbers.txt");

/// Whose numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    I386,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    Errno(u16),
}

/// A test of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u32,
    pub(super) comparison: Comparison,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal(u64),
    NotEqual(u64),
    MaskedEqual { mask: u64, value: u64 },
}

/// What the profile says of one call: always the same, or the first condition that holds; else the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Always(Verdict),
    When(Vec<(Condition, Verdict)>),
}

/// Number → action, for those calls that the profile names.
pub(super) fn actions(held: Capabilities, architecture: Architecture) -> BTreeMap<u32, Action> {
    let numbers = numbers(architecture);
    let mut table: BTreeMap<u32, Action> = BTreeMap::new();
    for line in lines(RULES) {
        let (rule, names) = line.split_once(": ").expect("each line of the profile has names");
        let Some((verdict, condition)) = applies(rule, held, architecture) else { continue };
        for number in names.split(' ').filter_map(|name| numbers.get(name)) {
            add(&mut table, *number, verdict, condition);
        }
    }
    table
}

/// An unconditional rule wins over conditional ones, whatever their order.
fn add(table: &mut BTreeMap<u32, Action>, number: u32, verdict: Verdict, condition: Option<Condition>) {
    match condition {
        None => {
            table.insert(number, Action::Always(verdict));
        }
        Some(condition) => match table.entry(number).or_insert_with(|| Action::When(Vec::new())) {
            Action::When(list) => list.push((condition, verdict)),
            Action::Always(_) => {}
        },
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn numbers(architecture: Architecture) -> HashMap<&'static str, u32> {
    let column = match architecture {
        Architecture::X86_64 => 1,
        Architecture::I386 => 2,
    };
    let entry = |line: &'static str| {
        let name = line.split(' ').next()?;
        Some((name, line.split(' ').nth(column)?.parse().ok()?))
    };
    lines(NUMBERS).filter_map(entry).collect()
}

/// Reads the words in front of the names; `None` when the rule is not for this container.
fn applies(rule: &str, held: Capabilities, architecture: Architecture) -> Option<(Verdict, Option<Condition>)> {
    let mut words = rule.split(' ');
    let verdict = match words.next().expect("a rule begins with its verdict") {
        "allow" => Verdict::Allow,
        "errno" => Verdict::Errno(number(words.next()).try_into().expect("an errno is small")),
        other => unreachable!("the profile has no verdict {other}"),
    };
    let (mut condition, mut wanted) = (None, true);
    while let Some(word) = words.next() {
        match word {
            "if" => condition = Some(read_condition(&mut words)),
            "with" => wanted &= held.has(named(words.next())),
            "without" => wanted &= !held.has(named(words.next())),
            "only" => wanted &= words.next() != Some("x86_64") || architecture == Architecture::X86_64,
            other => unreachable!("the profile has no word {other}"),
        }
    }
    wanted.then_some((verdict, condition))
}

fn read_condition<'a>(words: &mut impl Iterator<Item = &'a str>) -> Condition {
    let argument = words.next().and_then(|word| word.strip_prefix("arg")?.parse().ok());
    let argument = argument.expect("a condition begins with argN");
    let operator = words.next().expect("a condition has an operator");
    let first = number(words.next());
    let comparison = match operator {
        "==" => Comparison::Equal(first),
        "!=" => Comparison::NotEqual(first),
        "&" => {
            assert_eq!(words.next(), Some("=="), "a mask is followed by ==");
            Comparison::MaskedEqual { mask: first, value: number(words.next()) }
        }
        other => unreachable!("the profile has no operator {other}"),
    };
    Condition { argument, comparison }
}

fn named(word: Option<&str>) -> u8 {
    word.and_then(capability::number).expect("the profile names capabilities that exist")
}

fn number(word: Option<&str>) -> u64 {
    let word = word.expect("a number follows");
    let parsed = word.strip_prefix("0x").map_or_else(|| word.parse(), |hex| u64::from_str_radix(hex, 16));
    parsed.expect("the profile's numbers are numbers")
}
