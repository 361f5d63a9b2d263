//! Numbers in sentences for people.

/// As in `1 task` or `3 tasks`.
#[must_use]
pub fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
