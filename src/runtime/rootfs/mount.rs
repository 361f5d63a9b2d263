//! Mounts a container's root: signatures first.
use super::error::{Result, RootfsError};
use crate::spec::RootFilesystem;
use std::path::Path;

/// Mounts `root` at `target` in the caller's mount namespace. For a single-threaded process: it changes the working
/// directory and puts it back.
pub fn mount(root: &RootFilesystem, _target: &Path) -> Result<()> {
    Err(RootfsError::BadName(root.upper.clone()))
}
