//! Signatures as Notation makes them: an envelope with the certificates of its signer.
//!
//! In: an envelope in one of its two forms, the image that it should be about, who is trusted, the time. Out: nothing, or
//! why it does not count. Pure.
//!
//! Holds: nothing of an envelope is believed before its signature is checked; a header that must be understood and is not
//! ends it; the key must be of the kind that the algorithm names.
//! Source: the Notary Project's specifications of signatures and of their envelopes.
//! Absent, and each refused: the signing authority's scheme, verification plug-ins, P-521. Countersigned times and
//! revocation are not looked at: a signature ends with its certificates.

use std::time::Duration;

use cove_base::Timestamp;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use serde::Deserialize;
use webpki::ring as algorithms;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{cose, jws};

/// id-kp-codeSigning.
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
const SCHEME: &str = "notary.x509";
const PAYLOAD: &str = "application/vnd.cncf.notary.payload.v1+json";
/// Headers that may have to be understood.
pub(super) const KNOWN: [&str; 2] = ["io.cncf.notary.signingScheme", "io.cncf.notary.expiry"];
/// Leaf, intermediates, root.
pub(super) const CERTIFICATES_MAX: usize = 8;
/// Why an envelope is none.
pub(super) const UNREADABLE: &str = "an envelope cannot be read";

/// How an envelope is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Jws,
    Cose,
}

/// What an envelope says, whatever its form.
pub(super) struct Said {
    /// As JWS names it.
    pub(super) algorithm: String,
    pub(super) content_type: String,
    /// Headers that must be understood.
    pub(super) critical: Vec<String>,
    pub(super) scheme: String,
    pub(super) ends: Option<Timestamp>,
    /// The signer's first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// What was signed.
    pub(super) message: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "targetArtifact")]
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    digest: String,
}

/// Whether somebody whom these authorities certify signed the image.
pub(super) fn check(
    form: Form,
    envelope: &[u8],
    digest: &str,
    roots: &[CertificateDer<'static>],
    now: Timestamp,
) -> Result<(), &'static str> {
    let said = match form {
        Form::Jws => jws::read(envelope)?,
        Form::Cose => cose::read(envelope)?,
    };
    if said.critical.iter().any(|name| !KNOWN.contains(&name.as_str())) {
        return Err("an envelope has a critical header that is not known here");
    }
    if said.scheme != SCHEME || said.content_type != PAYLOAD {
        return Err("an envelope has a signing scheme or a payload that is not known here");
    }
    let (leaf, others) = said.chain.split_first().ok_or("an envelope has no certificate")?;
    let leaf = EndEntityCert::try_from(leaf).map_err(|_| "a certificate cannot be read")?;
    let (algorithm, signature) = algorithm(&said.algorithm, &said.signature)?;
    leaf.verify_signature(algorithm, &said.message, &signature).map_err(|_| "a signature is wrong")?;

    let anchors: Vec<_> = roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(now.millis()).unwrap_or(0)));
    let usage = KeyUsage::required_if_present(CODE_SIGNING);
    leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, others, at, usage, None, None).map_err(
        |error| match error {
            webpki::Error::CertExpired { .. } => "a certificate has expired",
            _ => "a certificate leads to no authority that is trusted",
        },
    )?;
    if said.ends.is_some_and(|ends| now >= ends) {
        return Err("a signature has expired");
    }
    let payload: Payload = serde_json::from_slice(&said.payload).map_err(|_| UNREADABLE)?;
    (payload.target.digest == digest).then_some(()).ok_or("a signature is of another image")
}

/// The algorithm of that name, and the signature in the form that it takes.
fn algorithm(
    name: &str,
    signature: &[u8],
) -> Result<(&'static dyn SignatureVerificationAlgorithm, Vec<u8>), &'static str> {
    let whole = |algorithm| Ok((algorithm, signature.to_vec()));
    match name {
        "PS256" => whole(algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY),
        "PS384" => whole(algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY),
        "PS512" => whole(algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY),
        "ES256" if signature.len() == 64 => Ok((algorithms::ECDSA_P256_SHA256, sequence(signature))),
        "ES384" if signature.len() == 96 => Ok((algorithms::ECDSA_P384_SHA384, sequence(signature))),
        "ES256" | "ES384" => Err("a signature is wrong"),
        _ => Err("a signature's algorithm is none of PS256, PS384, PS512, ES256 and ES384"),
    }
}

/// Envelopes have the two numbers of an ECDSA signature side by side, X.509 as a sequence of integers. Both together are shorter
/// than 128 bytes, so that every length is one byte.
fn sequence(numbers: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(numbers.len() + 6);
    for number in numbers.chunks(numbers.len() / 2) {
        let zeros = number.iter().take_while(|byte| **byte == 0).count().min(number.len() - 1);
        let bare = &number[zeros..];
        // One that would be taken for negative gets a zero in front.
        let sign: &[u8] = if bare[0] >= 0x80 { &[0] } else { &[] };
        content.extend([2, u8::try_from(sign.len() + bare.len()).unwrap_or(0)]);
        content.extend_from_slice(sign);
        content.extend_from_slice(bare);
    }
    let mut all = vec![0x30, u8::try_from(content.len()).unwrap_or(0)];
    all.append(&mut content);
    all
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use cove_model::cbor::head;
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use serde_json::{Value, json};

    use super::*;

    const IMAGE: &str = "sha256:1111";
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    /// An authority, and somebody whom it certified until a time.
    struct Signed {
        root: CertificateDer<'static>,
        leaf: CertificateDer<'static>,
        key: KeyPair,
    }

    fn certified(ends: Timestamp, use_of_key: ExtendedKeyUsagePurpose) -> Signed {
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = KeyPair::generate().unwrap();
        let made = root.self_signed(&root_key).unwrap();
        let mut leaf = CertificateParams::new(Vec::new()).unwrap();
        leaf.extended_key_usages = vec![use_of_key];
        leaf.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(ends.0 as u64);
        let key = KeyPair::generate().unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
        Signed { root: made.der().clone(), leaf: leaf.der().clone(), key }
    }

    impl Signed {
        fn sign(&self, message: &[u8]) -> Vec<u8> {
            let (random, der) = (SystemRandom::new(), self.key.serialize_der());
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).unwrap();
            pair.sign(&random, message).unwrap().as_ref().to_vec()
        }
    }

    /// An item with content: bytes (2) or a text (3).
    fn item(major: u8, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        head(major, content.len() as u64, &mut out);
        [out, content.to_vec()].concat()
    }

    /// The headers of a COSE envelope; of its entries some are replaced.
    fn labels(critical: &str, scheme: &str, algorithm: u8, more: &[u8]) -> Vec<u8> {
        let entries = if more.is_empty() { 4 } else { 5 };
        let critical = [vec![0x02, 0x81], item(3, critical.as_bytes())].concat();
        let kind = [vec![0x03], item(3, PAYLOAD.as_bytes())].concat();
        let scheme = [item(3, KNOWN[0].as_bytes()), item(3, scheme.as_bytes())].concat();
        [vec![0xa0 | entries, 0x01, algorithm], critical, kind, scheme, more.to_vec()].concat()
    }

    fn cose(by: &Signed, protected: &[u8], image: &str) -> Vec<u8> {
        let payload = json!({"targetArtifact": {"digest": image, "size": 1}}).to_string().into_bytes();
        let (protected, payload) = (item(2, protected), item(2, &payload));
        let signed = [vec![0x84], item(3, b"Signature1"), protected.clone(), vec![0x40], payload.clone()].concat();
        let chain = [vec![0xa1, 0x18, 33, 0x82], item(2, &by.leaf), item(2, &by.root)].concat();
        [vec![0xd2, 0x84], protected, chain, payload, item(2, &by.sign(&signed))].concat()
    }

    fn cose_checked(envelope: &[u8], root: &Signed) -> Result<(), &'static str> {
        check(Form::Cose, envelope, IMAGE, std::slice::from_ref(&root.root), NOW)
    }

    #[test]
    fn an_envelope_in_cose_counts_like_one_in_json() {
        let signs = || ExtendedKeyUsagePurpose::CodeSigning;
        let (ours, other) = (certified(NOW.plus_millis(60_000), signs()), certified(NOW.plus_millis(60_000), signs()));
        const ES256: u8 = 0x26;
        let plain = labels(KNOWN[0], SCHEME, ES256, &[]);
        let good = cose(&ours, &plain, IMAGE);
        assert_eq!(cose_checked(&good, &ours), Ok(()));
        assert_eq!(cose_checked(&good, &other), Err("a certificate leads to no authority that is trusted"));
        assert_eq!(cose_checked(&cose(&ours, &plain, "sha256:2"), &ours), Err("a signature is of another image"));
        let mut forged = good.clone();
        let at = forged.windows(6).position(|part| part == b"sha256").unwrap();
        forged[at + 7] = b'9';
        assert_eq!(cose_checked(&forged, &ours), Err("a signature is wrong"));
        let with = |critical: &str, scheme: &str, algorithm, more: &[u8]| {
            cose_checked(&cose(&ours, &labels(critical, scheme, algorithm, more), IMAGE), &ours)
        };
        assert!(with("io.cncf.notary.verificationPlugin", SCHEME, ES256, &[]).unwrap_err().contains("critical"));
        assert!(with(KNOWN[0], "notary.x509.signingAuthority", ES256, &[]).unwrap_err().contains("signing scheme"));
        assert!(with(KNOWN[0], SCHEME, 0x07, &[]).unwrap_err().contains("algorithm"));
        let until = |seconds: i64| {
            let mut entry = [item(3, KNOWN[1].as_bytes()), vec![0xc1]].concat();
            head(0, seconds as u64, &mut entry);
            with(KNOWN[0], SCHEME, ES256, &entry)
        };
        assert_eq!(until(NOW.millis() / 1000 + 60), Ok(()));
        assert_eq!(until(NOW.millis() / 1000 - 60), Err("a signature has expired"));
        let never = [item(3, KNOWN[1].as_bytes()), item(3, b"soon")].concat();
        assert_eq!(with(KNOWN[0], SCHEME, ES256, &never), Err(UNREADABLE));
        for cut in [0, 1, good.len() / 2, good.len() - 1] {
            assert_eq!(cose_checked(&good[..cut], &ours), Err(UNREADABLE), "{cut}");
        }
        assert_eq!(check(Form::Jws, &good, IMAGE, &[], NOW), Err(UNREADABLE));
    }

    fn headers() -> Value {
        json!({"alg": "ES256", "cty": PAYLOAD, "crit": [KNOWN[0]], KNOWN[0]: SCHEME})
    }

    fn envelope(by: &Signed, protected: &Value, image: &str) -> Value {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let (protected, payload) = (part(protected), part(&json!({"targetArtifact": {"digest": image, "size": 1}})));
        let signature = by.sign(format!("{protected}.{payload}").as_bytes());
        let chain = [&by.leaf, &by.root].map(|one| STANDARD.encode(one));
        json!({"payload": payload, "protected": protected, "header": {"x5c": chain},
            "signature": URL_SAFE_NO_PAD.encode(signature)})
    }

    fn checked(envelope: &Value, root: &Signed) -> Result<(), &'static str> {
        check(Form::Jws, envelope.to_string().as_bytes(), IMAGE, std::slice::from_ref(&root.root), NOW)
    }

    #[test]
    fn a_signature_counts_for_its_authority_its_image_and_its_time() {
        let signs = || ExtendedKeyUsagePurpose::CodeSigning;
        let (ours, other) = (certified(NOW.plus_millis(60_000), signs()), certified(NOW.plus_millis(60_000), signs()));
        let good = envelope(&ours, &headers(), IMAGE);
        assert_eq!(checked(&good, &ours), Ok(()));
        assert_eq!(checked(&good, &other), Err("a certificate leads to no authority that is trusted"));
        assert_eq!(checked(&envelope(&ours, &headers(), "sha256:2"), &ours), Err("a signature is of another image"));
        let ended = certified(NOW.plus_millis(-60_000), signs());
        assert_eq!(checked(&envelope(&ended, &headers(), IMAGE), &ended), Err("a certificate has expired"));
        let server = certified(NOW.plus_millis(60_000), ExtendedKeyUsagePurpose::ServerAuth);
        let why = "a certificate leads to no authority that is trusted";
        assert_eq!(checked(&envelope(&server, &headers(), IMAGE), &server), Err(why), "it may not sign code");
        let mut forged = good.clone();
        forged["payload"] = envelope(&ours, &headers(), "sha256:3")["payload"].clone();
        assert_eq!(checked(&forged, &ours), Err("a signature is wrong"));
        forged = good;
        forged["header"]["x5c"][0] = json!(STANDARD.encode(&other.leaf));
        assert_eq!(checked(&forged, &ours), Err("a signature is wrong"), "by another key");
    }

    #[test]
    fn what_is_not_understood_does_not_count() {
        let ours = certified(NOW.plus_millis(60_000), ExtendedKeyUsagePurpose::CodeSigning);
        let with = |name: &str, value: Value| {
            let mut changed = headers();
            changed[name] = value;
            checked(&envelope(&ours, &changed, IMAGE), &ours)
        };
        assert!(with("crit", json!([KNOWN[0], "io.cncf.notary.verificationPlugin"])).unwrap_err().contains("critical"));
        assert!(with(KNOWN[0], json!("notary.x509.signingAuthority")).unwrap_err().contains("signing scheme"));
        assert!(with("alg", json!("none")).unwrap_err().contains("algorithm"));
        assert_eq!(with("alg", json!("PS256")), Err("a signature is wrong"), "the key is of another kind");
        assert_eq!(with(KNOWN[1], json!("2027-01-15T07:59:59Z")), Err("a signature has expired"));
        assert_eq!(with(KNOWN[1], json!("2027-01-15T09:00:01+01:00")), Ok(()));
        assert_eq!(with(KNOWN[1], json!("soon")), Err("a signature has expired"));
        assert_eq!(checked(&json!({}), &ours), Err("an envelope cannot be read"));
    }

    #[test]
    fn numbers_of_a_signature_are_integers_of_their_shortest_form() {
        assert_eq!(sequence(&[0x00, 0x01, 0x80, 0x00]), [0x30, 8, 2, 1, 0x01, 2, 3, 0x00, 0x80, 0x00]);
        assert_eq!(sequence(&[0x00, 0x00]), [0x30, 6, 2, 1, 0, 2, 1, 0]);
    }
}
