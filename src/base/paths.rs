//! Where things lie on disk and how the server's kernel objects are named. One place, so that clean-up can trust it.

use std::fmt;
use std::path::{Path, PathBuf};

/// The longest node name: `cv` + name + index must fit the kernel's 15 characters for an interface.
pub const NODE_NAME_MAX: usize = 12;

/// The name that marks everything this server creates in the kernel; several servers on one host have different ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

/// A node name that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("node name `{0}` is not 1 to {NODE_NAME_MAX} lowercase letters, digits and hyphens, beginning with a letter")]
pub struct BadNodeName(String);

impl NodeName {
    /// Checks the name.
    ///
    /// # Errors
    /// When it could not be part of a cgroup, table or file name.
    pub fn parse(text: &str) -> Result<Self, BadNodeName> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = text.len() <= NODE_NAME_MAX
            && text.bytes().all(legal)
            && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        if good { Ok(Self(text.to_owned())) } else { Err(BadNodeName(text.to_owned())) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The directory that must survive: database, documents, blobs, snapshots, logs, exit records, keys.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Wraps a path; nothing is created.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// sled's directory.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join("db")
    }

    /// Records too large for the database, by digest.
    #[must_use]
    pub fn documents(&self) -> PathBuf {
        self.0.join("documents")
    }

    /// The data points of CloudWatch's metrics.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics")
    }

    /// The registry's blobs, by algorithm and digest.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.0.join("blobs")
    }

    /// Uploads that are not finished.
    #[must_use]
    pub fn uploads(&self) -> PathBuf {
        self.0.join("uploads")
    }

    /// What scans found, by digest.
    #[must_use]
    pub fn findings(&self) -> PathBuf {
        self.0.join("findings")
    }

    /// What was imported about vulnerabilities.
    #[must_use]
    pub fn advisories(&self) -> PathBuf {
        self.0.join("advisories")
    }

    /// Images laid out for scanners that run; a server that starts removes what is there.
    #[must_use]
    pub fn scans(&self) -> PathBuf {
        self.0.join("scans")
    }

    /// Unpacked layers and writable layers.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.0.join("snapshots")
    }

    /// Volumes that outlive their tasks, by tenant and name.
    #[must_use]
    pub fn shared_volumes(&self) -> PathBuf {
        self.0.join("shared-volumes")
    }

    /// Container logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Exit records that shims write, one directory per task.
    #[must_use]
    pub fn exits(&self) -> PathBuf {
        self.0.join("exits")
    }

    /// The root key, the node secret and the local certificate authority.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }
}

/// The directory that a reboot may empty: sockets, pins, bundles.
#[derive(Debug, Clone)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// Wraps a path; nothing is created.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// One directory per task: spec, socket, bundles, mounts.
    #[must_use]
    pub fn tasks(&self) -> PathBuf {
        self.0.join("tasks")
    }

    /// The directory of one task.
    #[must_use]
    pub fn task(&self, task_id: &str) -> PathBuf {
        self.tasks().join(task_id)
    }

    /// Pinned network namespaces; a mount of its own.
    #[must_use]
    pub fn netns(&self) -> PathBuf {
        self.0.join("netns")
    }

    /// Read-only mounts of the binaries that shims run from, one per build.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.0.join("bin")
    }
}
