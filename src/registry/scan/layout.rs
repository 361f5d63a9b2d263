//! An image as an OCI layout directory, made for one run of one command.
//!
//! Holds: blobs are links to the registry's own files, which the cage shows read only; where links are not possible,
//! copies. The directory goes with the value, and [`sweep`] removes what a crash left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cove_base::paths::DataDir;
use serde_json::json;

use super::opened::Opened;

/// The directories of one run.
pub(super) struct Workplace {
    root: PathBuf,
}

impl Workplace {
    /// Makes it for an image.
    pub(super) fn make(data: &DataDir, opened: &Opened) -> io::Result<Self> {
        let made = Self { root: data.scans().join(cove_base::ids::random_hex(8)) };
        fs::create_dir_all(made.scratch())?;
        let blobs = made.layout().join("blobs");
        let manifest = crate::digest::Digest::parse(&opened.image.digest).ok_or(io::ErrorKind::InvalidData)?;
        for (digest, from) in &opened.files {
            let directory = blobs.join(digest.algorithm().name());
            fs::create_dir_all(&directory)?;
            link_or_copy(from, &directory.join(digest.hex()))?;
        }
        let directory = blobs.join(manifest.algorithm().name());
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(manifest.hex()), &opened.manifest)?;
        let name = opened.tag.as_deref().unwrap_or("latest");
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": opened.image.media_type,
                "digest": opened.image.digest,
                "size": opened.manifest.len(),
                "annotations": {"org.opencontainers.image.ref.name": name},
            }],
        });
        fs::write(made.layout().join("index.json"), index.to_string())?;
        fs::write(made.layout().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(made)
    }

    /// The image.
    pub(super) fn layout(&self) -> PathBuf {
        self.root.join("image")
    }

    /// Where the command may write: its home and its temporary files.
    pub(super) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.root) {
            tracing::warn!(%error, directory = %self.root.display(), "could not remove what a scan left");
        }
    }
}

fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        // The same layer twice in one image.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_impossible_here) => fs::copy(from, to).map(drop),
        Ok(()) => Ok(()),
    }
}

/// Removes the workplaces of a server that is gone.
pub(super) fn sweep(data: &DataDir) -> io::Result<()> {
    match fs::remove_dir_all(data.scans()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
