//! Devices: those a container gets, and the rules that keep it from others.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cgroup::DeviceRule;
use crate::spec::{ContainerSpec, DeviceSpec};

/// What every container may do, as in Docker: make nodes, and use those that it is given, and terminals of its own.
const USUAL: [(char, Option<u32>, Option<u32>, &str); 11] = [
    ('c', None, None, "m"),
    ('b', None, None, "m"),
    ('c', Some(1), Some(3), "rwm"), // null
    ('c', Some(1), Some(5), "rwm"), // zero
    ('c', Some(1), Some(7), "rwm"), // full
    ('c', Some(1), Some(8), "rwm"), // random
    ('c', Some(1), Some(9), "rwm"), // urandom
    ('c', Some(5), Some(0), "rwm"), // tty
    ('c', Some(5), Some(1), "rwm"), // console
    ('c', Some(5), Some(2), "rwm"), // ptmx
    ('c', Some(136), None, "rwm"),  // pts
];

/// What a container that is not privileged may do with devices, for groups of v2.
pub(super) fn rules(spec: &ContainerSpec) -> Result<Vec<DeviceRule>, (PathBuf, io::Error)> {
    let usual = USUAL.iter().map(|(kind, major, minor, access)| DeviceRule::new(*kind, *major, *minor, access));
    let mut all: Vec<_> = usual.collect();
    let of_node = |node: Node| DeviceRule::new(node.kind, Some(node.major), Some(node.minor), &node.permissions);
    all.extend(wanted(&spec.devices)?.into_iter().map(of_node));
    Ok(all)
}

/// Whether not all of the permissions are given.
pub(super) fn is_partial(device: &DeviceSpec) -> bool {
    !device.permissions.is_empty() && !"rwm".chars().all(|one| device.permissions.contains(one))
}

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
