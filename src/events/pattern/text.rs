//! Filters on texts.

use serde_json::Value;

use super::BadPattern;

/// What a text must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TextFilter {
    Prefix(String, Case),
    Suffix(String, Case),
    EqualsIgnoreCase(String),
    /// The fixed parts between stars, in order; the first and last are at the ends.
    Wildcard(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Counts,
    Ignored,
}

impl TextFilter {
    pub(super) fn parse(name: &str, value: &Value) -> Result<Self, BadPattern> {
        let (text, case) = match value {
            Value::String(text) => (text.clone(), Case::Counts),
            Value::Object(inner) if matches!(name, "prefix" | "suffix") => {
                let text = inner.get("equals-ignore-case").filter(|_| inner.len() == 1).and_then(Value::as_str);
                let text =
                    text.ok_or_else(|| BadPattern::new(format!("{name} takes a text, or equals-ignore-case")))?;
                (text.to_lowercase(), Case::Ignored)
            }
            _ => return Err(BadPattern::new(format!("{name} match pattern must be a string"))),
        };
        match name {
            "prefix" => Ok(Self::Prefix(text, case)),
            "suffix" => Ok(Self::Suffix(text, case)),
            "equals-ignore-case" => Ok(Self::EqualsIgnoreCase(text.to_lowercase())),
            "wildcard" => wildcard(&text).map(Self::Wildcard),
            other => Err(BadPattern::new(format!("Unrecognized match type {other}"))),
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Prefix(start, Case::Counts) => text.starts_with(start.as_str()),
            Self::Prefix(start, Case::Ignored) => text.to_lowercase().starts_with(start.as_str()),
            Self::Suffix(end, Case::Counts) => text.ends_with(end.as_str()),
            Self::Suffix(end, Case::Ignored) => text.to_lowercase().ends_with(end.as_str()),
            Self::EqualsIgnoreCase(wanted) => text.to_lowercase() == *wanted,
            Self::Wildcard(parts) => fits(parts, text),
        }
    }
}

/// A backslash takes a star or a backslash its meaning.
fn wildcard(text: &str) -> Result<Vec<String>, BadPattern> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let part = parts.last_mut().expect("there is a first part");
        match char {
            '*' if chars.peek() == Some(&'*') => {
                return Err(BadPattern::new("Consecutive wildcard characters are not allowed"));
            }
            '*' => parts.push(String::new()),
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '\\')) => part.push(escaped),
                _ => return Err(BadPattern::new("Invalid escape character in wildcard")),
            },
            other => part.push(other),
        }
    }
    Ok(parts)
}

/// The parts between stars are looked for from left to right, each as early as it can be: later is never better.
fn fits(parts: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = parts else { return parts.first().is_none_or(|only| only == text) };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
    for part in middle {
        match rest.find(part.as_str()) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}
