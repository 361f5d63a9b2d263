//! Images made here: from a layer that the user brings, or from files that the binary carries.
//!
//! Holds: the same content makes the same digests, so making an image again changes nothing.

mod builtin;

use std::io::{self, Read};

use crate::archive::layer_media_type;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::image_config::{ImageConfig, RootFs, RunConfig};
use crate::manifest::{OCI_CONFIG, OCI_MANIFEST};
use crate::resolve::ARCH;

pub use builtin::{FileContent, ImageFile};

/// What must be known of a layer to name it in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFacts {
    pub digest: Digest,
    /// Of the uncompressed tar.
    pub diff_id: Digest,
    pub media_type: &'static str,
    pub size: u64,
}

/// Config and manifest of an image whose layers exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageParts {
    pub config: Vec<u8>,
    pub config_digest: Digest,
    pub manifest: Vec<u8>,
    pub manifest_digest: Digest,
}

impl LayerFacts {
    /// Reads a layer to its end: plain, gzip or zstd, told by its first bytes.
    ///
    /// # Errors
    /// When it cannot be read or decompressed.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut magic = Vec::new();
        from.by_ref().take(4).read_to_end(&mut magic)?;
        let media_type = layer_media_type(&magic);
        let mut whole = Measured { from: magic.chain(from), hasher: Hasher::new(Algorithm::Sha256), size: 0 };
        let diff_id = match media_type {
            crate::manifest::OCI_LAYER_GZIP => Some(digest_of(flate2::read::MultiGzDecoder::new(&mut whole))?),
            crate::manifest::OCI_LAYER_ZSTD => Some(digest_of(zstd::Decoder::new(&mut whole)?)?),
            _plain => None,
        };
        io::copy(&mut whole, &mut io::sink())?;
        let (digest, size) = (whole.hasher.finish(), whole.size);
        Ok(Self { diff_id: diff_id.unwrap_or_else(|| digest.clone()), digest, media_type, size })
    }
}

/// An image of one layer, to be run as `run` says.
#[must_use]
pub fn image_from_layer(layer: &LayerFacts, run: RunConfig) -> ImageParts {
    let config = ImageConfig {
        architecture: ARCH.to_owned(),
        os: "linux".to_owned(),
        config: run,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![layer.diff_id.to_string()] },
        ..ImageConfig::default()
    };
    let config = serde_json::to_vec(&config).expect("a config of strings and lists is JSON");
    image_from_layers(std::slice::from_ref(layer), config)
}

/// An image of layers and a config that names their diff ids.
#[must_use]
pub fn image_from_layers(layers: &[LayerFacts], config: Vec<u8>) -> ImageParts {
    let config_digest = Digest::of(&config);
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            serde_json::json!({ "mediaType": layer.media_type, "digest": layer.digest.as_str(), "size": layer.size })
        })
        .collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": OCI_CONFIG, "digest": config_digest.as_str(), "size": config.len() },
        "layers": layers,
    });
    let manifest = manifest.to_string().into_bytes();
    ImageParts { config, config_digest, manifest_digest: Digest::of(&manifest), manifest }
}

/// Hashes and counts what passes.
struct Measured<R> {
    from: R,
    hasher: Hasher,
    size: u64,
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

fn digest_of(from: impl Read) -> io::Result<Digest> {
    let mut plain = Measured { from, hasher: Hasher::new(Algorithm::Sha256), size: 0 };
    io::copy(&mut plain, &mut io::sink())?;
    Ok(plain.hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_compressed_layer_has_the_diff_id_of_its_plain_form() {
        let plain = vec![7u8; 100_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).expect("write");
        let packed = gzip.finish().expect("finish");
        let facts = LayerFacts::read(&mut packed.as_slice()).expect("read");
        assert_eq!(facts.diff_id, Digest::of(&plain));
        assert_eq!(facts.digest, Digest::of(&packed));
        assert_eq!(facts.size, packed.len() as u64);
        let facts = LayerFacts::read(&mut plain.as_slice()).expect("read");
        assert_eq!(facts.diff_id, facts.digest);
    }
}
