//! The cluster query language, as far as it is carried out: clauses about attributes, joined by `and`.
//!
//! `attribute:NAME == VALUE`, `!=`, `in [A, B]`, `!in [A, B]`, `exists`, `!exists`. Everything else of the language is
//! refused by name, never ignored.

use cove_model::task_definition::Attribute;

/// An expression that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Clause {
    attribute: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// An expression that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadExpression {
    #[error("Invalid expression: `{0}`")]
    Syntax(String),
    #[error(
        "`{0}` in a memberOf expression is not supported yet; attribute:NAME with ==, !=, in, !in, exists, !exists and `and` are"
    )]
    Unsupported(String),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it is no expression, or uses parts of the language that are not carried out.
    pub fn parse(text: &str) -> Result<Self, BadExpression> {
        let tokens = tokens(text)?;
        let clauses = tokens.split(|token| matches!(token.as_str(), "and" | "&&"));
        Ok(Self { clauses: clauses.map(|clause| self::clause(clause, text)).collect::<Result<_, _>>()? })
    }

    /// Whether it is true of an instance with these attributes.
    #[must_use]
    pub fn matches(&self, attributes: &[Attribute]) -> bool {
        self.clauses.iter().all(|clause| clause.matches(attributes))
    }
}

impl Clause {
    fn matches(&self, attributes: &[Attribute]) -> bool {
        let own = attributes.iter().find(|attribute| attribute.name.as_deref() == Some(&*self.attribute));
        let value = own.map(|attribute| attribute.value.as_deref().unwrap_or(""));
        let among = |values: &[String]| value.is_some_and(|value| values.iter().any(|one| one == value));
        match &self.test {
            Test::Exists => own.is_some(),
            Test::Absent => own.is_none(),
            Test::In(values) => among(values),
            Test::NotIn(values) => !among(values),
        }
    }
}

fn clause(tokens: &[String], text: &str) -> Result<Clause, BadExpression> {
    let syntax = || BadExpression::Syntax(text.to_owned());
    let (subject, rest) = tokens.split_first().ok_or_else(syntax)?;
    let attribute = match subject.strip_prefix("attribute:") {
        Some(name) if !name.is_empty() => name.to_owned(),
        Some(_) => return Err(syntax()),
        None => return Err(BadExpression::Unsupported(subject.clone())),
    };
    let (operator, argument) = rest.split_first().ok_or_else(syntax)?;
    let test = match operator.as_str() {
        "exists" if argument.is_empty() => Test::Exists,
        "!exists" | "not_exists" if argument.is_empty() => Test::Absent,
        "==" | "equals" => Test::In(vec![single(argument).ok_or_else(syntax)?]),
        "!=" | "not_equals" => Test::NotIn(vec![single(argument).ok_or_else(syntax)?]),
        "in" => Test::In(list(argument).ok_or_else(syntax)?),
        "!in" | "not_in" => Test::NotIn(list(argument).ok_or_else(syntax)?),
        "exists" | "!exists" | "not_exists" => return Err(syntax()),
        other => return Err(BadExpression::Unsupported(other.to_owned())),
    };
    Ok(Clause { attribute, test })
}

fn single(argument: &[String]) -> Option<String> {
    let [value] = argument else { return None };
    (!matches!(value.as_str(), "[" | "]" | ",")).then(|| unquoted(value))
}

fn list(argument: &[String]) -> Option<Vec<String>> {
    let [open, items @ .., close] = argument else { return None };
    (open == "[" && close == "]").then_some(())?;
    items.split(|token| token == ",").map(single).collect()
}

fn unquoted(text: &str) -> String {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).to_owned()
}

/// Words, quoted strings (with their quotes), brackets, commas.
fn tokens(text: &str) -> Result<Vec<String>, BadExpression> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '[' | ']' | ',' => 1,
            '(' | ')' => return Err(BadExpression::Unsupported(first.to_string())),
            '"' => match rest[1..].find('"') {
                Some(end) => end + 2,
                None => return Err(BadExpression::Syntax(text.to_owned())),
            },
            _ => rest.find(|c: char| c.is_whitespace() || "[](),\"".contains(c)).unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at(length);
        if matches!(token, "or" | "||" | "not" | "!") {
            return Err(BadExpression::Unsupported(token.to_owned()));
        }
        tokens.push(token.to_owned());
        rest = behind.trim_start();
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Vec<Attribute> {
        let attribute = |name: &str, value: &str| Attribute {
            name: Some(name.to_owned()),
            value: Some(value.to_owned()),
            ..Attribute::default()
        };
        vec![attribute("ecs.os-type", "linux"), attribute("rack", "r 1")]
    }

    #[test]
    fn clauses_about_attributes_are_carried_out() {
        let cases = [
            ("attribute:ecs.os-type == linux", true),
            ("attribute:ecs.os-type != linux", false),
            ("attribute:rack in [\"r 1\", r2]", true),
            ("attribute:rack !in [r1,r2]", true),
            ("attribute:gpu exists", false),
            ("attribute:gpu !exists and attribute:rack exists", true),
        ];
        for (text, expected) in cases {
            let expression = Expression::parse(text).unwrap();
            assert_eq!(expression.matches(&attributes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_carried_out_is_refused_by_name() {
        for (text, part) in [
            ("task:group == service:web", "task:group"),
            ("attribute:rack =~ r.*", "=~"),
            ("(attribute:rack exists)", "("),
            ("runningTasksCount >= 1", "runningTasksCount"),
        ] {
            assert_eq!(Expression::parse(text), Err(BadExpression::Unsupported(part.to_owned())), "{text}");
        }
        for text in
            ["", "attribute:", "attribute:a ==", "attribute:a in [", "attribute:a == \"open", "attribute:a exists b"]
        {
            assert!(matches!(Expression::parse(text), Err(BadExpression::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn fuzz_expression() {
        let tokens: [&[u8]; 12] = [
            b"attribute:",
            b" == ",
            b" in [",
            b"]",
            b",",
            b"\"",
            b" and ",
            b" exists",
            b"!in",
            b"(",
            b" not ",
            "\u{3000}".as_bytes(),
        ];
        cove_fuzz::Fuzz::new("expression").tokens(&tokens).run(|input| {
            match Expression::parse(&String::from_utf8_lossy(input)) {
                Ok(expression) => format!("{} {}", expression.clauses.len().min(3), expression.matches(&attributes())),
                Err(BadExpression::Syntax(_)) => "syntax".to_owned(),
                Err(BadExpression::Unsupported(part)) => format!("unsupported {}", part.len().min(3)),
            }
        });
    }
}
