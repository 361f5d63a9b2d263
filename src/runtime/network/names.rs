//! How everything of a node is recognised in the kernel.
//!
//! Holds: names of two nodes differ, and an interface name fits the kernel's 15 characters.

use cove_base::paths::NodeName;
use sha2::{Digest, Sha256};

use super::{NetworkError, NetworkId};

/// Interfaces between hosts and routers of any node begin like this.
pub(super) const ANY_TRANSIT: &str = "cvr";
/// Tables of any node begin like this.
pub(super) const ANY_TABLE: &str = "cove-";
/// High bits of our interface groups, so that small numbers stay free for administrators.
const GROUP_BASE: u32 = 0x0c00_0000;
/// Longest name of a task or network; pins and sets carry it.
const NAME_MAX: usize = 64;

#[derive(Debug, Clone)]
pub(super) struct Names {
    node: String,
    hash: u32,
}

impl Names {
    pub(super) fn of(node: &NodeName) -> Self {
        let digest = Sha256::digest(node.as_str().as_bytes());
        Self { node: node.as_str().to_owned(), hash: u32::from_be_bytes([0, digest[0], digest[1], digest[2]]) }
    }

    /// The interface group of the node's transit links.
    pub(super) fn group(&self) -> u32 {
        GROUP_BASE | self.hash
    }

    /// What the node's transit links begin with.
    pub(super) fn link_prefix(&self) -> String {
        format!("{ANY_TRANSIT}{:06x}", self.hash)
    }

    pub(super) fn link(&self, slot: u16) -> String {
        format!("{}{slot:04x}", self.link_prefix())
    }

    /// The node's table on the host, and the comment of its rules in foreign chains.
    pub(super) fn table(&self) -> String {
        format!("{ANY_TABLE}{}", self.node)
    }
}

/// A network's part of file names.
pub(super) fn key(network: &NetworkId) -> Result<String, NetworkError> {
    match network {
        NetworkId::Bridge => Ok("bridge".into()),
        NetworkId::Vpc(id) => check(id).map(|()| format!("vpc.{id}")),
    }
}

/// Whether a name may be part of file and set names.
pub(super) fn check(name: &str) -> Result<(), NetworkError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(legal) {
        Ok(())
    } else {
        Err(NetworkError::BadName { name: name.chars().take(NAME_MAX).collect() })
    }
}

/// A short stable name for a list of security groups.
pub(super) fn chain_of(groups: &[String]) -> String {
    let digest = Sha256::digest(groups.join("\n").as_bytes());
    format!("allow-{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_differ_in_every_name_and_links_fit_the_kernel() {
        let (a, b) = (Names::of(&NodeName::parse("a").unwrap()), Names::of(&NodeName::parse("b").unwrap()));
        assert!(a.group() != b.group() && a.link(7) != b.link(7) && a.table() != b.table());
        assert!(a.link(u16::MAX).len() <= 15);
    }

    #[test]
    fn names_that_could_leave_a_directory_are_refused() {
        for bad in ["", "..", "a/b", "a b", &"x".repeat(65)] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(key(&NetworkId::Vpc("vpc-0123456789abcdef0".into())).is_ok());
    }
}
