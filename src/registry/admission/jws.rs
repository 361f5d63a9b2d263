//! Notation's envelopes as JSON web signatures (RFC 7515).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cove_base::Timestamp;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;

use super::notation::{CERTIFICATES_MAX, Said, UNREADABLE};

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

/// What it says; its signature is not checked.
pub(super) fn read(envelope: &[u8]) -> Result<Said, &'static str> {
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(|_| UNREADABLE)?;
    let protected: Protected = serde_json::from_slice(&decoded(&envelope.protected)?).map_err(|_| UNREADABLE)?;
    let chain = envelope.header.x5c.iter().take(CERTIFICATES_MAX).map(|text| STANDARD.decode(text));
    let chain: Result<Vec<_>, _> = chain.map(|der| der.map(CertificateDer::from)).collect();
    // What is no time has passed.
    let ends = protected.expiry.map(|text| Timestamp::parse_rfc3339(&text).unwrap_or(Timestamp(0)));
    Ok(Said {
        algorithm: protected.alg,
        content_type: protected.cty,
        critical: protected.crit,
        scheme: protected.scheme,
        ends,
        chain: chain.map_err(|_| "a certificate cannot be read")?,
        message: format!("{}.{}", envelope.protected, envelope.payload).into_bytes(),
        signature: decoded(&envelope.signature)?,
        payload: decoded(&envelope.payload)?,
    })
}

fn decoded(text: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| UNREADABLE)
}
