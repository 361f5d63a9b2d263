//! Snapshots: signatures first.
use super::error::{Result, RootfsError};
use crate::spec::RootFilesystem;
use std::path::{Path, PathBuf};

/// One layer of an image, bottom first in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `sha256:…` of the unpacked archive.
    pub diff_id: String,
    pub media_type: String,
    pub blob: PathBuf,
    /// Digest of the blob, for messages.
    pub digest: String,
}

/// Unpacked layers under a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Chain ids, bottom first; what `remove_unused` keeps.
    pub chain_ids: Vec<String>,
    pub(super) directories: Vec<String>,
}

/// What the file system cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doctor {
    /// `None` when overlay works; else why copies are made instead.
    pub no_overlay: Option<String>,
}

/// The unpacked layers and writable layers below one directory.
#[derive(Debug)]
pub struct Snapshots {
    dir: PathBuf,
}

impl Snapshots {
    pub fn open(dir: &Path) -> Result<Self> {
        Ok(Self { dir: dir.to_owned() })
    }
    /// `progress` is called with bytes of blobs read since the last call, from several threads.
    pub fn unpack(&self, _layers: &[Layer], _progress: &(dyn Fn(u64) + Sync)) -> Result<Stack> {
        Err(RootfsError::BadName(String::new()))
    }
    pub fn writable(&self, _task_id: &str, _container: &str, _stack: &Stack) -> Result<RootFilesystem> {
        Err(RootfsError::BadName(self.dir.display().to_string()))
    }
    pub fn remove_writable(&self, _task_id: &str) -> Result<()> {
        Err(RootfsError::BadName(String::new()))
    }
    /// Task ids that have writable layers.
    pub fn inventory(&self) -> Result<Vec<String>> {
        Err(RootfsError::BadName(String::new()))
    }
    /// Removes layers that none of `keep` and no writable layer uses; how many.
    pub fn remove_unused(&self, _keep: &[Stack]) -> Result<usize> {
        Err(RootfsError::BadName(String::new()))
    }
    pub fn doctor(&self) -> Doctor {
        Doctor { no_overlay: None }
    }
}
