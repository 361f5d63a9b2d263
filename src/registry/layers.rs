//! Which layers the images of the registry are made of.
//!
//! In: the records of pushed and pulled images. Out: diff ids, bottom first, one list per image.
//!
//! Why an image that cannot be read is left out: nothing could start from it either.

use std::collections::BTreeMap;

use cove_model::registry::{Image, PulledImage};
use cove_store::{Prefix, Read};

use crate::blobs::read_small;
use crate::image_config::ImageConfig;
use crate::manifest::{Kind, MANIFEST_MAX_BYTES, Manifest};
use crate::registry::{Registry, blocking};
use crate::resolve::CONFIG_MAX_BYTES;

/// The kernel's overlays take 500 layers; a config of the largest size could name a hundred thousand.
const LAYERS_MAX: usize = 500;

impl Registry {
    /// The layers of every image that somebody pushed and nobody deleted, or that was pulled not long ago. Reads two
    /// small files per image.
    pub async fn known_layers(&self) -> Vec<Vec<String>> {
        let manifests: BTreeMap<String, Option<String>> = self.store.read(|view| {
            let all = Prefix::all();
            let pulled = view.scan::<PulledImage>(&all).into_iter().map(|image| (image.manifest_digest.clone(), None));
            let pushed = view.scan::<Image>(&all).into_iter();
            pulled.chain(pushed.map(|image| (image.digest.clone(), Some(image.media_type.clone())))).collect()
        });
        let registry = self.clone();
        blocking(move || {
            manifests.iter().filter_map(|(digest, kind)| registry.layers(digest, kind.as_deref())).collect()
        })
        .await
    }

    /// `None` for an index, an artifact that is no image, or what cannot be read or started from.
    fn layers(&self, digest: &str, media_type: Option<&str>) -> Option<Vec<String>> {
        let manifest = read_small(&self.path_of(digest)?, MANIFEST_MAX_BYTES as u64).ok()?;
        let manifest = Manifest::parse(&manifest, media_type).ok()?;
        let Kind::Image { config, .. } = &manifest.kind else { return None };
        let config = read_small(&self.path_of(&config.digest)?, CONFIG_MAX_BYTES).ok()?;
        let config: ImageConfig = serde_json::from_slice(&config).ok()?;
        Some(config.rootfs.diff_ids).filter(|layers| layers.len() <= LAYERS_MAX)
    }
}
