//! Images that the binary carries: a few files in one plain layer, such as the binary itself as `/cove`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::registry::{Image, Repository};

use super::{ImageParts, LayerFacts, image_from_layer};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::RegistryError;
use crate::image_config::RunConfig;
use crate::images::ManifestPut;
use crate::manifest::{OCI_LAYER_TAR, OCI_MANIFEST};
use crate::registry::{Registry, blocking};
use crate::writer::Writer;

/// A file of an image.
#[derive(Debug, Clone)]
pub struct ImageFile {
    /// Absolute in the image, as in `/bin/app`.
    pub path: String,
    pub content: FileContent,
    /// Permission bits.
    pub mode: u32,
}

/// Where the bytes come from.
#[derive(Debug, Clone)]
pub enum FileContent {
    Bytes(Vec<u8>),
    /// A file of the host, such as our own binary.
    File(PathBuf),
}

impl Registry {
    /// Makes sure that `name:latest` is an image of these files. Does nothing when it is already; the repository is made
    /// when it is missing. Answers the manifest's digest.
    ///
    /// # Errors
    /// When a file cannot be read or the image cannot be kept.
    pub async fn ensure_builtin(
        &self,
        tenant: &Tenant,
        name: &str,
        files: &[ImageFile],
        run: RunConfig,
    ) -> Result<String, RegistryError> {
        let measured = files.to_vec();
        let (facts, parts) = blocking(move || measure(&measured, run))
            .await
            .map_err(RegistryError::io("read the files of a built-in image"))?;
        let latest = ImageSelector::Tag("latest".to_owned());
        let manifest_digest = parts.manifest_digest.to_string();
        let current = self.image(tenant, name, &latest).ok();
        if current.is_some_and(|image: std::sync::Arc<Image>| image.digest == manifest_digest) {
            return Ok(manifest_digest);
        }
        match self.create_repository(Repository::new(tenant, name)).await {
            Ok(_) | Err(RegistryError::RepositoryExists { .. }) => {}
            Err(error) => return Err(error),
        }
        self.put_layer(tenant, name, files.to_vec(), &facts).await?;
        self.put_blob(tenant, name, parts.config).await?;
        let put = ManifestPut {
            bytes: Bytes::from(parts.manifest),
            media_type: Some(OCI_MANIFEST.to_owned()),
            digest: None,
            tags: vec!["latest".to_owned()],
        };
        Ok(self.put_manifest(tenant, name, put).await?.image.digest)
    }

    async fn put_layer(
        &self,
        tenant: &Tenant,
        name: &str,
        files: Vec<ImageFile>,
        facts: &LayerFacts,
    ) -> Result<(), RegistryError> {
        let pin = self.blobs.pin(&facts.digest);
        let (blobs, digest) = (self.blobs.clone(), facts.digest.clone());
        let kept = blocking(move || {
            let path = blobs.temporary(&format!("{}.layer", cove_base::ids::random_hex(8)));
            let mut writer = Writer::create(&path, Algorithm::Sha256, std::sync::Arc::clone(&blobs.room))?;
            let kept =
                write_layer(&files, &mut writer, &digest).and_then(|()| blobs.adopt(&writer.file, &path, &digest));
            if kept.is_err() {
                let _ = blobs.room.remove(&path);
            }
            kept
        })
        .await;
        kept.map_err(RegistryError::io("write the layer of a built-in image"))?;
        self.link_blob(tenant, name, &facts.digest, facts.size).await?;
        drop(pin);
        Ok(())
    }
}

fn write_layer(files: &[ImageFile], writer: &mut Writer, digest: &Digest) -> io::Result<()> {
    write_tar(files, &mut io::BufWriter::with_capacity(1024 * 1024, Sink(writer)))?;
    if writer.hasher.clone().finish() == *digest {
        Ok(())
    } else {
        Err(io::Error::other("the files changed while they were read"))
    }
}

/// Hashes the layer without keeping it: when the image is there already, that is all there is to do.
fn measure(files: &[ImageFile], run: RunConfig) -> io::Result<(LayerFacts, ImageParts)> {
    let mut counted = Counted { hasher: Hasher::new(Algorithm::Sha256), size: 0 };
    write_tar(files, &mut counted)?;
    let digest: Digest = counted.hasher.finish();
    let facts = LayerFacts { diff_id: digest.clone(), digest, media_type: OCI_LAYER_TAR, size: counted.size };
    let parts = image_from_layer(&facts, run);
    Ok((facts, parts))
}

/// A tar without times or owners, directories first, so that the same files make the same bytes.
fn write_tar(files: &[ImageFile], out: &mut impl Write) -> io::Result<()> {
    let mut tar = tar::Builder::new(out);
    for directory in directories(files) {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        tar.append_data(&mut header, directory, io::empty())?;
    }
    for file in files {
        let name = file.path.trim_start_matches('/');
        match &file.content {
            FileContent::Bytes(bytes) => {
                let mut header = header(tar::EntryType::Regular, file.mode, bytes.len() as u64);
                tar.append_data(&mut header, name, bytes.as_slice())?;
            }
            FileContent::File(path) => {
                let from = File::open(path)?;
                let size = from.metadata()?.len();
                let mut header = header(tar::EntryType::Regular, file.mode, size);
                tar.append_data(&mut header, name, from.take(size))?;
            }
        }
    }
    tar.into_inner()?.flush()
}

/// Every parent directory once, outer before inner.
fn directories(files: &[ImageFile]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        let mut path = file.path.trim_start_matches('/');
        while let Some((parent, _)) = path.rsplit_once('/') {
            found.insert(format!("{parent}/"));
            path = parent;
        }
    }
    found
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

struct Counted {
    hasher: Hasher,
    size: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes into the file and its hash.
struct Sink<'a>(&'a mut Writer);

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&[Bytes::copy_from_slice(bytes)])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
