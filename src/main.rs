//! Cove: a mini-cloud in one binary.
//!
//! ```text
//! request → api → store → scheduler → store → agent → shim → runtime → kernel
//! ```
//!
//! Each stage is a crate in `src/`. Here one of the binary's personalities is picked.

mod cli;
mod serve;

use std::process::ExitCode;

/// The shim and the init fork, and the cage leaves namespaces, so they must be chosen before any thread or async runtime exists.
fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    match words.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("shim") => cove_shim::run(words),
        Some("init") => cove_shim::init_main(words),
        Some("scan-cage") => cove_registry::scan::cage_main(words),
        Some("serve") => serve::run(words.map(into_text)),
        verb => cli::run(verb, words.map(into_text)),
    }
}

/// Options and names are text; what is not cannot be one of ours, and is refused where it is read.
fn into_text(word: std::ffi::OsString) -> String {
    word.to_string_lossy().into_owned()
}
