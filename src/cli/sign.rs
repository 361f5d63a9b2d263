//! Signs the command line's own requests with Signature Version 4, headers only.
//!
//! Follows AWS's "Create a signed AWS API request". The server's verifier is another piece of code on purpose: each
//! checks the other.

use cove_base::Timestamp;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Key id and secret.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
}

/// What is signed. `path` is already encoded and has no query: no verb of ours needs one on a signed request.
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) host: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) body: &'a [u8],
}

/// The headers to add: `x-amz-date` and `authorization`.
pub(super) fn sign(request: &Unsigned<'_>, keys: &Keys, now: Timestamp) -> [(&'static str, String); 2] {
    let date = now.amz_date();
    let day = &date[..8];
    let canonical = format!(
        "{}\n{}\n\nhost:{}\nx-amz-date:{date}\n\nhost;x-amz-date\n{}",
        request.method,
        request.path,
        request.host,
        hex::encode(Sha256::digest(request.body))
    );
    let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let mut key = hmac(format!("AWS4{}", keys.secret).as_bytes(), day);
    for part in [request.region, request.service, "aws4_request"] {
        key = hmac(&key, part);
    }
    let signature = hex::encode(hmac(&key, &to_sign));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}",
        keys.id
    );
    [("x-amz-date", date), ("authorization", authorization)]
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
