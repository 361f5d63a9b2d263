//! Signatures as cosign keeps them beside an image: an artifact under the tag `sha256-HEX.sig` of the same repository, or
//! one that refers to the image. Each layer is a payload, and has the signature of it in an annotation.
//!
//! Source: cosign's SIGNATURE_SPEC and the simple signing format of containers/image.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cove_model::image::ImageSelector;
use serde::Deserialize;

use super::key::PublicKey;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Manifest};
use crate::pull::PullError;
use crate::registry::{Registry, blocking};
use crate::resolve::Place;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const ARTIFACT_TYPE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// A payload is some hundred bytes.
const PAYLOAD_MAX_BYTES: u64 = 64 << 10;
/// Signatures of one image that are looked at.
const SIGNATURES_MAX: usize = 64;

/// One signature of an image, whosever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Signed,
}

#[derive(Deserialize)]
struct Signed {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

impl Signature {
    /// Reads a layer; `None` when it speaks of another image or is no signature.
    fn read(layer: &Descriptor, payload: Vec<u8>, digest: &str) -> Option<Self> {
        let text = layer.annotations.as_ref()?.get(SIGNATURE)?;
        let signature = STANDARD.decode(text).ok()?;
        let about: Payload = serde_json::from_slice(&payload).ok()?;
        (about.critical.image.digest == digest).then_some(Self { payload, signature })
    }

    pub(super) fn is_by(&self, key: &PublicKey) -> bool {
        key.signed(&self.payload, &self.signature)
    }
}

impl Registry {
    /// Signatures that speak of the digest.
    pub(super) async fn signatures(&self, place: &Place<'_>, digest: &str) -> Result<Vec<Signature>, PullError> {
        let mut found = Vec::new();
        for manifest in self.artifacts(place, digest).await? {
            let layers = manifest.descriptors().filter(|it| it.media_type == PAYLOAD && it.size <= PAYLOAD_MAX_BYTES);
            for layer in layers.take(SIGNATURES_MAX) {
                let Some(path) = self.path_of(&layer.digest) else { continue };
                let payload = blocking(move || std::fs::read(path)).await.map_err(|error| PullError::keep(&error))?;
                found.extend(Signature::read(layer, payload, digest));
            }
        }
        Ok(found)
    }

    /// Manifests of signatures, their layers local.
    async fn artifacts(&self, place: &Place<'_>, digest: &str) -> Result<Vec<Manifest>, PullError> {
        let tag = format!("{}.sig", digest.replacen(':', "-", 1));
        match place {
            Place::Own { tenant, repository } => {
                let mut selectors = vec![ImageSelector::Tag(tag)];
                if let Some(subject) = Digest::parse(digest) {
                    let page = self.referrers(tenant, repository, &subject, Some(ARTIFACT_TYPE), None).await;
                    let page = page.map_err(|error| PullError::keep(&error))?;
                    selectors.extend(page.manifests.into_iter().map(|one| ImageSelector::Digest(one.digest)));
                }
                let mut found = Vec::new();
                for selector in selectors.iter().take(SIGNATURES_MAX) {
                    // Where a rule fetches images from elsewhere, their signatures are there as well.
                    if let Err(error) = self.whole_through(tenant, repository, selector).await
                        && error.is_unreachable()
                    {
                        return Err(error);
                    }
                    let Ok(image) = self.image(tenant, repository, selector) else { continue };
                    let bytes = self.manifest_bytes(&image.digest).await.map_err(|error| PullError::keep(&error))?;
                    found.extend(Manifest::parse(&bytes, Some(&image.media_type)));
                }
                Ok(found)
            }
            Place::Remote { caller, source } => match self.remote_artifact(caller, source, &tag).await {
                Ok(manifest) => Ok(vec![manifest]),
                Err(PullError::ManifestUnknown { .. }) => Ok(Vec::new()),
                Err(error) => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;
    use crate::admission::key::BadKey;

    /// A key pair, and its public half as a file has it.
    fn pair() -> (EcdsaKeyPair, String) {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
        let head = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let der = [hex::decode(head).unwrap(), pair.public_key().as_ref().to_vec()].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        (pair, pem)
    }

    fn layer(signature: &[u8]) -> Descriptor {
        Descriptor {
            media_type: PAYLOAD.into(),
            digest: String::new(),
            size: 0,
            artifact_type: None,
            annotations: Some([(SIGNATURE.to_owned(), STANDARD.encode(signature))].into()),
            platform: None,
        }
    }

    #[test]
    fn a_signature_counts_for_its_key_its_payload_and_its_image_alone() {
        let ((mine, pem), (_, other)) = (pair(), pair());
        let (mine, pem, other) =
            (mine, PublicKey::parse(pem.as_bytes()).unwrap(), PublicKey::parse(other.as_bytes()).unwrap());
        let payload =
            br#"{"critical": {"image": {"docker-manifest-digest": "sha256:1"}, "type": "x"}, "optional": null}"#;
        let signed = mine.sign(&SystemRandom::new(), payload).unwrap();
        let signature = Signature::read(&layer(signed.as_ref()), payload.to_vec(), "sha256:1").unwrap();
        assert!(signature.is_by(&pem) && !signature.is_by(&other));
        assert_eq!(Signature::read(&layer(signed.as_ref()), payload.to_vec(), "sha256:2"), None, "of another image");
        let changed = String::from_utf8(payload.to_vec()).unwrap().replace('x', "y").into_bytes();
        let changed = Signature::read(&layer(signed.as_ref()), changed, "sha256:1").unwrap();
        assert!(!changed.is_by(&pem), "what was signed is something else");
        assert_eq!(Signature::read(&layer(signed.as_ref()), b"{}".to_vec(), "sha256:1"), None);
    }

    #[test]
    fn only_keys_that_are_known_are_taken() {
        assert_eq!(PublicKey::parse(b"hello"), Err(BadKey::Pem));
        let rsa = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf\n-----END PUBLIC KEY-----\n";
        assert_eq!(PublicKey::parse(rsa.as_bytes()), Err(BadKey::Algorithm));
        let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert!(PublicKey::parse(ed25519.as_bytes()).is_ok());
    }
}
