//! Checks a claim: its time, then its signature.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use cove_base::Timestamp;
use hmac::{Hmac, Mac};
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

use super::claim::ALGORITHM;
use super::{Claim, Refused, canonical};

type Signer = Hmac<Sha256>;

/// How far a client's clock may be off.
const SKEW_MILLIS: i64 = 15 * 60 * 1000;
/// Derived keys kept. One per key id, day, region and service; when they are too many all are dropped.
const KEYS_MAX: usize = 1024;

/// Derived keys: the chain of four HMACs is most of a verification's cost.
#[derive(Default)]
pub(crate) struct SigningKeys(RwLock<HashMap<String, HashMap<String, Signer>>>);

impl SigningKeys {
    fn of(&self, claim: &Claim<'_>, secret: &dyn Fn() -> String) -> Signer {
        {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(signer) = known.get(&*claim.access_key_id).and_then(|scopes| scopes.get(&*claim.scope)) {
                return signer.clone();
            }
        }
        let first = keyed(format!("AWS4{}", secret()).as_bytes());
        let day = signed(first, &claim.day);
        let region = signed(keyed(&day), &claim.region);
        let service = signed(keyed(&region), &claim.service);
        keyed(&signed(keyed(&service), "aws4_request"))
    }

    /// Keeps a key that has proved good.
    fn keep(&self, claim: &Claim<'_>, signer: &Signer) {
        let known = |keys: &HashMap<String, HashMap<String, Signer>>| {
            keys.get(&*claim.access_key_id).is_some_and(|scopes| scopes.contains_key(&*claim.scope))
        };
        if known(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if keys.values().map(HashMap::len).sum::<usize>() >= KEYS_MAX {
            keys.clear();
        }
        let scopes = keys.entry(claim.access_key_id.to_string()).or_default();
        scopes.insert(claim.scope.to_string(), signer.clone());
    }
}

fn keyed(key: &[u8]) -> Signer {
    Signer::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn signed(mut signer: Signer, text: &str) -> [u8; 32] {
    signer.update(text.as_bytes());
    signer.finalize().into_bytes().into()
}

/// Checks the time and the signature. `secret` is asked only when the key is not known yet.
pub(crate) fn verify(
    parts: &Parts,
    body: &[u8],
    claim: &Claim<'_>,
    secret: &dyn Fn() -> String,
    keys: &SigningKeys,
    now: Timestamp,
) -> Result<(), Refused> {
    in_time(claim, now)?;
    let body_hash = hex::encode(Sha256::digest(body));
    let declared = parts.headers.get("x-amz-content-sha256").map(hyper::header::HeaderValue::as_bytes);
    if declared.is_some_and(|declared| !declared.eq_ignore_ascii_case(body_hash.as_bytes())) {
        return Err(Refused::Mismatch);
    }
    let canonical = canonical::request(parts, claim, &body_hash);
    let mut signer = keys.of(claim, secret);
    let unused = signer.clone();
    for text in [ALGORITHM, "\n", &*claim.date, "\n", &*claim.scope, "\n"] {
        signer.update(text.as_bytes());
    }
    signer.update(hex::encode(Sha256::digest(&canonical)).as_bytes());
    let given = hex::decode(&*claim.signature).map_err(|_| Refused::Mismatch)?;
    signer.verify_slice(&given).map_err(|_| Refused::Mismatch)?;
    keys.keep(claim, &unused);
    Ok(())
}

fn in_time(claim: &Claim<'_>, now: Timestamp) -> Result<(), Refused> {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let date = time::PrimitiveDateTime::parse(&claim.date, format);
    let date = date
        .map_err(|_| Refused::Incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{}'.", claim.date)))?;
    let signed_at = Timestamp(date.assume_utc().unix_timestamp().saturating_mul(1000));
    let (date, at) = (&claim.date, now.amz_date());
    if signed_at > now.plus_millis(SKEW_MILLIS) {
        let latest = now.plus_millis(SKEW_MILLIS).amz_date();
        return Err(Refused::Invalid(format!(
            "Signature not yet current: {date} is still later than {latest} ({at} + 15 min.)"
        )));
    }
    let good_for = claim.expires_secs.map_or(SKEW_MILLIS, |secs| secs * 1000);
    if signed_at.plus_millis(good_for) < now {
        let earliest = now.plus_millis(-good_for).amz_date();
        let span = if claim.expires_secs.is_some() { format!("{} s", good_for / 1000) } else { "15 min.".into() };
        return Err(Refused::Invalid(format!(
            "Signature expired: {date} is now earlier than {earliest} ({at} - {span})"
        )));
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
