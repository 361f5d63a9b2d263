//! An image whose blobs stay while it is scanned.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::registry::Image;
use cove_model::scan::{UNSUPPORTED, is_scannable};

use super::run::Unscanned;
use crate::blobs::Pin;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Kind, Manifest};
use crate::registry::Registry;

/// A layer that no tar archive lies in is part of an artifact that only looks like an image, such as a signature.
const LAYER_MARKS: [&str; 2] = [".tar", "rootfs.diff"];

/// What hooks are given.
pub(super) struct Opened {
    pub(super) image: Arc<Image>,
    pub(super) manifest: Bytes,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    /// A tag that points at it, for people.
    pub(super) tag: Option<String>,
    /// The blob of each descriptor: config first, then layers.
    pub(super) files: Vec<(Digest, PathBuf)>,
    _pins: Vec<Pin>,
}

impl Registry {
    pub(super) async fn open_image(
        &self,
        tenant: &Tenant,
        repository: &str,
        digest: &str,
    ) -> Result<Opened, Unscanned> {
        let failed = |why: String| Unscanned::Failed(why);
        let selector = ImageSelector::Digest(digest.to_owned());
        let image = self.image(tenant, repository, &selector).map_err(|_| Unscanned::Gone)?;
        if !is_scannable(&image) {
            return Err(Unscanned::Unsupported(UNSUPPORTED.to_owned()));
        }
        let manifest = self.manifest_bytes(&image.digest).await;
        let manifest = manifest.map_err(|error| failed(cove_base::error::chain(&error)))?;
        let parsed = Manifest::parse(&manifest, Some(&image.media_type)).map_err(|fault| failed(fault.to_string()))?;
        let Kind::Image { config, layers } = parsed.kind else {
            return Err(Unscanned::Unsupported(UNSUPPORTED.to_owned()));
        };
        if layers.is_empty()
            || layers.iter().any(|layer| !LAYER_MARKS.iter().any(|mark| layer.media_type.contains(mark)))
        {
            return Err(Unscanned::Unsupported(UNSUPPORTED.to_owned()));
        }
        let (mut files, mut pins) = (Vec::new(), Vec::new());
        for descriptor in std::iter::once(&config).chain(&layers) {
            let digest = Digest::parse(&descriptor.digest);
            let digest = digest.ok_or_else(|| failed(format!("`{}` is no digest", descriptor.digest)))?;
            pins.push(self.blobs.pin(&digest));
            let path = self.blobs.path(&digest);
            files.push((digest, path));
        }
        let tag = self.tags_of(tenant, repository, digest).into_iter().next();
        Ok(Opened { image, manifest, config, layers, tag, files, _pins: pins })
    }
}
