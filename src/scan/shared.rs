//! Real data for tests, which lies beside the repository.

use std::io::Write;
use std::path::{Path, PathBuf};

/// A file of `../shared/data` beside the repository, or of `COVE_SHARED_DATA`. Where it is not there, the test says so
/// and ends; the check script counts that.
pub(crate) fn shared_data(file: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("COVE_SHARED_DATA").map_or(beside, PathBuf::from).join(file);
    if path.exists() {
        return Some(path);
    }
    // Not captured by the test harness, so that it is seen and counted.
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: needs {}", path.display());
    None
}
