//! Gathers lines into events of several lines, as Docker's `awslogs` driver does.
//!
//! In: lines of both pipes as they come, and where an event begins. Out: events.
//!
//! Holds: an event begins with a line that matches, whatever comes before it; its lines keep their line ends, the last
//! one too. It has the time of its first line, and is cut where it would become longer than an event may be.

use regex::bytes::{Regex, RegexBuilder};

use crate::error::LogError;
use crate::format::EVENT_BYTES_MAX;

/// A pattern is a client's: compiled it may not take more than this, and the cache of its matcher neither.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Memory that an idle container may keep.
const SPARE_MAX: usize = 8 << 10;

/// The event that is being gathered.
#[derive(Debug)]
pub(crate) struct Grouping {
    start: Regex,
    event: Vec<u8>,
    time_ms: i64,
    /// Counts events, so that one can be told from the next.
    number: u64,
}

impl Grouping {
    pub(crate) fn new(pattern: &str) -> Result<Self, LogError> {
        Ok(Self { start: compile(pattern)?, event: Vec::new(), time_ms: 0, number: 0 })
    }

    /// Takes a line; what is whole because of it goes to `each` with its time.
    pub(crate) fn push(&mut self, time_ms: i64, line: &[u8], each: &mut dyn FnMut(i64, &[u8])) {
        if self.start.is_match(line) || self.event.len() + line.len() >= EVENT_BYTES_MAX {
            self.end(each);
        }
        if self.event.is_empty() {
            self.time_ms = time_ms;
            self.number += 1;
        }
        self.event.extend_from_slice(line);
        if self.event.len() < EVENT_BYTES_MAX {
            self.event.push(b'\n');
        }
    }

    /// No line of this event will follow.
    pub(crate) fn end(&mut self, each: &mut dyn FnMut(i64, &[u8])) {
        if self.event.is_empty() {
            return;
        }
        each(self.time_ms, &self.event);
        self.event.clear();
        self.event.shrink_to(SPARE_MAX);
    }

    /// Which event waits for more lines, if one does.
    pub(crate) fn open(&self) -> Option<u64> {
        (!self.event.is_empty()).then_some(self.number)
    }
}

/// Bytes rather than characters, as far as the pattern can do with that: `\d` is ten digits, as in Docker.
fn compile(pattern: &str) -> Result<Regex, LogError> {
    let build = |unicode| {
        let mut builder = RegexBuilder::new(pattern);
        builder.unicode(unicode).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build()
    };
    let failed = |source| LogError::Pattern { pattern: pattern.to_owned(), source: Box::new(source) };
    build(false).or_else(|_| build(true)).map_err(failed)
}

/// Whether events can begin at this pattern.
///
/// # Errors
/// Why it is no regular expression that can be used.
pub fn check_pattern(pattern: &str) -> Result<(), LogError> {
    compile(pattern).map(drop)
}

/// What each part of a `strftime` format looks like in a line.
const PARTS: [(char, &str); 19] = [
    ('a', "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"),
    ('A', "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"),
    ('w', "[0-6]"),
    ('d', "(?:0[1-9]|[12][0-9]|3[01])"),
    ('b', "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"),
    ('B', "(?:January|February|March|April|May|June|July|August|September|October|November|December)"),
    ('m', "(?:0[1-9]|1[0-2])"),
    ('Y', "[0-9]{4}"),
    ('y', "[0-9]{2}"),
    ('H', "(?:[01][0-9]|2[0-3])"),
    ('I', "(?:0[1-9]|1[0-2])"),
    ('p', "[AP]M"),
    ('M', "[0-5][0-9]"),
    ('S', "[0-5][0-9]"),
    ('f', "[0-9]{6}"),
    ('z', "[+-][0-9]{4}"),
    ('Z', "[A-Z]{1,4}T"),
    ('j', "(?:[0-2][0-9]{2}|3[0-5][0-9]|36[0-6])"),
    ('L', r"\.[0-9]{3}"),
];

/// The pattern that finds a time of this format. As in Docker, what is no part of a time is a regular expression already,
/// and an unknown part is left out.
#[must_use]
pub fn datetime_pattern(format: &str) -> String {
    let mut pattern = String::with_capacity(format.len() * 4);
    let mut rest = format.chars();
    while let Some(next) = rest.next() {
        if next != '%' {
            pattern.push(next);
            continue;
        }
        let Some(letter) = rest.next() else {
            pattern.push('%');
            break;
        };
        let known = PARTS.iter().find(|(name, _)| *name == letter);
        pattern.push_str(known.map_or("", |(_, looks)| looks));
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(pattern: &str, lines: &[&str]) -> Vec<String> {
        let mut grouping = Grouping::new(pattern).unwrap();
        let mut events = Vec::new();
        let mut each = |time: i64, event: &[u8]| events.push(format!("{time} {}", String::from_utf8_lossy(event)));
        for (line, time) in lines.iter().zip(1..) {
            grouping.push(time, line.as_bytes(), &mut each);
        }
        grouping.end(&mut each);
        assert_eq!(grouping.open(), None);
        events
    }

    #[test]
    fn an_event_begins_where_a_line_matches_and_what_is_before_the_first_is_one_too() {
        let got = gathered("^INFO", &["before", "INFO a", " at b", "INFO c"]);
        assert_eq!(got, ["1 before\n", "2 INFO a\n at b\n", "4 INFO c\n"]);
    }

    #[test]
    fn an_event_that_would_be_too_long_is_cut_between_lines() {
        let (long, longest) = ("x".repeat(EVENT_BYTES_MAX / 2), "y".repeat(EVENT_BYTES_MAX));
        let got = gathered("^INFO", &["INFO", &long, &long, &longest]);
        let lengths: Vec<usize> = got.iter().map(|event| event.len() - 2).collect();
        assert_eq!(lengths, [5 + long.len() + 1, long.len() + 1, EVENT_BYTES_MAX]);
    }

    #[test]
    fn a_format_of_a_time_finds_such_times() {
        let pattern = datetime_pattern(r"\[%b %d, %Y %H:%M:%S\]");
        let got = gathered(&pattern, &["[May 01, 2017 19:00:01] A", "[x]", "[May 32, 2017 19:00:01] B"]);
        assert_eq!(got.len(), 1);
        assert_eq!(datetime_pattern("%Y%Q-%"), "[0-9]{4}-%");
        assert!(PARTS.iter().all(|(_, looks)| check_pattern(looks).is_ok()));
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_refused() {
        assert!(check_pattern("(").unwrap_err().to_string().contains("\"(\""));
        assert!(check_pattern("a{1000}{1000}").is_err());
        assert!(check_pattern("^[äö]").is_ok());
    }
}
