//! The packages of an image, from its layers.
//!
//! In: the layers' blobs, **the top one first**, each a tar as it is or compressed with gzip or zstd. Out: an
//! [`Inventory`] of the file system that a container would see.
//!
//! ```text
//! blob ─▶ decompress ─▶ tar entries ─▶ shadow (what upper layers hide) ─▶ files (which are wanted, what they say)
//! ```
//!
//! Holds: each layer is read once, from the front; only wanted files are kept, one at a time and none larger than its
//! limit. A broken file is a [`Problem`]; a broken layer is an error, for nobody knows what was behind.
//! Why from the top: what is hidden is known before it is met, so nothing has to be forgotten again.

mod shadow;
mod tar;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use crate::files::{self, Kind, Raw};
use crate::package::{Distribution, Inventory, Manager, Package, Problem};

use shadow::Shadow;

/// Longest path that the kernel takes; longer ones are refused when the image is unpacked.
const PATH_MAX_BYTES: usize = 4096;
/// Entries of all layers. Each costs some 16 bytes until the end.
const ENTRIES_MAX: u64 = 8_000_000;
/// Packages of an image: the largest honest ones have some ten thousand.
const PACKAGES_MAX: usize = 500_000;
/// Problems that are told one by one.
const PROBLEMS_MAX: usize = 200;

/// Why a layer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error("cannot read the layer {layer}")]
    Read {
        layer: String,
        #[source]
        source: io::Error,
    },
    #[error("the image has more than {ENTRIES_MAX} files")]
    TooManyEntries,
    #[error("the image has more than {PACKAGES_MAX} packages")]
    TooManyPackages,
}

/// An image that is being read.
#[derive(Default)]
pub struct ImageReader {
    shadow: Shadow,
    entries: u64,
    /// By path: upper layers came first, and what they hide is not met.
    files: BTreeMap<String, File>,
    packages: usize,
    problems: Vec<Problem>,
    distribution: BTreeMap<String, Distribution>,
}

/// What one file said.
struct File {
    layer: String,
    manager: Manager,
    packages: Vec<Raw>,
}

impl ImageReader {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next layer downwards. `digest` is what its packages are told to lie in.
    ///
    /// # Errors
    /// When it is no readable layer, or the image is too large.
    pub fn layer(&mut self, digest: &str, blob: &mut dyn Read) -> Result<(), LayerError> {
        let read = |source| LayerError::Read { layer: digest.to_owned(), source };
        let mut blob = BufReader::with_capacity(64 << 10, blob);
        let magic = io::BufRead::fill_buf(&mut blob).map_err(read)?;
        let gzip = magic.starts_with(&[0x1f, 0x8b]);
        let zstd = magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || magic.starts_with(&[0x50, 0x2a, 0x4d, 0x18]);
        let mut tar: Box<dyn Read + '_> = if gzip {
            Box::new(flate2::bufread::MultiGzDecoder::new(blob))
        } else if zstd {
            Box::new(zstd::Decoder::with_buffer(blob).map_err(read)?)
        } else {
            Box::new(blob)
        };
        self.tar(digest, &mut *tar)?;
        self.shadow.end_layer();
        Ok(())
    }

    fn tar(&mut self, digest: &str, tar: &mut dyn Read) -> Result<(), LayerError> {
        let read = |source| LayerError::Read { layer: digest.to_owned(), source };
        let mut archive = tar::Archive::new(tar);
        while let Some(entry) = archive.next().map_err(read)? {
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(LayerError::TooManyEntries);
            }
            // What leaves the root is refused when the image is unpacked.
            let Some(path) = normal(&entry.name) else { continue };
            if !self.shadow.shows(&path, entry.kind == tar::Kind::Directory) {
                continue;
            }
            match entry.kind {
                tar::Kind::File => self.file(&path, entry.mode & 0o111 != 0, entry.size, digest, &mut archive)?,
                tar::Kind::Hardlink => self.link(&path, normal(&entry.link), digest),
                tar::Kind::Sparse if files::wanted(&path, false).is_some() => {
                    self.problem(&path, "not read: a sparse file".to_owned());
                }
                tar::Kind::Sparse | tar::Kind::Directory | tar::Kind::Other => {}
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: &str,
        executable: bool,
        size: u64,
        digest: &str,
        content: &mut dyn Read,
    ) -> Result<(), LayerError> {
        // The last of several entries of one name counts.
        self.files.remove(path);
        let Some(kind) = files::wanted(path, executable) else { return Ok(()) };
        if size > kind.max_bytes() {
            self.problem(path, format!("not read: larger than {} MiB", kind.max_bytes() >> 20));
            return Ok(());
        }
        if kind == Kind::OsRelease {
            let mut bytes = Vec::new();
            let read = content.read_to_end(&mut bytes);
            read.map_err(|source| LayerError::Read { layer: digest.to_owned(), source })?;
            self.distribution.insert(path.to_owned(), files::os_release(&bytes));
            return Ok(());
        }
        match files::read(kind, path, size, content) {
            Ok(found) => {
                for (manager, packages) in found {
                    self.packages += packages.len();
                    let file = File { layer: digest.to_owned(), manager, packages };
                    if !file.packages.is_empty() {
                        self.files.insert(path.to_owned(), file);
                    }
                }
            }
            Err(files::Fault::Read(source)) => return Err(LayerError::Read { layer: digest.to_owned(), source }),
            Err(files::Fault::Broken(text)) => self.problem(path, text.to_owned()),
        }
        if self.packages > PACKAGES_MAX { Err(LayerError::TooManyPackages) } else { Ok(()) }
    }

    /// A further name of a file that came before in the same layer.
    fn link(&mut self, path: &str, target: Option<String>, digest: &str) {
        self.files.remove(path);
        let Some(kind) = files::wanted(path, false) else { return };
        let Some(target) = target else { return };
        if kind == Kind::OsRelease {
            if let Some(distribution) = self.distribution.get(&target).cloned() {
                self.distribution.insert(path.to_owned(), distribution);
            }
            return;
        }
        match self.files.get(&target).filter(|file| file.layer == digest) {
            Some(file) => {
                let copy = File { layer: file.layer.clone(), manager: file.manager, packages: file.packages.clone() };
                self.files.insert(path.to_owned(), copy);
            }
            // A name that is wanted for a file of another kind of name.
            None if files::wanted(&target, false) != Some(kind) => {
                self.problem(path, format!("not read: a hard link to {target}"));
            }
            None => {}
        }
    }

    fn problem(&mut self, path: &str, text: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { path: path.to_owned(), text });
        } else if self.problems.len() == PROBLEMS_MAX {
            self.problems.push(Problem { path: String::new(), text: "further files could not be read".to_owned() });
        }
    }

    /// All that was found, in order.
    #[must_use]
    pub fn finish(mut self) -> Inventory {
        // `/etc/os-release` comes first; it is mostly a link to the other one.
        let distribution = self.distribution.into_values().next();
        let mut packages = Vec::with_capacity(self.packages);
        let mut nameless = false;
        for (path, file) in &self.files {
            for raw in &file.packages {
                let package = Package::of(raw, file.manager, distribution.as_ref(), path, &file.layer);
                nameless |= package.ecosystem.is_empty();
                packages.push(package);
            }
        }
        packages.sort();
        packages.dedup();
        if nameless {
            let name = distribution.as_ref().map_or("an unknown distribution", |known| known.pretty_name.as_str());
            let text = format!("there are no advisories in OSV's form for the packages of {name}");
            self.problems.push(Problem { path: String::new(), text });
        }
        self.problems.sort();
        Inventory { distribution, packages, problems: self.problems }
    }
}

/// Without `.`, leading slashes and doubled ones. Nothing for the root and for what leaves it.
fn normal(path: &[u8]) -> Option<String> {
    if path.len() > PATH_MAX_BYTES {
        return None;
    }
    let path = String::from_utf8_lossy(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}
