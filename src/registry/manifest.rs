//! Manifests and indexes, read from bytes that anyone may have sent.
//!
//! In: bytes and the media type they were sent with. Out: a [`Manifest`] whose digests are all well formed.
//!
//! Holds: nothing here changes the bytes; what is not understood stays in them. Both Docker's schema 2 and OCI's forms,
//! artifacts included. Schema 1 is refused: nobody pushes it any more and its signatures need rewriting.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::ManifestFault;

pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// The media types that are accepted, in the order in which we ask other registries for them.
pub const MEDIA_TYPES: [&str; 4] = [OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST];

/// The spec asks for 4 MiB at least. Twice that leaves room for indexes with many annotations and stays small in RAM.
pub const MANIFEST_MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a manifest may be made of. Overlays take 500 layers; 8 MiB would hold a hundred thousand, and a record names each.
const PARTS_MAX: usize = 10_000;

/// What a manifest says about another blob or manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// Whom a manifest of an index is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What else it says (`os.version`, `os.features`), kept as found.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

/// A manifest or index, as far as a registry must understand it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    pub kind: Kind,
    pub artifact_type: Option<String>,
    pub annotations: BTreeMap<String, String>,
    pub subject: Option<Descriptor>,
}

/// The two shapes.
#[allow(clippy::large_enum_variant, reason = "one per request, never in lists")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Image { config: Descriptor, layers: Vec<Descriptor> },
    Index { manifests: Vec<Descriptor> },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads and checks a manifest. `sent_as` is the Content-Type it came with, if any.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8], sent_as: Option<&str>) -> Result<Self, ManifestFault> {
        // Serde would take an array for the members in their order.
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            return Err(ManifestFault::Json("it is an array".to_owned()));
        }
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| ManifestFault::Json(error.to_string()))?;
        if document.schema_version != 2 {
            return Err(ManifestFault::SchemaVersion);
        }
        let media_type = media_type(&document, sent_as)?;
        let is_index = matches!(media_type.as_str(), OCI_INDEX | DOCKER_INDEX);
        let kind = match (is_index, document.config, document.layers, document.manifests) {
            (false, Some(config), layers, None) => Kind::Image { config, layers: layers.unwrap_or_default() },
            (true, None, None, manifests) => Kind::Index { manifests: manifests.unwrap_or_default() },
            (true | false, ..) => return Err(ManifestFault::Shape),
        };
        let manifest = Self {
            media_type,
            kind,
            artifact_type: document.artifact_type.filter(|text| !text.is_empty()),
            annotations: document.annotations.unwrap_or_default(),
            subject: document.subject,
        };
        if manifest.descriptors().count() > PARTS_MAX {
            return Err(ManifestFault::TooMany { max: PARTS_MAX });
        }
        for descriptor in manifest.descriptors().chain(&manifest.subject) {
            if Digest::parse(&descriptor.digest).is_none() {
                return Err(ManifestFault::Digest(descriptor.digest.clone()));
            }
        }
        Ok(manifest)
    }

    /// Everything that it is made of: config and layers, or manifests.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, rest) = match &self.kind {
            Kind::Image { config, layers } => (Some(config), layers),
            Kind::Index { manifests } => (None, manifests),
        };
        config.into_iter().chain(rest)
    }

    /// Digests of config and layers, without layers that are not distributed by registries.
    #[must_use]
    pub fn blobs(&self) -> Vec<String> {
        match &self.kind {
            Kind::Image { config, layers } => {
                unique(std::iter::once(config).chain(layers.iter().filter(|layer| !is_foreign(&layer.media_type))))
            }
            Kind::Index { .. } => Vec::new(),
        }
    }

    /// Digests of the layers that are not distributed by registries.
    #[must_use]
    pub fn foreign_layers(&self) -> Vec<String> {
        match &self.kind {
            Kind::Image { layers, .. } => unique(layers.iter().filter(|layer| is_foreign(&layer.media_type))),
            Kind::Index { .. } => Vec::new(),
        }
    }

    /// Digests of the manifests that an index names.
    #[must_use]
    pub fn manifests(&self) -> Vec<String> {
        match &self.kind {
            Kind::Image { .. } => Vec::new(),
            Kind::Index { manifests } => manifests.iter().map(|one| one.digest.clone()).collect(),
        }
    }

    /// The media type of the config blob.
    #[must_use]
    pub fn config_media_type(&self) -> Option<&str> {
        match &self.kind {
            Kind::Image { config, .. } => Some(&config.media_type),
            Kind::Index { .. } => None,
        }
    }

    /// Layers and config together in bytes, as their descriptors say: what ECR calls the image's size.
    #[must_use]
    pub fn content_size(&self) -> u64 {
        match &self.kind {
            Kind::Image { config, layers } => {
                std::iter::once(config).chain(layers).fold(0, |sum, blob| sum.saturating_add(blob.size))
            }
            Kind::Index { .. } => 0,
        }
    }

    /// The artifact type that referrers lists show: the config's media type stands in for images, nothing for indexes.
    #[must_use]
    pub fn shown_artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref().or_else(|| self.config_media_type())
    }

    /// The index's manifest for a platform; `arch` as Go names it. Attestations (platform `unknown`) are never chosen.
    #[must_use]
    pub fn for_platform(&self, arch: &str) -> Option<&Descriptor> {
        let Kind::Index { manifests } = &self.kind else { return None };
        let fits = |descriptor: &&Descriptor| {
            descriptor.platform.as_ref().is_some_and(|platform| platform.os == "linux" && platform.architecture == arch)
        };
        let no_variant = |descriptor: &&Descriptor| {
            descriptor.platform.as_ref().is_none_or(|platform| platform.variant.as_deref().is_none_or(is_base_variant))
        };
        manifests
            .iter()
            .filter(fits)
            .find(no_variant)
            .or_else(|| manifests.iter().find(fits))
            .or_else(|| manifests.iter().find(|one| manifests.len() == 1 && one.platform.is_none()))
    }
}

/// arm64's v8 and amd64's v1 are what every such processor has.
fn is_base_variant(variant: &str) -> bool {
    matches!(variant, "" | "v1" | "v8")
}

fn media_type(document: &Document, sent_as: Option<&str>) -> Result<String, ManifestFault> {
    let outside = sent_as.map(|text| text.split(';').next().unwrap_or(text).trim()).filter(|text| !text.is_empty());
    let inside = document.media_type.as_deref().filter(|text| !text.is_empty());
    let chosen = match (inside, outside) {
        (Some(inside), Some(outside)) if inside != outside => {
            return Err(ManifestFault::MediaTypeDiffers { inside: inside.to_owned(), outside: outside.to_owned() });
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) if document.manifests.is_some() => OCI_INDEX,
        (None, None) => OCI_MANIFEST,
    };
    if MEDIA_TYPES.contains(&chosen) { Ok(chosen.to_owned()) } else { Err(ManifestFault::MediaType(chosen.to_owned())) }
}

fn unique<'a>(descriptors: impl Iterator<Item = &'a Descriptor>) -> Vec<String> {
    let mut digests: Vec<String> = descriptors.map(|descriptor| descriptor.digest.clone()).collect();
    digests.sort_unstable();
    digests.dedup();
    digests
}

/// Layers that registries need not hold: their bytes come from elsewhere.
fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(letter: char, platform: Option<(&str, &str)>) -> serde_json::Value {
        let mut value = serde_json::json!({
            "mediaType": "application/x", "digest": format!("sha256:{}", letter.to_string().repeat(64)), "size": 7
        });
        if let Some((os, architecture)) = platform {
            value["platform"] = serde_json::json!({ "os": os, "architecture": architecture, "os.version": "1" });
        }
        value
    }

    fn parse(value: &serde_json::Value, sent_as: Option<&str>) -> Result<Manifest, ManifestFault> {
        Manifest::parse(value.to_string().as_bytes(), sent_as)
    }

    #[test]
    fn an_image_lists_each_blob_once_and_no_foreign_layers() {
        let mut foreign = descriptor('c', None);
        foreign["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
        let value = serde_json::json!({ "schemaVersion": 2, "config": descriptor('a', None),
            "layers": [descriptor('b', None), descriptor('b', None), foreign] });
        let manifest = parse(&value, Some(OCI_MANIFEST)).expect("a manifest");
        assert_eq!((manifest.blobs().len(), manifest.foreign_layers().len()), (2, 1));
        assert_eq!(manifest.content_size(), 28);
        assert_eq!(manifest.shown_artifact_type(), Some("application/x"));
    }

    #[test]
    fn an_index_chooses_the_platform_and_never_an_attestation() {
        let value = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            descriptor('a', Some(("unknown", "unknown"))), descriptor('b', Some(("linux", "arm64"))),
            descriptor('c', Some(("linux", "amd64"))) ] });
        let manifest = parse(&value, None).expect("an index");
        assert!(manifest.for_platform("amd64").is_some_and(|found| found.digest.contains("cc")));
        assert_eq!(manifest.for_platform("s390x"), None);
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_the_reason() {
        let bad_digest = serde_json::json!({ "schemaVersion": 2, "manifests": [{ "digest": "sha256:../x" }] });
        assert!(matches!(parse(&bad_digest, None), Err(ManifestFault::Digest(_))));
        let both = serde_json::json!({ "schemaVersion": 2, "config": descriptor('a', None), "manifests": [] });
        assert_eq!(parse(&both, Some(OCI_MANIFEST)), Err(ManifestFault::Shape));
        let value = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] });
        assert!(matches!(parse(&value, Some(OCI_MANIFEST)), Err(ManifestFault::MediaTypeDiffers { .. })));
        assert!(matches!(Manifest::parse(b"no JSON", None), Err(ManifestFault::Json(_))));
        let one = serde_json::json!({ "schemaVersion": 1 });
        assert_eq!(parse(&one, None), Err(ManifestFault::SchemaVersion));
        let many = |count| serde_json::json!({ "schemaVersion": 2, "manifests": vec![descriptor('a', None); count] });
        assert!(parse(&many(PARTS_MAX), None).is_ok());
        assert_eq!(parse(&many(PARTS_MAX + 1), None), Err(ManifestFault::TooMany { max: PARTS_MAX }));
    }
}
