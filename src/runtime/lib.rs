//! Kernel work, no store: libcontainer, root filesystems, network, cgroups, exec.

pub mod capability;
pub mod cgroup;
pub mod container;
pub mod exec;
pub mod memory;
pub mod network;
pub mod process;
pub mod program;
pub mod pty;
pub mod restriction;
pub mod rootfs;
pub mod seccomp;
pub mod spec;
