//! `cove <verb>`: the command line for people. A plain HTTP client of the server, like any other.
//!
//! Exit codes: 0; 1 failure with one line why; 64 bad usage.

use std::process::ExitCode;

/// Runs one verb. `verb` is the first argument, `args` the rest.
pub(crate) fn run(verb: Option<&str>, args: impl Iterator<Item = String>) -> ExitCode {
    let _ = (verb, args);
    ExitCode::from(64)
}
