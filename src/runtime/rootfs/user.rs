//! Who a container runs as: `uid`, `name`, `uid:gid`, `name:group`, by the image's own etc/passwd and etc/group.
use super::error::{Result, RootfsError};
use std::path::Path;

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// `/` when the user has no entry.
    pub home: String,
}

/// Looks `user` up beneath `rootfs`.
pub fn lookup_user(_rootfs: &Path, user: &str) -> Result<User> {
    Err(RootfsError::NoSuchUser(user.to_owned()))
}
