//! An image as an OCI layout directory, made for one run of one command.
//!
//! Holds: blobs are links to the registry's own files, which the cage shows read only; where links are not possible,
//! copies. The directory goes with the value, and [`sweep`] removes what a crash left.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cove_base::paths::DataDir;
use serde_json::json;

use super::cage::{IMAGE, SCRATCH};
use super::opened::Opened;

/// The directories of one run.
pub(super) struct Workplace {
    root: PathBuf,
}

impl Workplace {
    /// Makes it for an image.
    pub(super) fn make(data: &DataDir, opened: &Opened) -> io::Result<Self> {
        let made = Self { root: data.scans().join(cove_base::ids::random_hex(8)) };
        fs::create_dir_all(made.root.join(SCRATCH))?;
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
        show_all(&made.root)?;
        Ok(made)
    }

    /// What the cage shows the command: the image, and where it may write.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn layout(&self) -> PathBuf {
        self.root.join(IMAGE)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.root) {
            tracing::warn!(%error, directory = %self.root.display(), "could not remove what a scan left");
        }
    }
}

/// The command runs as nobody in particular and reads what everybody may. Who gets as far as here is in the cage, or root:
/// the directories above are private.
fn show_all(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let wanted = found.permissions().mode() | if found.is_dir() { 0o555 } else { 0o444 };
    fs::set_permissions(path, fs::Permissions::from_mode(wanted))?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            show_all(&entry?.path())?;
        }
    }
    Ok(())
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
