//! Signatures as Notation makes them: a JSON web signature with the certificates of its signer.
//!
//! In: an envelope, the image that it should be about, who is trusted, the time. Out: nothing, or why it does not count.
//! Pure.
//!
//! Holds: nothing of an envelope is believed before its signature is checked; a header that must be understood and is not
//! ends it; the key must be of the kind that the algorithm names.
//! Source: the Notary Project's specifications of signatures and of JWS envelopes.
//! Absent, and each refused: COSE envelopes, the signing authority's scheme, verification plug-ins, P-521. Countersigned
//! times and revocation are not looked at: a signature ends with its certificates.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cove_base::Timestamp;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use webpki::ring as algorithms;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// id-kp-codeSigning.
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
const SCHEME: &str = "notary.x509";
const PAYLOAD: &str = "application/vnd.cncf.notary.payload.v1+json";
/// Headers that may have to be understood.
const KNOWN: [&str; 2] = ["io.cncf.notary.signingScheme", "io.cncf.notary.expiry"];
/// Leaf, intermediates, root.
const CERTIFICATES_MAX: usize = 8;

#[derive(Deserialize)]
struct Envelope {
    payload: String,
    protected: String,
    header: Header,
    signature: String,
}

#[derive(Deserialize)]
struct Header {
    x5c: Vec<String>,
}

#[derive(Deserialize)]
struct Protected {
    alg: String,
    cty: String,
    crit: Vec<String>,
    #[serde(rename = "io.cncf.notary.signingScheme")]
    scheme: String,
    #[serde(rename = "io.cncf.notary.expiry")]
    expiry: Option<String>,
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
    envelope: &[u8],
    digest: &str,
    roots: &[CertificateDer<'static>],
    now: Timestamp,
) -> Result<(), &'static str> {
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(|_| "an envelope cannot be read")?;
    let protected: Protected = part(&envelope.protected)?;
    if protected.crit.iter().any(|name| !KNOWN.contains(&name.as_str())) {
        return Err("an envelope has a critical header that is not known here");
    }
    if protected.scheme != SCHEME || protected.cty != PAYLOAD {
        return Err("an envelope has a signing scheme or a payload that is not known here");
    }
    let chain = envelope.header.x5c.iter().take(CERTIFICATES_MAX).map(|text| STANDARD.decode(text));
    let chain: Result<Vec<_>, _> = chain.map(|der| der.map(CertificateDer::from)).collect();
    let chain = chain.map_err(|_| "a certificate cannot be read")?;
    let (leaf, others) = chain.split_first().ok_or("an envelope has no certificate")?;
    let leaf = EndEntityCert::try_from(leaf).map_err(|_| "a certificate cannot be read")?;
    let message = format!("{}.{}", envelope.protected, envelope.payload);
    let (algorithm, signature) = algorithm(&protected.alg, &decoded(&envelope.signature)?)?;
    leaf.verify_signature(algorithm, message.as_bytes(), &signature).map_err(|_| "a signature is wrong")?;

    let anchors: Vec<_> = roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(now.millis()).unwrap_or(0)));
    let usage = KeyUsage::required_if_present(CODE_SIGNING);
    leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, others, at, usage, None, None).map_err(
        |error| match error {
            webpki::Error::CertExpired { .. } => "a certificate has expired",
            _ => "a certificate leads to no authority that is trusted",
        },
    )?;
    if let Some(text) = &protected.expiry
        && Timestamp::parse_rfc3339(text).is_none_or(|ends| now >= ends)
    {
        return Err("a signature has expired");
    }
    let payload: Payload = part(&envelope.payload)?;
    (payload.target.digest == digest).then_some(()).ok_or("a signature is of another image")
}

fn decoded(text: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "an envelope cannot be read")
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, &'static str> {
    serde_json::from_slice(&decoded(text)?).map_err(|_| "an envelope cannot be read")
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

/// JWS has the two numbers of an ECDSA signature side by side, X.509 as a sequence of integers. Both together are shorter
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

    fn headers() -> Value {
        json!({"alg": "ES256", "cty": PAYLOAD, "crit": [KNOWN[0]], KNOWN[0]: SCHEME})
    }

    fn envelope(by: &Signed, protected: &Value, image: &str) -> Value {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let (protected, payload) = (part(protected), part(&json!({"targetArtifact": {"digest": image, "size": 1}})));
        let (random, der) = (SystemRandom::new(), by.key.serialize_der());
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).unwrap();
        let signature = pair.sign(&random, format!("{protected}.{payload}").as_bytes()).unwrap();
        let chain = [&by.leaf, &by.root].map(|one| STANDARD.encode(one));
        json!({"payload": payload, "protected": protected, "header": {"x5c": chain},
            "signature": URL_SAFE_NO_PAD.encode(signature)})
    }

    fn checked(envelope: &Value, root: &Signed) -> Result<(), &'static str> {
        check(envelope.to_string().as_bytes(), IMAGE, std::slice::from_ref(&root.root), NOW)
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
