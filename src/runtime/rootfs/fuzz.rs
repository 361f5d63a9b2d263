//! Hostile layers and hostile passwd files. Beside every unpacking stand files that no archive may touch.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use cove_fuzz::{Fuzz, Rng, tar};

use super::names::open_directory;
use super::tar::Archive;
use super::tree::Tree;
use super::unpack::unpack;
use super::{Limits, RootfsError, sys, user};

/// Small, so that going beyond shows.
const LIMITS: Limits = Limits { entries: 400, bytes: 4 << 20 };
const NAMES: [&str; 20] = [
    "a",
    "a/b",
    "./a//b/",
    "..",
    "../outside/canary",
    "../../outside",
    "a/../../outside/canary",
    "/",
    "",
    ".",
    "up",
    "up/canary",
    "up/new",
    "a/.wh.b",
    ".wh..wh..opq",
    "up/.wh.canary",
    ".wh.up",
    ".wh...",
    "a/.wh..wh.plnk",
    "dev/null",
];

/// A layer's directory with neighbours. Its place is in the seeds, as the target of links.
struct Arena(tempfile::TempDir);

impl Arena {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        fs::create_dir(this.outside()).unwrap();
        fs::write(this.outside().join("canary"), "sings").unwrap();
        this
    }

    fn outside(&self) -> PathBuf {
        self.0.path().join("outside")
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let outside = self.outside();
        let outside = outside.to_str().unwrap();
        let linked = |target: &str, kind: u8| {
            let link = tar::entry(kind, "up", target, b"");
            [link, tar::entry(b'0', "up/new", "", b"x"), tar::entry(b'5', "up/canary", "", b"")].concat()
        };
        let pax = [tar::record("path", "long"), tar::record("SCHILY.xattr.user.a", "b"), tar::record("mtime", "1.5")];
        vec![
            linked(outside, b'2'),
            linked("../outside", b'2'),
            linked(&format!("{outside}/canary"), b'1'),
            linked("../outside/canary", b'1'),
            [tar::entry(b'x', "pax", "", &pax.concat()), tar::entry(b'0', "short", "", b"content")].concat(),
            [tar::entry(b'L', "l", "", b"a/long/name"), tar::entry(b'3', "dev/sda", "", b"")].concat(),
            [tar::entry(b'5', "a", "", b""), tar::entry(b'0', "a/.wh.b", "", b""), tar::entry(b'6', "a/f", "", b"")]
                .concat(),
        ]
    }

    /// Runs with an empty layer and checks what must hold after anything.
    fn within(&self, run: impl FnOnce(&Path, &Path) -> String + Send) -> String {
        let (target, trash) = (self.0.path().join("layer"), self.0.path().join("trash"));
        for directory in [&target, &trash] {
            let _ = fs::remove_dir_all(directory);
            fs::create_dir(directory).unwrap();
        }
        let before = listing(&self.outside());
        // The umask that unpacking takes for itself is the thread's.
        let outcome = std::thread::scope(|scope| scope.spawn(|| run(&target, &trash)).join().unwrap());
        assert_eq!(listing(&self.outside()), before, "something outside of the layer was touched");
        let mut beside: Vec<_> = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.sort();
        assert_eq!(beside, ["layer", "outside", "trash"], "something was made beside the layer");
        assert!(check_devices_and_count(&target) <= LIMITS.bytes, "the layer is larger than allowed");
        outcome
    }
}

type About = (u32, u32, u64, i64, u64);

fn listing(directory: &Path) -> BTreeMap<PathBuf, About> {
    let about = |path: PathBuf| {
        let meta = fs::symlink_metadata(&path).unwrap();
        (path, (meta.mode(), meta.uid(), meta.len(), meta.mtime_nsec(), meta.nlink()))
    };
    let inside = fs::read_dir(directory).unwrap().map(|entry| about(entry.unwrap().path()));
    inside.chain([about(directory.to_owned())]).collect()
}

/// Bytes of all files; panics at a device that gives anything.
fn check_devices_and_count(directory: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let meta = entry.as_ref().unwrap().metadata().unwrap();
        let kind = meta.file_type();
        assert!(!kind.is_block_device(), "a block device");
        if kind.is_char_device() {
            let (major, minor) = (libc::major(meta.rdev()), libc::minor(meta.rdev()));
            let harmless = [(0, 0), (1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
            assert!(harmless.contains(&(major, minor)), "device {major}:{minor}");
        }
        bytes += if kind.is_dir() {
            check_devices_and_count(&entry.unwrap().path())
        } else if kind.is_file() && meta.nlink() == 1 {
            meta.len()
        } else {
            0
        };
    }
    bytes
}

fn outcome<T>(result: Result<T, RootfsError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(RootfsError::Entry { source, .. }) => format!("entry {source}"),
        Err(RootfsError::Hostile { why, .. } | RootfsError::Damaged { why }) => why.to_owned(),
        Err(RootfsError::Limit { limit, .. }) => limit.to_owned(),
        Err(RootfsError::Blob(source)) => source.to_string().chars().take(24).collect(),
        Err(RootfsError::Digest { .. }) => "digest".to_owned(),
        Err(other) => other.to_string(),
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("SKIPPED: needs root");
    }
    root
}

/// The archive alone, so that nearly every input gets past the decompression.
#[test]
fn fuzz_tar() {
    if !is_root() {
        return;
    }
    let arena = Arena::new();
    let shape = |rng: &mut Rng, bytes: &mut Vec<u8>| tar::change(rng, bytes, &NAMES);
    Fuzz::new("tar").seeds(arena.seeds()).shape(&shape).run(|input| {
        arena.within(|target, trash| {
            sys::own_umask().unwrap();
            let (sender, chunks) = channel();
            for chunk in input.chunks(1000) {
                sender.send(Ok(chunk.to_vec())).unwrap();
            }
            drop(sender);
            let (target, trash) = (open_directory(target).unwrap(), open_directory(trash).unwrap());
            let (mut archive, mut tree) =
                (Archive::new(chunks, LIMITS.archive_bytes()), Tree::new(target.as_fd(), trash.as_fd(), LIMITS));
            outcome((|| {
                while let Some(entry) = archive.next()? {
                    tree.add(&entry, &mut archive)?;
                }
                Ok(tree.finish())
            })())
        })
    });
}

/// A whole blob: plain, gzip, zstd, with whatever digest.
#[test]
fn fuzz_layer() {
    if !is_root() {
        return;
    }
    let arena = Arena::new();
    let blob = tempfile::NamedTempFile::new().unwrap();
    let diff_id = format!("sha256:{}", "0".repeat(64));
    let tokens: [&[u8]; 3] = [&[0x1f, 0x8b, 8, 0], &[0x28, 0xb5, 0x2f, 0xfd], &[0; 512]];
    Fuzz::new("layer").seeds(arena.seeds()).tokens(&tokens).run(|input| {
        fs::write(blob.path(), input).unwrap();
        arena.within(|target, trash| {
            outcome(unpack(Box::new(File::open(blob.path()).unwrap()), &diff_id, target, trash, LIMITS, &|_| ()))
        })
    });
}

/// `USER\nPASSWD\0GROUP`.
#[test]
fn fuzz_passwd() {
    let tokens: [&[u8]; 8] = [b":", b"\n", b"root:x:0:0::/:", b"4294967295", b"-1", b"\0", b"a:b", b"::::::"];
    Fuzz::new("passwd").tokens(&tokens).run(|input| {
        let text = String::from_utf8_lossy(input);
        let (user, files) = text.split_once('\n').unwrap_or((&text, ""));
        let (passwd, group) = files.split_once('\0').unwrap_or((files, ""));
        match user::resolve(passwd, group, user) {
            Ok(found) => {
                assert!(found.home.starts_with('/'), "{found:?}");
                let most = i32::MAX.cast_unsigned();
                assert!(found.uid <= most && found.gid <= most && found.groups.iter().all(|id| *id <= most));
                format!("{} {}", found.uid == 0, found.groups.len().min(3))
            }
            Err(error) => error.to_string().chars().take(12).collect(),
        }
    });
}
