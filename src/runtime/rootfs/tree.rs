//! Turns archive entries into files of a layer. The rules stand in [`super::unpack`].

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::error::{Result, RootfsError, shown};
use super::names::make_directories;
use super::remove::discard;
use super::sys::{self, Resolve};
use super::tar::{Archive, Entry, Kind};
use super::unpack::{Limits, Unpacked};

/// The kernel's PATH_MAX, without its NUL.
const NAME_BYTES_MAX: usize = 4095;
/// Names of directories kept until the end, for their times.
const DIRECTORY_NAME_BYTES_MAX: usize = 64 << 20;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other marks of aufs, without meaning in a layer.
const AUFS: &[u8] = b".wh..wh.";
/// Devices that give nobody anything: null, zero, full, random, urandom, tty, console, ptmx.
const HARMLESS_DEVICES: [(u64, u64); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
/// What file systems give files in.
const BLOCK_BYTES: u64 = 4096;
/// POSIX ACLs in the kernel's own form. That which other archivers write in words (`SCHILY.acl.access`) Docker drops too.
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
const SET_ID_BITS: u32 = 0o6000;

/// A layer's directory while it is filled.
pub(super) struct Tree<'a> {
    root: BorrowedFd<'a>,
    trash: BorrowedFd<'a>,
    limits: Limits,
    done: Unpacked,
    /// The last parent, since entries come directory by directory.
    parent: Option<Parent>,
    /// Directories and their times: set at the end because every new child changes them.
    directories: Vec<(Vec<u8>, (i64, u32))>,
    /// What directories give to new children: set at the end, because the archive says itself what these have.
    inherited: Vec<(Vec<u8>, Vec<u8>)>,
    directory_name_bytes: usize,
    saw_root: bool,
}

struct Parent {
    path: Vec<u8>,
    dir: OwnedFd,
    /// Its children inherit a group.
    set_gid: bool,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, trash: BorrowedFd<'a>, limits: Limits) -> Self {
        Self {
            root,
            trash,
            limits,
            done: Unpacked::default(),
            parent: None,
            directories: Vec::new(),
            inherited: Vec::new(),
            directory_name_bytes: 0,
            saw_root: false,
        }
    }

    /// Carries out one entry; its content is read from the archive.
    pub(super) fn add(&mut self, entry: &Entry, archive: &mut Archive) -> Result<()> {
        self.charge(entry)?;
        let path = clean(&entry.name).map_err(|why| hostile(entry, why))?;
        let (parent, leaf) = split(&path);
        let written = if path.is_empty() {
            self.add_root(entry)
        } else if leaf == OPAQUE {
            self.add_opaque(parent)
        } else if leaf.starts_with(AUFS) {
            Ok(())
        } else if let Some(hidden) = leaf.strip_prefix(WHITEOUT) {
            if hidden.is_empty() || hidden == b"." || hidden == b".." {
                return Err(hostile(entry, "a whiteout must name something"));
            }
            self.add_whiteout(parent, hidden)
        } else {
            self.open_parent(parent).and_then(|parent| {
                let written = self.add_leaf(entry, &path, &parent, leaf, archive);
                self.parent.get_or_insert(parent);
                written
            })
        };
        match written {
            Ok(()) => Ok(()),
            Err(Failure::Archive(error)) => Err(error),
            Err(Failure::Io(source)) => Err(RootfsError::Entry { entry: shown(&entry.name), source }),
        }
    }

    /// Sets the directories' default ACLs and times and tells what was done.
    pub(super) fn finish(mut self) -> Result<Unpacked> {
        // Gone or replaced since: then nobody asks for what it had.
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let open = |path: &[u8]| sys::open_beneath(self.root, path, flags, 0, Resolve::InRoot).ok();
        for (path, acl) in &self.inherited {
            if let Some(dir) = open(path) {
                let set = set_xattr(dir.as_fd(), DEFAULT_ACL, acl);
                set.map_err(|source| RootfsError::Entry { entry: shown(path), source })?;
            }
        }
        for (path, time) in self.directories.iter().rev() {
            if let Some(dir) = open(path) {
                let _ = sys::set_time(dir.as_fd(), b"", *time);
            }
        }
        if !self.saw_root {
            self.done.implied.push(Vec::new());
        }
        Ok(self.done)
    }

    fn charge(&mut self, entry: &Entry) -> Result<()> {
        self.done.entries += 1;
        let real = entry.sparse.as_ref().map_or(entry.size, |(_, real)| *real);
        self.done.bytes = self.done.bytes.saturating_add(real);
        if self.done.entries > self.limits.entries {
            return Err(RootfsError::Limit { limit: "number of entries", value: self.limits.entries });
        }
        if self.done.bytes > self.limits.bytes {
            return Err(RootfsError::Limit { limit: "unpacked bytes", value: self.limits.bytes });
        }
        let blocks = match entry.kind {
            Kind::File => entry.size.div_ceil(BLOCK_BYTES),
            Kind::Directory => 1,
            Kind::Symlink | Kind::Hardlink | Kind::Character | Kind::Block | Kind::Fifo | Kind::Unknown => 0,
        };
        self.done.disk_bytes = self.done.disk_bytes.saturating_add(blocks.saturating_mul(BLOCK_BYTES));
        Ok(())
    }

    fn add_root(&mut self, entry: &Entry) -> Done {
        if entry.kind == Kind::Directory {
            self.saw_root = true;
            let root = sys::open_beneath(self.root, b"", libc::O_RDONLY | libc::O_DIRECTORY, 0, Resolve::InRoot)?;
            self.describe_directory(entry, &[], root.as_fd())?;
        }
        Ok(())
    }

    /// Nothing of the layers below shows through this directory.
    fn add_opaque(&mut self, parent: &[u8]) -> Done {
        let parent = self.open_parent(parent)?;
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let dir = sys::open_beneath(parent.dir.as_fd(), b"", flags, 0, Resolve::InRoot)?;
        sys::set_xattr(dir.as_fd(), b"trusted.overlay.opaque", b"y")?;
        self.parent = Some(parent);
        Ok(())
    }

    /// Hides what the layers below have under that name. What this very layer has stays, as OCI says.
    fn add_whiteout(&mut self, parent: &[u8], leaf: &[u8]) -> Done {
        let parent = self.open_parent(parent)?;
        match sys::make_node(parent.dir.as_fd(), leaf, libc::S_IFCHR, (0, 0)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let status = sys::status(parent.dir.as_fd(), leaf)?;
                if status.st_mode & libc::S_IFMT == libc::S_IFDIR {
                    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
                    let dir = sys::open_beneath(parent.dir.as_fd(), leaf, flags, 0, Resolve::NoLinks)?;
                    sys::set_xattr(dir.as_fd(), b"trusted.overlay.opaque", b"y")?;
                }
            }
            other => other?,
        }
        self.parent = Some(parent);
        Ok(())
    }

    fn add_leaf(&mut self, entry: &Entry, path: &[u8], parent: &Parent, leaf: &[u8], archive: &mut Archive) -> Done {
        let dir = parent.dir.as_fd();
        match entry.kind {
            Kind::Directory => return self.add_directory(entry, path, dir, leaf),
            Kind::File => {
                let file = self.replacing(dir, leaf, || sys::create(dir, leaf, entry.mode))?;
                return self.fill(entry, parent, file, archive);
            }
            Kind::Hardlink => return self.add_hard_link(entry, dir, leaf),
            Kind::Symlink => self.replacing(dir, leaf, || sys::symlink(&entry.link, dir, leaf))?,
            Kind::Fifo => {
                self.replacing(dir, leaf, || sys::make_node(dir, leaf, libc::S_IFIFO | entry.mode, (0, 0)))?;
            }
            Kind::Character if HARMLESS_DEVICES.contains(&entry.device) => {
                let device = (entry.device.0 as u32, entry.device.1 as u32);
                self.replacing(dir, leaf, || sys::make_node(dir, leaf, libc::S_IFCHR | entry.mode, device))?;
            }
            Kind::Character | Kind::Block => {
                self.done.skipped_devices += 1;
                return Ok(());
            }
            Kind::Unknown => return Ok(()),
        }
        let (uid, gid) = owner(entry)?;
        if uid != 0 || gid != 0 || parent.set_gid {
            sys::change_owner(dir, leaf, uid, gid)?;
        }
        sys::set_time(dir, leaf, entry.mtime)?;
        Ok(())
    }

    fn add_directory(&mut self, entry: &Entry, path: &[u8], dir: BorrowedFd<'_>, leaf: &[u8]) -> Done {
        let mut hides_lower = false;
        match sys::make_directory(dir, leaf, entry.mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let status = sys::status(dir, leaf)?;
                if status.st_mode & libc::S_IFMT != libc::S_IFDIR {
                    hides_lower = status.st_mode & libc::S_IFMT == libc::S_IFCHR && status.st_rdev == 0;
                    self.discard(dir, leaf)?;
                    sys::make_directory(dir, leaf, entry.mode)?;
                }
            }
            other => other?,
        }
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let made = sys::open_beneath(dir, leaf, flags, 0, Resolve::NoLinks)?;
        if hides_lower {
            sys::set_xattr(made.as_fd(), b"trusted.overlay.opaque", b"y")?;
        }
        self.describe_directory(entry, path, made.as_fd())
    }

    fn describe_directory(&mut self, entry: &Entry, path: &[u8], dir: BorrowedFd<'_>) -> Done {
        let (uid, gid) = owner(entry)?;
        sys::change_owner(dir, b"", uid, gid)?;
        sys::change_mode(dir, entry.mode)?;
        set_xattrs(entry, dir)?;
        self.remember(path)?;
        if let Some((_, acl)) = entry.xattrs.iter().rev().find(|(key, _)| key == DEFAULT_ACL) {
            self.remember(acl)?;
            self.inherited.push((path.to_vec(), acl.clone()));
        }
        self.directories.push((path.to_vec(), entry.mtime));
        Ok(())
    }

    fn add_hard_link(&mut self, entry: &Entry, dir: BorrowedFd<'_>, leaf: &[u8]) -> Done {
        let target = clean(&entry.link).map_err(|why| Failure::Archive(hostile(entry, why)))?;
        let (target_parent, target_leaf) = split(&target);
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let from = sys::open_beneath(self.root, target_parent, flags, 0, Resolve::InRoot)?;
        let wanted = sys::status(from.as_fd(), target_leaf)?;
        let there = sys::status(dir, leaf).is_ok_and(|there| there.st_ino == wanted.st_ino);
        if !there {
            self.replacing(dir, leaf, || sys::link(from.as_fd(), target_leaf, dir, leaf))?;
        }
        Ok(())
    }

    /// Content, then owner, mode, xattrs and time, in the order in which one does not undo the other.
    fn fill(&mut self, entry: &Entry, parent: &Parent, file: OwnedFd, archive: &mut Archive) -> Done {
        let mut file = File::from(file);
        if let Some((pieces, real)) = &entry.sparse {
            write_pieces(&file, pieces, archive)?;
            file.set_len(*real)?;
        } else {
            loop {
                let piece = archive.content().map_err(Failure::Archive)?;
                if piece.is_empty() {
                    break;
                }
                file.write_all(piece)?;
            }
        }
        let (uid, gid) = owner(entry)?;
        if uid != 0 || gid != 0 || parent.set_gid {
            sys::change_owner(file.as_fd(), b"", uid, gid)?;
        }
        if entry.mode & SET_ID_BITS != 0 {
            sys::change_mode(file.as_fd(), entry.mode)?;
        }
        set_xattrs(entry, file.as_fd())?;
        sys::set_time(file.as_fd(), b"", entry.mtime)?;
        Ok(())
    }

    /// Makes something where perhaps something else stands.
    fn replacing<T>(
        &mut self,
        dir: BorrowedFd<'_>,
        leaf: &[u8],
        make: impl Fn() -> io::Result<T>,
    ) -> std::result::Result<T, Failure> {
        match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.discard(dir, leaf)?;
                Ok(make()?)
            }
            other => Ok(other?),
        }
    }

    fn discard(&mut self, dir: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<()> {
        // Whatever was opened may be what goes.
        self.parent = None;
        match sys::unlink(dir, leaf) {
            Err(error) if error.raw_os_error() == Some(libc::EISDIR) => discard(dir, leaf, self.trash),
            other => other,
        }
    }

    /// Takes the cached parent or opens it, making what is missing.
    fn open_parent(&mut self, path: &[u8]) -> std::result::Result<Parent, Failure> {
        if let Some(parent) = self.parent.take().filter(|parent| parent.path == path) {
            return Ok(parent);
        }
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let dir = match sys::open_beneath(self.root, path, flags, 0, Resolve::InRoot) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut made = Vec::new();
                let dir = make_directories(self.root, path, |path| made.push(path.to_vec()))?;
                for path in made {
                    self.remember(&path)?;
                    self.done.implied.push(path);
                }
                dir
            }
            other => other?,
        };
        let set_gid = sys::status(dir.as_fd(), b"")?.st_mode & libc::S_ISGID != 0;
        Ok(Parent { path: path.to_vec(), dir, set_gid })
    }

    fn remember(&mut self, path: &[u8]) -> Done {
        self.directory_name_bytes += path.len() + 64;
        if self.directory_name_bytes > DIRECTORY_NAME_BYTES_MAX {
            let value = DIRECTORY_NAME_BYTES_MAX as u64;
            return Err(Failure::Archive(RootfsError::Limit { limit: "bytes of directory names", value }));
        }
        Ok(())
    }
}

/// A failed system call, to be told with the entry's name; or an error that is whole already.
enum Failure {
    Io(io::Error),
    Archive(RootfsError),
}

type Done = std::result::Result<(), Failure>;

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn write_pieces(file: &File, pieces: &[(u64, u64)], archive: &mut Archive) -> Done {
    let mut pieces = pieces.iter().copied();
    let (mut offset, mut room) = (0, 0);
    loop {
        let mut content = archive.content().map_err(Failure::Archive)?;
        if content.is_empty() {
            return Ok(());
        }
        while !content.is_empty() {
            while room == 0 {
                (offset, room) = pieces.next().ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
            }
            let (now, later) = content.split_at((content.len() as u64).min(room) as usize);
            file.write_all_at(now, offset)?;
            offset += now.len() as u64;
            room -= now.len() as u64;
            content = later;
        }
    }
}

fn owner(entry: &Entry) -> std::result::Result<(u32, u32), Failure> {
    // The last number means "leave it" to the kernel.
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    match (id(entry.uid), id(entry.gid)) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(Failure::Archive(hostile(entry, "its owner is out of range"))),
    }
}

fn set_xattrs(entry: &Entry, file: BorrowedFd<'_>) -> Done {
    for (key, value) in &entry.xattrs {
        let user = key.starts_with(b"user.") && !key.starts_with(b"user.overlay.");
        if user || key == b"security.capability" || key == ACCESS_ACL {
            set_xattr(file, key, value)?;
        }
    }
    Ok(())
}

fn set_xattr(file: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    match sys::set_xattr(file, key, value) {
        // The file system has none of them: Docker goes on without, too.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// A name without `.`, `..`, empty parts and leading slashes; empty is the root.
fn clean(name: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
    if name.len() > NAME_BYTES_MAX {
        return Err("its name is too long");
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => (),
            b".." => {
                parts.pop().ok_or("its name leads out of the root")?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

fn hostile(entry: &Entry, why: &'static str) -> RootfsError {
    RootfsError::Hostile { entry: shown(&entry.name), why }
}
