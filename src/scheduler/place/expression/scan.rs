//! Cuts the text of an expression into words, signs and patterns.
//!
//! Why the parser says what it expects: a pattern may hold every sign of the language, so only its place tells it apart.

use super::BadExpression;

/// Signs, longest first. `!in` and `!exists` are words behind a sign.
const SIGNS: [&str; 16] =
    ["!exists", "!in", "==", "=~", "!=", "!~", ">=", "<=", "&&", "||", "(", ")", "[", "]", ",", "!"];
const SHORT_SIGNS: [&str; 2] = [">", "<"];
/// What ends a bare word beside white space.
const STOPS: &str = "()[],\"'=!<>~&|";

/// One piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A sign of the language, as it is written.
    Sign(&'static str),
    /// A bare word.
    Word(String),
    /// What stood in quotes.
    Quoted(String),
}

/// Where the parser is.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Where the token that was read last begins.
    last: usize,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, last: 0 }
    }

    fn skip_space(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    /// The next token, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, BadExpression> {
        let rest = self.skip_space();
        self.last = self.at;
        let Some(first) = rest.chars().next() else { return Ok(None) };
        if first == '"' || first == '\'' {
            return self.quoted(rest, first).map(Some);
        }
        let is_whole = |sign: &&&str| {
            let behind = &rest[sign.len()..];
            // `!increment` is no `!in`.
            !sign.ends_with(|c: char| c.is_ascii_alphabetic()) || ends_word(behind)
        };
        let signs = SIGNS.iter().chain(&SHORT_SIGNS);
        if let Some(sign) = signs.filter(|sign| rest.starts_with(**sign)).find(is_whole) {
            self.at += sign.len();
            return Ok(Some(Token::Sign(sign)));
        }
        let end = rest.find(is_stop).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.unexpected(first.to_string()));
        }
        self.at += end;
        Ok(Some(Token::Word(rest[..end].to_owned())))
    }

    /// The next token, which stays.
    pub(super) fn peek(&mut self) -> Result<Option<Token>, BadExpression> {
        let before = self.at;
        let token = self.next();
        self.at = before;
        token
    }

    /// A pattern: quoted, or bare up to white space or to a bracket that it did not open.
    pub(super) fn pattern(&mut self) -> Result<Option<String>, BadExpression> {
        let rest = self.skip_space();
        if let Some(quote) = rest.chars().next().filter(|first| matches!(first, '"' | '\'')) {
            return match self.quoted(rest, quote)? {
                Token::Quoted(text) | Token::Word(text) => Ok(Some(text)),
                Token::Sign(_) => Ok(None),
            };
        }
        let end = bare_pattern_length(rest);
        self.at += end;
        Ok((end > 0).then(|| rest[..end].to_owned()))
    }

    fn quoted(&mut self, rest: &str, quote: char) -> Result<Token, BadExpression> {
        let inside = &rest[1..];
        let end = inside.find(quote).ok_or_else(|| BadExpression::Unfinished(rest.to_owned()))?;
        self.at += end + 2;
        Ok(Token::Quoted(inside[..end].to_owned()))
    }

    /// The error for what was just read.
    pub(super) fn unexpected(&self, found: String) -> BadExpression {
        BadExpression::Unexpected { found, at: self.text[..self.last].chars().count() + 1 }
    }

    pub(super) fn unfinished(&self) -> BadExpression {
        BadExpression::Unfinished(self.text.to_owned())
    }
}

fn is_stop(c: char) -> bool {
    c.is_whitespace() || STOPS.contains(c)
}

fn ends_word(behind: &str) -> bool {
    behind.chars().next().is_none_or(is_stop)
}

fn bare_pattern_length(rest: &str) -> usize {
    let mut open = 0_usize;
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            c if c.is_whitespace() => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => open += 1,
            ')' if open == 0 => return at,
            ')' => open -= 1,
            _ => {}
        }
    }
    rest.len()
}
