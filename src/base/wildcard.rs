//! Patterns in which a star stands for anything.

/// Whether the whole text is what the pattern says. Takes time in the lengths' product at worst, never more.
#[must_use]
pub fn is_wildcard_of(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The first place is as good as any: what is behind it is the most that can be left.
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::is_wildcard_of;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, is) in [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("*", "", true),
            ("*", "anything", true),
            ("prod/*", "prod/web", true),
            ("prod/*", "dev/web", false),
            ("*web", "prod/web", true),
            ("*web", "prod/web1", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a**a", "aa", true),
            ("ä*ö", "äüö", true),
        ] {
            assert_eq!(is_wildcard_of(pattern, text), is, "{pattern} {text}");
        }
    }
}
