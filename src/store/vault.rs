//! Values of secrets, as they lie on the disk: sealed with a key that is derived from the node's secret.
//!
//! Holds: a record, a backup without the node's keys, or the database file alone give no value away; a sealed value
//! opens only where it was sealed for. Nothing here is ever logged.

use std::fmt;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_base::ids::random_bytes;
use cove_model::arn::Tenant;
use cove_model::secret::{Secret, SecretVersion, candidates};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

use crate::keys;
use crate::table::Read;

/// Seals and opens values.
#[derive(Clone)]
pub struct Vault(Arc<LessSafeKey>);

impl fmt::Debug for Vault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Vault")
    }
}

impl Default for Vault {
    /// One whose values nobody else can read.
    fn default() -> Self {
        Self::new(&random_bytes(32))
    }
}

impl Vault {
    /// The vault of a node.
    #[must_use]
    pub fn new(node_secret: &[u8]) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, node_secret), b"values of secrets");
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("SHA-256 gives as many bytes as AES-256 takes");
        Self(Arc::new(LessSafeKey::new(key)))
    }

    /// Seals a value for its context. Two times never give the same.
    #[must_use]
    pub fn seal(&self, context: &str, value: &[u8]) -> String {
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&random_bytes(NONCE_LEN));
        let mut bytes = value.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(unique, Aad::from(context), &mut bytes);
        let tag = tag.expect("a value is far shorter than what AES-GCM can seal");
        let mut sealed = nonce.to_vec();
        sealed.extend(bytes);
        sealed.extend(tag.as_ref());
        hex::encode(sealed)
    }

    /// The value, if it was sealed by this node and for this context.
    #[must_use]
    pub fn open(&self, context: &str, sealed: &str) -> Option<Vec<u8>> {
        let mut bytes = hex::decode(sealed).ok()?;
        let rest = bytes.split_off(bytes.len().min(NONCE_LEN));
        let nonce = Nonce::try_assume_unique_for_key(&bytes).ok()?;
        let mut rest = rest;
        self.0.open_in_place(nonce, Aad::from(context), &mut rest).ok().map(|plain| plain.to_vec())
    }

    /// The value of a version.
    #[must_use]
    pub fn value(&self, secret: &Secret, version: &SecretVersion) -> Option<Vec<u8>> {
        self.open(&secret.seal_context(&version.id), &version.sealed)
    }
}

/// A secret by name or ARN, unless its time is over.
#[must_use]
pub fn secret(read: &impl Read, tenant: &Tenant, id: &str, now: Timestamp) -> Option<Arc<Secret>> {
    candidates(tenant, id).into_iter().find_map(|(name, suffix)| {
        let found = read.get::<Secret>(&keys::secret(tenant, name))?;
        let is_it = suffix.is_none_or(|suffix| found.suffix == suffix);
        (is_it && found.gone_at.is_none_or(|gone| now < gone)).then_some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_with_its_key_and_for_its_context_alone() {
        let vault = Vault::new(b"node");
        let sealed = vault.seal("here", b"value");
        assert_ne!(sealed, vault.seal("here", b"value"));
        assert!(!sealed.contains(&hex::encode(b"value")));
        assert_eq!(vault.open("here", &sealed).as_deref(), Some(b"value".as_slice()));
        assert_eq!(vault.open("there", &sealed), None);
        assert_eq!(Vault::new(b"other").open("here", &sealed), None);
        for broken in ["", "00", "zz", &sealed[2..]] {
            assert_eq!(vault.open("here", broken), None);
        }
    }
}
