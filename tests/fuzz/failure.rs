//! An input that broke something: made smaller, kept, printed.

use std::fmt::Write;
use std::path::PathBuf;

use crate::rng::of_text;

/// Tries at making an input smaller; each runs the target once.
const TRIES_MAX: usize = 600;
/// Bytes that are printed; the file has all.
const PRINTED_MAX: usize = 2048;

/// Takes out pieces, large ones first, for as long as it still breaks.
pub(crate) fn smaller(input: &[u8], breaks: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut best = input.to_vec();
    let (mut piece, mut tries) = (best.len().div_ceil(2).max(1), 0);
    // The same panic again and again says nothing new.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    while tries < TRIES_MAX {
        let mut at = 0;
        let before = best.len();
        while at < best.len() && tries < TRIES_MAX {
            let end = (at + piece).min(best.len());
            let candidate = [&best[..at], &best[end..]].concat();
            tries += 1;
            if breaks(&candidate) { best = candidate } else { at = end }
        }
        if piece == 1 && best.len() == before {
            break;
        }
        piece = (piece / 2).max(1);
    }
    std::panic::set_hook(hook);
    best
}

/// Writes it to `target/fuzz-failures/`.
pub(crate) fn keep(target: &str, input: &[u8]) -> PathBuf {
    let directory = crate::repository().join("target/fuzz-failures");
    let path = directory.join(format!("{target}-{:016x}", of_text(&hex(input))));
    // The hex is printed in any case.
    let _ = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, input));
    path
}

pub(crate) fn hex(input: &[u8]) -> String {
    let mut text = String::new();
    for byte in &input[..input.len().min(PRINTED_MAX)] {
        let _ = write!(text, "{byte:02x}");
    }
    if input.len() > PRINTED_MAX {
        text.push('…');
    }
    text
}
