//! Devices: those a container gets, and the rules that keep it from others.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::spec::DeviceSpec;

/// A device node of the host.
pub(super) struct Node {
    path: PathBuf,
    kind: char,
    major: u32,
    minor: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    permissions: String,
}

/// The nodes of the devices that a container asked for.
pub(super) fn wanted(devices: &[DeviceSpec]) -> Result<Vec<Node>, (PathBuf, io::Error)> {
    let read = |device: &DeviceSpec| {
        let permissions = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
        node(&device.host_path, &device.container_path, permissions)
            .and_then(|found| found.ok_or_else(|| io::Error::other("not a device node")))
            .map_err(|error| (device.host_path.clone(), error))
    };
    devices.iter().map(read).collect()
}

/// Every node of the host, for privileged containers. What a container has of its own stays its own.
pub(super) fn all() -> Vec<Node> {
    const OWN: [&str; 5] = ["pts", "shm", "mqueue", "console", "fd"];
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from("/dev")];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if directory == Path::new("/dev") && OWN.iter().any(|own| entry.file_name() == *own) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    waiting.push(path);
                }
                Ok(kind) if kind.is_char_device() || kind.is_block_device() => {
                    found.extend(node(&path, &path, "rwm").ok().flatten());
                }
                _ => {}
            }
        }
    }
    found
}

fn node(host: &Path, inside: &Path, permissions: &str) -> io::Result<Option<Node>> {
    let meta = fs::metadata(host)?;
    let kind = match meta.file_type() {
        kind if kind.is_char_device() => 'c',
        kind if kind.is_block_device() => 'b',
        _ => return Ok(None),
    };
    let (major, minor) = (libc::major(meta.rdev()), libc::minor(meta.rdev()));
    let (mode, uid, gid) = (meta.mode() & 0o777, meta.uid(), meta.gid());
    Ok(Some(Node { path: inside.to_owned(), kind, major, minor, mode, uid, gid, permissions: permissions.to_owned() }))
}

impl Node {
    /// For `linux.devices`.
    pub(super) fn document(&self) -> Value {
        json!({ "path": self.path, "type": self.kind.to_string(), "major": self.major, "minor": self.minor,
                "fileMode": self.mode, "uid": self.uid, "gid": self.gid })
    }

    /// For `linux.resources.devices`.
    pub(super) fn rule(&self) -> Value {
        json!({ "allow": true, "type": self.kind.to_string(), "major": self.major, "minor": self.minor, "access": self.permissions })
    }
}
