//! Who signs images: public keys, and authorities whose certificates name keys.

use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

/// What an RFC 5480 key of P-256 begins with: the algorithm, the curve, and that the point follows.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_POINT_BYTES: usize = 65;
/// The same of an RFC 8410 key of Ed25519.
const ED25519_HEAD: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const ED25519_BYTES: usize = 32;

/// A key that is no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("it is no public key and no certificate in PEM form")]
    Pem,
    #[error("its certificate cannot be read")]
    Certificate,
    #[error("only keys of ECDSA P-256 (as cosign makes them) and Ed25519 are known")]
    Algorithm,
}

/// Whoever may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// Signs as cosign does.
    Key(PublicKey),
    /// Those whose certificates lead to one of these sign as Notation does.
    Authority(Vec<CertificateDer<'static>>),
}

impl Signer {
    /// Reads a `PUBLIC KEY`, or every `CERTIFICATE`, in PEM form.
    ///
    /// # Errors
    /// When it is none, or of a kind that is not known here.
    pub fn parse(pem: &[u8]) -> Result<Self, BadKey> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|_| BadKey::Certificate)?;
        if certificates.is_empty() {
            return PublicKey::parse(pem).map(Self::Key);
        }
        if certificates.iter().any(|one| webpki::anchor_from_trusted_cert(one).is_err()) {
            return Err(BadKey::Certificate);
        }
        Ok(Self::Authority(certificates))
    }

    pub(super) const fn is_authority(&self) -> bool {
        matches!(self, Self::Authority(_))
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    P256,
    Ed25519,
}

impl PublicKey {
    /// Reads a `PUBLIC KEY` in PEM form.
    ///
    /// # Errors
    /// When it is none, or of a kind that is not known here.
    pub fn parse(pem: &[u8]) -> Result<Self, BadKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| BadKey::Pem)?;
        let kinds = [(Kind::P256, P256, P256_POINT_BYTES), (Kind::Ed25519, ED25519_HEAD, ED25519_BYTES)];
        let known = |(kind, head, length): (Kind, &[u8], usize)| {
            let bytes = der.strip_prefix(head).filter(|bytes| bytes.len() == length)?;
            Some(Self { kind, bytes: bytes.to_vec() })
        };
        kinds.into_iter().find_map(known).ok_or(BadKey::Algorithm)
    }

    /// Whether the signature is this key's.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match self.kind {
            Kind::P256 => &ECDSA_P256_SHA256_ASN1,
            Kind::Ed25519 => &ED25519,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signature).is_ok()
    }
}
