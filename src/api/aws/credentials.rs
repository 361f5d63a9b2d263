//! Keys: the root key of this node, and credentials of task roles, which are derived and never stored.
//!
//! Holds: secrets are in files of mode 0600 in the data directory and in memory, never in a log or in `Debug`.
//! Why derived: a task's credentials must be the same after `kill -9` at any moment, without a write.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cove_base::files::{remove_unfinished, write_durably};
use cove_base::ids::random_bytes;
use cove_base::paths::DataDir;
use cove_model::task::{Task, TaskRole};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The account of the root key, and of every caller whose key id is not an account.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// Of base 32, as the ids of AWS's keys have them.
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The node's secrets.
#[derive(Clone)]
pub struct Keys {
    pub root: RootKey,
    /// 32 bytes from which task credentials and login tokens are derived.
    pub node_secret: Vec<u8>,
}

/// The key that `cove env` prints.
#[derive(Clone, Serialize, Deserialize)]
pub struct RootKey {
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// The key files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot {what} `{path}`")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{path}` does not hold a key; restore it from a backup, or remove it to get a new one")]
    Content { path: PathBuf },
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Keys({})", self.root.access_key_id)
    }
}

impl Keys {
    /// Reads `keys/root.json` and `keys/node.secret`, making what is missing.
    ///
    /// # Errors
    /// When a file cannot be read or written, or holds something else.
    pub fn open(data: &DataDir) -> Result<Self, KeyError> {
        let directory = data.keys();
        make_directory(&directory)?;
        remove_unfinished(&directory).map_err(|source| KeyError::File {
            what: "clean up",
            path: directory.clone(),
            source,
        })?;
        let root = directory.join("root.json");
        let secret = directory.join("node.secret");
        let root_text = read_or_make(&root, || {
            let key = RootKey::random();
            serde_json::to_vec_pretty(&key).expect("two strings are JSON")
        })?;
        let secret_text = read_or_make(&secret, || hex::encode(random_bytes(32)).into_bytes())?;
        let key: RootKey = serde_json::from_slice(&root_text).map_err(|_| KeyError::Content { path: root.clone() })?;
        if key.access_key_id.is_empty() || key.secret_access_key.is_empty() {
            return Err(KeyError::Content { path: root });
        }
        let node_secret =
            hex::decode(secret_text.trim_ascii()).map_err(|_| KeyError::Content { path: secret.clone() })?;
        if node_secret.len() < 32 {
            return Err(KeyError::Content { path: secret });
        }
        Ok(Self { root: key, node_secret })
    }

    /// Keys that live in memory only, for tests.
    #[must_use]
    pub fn random() -> Self {
        Self { root: RootKey::random(), node_secret: random_bytes(32) }
    }
}

impl RootKey {
    fn random() -> Self {
        // AKIA and 16 letters or digits of base 32, as AWS's ids look.
        let id: String = random_bytes(16).iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
        Self { access_key_id: format!("AKIA{id}"), secret_access_key: STANDARD.encode(random_bytes(30)) }
    }
}

fn make_directory(path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| KeyError::File { what: "make", path: path.into(), source })
}

fn read_or_make(path: &Path, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, KeyError> {
    match fs::read(path) {
        Ok(content) => Ok(content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let content = make();
            let written = write_durably(path, &content, 0o600);
            written.map_err(|source| KeyError::File { what: "write", path: path.into(), source })?;
            Ok(content)
        }
        Err(source) => Err(KeyError::File { what: "read", path: path.into(), source }),
    }
}

/// The secret of a task role's access key id.
#[must_use]
pub fn secret_of(node_secret: &[u8], access_key_id: &str) -> String {
    STANDARD.encode(keyed(node_secret, &["secret", access_key_id]))
}

/// The session token that goes with a task role's access key id.
#[must_use]
pub fn session_token_of(node_secret: &[u8], access_key_id: &str, role_arn: &str) -> String {
    hex::encode(keyed(node_secret, &["session", access_key_id, role_arn]))
}

/// The execution role of a task on another host, whose agent is handed credentials for it. The node's own agent needs none.
pub(crate) fn execution_role(node_secret: &[u8], task: &Task) -> Option<TaskRole> {
    let role_arn = task.execution_role_arn.clone().filter(|_| task.placement.elsewhere)?;
    let bytes = keyed(node_secret, &["execution", &task.id]);
    let id: String = bytes[..16].iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    let hex = hex::encode(&bytes[16..]);
    let credentials_id = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    Some(TaskRole { role_arn, credentials_id, access_key_id: format!("ASIA{id}") })
}

/// HMAC over parts that cannot run into one another. The first part names the use, so that one use's result is no
/// other's.
pub(crate) fn keyed(node_secret: &[u8], parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(node_secret).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().to_vec()
}

/// Compares without telling by time where two secrets differ.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_only_the_owner_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        let first = Keys::open(&data).unwrap();
        let second = Keys::open(&data).unwrap();
        assert_eq!(first.root.secret_access_key, second.root.secret_access_key);
        assert_eq!(first.node_secret, second.node_secret);
        for name in ["root.json", "node.secret"] {
            let mode = fs::metadata(data.keys().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(!format!("{first:?}").contains(&first.root.secret_access_key));
    }

    #[test]
    fn a_role_s_secret_depends_on_its_id_and_on_the_node() {
        let one = secret_of(b"node", "ASIA1");
        assert_eq!(one, secret_of(b"node", "ASIA1"));
        assert_ne!(one, secret_of(b"node", "ASIA2"));
        assert_ne!(one, secret_of(b"other", "ASIA1"));
        assert_ne!(session_token_of(b"node", "ASIA1", "a"), session_token_of(b"node", "ASIA1", "b"));
    }
}
