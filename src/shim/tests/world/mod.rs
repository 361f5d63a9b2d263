//! A small world for shims: a root made of the host's static busybox, directories, a node name; all gone when dropped.

#![allow(dead_code, unreachable_pub, reason = "each user needs another part")]

use std::fs;
use std::path::{Path, PathBuf};

use cove_base::paths::NodeName;
use cove_runtime::cgroup::NodeCgroups;
use cove_runtime::spec::{
    ContainerResources, ContainerSpec, LogTarget, NetworkNamespace, RootFilesystem, SharedNamespace, TaskLimits,
};
use cove_shim::protocol::{TaskSpec, VERSION};

const APPLETS: [&str; 22] = [
    "sh", "sleep", "cat", "echo", "ls", "true", "false", "grep", "id", "mount", "touch", "hostname", "wc", "dd",
    "head", "pwd", "ps", "kill", "unshare", "tail", "seq", "mknod",
];

/// What Docker gives by default.
const CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Where things are.
pub struct World {
    pub directory: tempfile::TempDir,
    pub node: NodeName,
    pub task_id: String,
}

impl World {
    /// A fresh one. Needs busybox-static.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("cove").tempdir().expect("a temporary directory");
        let node = NodeName::parse(&format!("t{}", cove_base::ids::random_hex(4))).expect("a legal name");
        let world = Self { directory, node, task_id: cove_base::ids::random_hex(16) };
        world.make_layer();
        world.groups().prepare().expect("groups of the node");
        world
    }

    fn make_layer(&self) {
        let layer = self.base().join("1");
        for name in ["bin", "etc", "tmp", "proc", "sys", "dev", "home/app"] {
            fs::create_dir_all(layer.join(name)).expect("a directory of the layer");
        }
        fs::copy("/bin/busybox", layer.join("bin/busybox")).expect("busybox-static is installed");
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", layer.join("bin").join(applet)).expect("an applet");
        }
        fs::write(layer.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n")
            .expect("users");
        fs::write(layer.join("etc/group"), "root:x:0:\napp:x:1000:\nextra:x:2000:app\n").expect("groups");
    }

    fn base(&self) -> PathBuf {
        self.directory.path().join("snapshots")
    }

    pub fn run_dir(&self) -> &Path {
        self.directory.path()
    }

    pub fn groups(&self) -> NodeCgroups {
        NodeCgroups::open(&self.node).expect("the host has control groups")
    }

    /// A container that runs this.
    pub fn container(&self, name: &str, args: &[impl ToString]) -> ContainerSpec {
        for part in ["u", "w"] {
            fs::create_dir_all(self.base().join("rw").join(name).join(part)).expect("a writable layer");
        }
        ContainerSpec {
            name: name.to_owned(),
            attempt: 0,
            args: args.iter().map(ToString::to_string).collect(),
            env: vec!["GREETING=hello".to_owned()],
            cwd: String::new(),
            user: String::new(),
            hostname: Some("box".to_owned()),
            rootfs: RootFilesystem {
                base: self.base(),
                lower: vec!["1".to_owned()],
                upper: format!("rw/{name}/u"),
                work: format!("rw/{name}/w"),
            },
            read_only_root: false,
            mounts: Vec::new(),
            tmpfs: Vec::new(),
            shm_bytes: 0,
            capabilities: CAPABILITIES.map(ToOwned::to_owned).to_vec(),
            privileged: false,
            no_new_privileges: false,
            devices: Vec::new(),
            sysctls: Default::default(),
            rlimits: Vec::new(),
            resources: ContainerResources::default(),
            init: false,
            log: Some(LogTarget { directory: self.log_dir(name), max_bytes: 64 << 20, event_start: None }),
            stdin_open: false,
            stop_signal: 15,
            stop_timeout_secs: 30,
            health: None,
            terminal: false,
            offline: false,
        }
    }

    /// A task of these.
    pub fn task(&self, containers: Vec<ContainerSpec>) -> TaskSpec {
        TaskSpec {
            version: VERSION,
            node: self.node.to_string(),
            task_id: self.task_id.clone(),
            directory: self.directory.path().join("tasks").join(&self.task_id),
            exits: self.directory.path().join("exits").join(&self.task_id),
            cgroup: self.groups().task_path(None, &self.task_id),
            limits: TaskLimits::default(),
            network: NetworkNamespace::Host,
            pid: SharedNamespace::Private,
            ipc: SharedNamespace::Private,
            held_ports: Vec::new(),
            containers,
        }
    }

    fn log_dir(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }

    /// What a container wrote, line by line.
    pub fn log(&self, name: &str) -> String {
        let query = cove_logs::Query::all();
        let page = cove_logs::read(&self.log_dir(name), &query).expect("the log can be read");
        let lines: Vec<String> =
            page.events.iter().map(|event| String::from_utf8_lossy(&event.message).into_owned()).collect();
        lines.join("\n")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.groups().remove_all();
        cove_shim::binary::withdraw(self.directory.path());
    }
}
