//! Filter patterns of FilterLogEvents: terms, phrases, `?any`, `-not`, and JSON conditions.
//!
//! In: the pattern's text. Out: whether a message matches. Holds: no pattern makes the work more than linear in the
//! message times the pattern; nesting is bounded. What is not understood is refused, never ignored.
//!
//! ```text
//! ERROR "two words" -DEBUG        all of these and none of those
//! ?ERROR ?WARN                    any of these
//! { $.level = "error" && ($.code >= 500 || $.path = "/api*") }
//! ```

use cove_model::wildcard;
use serde_json::Value;

use super::error::LogsError;

/// AWS's longest pattern.
const PATTERN_BYTES_MAX: usize = 1024;
/// Parentheses within parentheses.
const DEPTH_MAX: usize = 16;

/// A pattern, read.
#[derive(Debug, PartialEq)]
pub(super) enum Pattern {
    Everything,
    Terms { all: Vec<String>, any: Vec<String>, none: Vec<String> },
    Json(Condition),
}

/// A condition on a JSON message.
#[derive(Debug, PartialEq)]
pub(super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Text { path: Vec<Step>, equal: bool, wanted: String },
    Number { path: Vec<Step>, compare: Compare, wanted: f64 },
    Is { path: Vec<Step>, wanted: Literal },
    Exists { path: Vec<Step>, exists: bool },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Literal {
    True,
    False,
    Null,
}

#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(text: &str) -> Result<Self, LogsError> {
        let text = text.trim();
        if text.len() > PATTERN_BYTES_MAX {
            return Err(bad("it is longer than 1024 characters"));
        }
        if text.is_empty() || text == "\"\"" {
            return Ok(Self::Everything);
        }
        if let Some(inner) = text.strip_prefix('{') {
            let inner = inner.strip_suffix('}').ok_or_else(|| bad("`}` is missing"))?;
            let mut parser = Parser { rest: inner.trim(), depth: 0 };
            let condition = parser.any()?;
            return if parser.rest.is_empty() {
                Ok(Self::Json(condition))
            } else {
                Err(bad("there is more after the condition"))
            };
        }
        if text.starts_with('[') {
            return Err(bad("column patterns are not supported"));
        }
        if text.starts_with('%') {
            return Err(bad("regular expressions are not supported"));
        }
        terms(text)
    }

    /// Whether the message is wanted.
    pub(super) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Terms { all, any, none } => {
                let has = |term: &String| message.contains(term.as_str());
                all.iter().all(has) && (any.is_empty() || any.iter().any(has)) && !none.iter().any(has)
            }
            Self::Json(condition) => {
                // Cheap first: most lines are no JSON.
                message.trim_start().starts_with(['{', '['])
                    && serde_json::from_str(message).is_ok_and(|value| condition.holds(&value))
            }
        }
    }
}

fn terms(text: &str) -> Result<Pattern, LogsError> {
    let (mut all, mut any, mut none) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = text;
    while !rest.is_empty() {
        let (list, after): (&mut Vec<String>, &str) = match rest.as_bytes()[0] {
            b'?' => (&mut any, &rest[1..]),
            b'-' => (&mut none, &rest[1..]),
            _ => (&mut all, rest),
        };
        let (term, after) = if after.starts_with('"') {
            quoted(after)?
        } else {
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        };
        if term.is_empty() {
            return Err(bad("a term is empty"));
        }
        list.push(term);
        rest = after.trim_start();
    }
    // AWS: with other terms beside them, optional ones do not narrow the result.
    if !all.is_empty() {
        any.clear();
    }
    Ok(Pattern::Terms { all, any, none })
}

/// A string in quotes and what follows it.
fn quoted(text: &str) -> Result<(String, &str), LogsError> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((out, &text[at + 1..])),
            '\\' => out.extend(chars.next().map(|(_, char)| char)),
            _ => out.push(char),
        }
    }
    Err(bad("a quote is not closed"))
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Condition, LogsError> {
        let mut parts = vec![self.all()?];
        while self.eat("||") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Condition::Or(parts) })
    }

    fn all(&mut self) -> Result<Condition, LogsError> {
        let mut parts = vec![self.one()?];
        while self.eat("&&") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Condition::And(parts) })
    }

    fn one(&mut self) -> Result<Condition, LogsError> {
        if self.eat("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(bad("it is nested too deeply"));
            }
            let inner = self.any()?;
            self.depth -= 1;
            return if self.eat(")") { Ok(inner) } else { Err(bad("`)` is missing")) };
        }
        let path = self.path()?;
        if self.eat("NOT EXISTS") {
            return Ok(Condition::Exists { path, exists: false });
        }
        if self.eat("EXISTS") {
            return Ok(Condition::Exists { path, exists: true });
        }
        if self.eat("IS") {
            let known = [("TRUE", Literal::True), ("FALSE", Literal::False), ("NULL", Literal::Null)];
            let found = known.into_iter().find(|(word, _)| self.eat(word));
            let (_, wanted) = found.ok_or_else(|| bad("after IS comes TRUE, FALSE or NULL"))?;
            return Ok(Condition::Is { path, wanted });
        }
        let signs = [
            ("!=", Compare::NotEqual),
            (">=", Compare::GreaterOrEqual),
            ("<=", Compare::LessOrEqual),
            ("=", Compare::Equal),
            (">", Compare::Greater),
            ("<", Compare::Less),
        ];
        let found = signs.into_iter().find(|(sign, _)| self.eat(sign));
        let (_, compare) = found.ok_or_else(|| bad("a comparison is missing"))?;
        self.value(path, compare)
    }

    fn value(&mut self, path: Vec<Step>, compare: Compare) -> Result<Condition, LogsError> {
        if self.rest.starts_with('%') {
            return Err(bad("regular expressions are not supported"));
        }
        let in_quotes = self.rest.starts_with('"');
        let (wanted, after) = if in_quotes {
            quoted(self.rest)?
        } else {
            let end =
                self.rest.find(|c: char| c.is_whitespace() || matches!(c, ')' | '&' | '|')).unwrap_or(self.rest.len());
            (self.rest[..end].to_owned(), &self.rest[end..])
        };
        self.rest = after.trim_start();
        if wanted.is_empty() && !in_quotes {
            return Err(bad("a value is missing"));
        }
        let number = wanted.parse::<f64>().ok().filter(|number| !in_quotes && number.is_finite());
        match (number, compare) {
            (Some(wanted), _) => Ok(Condition::Number { path, compare, wanted }),
            (None, Compare::Equal | Compare::NotEqual) => {
                Ok(Condition::Text { path, equal: compare == Compare::Equal, wanted })
            }
            (None, Compare::Less | Compare::LessOrEqual | Compare::Greater | Compare::GreaterOrEqual) => {
                Err(bad("only numbers can be less or greater"))
            }
        }
    }

    /// `$`, `$.key.other`, `$.list[0]`, `$['key']`.
    fn path(&mut self) -> Result<Vec<Step>, LogsError> {
        let mut rest = self.rest.strip_prefix('$').ok_or_else(|| bad("a selector begins with `$`"))?;
        let mut steps = Vec::new();
        loop {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-')).unwrap_or(after.len());
                if end == 0 {
                    return Err(bad("a selector has an empty part"));
                }
                steps.push(Step::Key(after[..end].to_owned()));
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix('[') {
                let (inside, after) = after.split_once(']').ok_or_else(|| bad("`]` is missing"))?;
                let key = inside.strip_prefix('\'').and_then(|key| key.strip_suffix('\''));
                let key = key.or_else(|| inside.strip_prefix('"').and_then(|key| key.strip_suffix('"')));
                steps.push(match key {
                    Some(key) => Step::Key(key.to_owned()),
                    None => Step::Index(inside.parse().map_err(|_| bad("an index is no number"))?),
                });
                rest = after;
            } else {
                self.rest = rest.trim_start();
                return Ok(steps);
            }
        }
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        if found {
            self.rest = self.rest[word.len()..].trim_start();
        }
        found
    }
}

impl Condition {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.holds(value)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(value)),
            Self::Exists { path, exists } => find(value, path).is_some() == *exists,
            Self::Is { path, wanted } => find(value, path).is_some_and(|found| match wanted {
                Literal::True => found == &Value::Bool(true),
                Literal::False => found == &Value::Bool(false),
                Literal::Null => found.is_null(),
            }),
            Self::Text { path, equal, wanted } => find(value, path).is_some_and(|found| {
                let same = match found {
                    Value::String(text) => wildcard::matches(wanted, text),
                    Value::Number(number) => wildcard::matches(wanted, &number.to_string()),
                    Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
                };
                same == *equal
            }),
            Self::Number { path, compare, wanted } => {
                let found = find(value, path).and_then(|found| match found {
                    Value::Number(number) => number.as_f64(),
                    Value::String(text) => text.parse().ok(),
                    Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
                });
                found.is_some_and(|found| match compare {
                    Compare::Equal => found == *wanted,
                    Compare::NotEqual => found != *wanted,
                    Compare::Less => found < *wanted,
                    Compare::LessOrEqual => found <= *wanted,
                    Compare::Greater => found > *wanted,
                    Compare::GreaterOrEqual => found >= *wanted,
                })
            }
        }
    }
}

fn find<'v>(value: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

fn bad(why: &str) -> LogsError {
    LogsError::parameter(format!("Invalid filter pattern: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, message: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(message)
    }

    #[test]
    fn terms_phrases_options_and_exclusions_match_as_on_aws() {
        assert!(matches("", "anything"));
        assert!(matches("ERROR", "an ERROR here") && !matches("ERROR", "error"));
        assert!(matches("ERROR \"not found\"", "ERROR: file not found"));
        assert!(!matches("ERROR -EXITING", "ERROR EXITING"));
        assert!(matches("?ERROR ?WARN", "WARN x") && !matches("?ERROR ?WARN", "INFO"));
        assert!(matches("\"a \\\"b\\\"\"", "say a \"b\""));
    }

    #[test]
    fn json_conditions_select_and_compare() {
        let message =
            r#"{"level":"error","code":503,"path":"/api/x","tags":["a"],"ok":true,"none":null,"o":{"k-1":"v"}}"#;
        for pattern in [
            "{ $.level = \"error\" }",
            "{ $.level = err* && $.code >= 500 }",
            "{ ($.code = 1 || $.code = 503) && $.path = \"/api*\" }",
            "{ $.tags[0] = a }",
            "{ $.ok IS TRUE && $.none IS NULL }",
            "{ $.missing NOT EXISTS }",
            "{ $['o']['k-1'] = v }",
            "{ $.o.k-1 != w }",
        ] {
            assert!(matches(pattern, message), "{pattern}");
            assert!(!matches(pattern, "no json"), "{pattern}");
        }
        assert!(!matches("{ $.code < 503 }", message));
        assert!(!matches("{ $.missing = x }", message));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let deep = format!("{{ {} $.a = 1 }}", "(".repeat(40));
        for pattern in [
            "{ $.a = }",
            "{ $.a",
            "[ip, user]",
            "%x%",
            "{ $.a = %4[0-9]{2}% }",
            "\"open",
            "{ a = 1 }",
            "-",
            "{ $.a > x }",
            "{ $.a = 1 } x",
            deep.as_str(),
        ] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
