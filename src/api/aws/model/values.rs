//! How many values a JSON text holds, before any of them is built.
//!
//! Why: a value costs up to three hundred times its text in memory, so a limit of bytes alone does not bound a request.

/// Far above the largest honest request: ten thousand log events are sixty thousand.
pub(crate) const VALUES_MAX: usize = 150_000;

/// Whether the text has more. Counts what begins or separates values, outside of strings; need not be JSON.
pub(crate) fn too_many(text: &[u8]) -> bool {
    // Each value takes a byte at least.
    if text.len() <= VALUES_MAX {
        return false;
    }
    let (mut count, mut in_string, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' | b':' if !in_string => count += 1,
            _ => {}
        }
    }
    count > VALUES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_count_and_strings_do_not() {
        assert!(too_many("[0,".repeat(VALUES_MAX).as_bytes()));
        assert!(too_many("{\"a\":".repeat(VALUES_MAX).as_bytes()));
        let text = format!("{{\"message\":\"{}\"}}", ",[\\\"{".repeat(VALUES_MAX));
        assert!(!too_many(text.as_bytes()));
        let events = format!("[{}0]", "{\"timestamp\":1700000000000,\"message\":\"m\"},".repeat(10_000));
        assert!(!too_many(events.as_bytes()));
    }
}
