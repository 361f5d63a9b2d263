//! Notation's envelopes in COSE (RFC 9052): a `COSE_Sign1` whose payload is attached.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cove_base::Timestamp;
use cove_model::cbor::{Keys, decode, head};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::notation::{CERTIFICATES_MAX, KNOWN, Said, UNREADABLE};

/// An envelope has about twenty.
const VALUES_MAX: usize = 256;
/// Labels of headers.
const ALG: &str = "1";
const CRIT: &str = "2";
const CONTENT_TYPE: &str = "3";
const X5CHAIN: &str = "33";
/// COSE's numbers of algorithms, and JWS's names.
const ALGORITHMS: [(i64, &str); 5] = [(-7, "ES256"), (-35, "ES384"), (-37, "PS256"), (-38, "PS384"), (-39, "PS512")];

/// What it says; its signature is not checked.
pub(super) fn read(envelope: &[u8]) -> Result<Said, &'static str> {
    said(envelope).ok_or(UNREADABLE)
}

fn said(envelope: &[u8]) -> Option<Said> {
    let Value::Array(parts) = decode(envelope, Keys::Labels, VALUES_MAX).ok()? else { return None };
    let [protected, unprotected, payload, signature] = parts.as_slice() else { return None };
    let (protected, payload) = (bytes(protected)?, bytes(payload)?);
    let headers = decode(&protected, Keys::Labels, VALUES_MAX).ok()?;
    let text = |name: &str| headers.get(name)?.as_str().map(str::to_owned);
    let critical = headers.get(CRIT)?.as_array()?.iter().map(|name| name.as_str().map(str::to_owned));
    let ends = match headers.get(KNOWN[1]) {
        Some(seconds) => Some(Timestamp(seconds.as_i64()?.saturating_mul(1000))),
        None => None,
    };
    let number = headers.get(ALG)?.as_i64()?;
    let algorithm = ALGORITHMS.iter().find(|(known, _)| *known == number).map_or("", |(_, name)| *name);
    // One alone stands without a list.
    let chain = unprotected.get(X5CHAIN)?;
    let chain = chain.as_array().map_or(std::slice::from_ref(chain), Vec::as_slice);
    let chain = chain.iter().take(CERTIFICATES_MAX).map(|one| bytes(one).map(CertificateDer::from));
    Some(Said {
        algorithm: algorithm.to_owned(),
        content_type: text(CONTENT_TYPE)?,
        critical: critical.collect::<Option<_>>()?,
        scheme: text(KNOWN[0])?,
        ends,
        chain: chain.collect::<Option<_>>()?,
        message: message(&protected, &payload),
        signature: bytes(signature)?,
        payload,
    })
}

/// What is signed: its purpose, the headers, nothing from outside, and the payload.
fn message(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    head(4, 4, &mut out);
    for (major, part) in [(3, &b"Signature1"[..]), (2, protected), (2, b""), (2, payload)] {
        head(major, part.len() as u64, &mut out);
        out.extend_from_slice(part);
    }
    out
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}
