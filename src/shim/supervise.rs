//! placeholder until the loop is in
use std::process::ExitCode;
/// `cove shim TASK_DIR`.
pub fn run(_args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    ExitCode::FAILURE
}
