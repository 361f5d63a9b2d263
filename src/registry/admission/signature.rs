//! Signatures beside an image, in its repository. Cosign's are an artifact under the tag `sha256-HEX.sig`, or one that
//! refers to the image: each layer is a payload, and has the signature of it in an annotation. Notation's refer to the
//! image: their layer is an envelope ([`notation`]).
//!
//! Source: cosign's SIGNATURE_SPEC, the simple signing format of containers/image, Notary's signature specification.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cove_base::Timestamp;
use cove_model::image::ImageSelector;
use serde::Deserialize;

use super::key::{PublicKey, Signer};
use super::notation::{self, Form};
use crate::blobs::read_small;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Manifest};
use crate::pull::PullError;
use crate::registry::{Registry, blocking};
use crate::resolve::Place;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const ARTIFACT_TYPE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const NOTATION_TYPE: &str = "application/vnd.cncf.notary.signature";
/// Media types of what is signed or of an envelope of Notation.
const KINDS: [(&str, Option<Form>); 3] =
    [(PAYLOAD, None), ("application/jose+json", Some(Form::Jws)), ("application/cose", Some(Form::Cose))];
/// A payload is some hundred bytes, an envelope with its certificates some thousand.
const PAYLOAD_MAX_BYTES: u64 = 64 << 10;
/// Signatures of one image that are looked at.
const SIGNATURES_MAX: usize = 64;

/// One signature of an image, whosever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signature {
    Cosign(Signed),
    /// An envelope of Notation, and the image that it should be about.
    Notation {
        form: Form,
        envelope: Vec<u8>,
        digest: String,
    },
}

/// A payload that speaks of the image, and what was signed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: About,
}

#[derive(Deserialize)]
struct About {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

impl Signature {
    /// Whether this signer made it; else, where there is something to say, why it does not count.
    pub(super) fn by(&self, signer: &Signer, now: Timestamp) -> Result<(), Option<&'static str>> {
        match (self, signer) {
            (Self::Cosign(signed), Signer::Key(key)) => signed.is_by(key).then_some(()).ok_or(None),
            (Self::Notation { form, envelope, digest }, Signer::Authority(roots)) => {
                notation::check(*form, envelope, digest, roots, now).map_err(Some)
            }
            (Self::Cosign(_), Signer::Authority(_)) | (Self::Notation { .. }, Signer::Key(_)) => Err(None),
        }
    }
}

impl Signed {
    /// Reads a layer; `None` when it speaks of another image or is no signature.
    fn read(layer: &Descriptor, payload: Vec<u8>, digest: &str) -> Option<Self> {
        let text = layer.annotations.as_ref()?.get(SIGNATURE)?;
        let signature = STANDARD.decode(text).ok()?;
        let about: Payload = serde_json::from_slice(&payload).ok()?;
        (about.critical.image.digest == digest).then_some(Self { payload, signature })
    }

    fn is_by(&self, key: &PublicKey) -> bool {
        key.signed(&self.payload, &self.signature)
    }
}

impl Registry {
    /// Signatures that speak of the digest; those with certificates where somebody's count.
    pub(super) async fn signatures(
        &self,
        place: &Place<'_>,
        digest: &str,
        is_certified: bool,
    ) -> Result<Vec<Signature>, PullError> {
        let mut found = Vec::new();
        for manifest in self.artifacts(place, digest, is_certified).await? {
            let is_read = |layer: &&Descriptor| KINDS.iter().any(|(kind, _)| *kind == layer.media_type);
            for layer in manifest.descriptors().filter(is_read).take(SIGNATURES_MAX) {
                let Some(path) = self.path_of(&layer.digest) else { continue };
                let content = match blocking(move || read_small(&path, PAYLOAD_MAX_BYTES)).await {
                    Ok(content) => content,
                    Err(error) if error.kind() == io::ErrorKind::FileTooLarge => continue,
                    Err(error) => return Err(PullError::keep(&error)),
                };
                let form = KINDS.iter().find(|(kind, _)| *kind == layer.media_type).and_then(|(_, form)| *form);
                match form {
                    Some(form) => {
                        found.push(Signature::Notation { form, envelope: content, digest: digest.to_owned() });
                    }
                    None => found.extend(Signed::read(layer, content, digest).map(Signature::Cosign)),
                }
            }
        }
        Ok(found)
    }

    /// Manifests of signatures, their layers local.
    async fn artifacts(&self, place: &Place<'_>, digest: &str, is_certified: bool) -> Result<Vec<Manifest>, PullError> {
        let tag = format!("{}.sig", digest.replacen(':', "-", 1));
        match place {
            Place::Own { tenant, repository } => {
                let mut selectors = vec![ImageSelector::Tag(tag)];
                if let Some(subject) = Digest::parse(digest) {
                    for kind in [ARTIFACT_TYPE, NOTATION_TYPE] {
                        let page = self.referrers(tenant, repository, &subject, Some(kind), None).await;
                        let page = page.map_err(|error| PullError::keep(&error))?;
                        selectors.extend(page.manifests.into_iter().map(|one| ImageSelector::Digest(one.digest)));
                    }
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
            Place::Remote { caller, source } => {
                let mut found = match self.remote_artifact(caller, source, &tag).await {
                    Ok(manifest) => vec![manifest],
                    Err(PullError::ManifestUnknown { .. }) => Vec::new(),
                    Err(error) => return Err(error),
                };
                // Only who trusts authorities has the other registry asked for more.
                let listed = if is_certified { self.puller.referrers(source, digest).await? } else { Vec::new() };
                let ours = listed.iter().filter(|one| one.artifact_type.as_deref() == Some(NOTATION_TYPE));
                for one in ours.take(SIGNATURES_MAX) {
                    found.push(self.remote_artifact(caller, source, &one.digest).await?);
                }
                Ok(found)
            }
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
        let signature = Signed::read(&layer(signed.as_ref()), payload.to_vec(), "sha256:1").unwrap();
        assert!(signature.is_by(&pem) && !signature.is_by(&other));
        assert_eq!(Signed::read(&layer(signed.as_ref()), payload.to_vec(), "sha256:2"), None, "of another image");
        let changed = String::from_utf8(payload.to_vec()).unwrap().replace('x', "y").into_bytes();
        let changed = Signed::read(&layer(signed.as_ref()), changed, "sha256:1").unwrap();
        assert!(!changed.is_by(&pem), "what was signed is something else");
        assert_eq!(Signed::read(&layer(signed.as_ref()), b"{}".to_vec(), "sha256:1"), None);
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
