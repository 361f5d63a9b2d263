//! Filter patterns and tokens that clients make up.

use cove_fuzz::Fuzz;

use super::pattern::Pattern;
use super::token;

/// `PATTERN\nMESSAGE`.
#[test]
fn fuzz_log_pattern() {
    let tokens: [&[u8]; 14] = [
        b"{ $.",
        b" }",
        b" = ",
        b" != ",
        b"&&",
        b"||",
        b"(",
        b"\"",
        b"*",
        b" NOT EXISTS",
        b" IS TRUE",
        b"[0]",
        b"['",
        b"?-",
    ];
    Fuzz::new("log-pattern").tokens(&tokens).run(|input| {
        let text = String::from_utf8_lossy(input);
        let (pattern, message) = text.split_once('\n').unwrap_or((&text, "{\"a\":1}"));
        let token = token::read_at("dir", pattern).is_ok() || token::read_place("kind", pattern).is_ok();
        match Pattern::parse(pattern) {
            Ok(read) => format!("{} {token} {}", read.matches(message), pattern.starts_with('{')),
            Err(error) => error.to_string(),
        }
    });
}
