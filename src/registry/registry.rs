//! The registry's one handle and its settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cove_base::Clock;
use cove_base::paths::DataDir;
use cove_model::arn::Tenant;
use cove_model::image::{BadReference, ImageReference};
use cove_store::Store;

use crate::blobs::BlobFiles;
use crate::error::RegistryError;
use crate::pull::Puller;
use crate::resolve::Downloads;
use crate::scan::ScanConfig;
use crate::uploads::Sessions;

/// How old an unreferenced blob or membership must be before collection takes it: longer than any push between its
/// first blob and its manifest should take.
pub const COLLECT_GRACE_MILLIS: i64 = 60 * 60 * 1000;
/// How long an upload may lie idle.
pub const UPLOAD_EXPIRY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// How long the blobs of an image pulled from elsewhere stay after its last use.
pub const PULLED_KEEP_MILLIS: i64 = 14 * 24 * 60 * 60 * 1000;

/// What the operator decides about the registry.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// `host:port` names of our own registry: references to them never leave the process.
    pub own_hosts: Vec<String>,
    /// Registry host → hosts to ask first, as in `docker.io` → `mirror.lan:5000`.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Hosts (`host` or `host:port`) that are spoken to over plain HTTP; loopback addresses always may.
    pub insecure_hosts: Vec<String>,
    /// PEM files with certificate authorities beside the host's own.
    pub extra_ca: Vec<PathBuf>,
    /// The server user's Docker config with `auths`, usually `~/.docker/config.json`.
    pub docker_config: Option<PathBuf>,
    /// What blobs and uploads may take together.
    pub store_max_bytes: u64,
    pub collect_grace_millis: i64,
    pub upload_expiry_millis: i64,
    pub pulled_keep_millis: i64,
    pub scan: ScanConfig,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            own_hosts: Vec::new(),
            mirrors: BTreeMap::new(),
            insecure_hosts: Vec::new(),
            extra_ca: Vec::new(),
            docker_config: None,
            store_max_bytes: u64::MAX,
            collect_grace_millis: COLLECT_GRACE_MILLIS,
            upload_expiry_millis: UPLOAD_EXPIRY_MILLIS,
            pulled_keep_millis: PULLED_KEEP_MILLIS,
            scan: ScanConfig::default(),
        }
    }
}

/// The registry. Cheap to clone; all clones share state.
#[derive(Clone)]
pub struct Registry {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) blobs: BlobFiles,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) puller: Arc<Puller>,
    pub(crate) downloads: Downloads,
    pub(crate) config: Arc<RegistryConfig>,
}

impl Registry {
    /// Opens the blob and upload directories of the data directory. Nothing is read but directory names; what a crash
    /// left over is found by [`Registry::collect`].
    ///
    /// # Errors
    /// When the directories cannot be made.
    pub fn open(dir: &DataDir, store: Store, clock: Clock, config: RegistryConfig) -> Result<Self, RegistryError> {
        let blobs =
            BlobFiles::open(dir.blobs(), dir.uploads()).map_err(RegistryError::io("open the blob directory"))?;
        blobs.room.set_max(config.store_max_bytes);
        let config = Arc::new(config);
        let puller = Arc::new(Puller::new(Arc::clone(&config)));
        Ok(Self { store, clock, blobs, sessions: Arc::default(), puller, downloads: Downloads::default(), config })
    }

    /// Reads an image name as a task definition has it.
    ///
    /// # Errors
    /// When it is no image name.
    pub fn reference(&self, text: &str, caller: &Tenant) -> Result<ImageReference, BadReference> {
        ImageReference::parse(text, &self.config.own_hosts, caller)
    }

    /// The blob files.
    #[must_use]
    pub fn blobs(&self) -> &BlobFiles {
        &self.blobs
    }

    /// Where records are kept.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down: this future is about to be dropped as well.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}
