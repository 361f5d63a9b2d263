//! Inventories of software as documents.
//!
//! In: an [`Inventory`](crate::Inventory), the image it is of, and the caller's clock and random id. Out: JSON.
//!
//! Holds: the same input gives the same bytes; ids within a document come from what they name.

mod cyclonedx;
mod spdx;
#[cfg(test)]
mod tests;

use cove_base::Timestamp;
use sha2::{Digest, Sha256};

use crate::package::Package;

pub use cyclonedx::cyclonedx;
pub use spdx::spdx;

/// What a document is about, and of.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// The image as people call it.
    pub name: &'a str,
    /// Of its manifest.
    pub digest: &'a str,
    pub created: Timestamp,
    /// A random UUID.
    pub id: &'a str,
}

impl Document<'_> {
    /// To the second: SPDX allows no fractions.
    fn created(&self) -> String {
        let text = self.created.rfc3339();
        text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
    }
}

/// The same for a package and its place, whatever else is in the document.
fn reference(package: &Package) -> String {
    let digest = Sha256::digest(format!("{}\n{}\n{}", package.purl, package.path, package.layer));
    hex::encode(&digest[..10])
}
