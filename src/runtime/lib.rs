//! Kernel work, no store: libcontainer, root filesystems, network, cgroups, exec.

pub mod cgroup;
pub mod process;
pub mod network;
pub mod rootfs;
pub mod spec;
