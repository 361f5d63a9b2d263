//! Makes the process a shim: session, subreaper, a mount namespace of its own with little in it, ports, groups, socket.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use cove_base::crash::{self, Point};
use cove_runtime::cgroup::{Group, Layout};
use cove_runtime::container::Namespace;
use cove_runtime::spec::{NetworkNamespace, SharedNamespace};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::task::{Shared, Task};
use super::{SuperviseError, holder};
use crate::client::{SOCKET_FILE, SPEC_FILE};
use crate::host_port;
use crate::protocol::{TaskSpec, VERSION};

/// A spec above this size is not ours.
const SPEC_MAX_BYTES: u64 = 16 << 20;

/// Everything up to the moment where requests can come.
pub(super) fn prepare(directory: &Path) -> Result<Task, SuperviseError> {
    let listener = take_listener().map_err(file("listen at", &directory.join(SOCKET_FILE)))?;
    let spec = read_spec(directory)?;
    become_shim()?;
    // The network namespace's pin is on a mount that is left behind below; the descriptor stays.
    let network = match &spec.network {
        NetworkNamespace::Host => None,
        NetworkNamespace::Path(path) => Some(fs::File::open(path).map_err(file("open network namespace", path))?),
    };
    let program = fs::read_link("/proc/self/exe").map_err(file("find", Path::new("/proc/self/exe")))?;
    let layout = Layout::detect()?;
    leave_mounts(&spec, &program, &layout)?;
    crash::at(Point::ShimUnmounted);
    let held = host_port::hold(&spec.held_ports)?;
    let group = Group::new(Layout::detect()?, &spec.cgroup)?;
    group.create()?;
    group.limit(&spec.limits)?;
    crash::at(Point::ShimGrouped);
    let shared = share(&spec, &group)?;
    let network = network.map_or(Namespace::Host, |file| shared_path(file.into(), &shared));
    Ok(Task::new(spec, group, network, shared, program, held, listener))
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SuperviseError {
    let path = path.to_owned();
    move |source| SuperviseError::File { what, path, source }
}

fn kernel(what: &'static str) -> impl FnOnce(nix::Error) -> SuperviseError {
    move |error| SuperviseError::Kernel { what, source: error.into() }
}

fn read_spec(directory: &Path) -> Result<TaskSpec, SuperviseError> {
    let path = directory.join(SPEC_FILE);
    let size = fs::metadata(&path).map_err(file("read", &path))?.len();
    if size > SPEC_MAX_BYTES {
        return Err(file("accept the size of", &path)(io::Error::from(ErrorKind::FileTooLarge)));
    }
    let spec: TaskSpec =
        serde_json::from_slice(&fs::read(&path).map_err(file("read", &path))?).map_err(SuperviseError::Spec)?;
    if spec.version > VERSION { Err(SuperviseError::Version(spec.version)) } else { Ok(spec) }
}

fn become_shim() -> Result<(), SuperviseError> {
    // SAFETY: plain calls with integers; SIGPIPE's default is what containers must inherit.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::umask(0o022);
    }
    // EPERM means that we lead a group already, as under a shell.
    let _ = nix::unistd::setsid();
    nix::unistd::chdir("/").map_err(kernel("change to the root directory"))
}

/// libcontainer reads the list of mounts some thirty times per start: what no container needs is left behind. Slaves,
/// so that what the host mounts later below a volume still comes in, and nothing goes out.
fn leave_mounts(spec: &TaskSpec, program: &Path, layout: &Layout) -> Result<(), SuperviseError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(kernel("make a mount namespace"))?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).map_err(kernel("make mounts slaves"))?;
    let list = fs::read_to_string("/proc/self/mountinfo").map_err(file("read", Path::new("/proc/self/mountinfo")))?;
    let points: Vec<PathBuf> = list.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).collect();
    for point in Needed::of(spec, program, layout).unneeded(&points) {
        let _ = umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
    Ok(())
}

/// Which mounts stay: those that a path lies on, and everything below a tree.
struct Needed {
    paths: Vec<PathBuf>,
    trees: Vec<PathBuf>,
}

impl Needed {
    fn of(spec: &TaskSpec, program: &Path, layout: &Layout) -> Self {
        let mut paths = vec![spec.directory.clone(), spec.exits.clone(), program.to_owned(), "/proc".into()];
        let mut trees: Vec<PathBuf> = vec!["/dev".into()];
        trees.extend(layout.limiting());
        for container in &spec.containers {
            paths.push(container.rootfs.base.clone());
            paths.extend(container.log.iter().map(|log| log.directory.clone()));
            trees.extend(container.mounts.iter().map(|mount| mount.source.clone()));
        }
        // A mount table knows paths without links.
        let real = |path: PathBuf| fs::canonicalize(&path).unwrap_or(path);
        Self { paths: paths.into_iter().map(real).collect(), trees: trees.into_iter().map(real).collect() }
    }

    fn has(&self, point: &Path) -> bool {
        let on_the_way = self.paths.iter().chain(&self.trees).any(|path| path.starts_with(point));
        on_the_way || self.trees.iter().any(|tree| point.starts_with(tree))
    }

    /// What to detach. What lies below goes with it: a mount of network pins, however many, is one.
    fn unneeded<'a>(&self, points: &'a [PathBuf]) -> Vec<&'a Path> {
        let mut detached: Vec<&Path> = Vec::new();
        for point in points {
            if !self.has(point) && !detached.iter().any(|above| point.starts_with(above) && point != above) {
                detached.push(point);
            }
        }
        detached
    }
}

/// Spaces and the like are octal in the mount table.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let (bytes, mut result, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\').then(|| bytes.get(at + 1..at + 4)).flatten();
        let value = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        result.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 4 } else { 1 };
    }
    std::ffi::OsString::from_vec(result).into()
}

/// Namespaces that all containers of the task share.
fn share(spec: &TaskSpec, group: &Group) -> Result<Shared, SuperviseError> {
    let (own_pid, own_ipc) = (spec.pid == SharedNamespace::Task, spec.ipc == SharedNamespace::Task);
    let mut shared = Shared::default();
    if own_pid || own_ipc {
        let holder = holder::start(own_pid, own_ipc, group)
            .map_err(|source| SuperviseError::Kernel { what: "start the holder of shared namespaces", source })?;
        shared.holder = Some(holder);
    }
    if own_ipc {
        shared.shm = Some(mount_shm(spec)?);
    }
    shared.pid = shared.namespace(spec.pid, "pid")?;
    shared.ipc = shared.namespace(spec.ipc, "ipc")?;
    Ok(shared)
}

fn mount_shm(spec: &TaskSpec) -> Result<PathBuf, SuperviseError> {
    let target = spec.directory.join("shm");
    fs::create_dir_all(&target).map_err(file("make", &target))?;
    let most = spec.containers.iter().map(|container| container.shm_bytes).max().unwrap_or(0).max(64 << 20);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    let options = format!("mode=1777,size={most}");
    mount(Some("shm"), &target, Some("tmpfs"), flags, Some(options.as_str())).map_err(kernel("mount shared memory"))?;
    Ok(target)
}

/// A namespace by descriptor: the path is good in every fork of this process.
pub(super) fn shared_path(descriptor: std::os::fd::OwnedFd, shared: &Shared) -> Namespace {
    let namespace = by_descriptor(&descriptor);
    shared.keep(descriptor);
    namespace
}

/// The same for as long as the descriptor is open.
pub(super) fn by_descriptor(descriptor: &std::os::fd::OwnedFd) -> Namespace {
    Namespace::Path(PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd())))
}

/// The socket that the server made comes as standard input, which becomes empty.
fn take_listener() -> io::Result<UnixListener> {
    let listener = io::stdin().as_fd().try_clone_to_owned()?;
    let nothing = fs::File::open("/dev/null")?;
    // SAFETY: both descriptors are open; nobody here reads standard input.
    if unsafe { libc::dup2(nothing.as_raw_fd(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let listener = UnixListener::from(listener);
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_of_many_is_detached_at_once_and_twice_if_mounted_twice() {
        let needed = Needed { paths: vec!["/run/cove/tasks/1".into()], trees: Vec::new() };
        let points = ["/", "/run", "/run/cove/netns", "/run/cove/netns/a", "/run/cove/netns/b", "/home", "/home"];
        let points = points.map(PathBuf::from);
        assert_eq!(needed.unneeded(&points), ["/run/cove/netns", "/home", "/home"].map(Path::new));
    }

    #[test]
    fn mounts_on_the_way_and_below_trees_stay() {
        let needed = Needed { paths: vec!["/run/cove/tasks/1".into()], trees: vec!["/sys/fs/cgroup".into()] };
        for (point, stays) in [
            ("/", true),
            ("/run", true),
            ("/run/cove/netns", false),
            ("/run/cove/netns/a", false),
            ("/sys", true),
            ("/sys/fs/cgroup/memory", true),
            ("/sys/kernel/debug", false),
            ("/home", false),
        ] {
            assert_eq!(needed.has(Path::new(point)), stays, "{point}");
        }
        assert_eq!(unescape("/a\\040b\\134"), Path::new("/a b\\"));
    }
}
