//! Image archives: what `docker save`, `podman save` and `skopeo copy … oci-archive:` write; OCI layouts in directories.
//!
//! In: a tar file or a directory. Out: per image its names, its blobs as ranges of that file, and its manifests in the order in which
//! they can be pushed.
//!
//! Holds: nothing is unpacked to disk and nothing but headers and JSON is read into RAM; sizes come from the tar's own
//! headers; a damaged or hostile archive is an error. The registry checks every digest again when it receives a blob.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::build::{LayerFacts, image_from_layers};
use crate::digest::Digest;
use crate::error::ManifestFault;
use crate::manifest::{Descriptor, Kind, MANIFEST_MAX_BYTES, Manifest, OCI_LAYER_GZIP, OCI_LAYER_TAR};

/// A tar file is made of these.
pub const BLOCK: usize = 512;
/// Files in an archive: some thousand layers at most, each with a few files beside it.
const ENTRIES_MAX: usize = 100_000;
/// Indexes within indexes.
const DEPTH_MAX: usize = 4;

/// An opened archive.
#[derive(Debug)]
pub struct Archive {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Tar {
        file: File,
        entries: HashMap<String, Entry>,
    },
    /// Names are joined to it only when they are [`normal`].
    Directory(PathBuf),
}

#[derive(Debug, Clone)]
enum Entry {
    File {
        offset: u64,
        size: u64,
    },
    /// Older `docker save` links a layer that occurs twice.
    Link(String),
}

/// One image of an archive.
#[derive(Debug, Clone)]
pub struct ArchiveImage {
    /// `repository:tag` as written in the archive; empty when it has no name.
    pub names: Vec<String>,
    pub blobs: Vec<ArchiveBlob>,
    /// In the order to push: an index comes after what it names. The last one is the image.
    pub manifests: Vec<ArchiveManifest>,
}

/// A config or layer.
#[derive(Debug, Clone)]
pub struct ArchiveBlob {
    pub digest: String,
    pub size: u64,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    At(u64),
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// A manifest or index.
#[derive(Debug, Clone)]
pub struct ArchiveManifest {
    pub digest: String,
    pub media_type: String,
    pub bytes: Vec<u8>,
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot read the archive")]
    Read(#[from] io::Error),
    #[error("it is no whole tar file, and so no image archive")]
    NoTar,
    #[error("the archive is compressed; decompress it first (gunzip, zstd -d)")]
    Compressed,
    #[error("the archive has neither index.json nor manifest.json: it is no image archive")]
    NoImage,
    #[error("the archive has more than {ENTRIES_MAX} files")]
    TooMany,
    #[error("the archive lacks `{0}`, which it refers to")]
    Missing(String),
    #[error("`{0}` in the archive is larger than any manifest")]
    TooLarge(String),
    #[error("`{name}` in the archive cannot be read")]
    Json {
        name: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("`{name}` in the archive is no manifest")]
    Manifest {
        name: String,
        #[source]
        source: ManifestFault,
    },
    #[error("indexes in the archive are nested too deeply")]
    Depth,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

/// An image in Docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Archive {
    /// Reads the headers.
    ///
    /// # Errors
    /// When it is neither a plain tar file nor a directory.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        if path.is_dir() {
            return Ok(Self { source: Source::Directory(path.to_owned()) });
        }
        let file = File::open(path)?;
        let mut magic = [0; 4];
        let got = file.read_at(&mut magic, 0)?;
        if magic[..got].starts_with(&[0x1f, 0x8b]) || magic == [0x28, 0xb5, 0x2f, 0xfd] {
            return Err(ArchiveError::Compressed);
        }
        let mut entries = HashMap::new();
        let mut tar = tar::Archive::new(io::BufReader::with_capacity(64 * 1024, file.try_clone()?));
        for entry in tar.entries_with_seek().map_err(of_tar)? {
            let entry = entry.map_err(of_tar)?;
            let Some(name) = normal(&entry.path().map_err(of_tar)?) else { continue };
            let found = match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    Entry::File { offset: entry.raw_file_position(), size: entry.size() }
                }
                tar::EntryType::Symlink | tar::EntryType::Link => match entry.link_name().map_err(of_tar)?.as_deref() {
                    Some(target) => Entry::Link(link_target(&name, target, entry.header().entry_type())),
                    None => continue,
                },
                _ => continue,
            };
            if entries.len() >= ENTRIES_MAX {
                return Err(ArchiveError::TooMany);
            }
            entries.insert(name, found);
        }
        Ok(Self { source: Source::Tar { file, entries } })
    }

    /// The images in it. OCI's form is preferred where both are there: it keeps the original digests.
    ///
    /// # Errors
    /// When something that it refers to is missing or unreadable.
    pub fn images(&self) -> Result<Vec<ArchiveImage>, ArchiveError> {
        if self.find("index.json").is_some() {
            let index: Index = self.json("index.json")?;
            return index.manifests.iter().map(|descriptor| self.oci_image(descriptor)).collect();
        }
        if self.find("manifest.json").is_some() {
            let saved: Vec<Saved> = self.json("manifest.json")?;
            return saved.into_iter().map(|image| self.saved_image(image)).collect();
        }
        Err(ArchiveError::NoImage)
    }

    /// The bytes of a blob, as a stream.
    ///
    /// # Errors
    /// When its file cannot be opened.
    pub fn read(&self, blob: &ArchiveBlob) -> io::Result<Box<dyn Read + Send + '_>> {
        self.part(&blob.place, blob.size)
    }

    fn part(&self, place: &Place, size: u64) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match (place, &self.source) {
            (Place::At(offset), Source::Tar { file, .. }) => Box::new(Part { file, offset: *offset, left: size }),
            (Place::File(path), _) => Box::new(File::open(path)?.take(size)),
            (Place::Bytes(bytes), _) => Box::new(io::Cursor::new(bytes.clone())),
            (Place::At(_), Source::Directory(_)) => return Err(io::ErrorKind::InvalidInput.into()),
        })
    }

    fn oci_image(&self, descriptor: &Descriptor) -> Result<ArchiveImage, ArchiveError> {
        let mut image = ArchiveImage { names: names_of(descriptor), blobs: Vec::new(), manifests: Vec::new() };
        let mut seen = HashSet::new();
        self.add_manifest(descriptor, &mut image, &mut seen, 0)?;
        Ok(image)
    }

    fn add_manifest(
        &self,
        descriptor: &Descriptor,
        image: &mut ArchiveImage,
        seen: &mut HashSet<String>,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        if depth > DEPTH_MAX {
            return Err(ArchiveError::Depth);
        }
        if !seen.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        let name = blob_name(&descriptor.digest)?;
        let bytes = self.small(&name)?;
        let media_type = Some(descriptor.media_type.as_str()).filter(|text| !text.is_empty());
        let manifest = Manifest::parse(&bytes, media_type)
            .map_err(|source| ArchiveError::Manifest { name: name.clone(), source })?;
        match &manifest.kind {
            Kind::Index { manifests } => {
                for inner in manifests {
                    // `docker save` keeps one platform of an index and leaves the others out.
                    if self.find(&blob_name(&inner.digest)?).is_some() {
                        self.add_manifest(inner, image, seen, depth + 1)?;
                    }
                }
            }
            Kind::Image { .. } => {
                for digest in manifest.blobs() {
                    if seen.insert(digest.clone()) {
                        image.blobs.push(self.blob(digest)?);
                    }
                }
            }
        }
        image.manifests.push(ArchiveManifest {
            digest: descriptor.digest.clone(),
            media_type: manifest.media_type,
            bytes,
        });
        Ok(())
    }

    fn blob(&self, digest: String) -> Result<ArchiveBlob, ArchiveError> {
        let name = blob_name(&digest)?;
        let (place, size) = self.find(&name).ok_or(ArchiveError::Missing(name))?;
        Ok(ArchiveBlob { digest, size, place })
    }

    /// Docker's own form has no registry manifest: one is made, in which the layers stand as they are.
    fn saved_image(&self, saved: Saved) -> Result<ArchiveImage, ArchiveError> {
        let config = self.small(&saved.config)?;
        let mut blobs = Vec::new();
        let mut layers = Vec::new();
        for name in &saved.layers {
            let (place, size) = self.find(name).ok_or_else(|| ArchiveError::Missing(name.clone()))?;
            let facts = LayerFacts::read(&mut self.part(&place, size)?)?;
            blobs.push(ArchiveBlob { digest: facts.digest.to_string(), size, place });
            layers.push(facts);
        }
        let parts = image_from_layers(&layers, config);
        blobs.push(ArchiveBlob {
            digest: parts.config_digest.to_string(),
            size: parts.config.len() as u64,
            place: Place::Bytes(parts.config),
        });
        let manifest = ArchiveManifest {
            digest: parts.manifest_digest.to_string(),
            media_type: crate::manifest::OCI_MANIFEST.to_owned(),
            bytes: parts.manifest,
        };
        Ok(ArchiveImage { names: saved.repo_tags.unwrap_or_default(), blobs, manifests: vec![manifest] })
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, ArchiveError> {
        let bytes = self.small(name)?;
        serde_json::from_slice(&bytes).map_err(|source| ArchiveError::Json { name: name.to_owned(), source })
    }

    /// A file that is read whole.
    fn small(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let (place, size) = self.find(name).ok_or_else(|| ArchiveError::Missing(name.to_owned()))?;
        if size > MANIFEST_MAX_BYTES as u64 {
            return Err(ArchiveError::TooLarge(name.to_owned()));
        }
        let mut bytes = Vec::new();
        self.part(&place, size)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Place and size of a file, in a tar file through one link at most.
    fn find(&self, name: &str) -> Option<(Place, u64)> {
        let entries = match &self.source {
            Source::Tar { entries, .. } => entries,
            Source::Directory(root) => {
                let path = root.join(normal(Path::new(name))?);
                let about = std::fs::metadata(&path).ok()?;
                return about.is_file().then_some((Place::File(path), about.len()));
            }
        };
        let entry = match entries.get(name)? {
            Entry::Link(target) => entries.get(target)?,
            found @ Entry::File { .. } => found,
        };
        match entry {
            Entry::File { offset, size } => Some((Place::At(*offset), *size)),
            Entry::Link(_) => None,
        }
    }
}

/// Whether a tar file, compressed or not, is an image archive: an OCI layout, or what Docker saved.
///
/// # Errors
/// When it is no tar file or cannot be read.
pub fn is_image(path: &Path) -> Result<bool, ArchiveError> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    let media_type = layer_media_type(&magic);
    let whole = io::BufReader::with_capacity(64 * 1024, io::Cursor::new(magic).chain(file));
    let plain: Box<dyn Read> = match media_type {
        OCI_LAYER_GZIP => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        crate::manifest::OCI_LAYER_ZSTD => Box::new(zstd::Decoder::with_buffer(whole)?),
        _plain => Box::new(whole),
    };
    for entry in tar::Archive::new(plain).entries().map_err(of_tar)? {
        let mut entry = entry.map_err(of_tar)?;
        match normal(&entry.path().map_err(of_tar)?).as_deref() {
            Some("oci-layout") => return Ok(true),
            // A file of that name may be anything in a root filesystem.
            Some("manifest.json") if entry.size() <= MANIFEST_MAX_BYTES as u64 => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(of_tar)?;
                if serde_json::from_slice::<Vec<Saved>>(&bytes).is_ok_and(|images| !images.is_empty()) {
                    return Ok(true);
                }
            }
            Some(_) | None => {}
        }
    }
    Ok(false)
}

/// What is wrong with the bytes is told without them: they may be those of any file that somebody named by mistake.
fn of_tar(error: io::Error) -> ArchiveError {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error.kind() {
        Other | InvalidData | InvalidInput | UnexpectedEof => ArchiveError::NoTar,
        _ => ArchiveError::Read(error),
    }
}

/// The header of a file in a tar file that somebody writes; its content follows, filled up to whole blocks.
#[must_use]
pub fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut header = tar::Header::new_ustar();
    // Our own names fit: `blobs/sha512/` and 128 digits need the prefix field.
    let named = header.set_path(name);
    debug_assert!(named.is_ok(), "{name}");
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    *header.as_bytes()
}

/// A range of a file.
struct Part<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        if count == 0 && most > 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

fn names_of(descriptor: &Descriptor) -> Vec<String> {
    let annotations = descriptor.annotations.iter().flatten();
    let full = annotations.clone().find(|(key, _)| *key == "io.containerd.image.name");
    let short = annotations.clone().find(|(key, _)| *key == "org.opencontainers.image.ref.name");
    full.or(short).map(|(_, name)| name.clone()).into_iter().collect()
}

fn blob_name(digest: &str) -> Result<String, ArchiveError> {
    let parsed = Digest::parse(digest).ok_or_else(|| ArchiveError::Missing(digest.to_owned()))?;
    Ok(format!("blobs/{}/{}", parsed.algorithm().name(), parsed.hex()))
}

/// `./a/b` as `a/b`; `None` when it climbs.
fn normal(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => parts.push(name.to_str()?),
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir | std::path::Component::RootDir | std::path::Component::Prefix(_) => {
                return None;
            }
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Symbolic links are relative to their place, hard links to the archive.
fn link_target(name: &str, target: &Path, kind: tar::EntryType) -> String {
    let mut parts: Vec<&str> = match kind {
        tar::EntryType::Symlink => name.split('/').collect(),
        _ => Vec::new(),
    };
    parts.pop();
    for part in target.components() {
        match part {
            std::path::Component::Normal(name) => parts.extend(name.to_str()),
            std::path::Component::ParentDir => {
                parts.pop();
            }
            std::path::Component::CurDir | std::path::Component::RootDir | std::path::Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

/// The media type of a layer by its first bytes.
pub(crate) fn layer_media_type(magic: &[u8]) -> &'static str {
    if magic.starts_with(&[0x1f, 0x8b]) {
        OCI_LAYER_GZIP
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        crate::manifest::OCI_LAYER_ZSTD
    } else {
        OCI_LAYER_TAR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(files: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut builder = tar::Builder::new(file.reopen().expect("reopen"));
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).expect("append");
        }
        builder.into_inner().expect("finish");
        file
    }

    #[test]
    fn a_docker_archive_becomes_a_manifest_with_its_layers() {
        let layer = b"not really a tar";
        let diff_id = Digest::of(layer);
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
        );
        let list = br#"[{"Config":"c.json","RepoTags":["app:1"],"Layers":["l/layer.tar"]}]"#;
        let file = tar_of(&[("c.json", config.as_bytes()), ("l/layer.tar", layer), ("manifest.json", list)]);
        let archive = Archive::open(file.path()).expect("open");
        let images = archive.images().expect("images");
        assert_eq!(images[0].names, ["app:1"]);
        assert_eq!(images[0].blobs.len(), 2);
        let mut bytes = Vec::new();
        archive.read(&images[0].blobs[0]).expect("a blob").read_to_end(&mut bytes).expect("read");
        assert_eq!(bytes, layer);
        let manifest = Manifest::parse(&images[0].manifests[0].bytes, None).expect("a manifest");
        assert!(manifest.blobs().contains(&diff_id.to_string()));
    }

    #[test]
    fn an_archive_that_lies_is_an_error() {
        let missing = br#"[{"Config":"c.json","Layers":["../../etc/passwd"]}]"#;
        let file = tar_of(&[("c.json", b"{}"), ("manifest.json", missing)]);
        let images = Archive::open(file.path()).expect("open").images();
        assert!(matches!(images, Err(ArchiveError::Missing(_))), "{images:?}");
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join("manifest.json"), missing).expect("write");
        std::fs::write(home.path().join("c.json"), b"{}").expect("write");
        let images = Archive::open(home.path()).expect("open").images();
        assert!(matches!(images, Err(ArchiveError::Missing(_))), "nothing outside of a directory: {images:?}");
        let file = tar_of(&[("x", b"")]);
        assert!(matches!(Archive::open(file.path()).expect("open").images(), Err(ArchiveError::NoImage)));
    }

    #[test]
    fn a_file_that_is_no_archive_is_refused_without_a_word_of_it() {
        for content in ["secret", "secret line\n".repeat(100).as_str()] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), content).expect("write");
            let errors = [Archive::open(file.path()).err(), is_image(file.path()).err()];
            for error in errors {
                let told = cove_base::error::chain(&error.expect("an error"));
                assert!(told.contains("no whole tar file") && !told.contains("secret"), "{told}");
            }
        }
    }

    #[test]
    fn an_image_archive_is_told_from_a_root_filesystem() {
        let saved: &[u8] = br#"[{"Config":"c.json","Layers":[]}]"#;
        let of = |files: &[(&str, &[u8])]| is_image(tar_of(files).path()).expect("a tar file");
        assert!(of(&[("c.json", b"{}"), ("manifest.json", saved)]));
        assert!(of(&[("index.json", b"{}"), ("./oci-layout", b"{}")]));
        assert!(!of(&[("bin/sh", b""), ("manifest.json", b"{}"), ("app/manifest.json", saved), ("index.json", b"{}")]));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let plain = std::fs::read(tar_of(&[("manifest.json", saved)]).path()).expect("read");
        io::Write::write_all(&mut packed, &plain).expect("write");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), packed.finish().expect("finish")).expect("write");
        assert!(is_image(file.path()).expect("a tar file"));
    }
}
