//! Patterns of `matches`: Java's syntax as far as an automaton without backtracking can carry it out.

use regex::bytes::{Regex, RegexBuilder};

/// What a compiled pattern and the states that it meets may take: an honest one needs a few KiB.
const COMPILED_BYTES_MAX: usize = 256 << 10;
/// Groups within groups of one pattern.
const NESTING_MAX: u32 = 32;

/// A pattern; it matches whole values, as Java's `matches` does.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles it; `None` when it is no pattern, or one that is not carried out. Classes such as `\w` and `(?i)` are
    /// ASCII's, as in Java without flags.
    pub(super) fn new(text: &str) -> Option<Self> {
        let regex = RegexBuilder::new(&format!(r"\A(?:{text})\z"))
            .unicode(false)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .nest_limit(NESTING_MAX)
            .build()
            .ok()?;
        // A text that closes our own group is no pattern by itself.
        RegexBuilder::new(text).unicode(false).size_limit(COMPILED_BYTES_MAX).nest_limit(NESTING_MAX).build().ok()?;
        Some(Self { text: text.to_owned(), regex })
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value.as_bytes())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}
