//! Patterns in which `*` stands for any run of characters, an empty one too. Pure.
//!
//! Holds: the time is bounded by the product of both lengths, whatever a client sends as a pattern.

/// Whether the pattern means the whole text.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    fits(pattern.as_bytes(), text.as_bytes(), None)
}

/// The same with `?` for any one byte, as policies have it.
#[must_use]
pub fn is_like(pattern: &str, text: &str) -> bool {
    fits(pattern.as_bytes(), text.as_bytes(), Some(b'?'))
}

/// Only the last star is ever tried again: what an earlier one left to it, it may take as well.
fn fits(pattern: &[u8], text: &[u8], any: Option<u8>) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, seen));
                at += 1;
            }
            Some(wanted) if *wanted == text[seen] || Some(*wanted) == any => (at, seen) = (at + 1, seen + 1),
            Some(_) | None => {
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                (at, seen) = (after, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, is) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a", "a", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("*prod*", "my-prod-1", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*.dev", "1.dev", true),
            ("*.dev", "1.dev2", false),
            ("a?c", "abc", false),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
        assert!(is_like("a?c*", "abcd") && !is_like("a?c", "ac"));
    }

    #[test]
    fn many_stars_take_no_long_time() {
        assert!(!matches(&("*a".repeat(64) + "b"), &"a".repeat(20_000)));
    }
}
