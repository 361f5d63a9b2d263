use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sched::{CloneFlags, unshare};
use sha2::{Digest, Sha256};

use super::copy::copy_stack;
use super::{Fill, Layer, Limits, Manner, RootfsError, Snapshots, Stack, fill, mount};

/// An archive, built header by header so that it can be as bad as one likes.
#[derive(Default)]
pub(super) struct Tar(pub(super) Vec<u8>);

impl Tar {
    pub(super) fn raw(
        mut self,
        kind: u8,
        name: &[u8],
        link: &[u8],
        mode: u32,
        content: &[u8],
        device: (u32, u32),
    ) -> Self {
        if name.len() > 100 {
            let long = self.raw(b'L', b"././@LongLink", b"", 0, name, (0, 0));
            self = long;
        }
        if link.len() > 100 {
            self = self.raw(b'K', b"././@LongLink", b"", 0, link, (0, 0));
        }
        let link = &link[..link.len().min(100)];
        let mut header = tar::Header::new_gnu();
        let bytes = header.as_mut_bytes();
        let short = &name[..name.len().min(100)];
        bytes[..short.len()].copy_from_slice(short);
        bytes[157..157 + link.len()].copy_from_slice(link);
        bytes[156] = kind;
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000);
        header.set_size(content.len() as u64);
        header.set_device_major(device.0).unwrap();
        header.set_device_minor(device.1).unwrap();
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, name: &str, content: &str) -> Self {
        self.raw(b'0', name.as_bytes(), b"", 0o644, content.as_bytes(), (0, 0))
    }

    pub(super) fn dir(self, name: &str, mode: u32) -> Self {
        self.raw(b'5', name.as_bytes(), b"", mode, b"", (0, 0))
    }

    pub(super) fn link(self, kind: u8, name: &str, target: &str) -> Self {
        self.raw(kind, name.as_bytes(), target.as_bytes(), 0o777, b"", (0, 0))
    }

    pub(super) fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let length = (body..).find(|length| length.to_string().len() + body == *length).unwrap();
            text.push_str(&format!("{length} {key}={value}\n"));
        }
        self.raw(b'x', b"pax", b"", 0, text.as_bytes(), (0, 0))
    }

    pub(super) fn whole(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(super) struct Fixture {
    pub(super) dir: tempfile::TempDir,
    pub(super) snapshots: Arc<Snapshots>,
    blobs: AtomicU64,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open_with(&dir.path().join("snapshots"), limits).unwrap();
        Self { dir, snapshots: Arc::new(snapshots), blobs: AtomicU64::new(0) }
    }

    pub(super) fn layer(&self, tar: Tar) -> Layer {
        let bytes = tar.whole();
        self.packed(&bytes, &bytes)
    }

    pub(super) fn packed(&self, bytes: &[u8], packed: &[u8]) -> Layer {
        let blob = self.dir.path().join(format!("blob{}", self.blobs.fetch_add(1, Ordering::SeqCst)));
        fs::write(&blob, packed).unwrap();
        let diff_id = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
        Layer { diff_id, media_type: "application/vnd.oci.image.layer.v1.tar".into(), blob, digest: String::new() }
    }

    pub(super) fn unpack(&self, layers: &[Layer]) -> Result<Stack, RootfsError> {
        self.snapshots.unpack(layers, &|_| ())
    }

    /// Unpacks one layer; its directory.
    pub(super) fn one(&self, tar: Tar) -> Result<PathBuf, RootfsError> {
        let stack = self.unpack(&[self.layer(tar)])?;
        let root = self.snapshots.writable("probe", "c", &stack)?;
        let path = root.base.join(&root.lower[0]);
        self.snapshots.remove_writable("probe")?;
        Ok(path)
    }

    /// Mounts the stack in a mount namespace of its own and looks at it there.
    pub(super) fn mounted<R: Send>(&self, stack: &Stack, look: impl FnOnce(&Path) -> R + Send) -> R {
        let root = self.snapshots.writable("task", "app", stack).unwrap();
        let target = self.dir.path().join("target");
        fs::create_dir_all(&target).unwrap();
        std::thread::scope(|scope| {
            let looked = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNS).unwrap();
                nix::mount::mount(
                    None::<&str>,
                    "/",
                    None::<&str>,
                    nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE,
                    None::<&str>,
                )
                .unwrap();
                mount(&root, &target).unwrap();
                look(&target)
            });
            looked.join().unwrap()
        })
    }
}

pub(super) fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[test]
fn whiteouts_and_opaque_directories_hide_what_is_below() {
    let f = Fixture::new();
    let below = Tar::default()
        .dir("d", 0o750)
        .file("d/a", "1")
        .file("d/b", "1")
        .dir("o", 0o755)
        .file("o/x", "1")
        .file("gone", "1");
    let above = Tar::default()
        .file("d/.wh.a", "")
        .file("o/.wh..wh..opq", "")
        .file("o/y", "2")
        .file(".wh.gone", "")
        .file("d/c", "2");
    let stack = f.unpack(&[f.layer(below), f.layer(above)]).unwrap();
    f.mounted(&stack, |root| {
        assert_eq!(text(root.join("d/a")), None);
        assert_eq!(text(root.join("d/b")).as_deref(), Some("1"));
        assert_eq!(text(root.join("d/c")).as_deref(), Some("2"));
        assert_eq!((text(root.join("o/x")), text(root.join("o/y")).as_deref()), (None, Some("2")));
        assert!(!root.join("gone").exists());
        // Only implied by the upper layer, so it looks as below.
        assert_eq!(fs::metadata(root.join("d")).unwrap().permissions().mode() & 0o7777, 0o750);
        fs::write(root.join("new"), "w").unwrap();
    });
    // A restarted container finds what it wrote.
    f.mounted(&stack, |root| assert_eq!(text(root.join("new")).as_deref(), Some("w")));
    assert_eq!(f.snapshots.inventory().unwrap(), ["task"]);
    f.snapshots.remove_writable("task").unwrap();
    assert!(f.snapshots.inventory().unwrap().is_empty());
}

#[test]
fn a_copy_shows_the_same_as_an_overlay() {
    let f = Fixture::new();
    let below = Tar::default()
        .dir("d", 0o755)
        .file("d/a", "1")
        .file("d/b", "1")
        .link(b'1', "d/hard", "d/b")
        .link(b'2', "l", "d");
    let above = Tar::default().file("d/.wh.a", "").dir("l", 0o700).file("l/x", "2");
    let stack = f.unpack(&[f.layer(below), f.layer(above)]).unwrap();
    let root = f.snapshots.writable("t", "c", &stack).unwrap();
    let layers: Vec<PathBuf> = root.lower.iter().rev().map(|lower| root.base.join(lower)).collect();
    let copy = f.dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    copy_stack(&layers, &copy).unwrap();
    assert_eq!((text(copy.join("d/a")), text(copy.join("d/b")).as_deref()), (None, Some("1")));
    assert_eq!(fs::metadata(copy.join("d/b")).unwrap().nlink(), 2);
    assert_eq!(text(copy.join("l/x")).as_deref(), Some("2"));
    assert!(!copy.join("d/x").exists());
}

#[test]
fn names_and_links_never_lead_out_of_the_layer() {
    let f = Fixture::new();
    let refused = [
        Tar::default().file("../evil", "x"),
        Tar::default().file("a/../../evil", "x"),
        Tar::default().link(b'1', "h", "../../etc/passwd"),
        Tar::default().link(b'1', "h", "/etc/shadow"),
        Tar::default().file("d/.wh...", ""),
        Tar::default().file(".wh.", ""),
        Tar::default().file(".wh..", ""),
        Tar::default().file("f", "x").file("f/child", "x"),
        Tar::default().link(b'2', "loop", "loop").file("loop/x", "x"),
        Tar::default().file(&"n/".repeat(2100), "x"),
        Tar::default().file(&"n".repeat(300), "x"),
    ];
    for (index, tar) in refused.into_iter().enumerate() {
        assert!(f.one(tar).is_err(), "case {index}");
    }
    let victim = f.dir.path().join("victim");
    fs::create_dir(&victim).unwrap();
    let up = "../".repeat(20);
    let tar = Tar::default()
        .dir("tmp", 0o755)
        .link(b'2', "abs", victim.to_str().unwrap())
        .link(b'2', "up", &up)
        .file("up/tmp/inside", "x")
        .file("/rooted", "x");
    let layer = f.one(tar).unwrap();
    assert_eq!(text(layer.join("tmp/inside")).as_deref(), Some("x"));
    assert!(layer.join("rooted").exists());
    // A link whose target is missing inside the root is no parent.
    assert!(f.one(Tar::default().link(b'2', "abs", victim.to_str().unwrap()).file("abs/evil", "x")).is_err());
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
}

#[test]
fn a_link_is_replaced_and_not_written_through() {
    let f = Fixture::new();
    let tar = Tar::default()
        .file("target", "old")
        .link(b'2', "l", "target")
        .file("l", "new")
        .dir("d", 0o755)
        .file("d/x", "1")
        .file("d", "now a file")
        .link(b'1', "same", "target")
        .link(b'1', "same", "target");
    let layer = f.one(tar).unwrap();
    assert_eq!(text(layer.join("target")).as_deref(), Some("old"));
    assert_eq!(text(layer.join("l")).as_deref(), Some("new"));
    assert_eq!(text(layer.join("d")).as_deref(), Some("now a file"));
    assert_eq!(fs::metadata(layer.join("same")).unwrap().nlink(), 2);
}

/// User 70 may read it beside its owner.
const ACL: &str =
    "\x02\0\0\0\x01\0\x06\0\0\0\0\0\x02\0\x04\0\x46\0\0\0\x04\0\0\0\0\0\0\0\x10\0\x04\0\0\0\0\0\x20\0\0\0\0\0\0\0";

#[test]
fn acls_stay_as_the_archive_has_them_and_nothing_inherits_them_while_it_is_unpacked() {
    let f = Fixture::new();
    let probe = f.dir.path().join("probe");
    fs::write(&probe, "").unwrap();
    if xattr::set(&probe, "system.posix_acl_access", ACL.as_bytes()).is_err() {
        eprintln!("SKIPPED: this file system has no ACLs");
        return;
    }
    let tar = Tar::default()
        .pax(&[("SCHILY.xattr.system.posix_acl_access", ACL)])
        .raw(b'0', b"read", b"", 0o640, b"x", (0, 0))
        .pax(&[("SCHILY.xattr.system.posix_acl_default", ACL)])
        .dir("d", 0o755)
        .raw(b'0', b"d/open", b"", 0o666, b"x", (0, 0))
        .dir("d/plain", 0o777)
        .pax(&[("SCHILY.acl.access", "user::rw-,user:70:r--,group::---,mask::r--,other::---")])
        .file("in words", "x");
    let layer = f.one(tar).unwrap();
    let acl = |name: &str, kind: &str| xattr::get(layer.join(name), format!("system.posix_acl_{kind}")).unwrap();
    let mode = |name: &str| fs::metadata(layer.join(name)).unwrap().mode() & 0o7777;
    assert!(acl("read", "access").is_some_and(|acl| acl[12..20] == *b"\x02\0\x04\0\x46\0\0\0"));
    assert_eq!(mode("read"), 0o640);
    assert!(acl("d", "default").is_some());
    for (name, wanted) in [("d/open", 0o666), ("d/plain", 0o777), ("in words", 0o644)] {
        assert_eq!((mode(name), acl(name, "access"), acl(name, "default")), (wanted, None, None), "{name}");
    }
    // As with Docker.
    for kind in ["access", "default"] {
        let key = format!("SCHILY.xattr.system.posix_acl_{kind}");
        let bad = Tar::default().pax(&[(&key, "\x02\0\0\0no ACL")]).dir("d", 0o755);
        assert!(matches!(f.one(bad), Err(RootfsError::Entry { .. })), "{kind}");
    }
}

#[test]
fn modes_times_and_harmless_xattrs_stay_and_devices_do_not() {
    let f = Fixture::new();
    let capability = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = Tar::default()
        .raw(b'0', b"su", b"", 0o4755, b"x", (0, 0))
        .dir("sticky", 0o1777)
        .pax(&[
            ("SCHILY.xattr.user.k", "v"),
            ("SCHILY.xattr.trusted.overlay.opaque", "y"),
            ("uid", "70000"),
            ("SCHILY.xattr.security.capability", capability),
        ])
        .file("x", "x")
        .raw(b'3', b"null", b"", 0o666, b"", (1, 3))
        .raw(b'3', b"mem", b"", 0o666, b"", (1, 1))
        .raw(b'3', b"whiteout", b"", 0o666, b"", (0, 0))
        .raw(b'4', b"disk", b"", 0o666, b"", (8, 0))
        .raw(b'6', b"fifo", b"", 0o600, b"", (0, 0));
    let layer = f.one(tar).unwrap();
    let about = |name: &str| fs::symlink_metadata(layer.join(name)).unwrap();
    assert_eq!(about("su").mode() & 0o7777, 0o4755);
    assert_eq!(about("sticky").mode() & 0o7777, 0o1777);
    assert_eq!((about("x").uid(), about("x").mtime()), (70000, 1_000_000));
    assert_eq!(about("sticky").mtime(), 1_000_000);
    assert_eq!(xattr::get(layer.join("x"), "user.k").unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(xattr::get(layer.join("x"), "trusted.overlay.opaque").unwrap(), None);
    assert!(xattr::get(layer.join("x"), "security.capability").unwrap().is_some());
    assert!(about("null").file_type().is_char_device());
    assert!(about("fifo").file_type().is_fifo());
    for name in ["mem", "whiteout", "disk"] {
        assert!(!layer.join(name).exists(), "{name}");
    }
}

#[test]
fn bombs_and_damage_end_in_an_error_and_leave_nothing() {
    let f = Fixture::with(Limits { entries: 10, bytes: 1 << 20 });
    let many = (0..11).fold(Tar::default(), |tar, number| tar.file(&number.to_string(), ""));
    assert!(matches!(f.one(many), Err(RootfsError::Limit { .. })));
    let big = "x".repeat(1 << 20);
    assert!(matches!(f.one(Tar::default().file("a", &big).file("b", "x")), Err(RootfsError::Limit { .. })));
    let mut huge = Tar::default().file("a", "x").whole();
    huge[124..136].copy_from_slice(b"77777777777\0");
    assert!(f.unpack(&[f.packed(&huge, &huge)]).is_err());
    let whole = Tar::default().file("a", &"y".repeat(5000)).whole();
    assert!(matches!(f.unpack(&[f.packed(&whole, &whole[..3000])]), Err(RootfsError::Damaged { .. })));
    let mut wrong = f.layer(Tar::default().file("a", "x"));
    wrong.diff_id = format!("sha256:{}", "0".repeat(64));
    assert!(matches!(f.unpack(&[wrong]), Err(RootfsError::Digest { .. })));
    let long_name = Tar::default().raw(b'L', b"l", b"", 0, &vec![b'a'; 2 << 20], (0, 0));
    assert!(matches!(f.one(long_name), Err(RootfsError::Limit { .. })));
    let noise: Vec<u8> = (0..10_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(f.unpack(&[f.packed(&noise, &noise)]).is_err());
    assert_eq!(fs::read_dir(f.dir.path().join("snapshots/l")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(f.dir.path().join("snapshots/chains")).unwrap().count(), 0);
}

#[test]
fn gzip_and_zstd_layers_unpack_alike() {
    let f = Fixture::new();
    let bytes = Tar::default().file("a", &"hello ".repeat(200_000)).whole();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    let zstandard = zstd::encode_all(bytes.as_slice(), 1).unwrap();
    for packed in [gzip.finish().unwrap(), zstandard] {
        let f = Fixture::new();
        let stack = f.unpack(&[f.packed(&bytes, &packed)]).unwrap();
        f.mounted(&stack, |root| assert_eq!(fs::metadata(root.join("a")).unwrap().len(), 1_200_000));
    }
    drop(f);
}

#[test]
fn a_sparse_file_keeps_its_holes_and_lies_are_refused() {
    let sparse = |size: u64, real: u64, offset: u64| {
        let mut tar = Tar::default().raw(b'S', b"s", b"", 0o644, &vec![b'd'; size as usize], (0, 0));
        let octal = |value: u64| format!("{value:011o}\0");
        tar.0[386..398].copy_from_slice(octal(offset).as_bytes());
        tar.0[398..410].copy_from_slice(octal(5).as_bytes());
        tar.0[483..495].copy_from_slice(octal(real).as_bytes());
        let mut header = tar::Header::from_byte_slice(&tar.0[..512]).clone();
        header.set_cksum();
        tar.0[..512].copy_from_slice(header.as_bytes());
        tar
    };
    let f = Fixture::new();
    let layer = f.one(sparse(5, 1 << 20, 1000)).unwrap();
    let content = fs::read(layer.join("s")).unwrap();
    assert_eq!((content.len(), &content[999..1006]), (1 << 20, &b"\0ddddd\0"[..]));
    assert!(f.one(sparse(6, 1 << 20, 1000)).is_err());
    assert!(f.one(sparse(5, 100, 1000)).is_err());
    assert!(f.one(sparse(5, 8_000_000_000, 0)).is_ok());
}

#[test]
fn a_hundred_layers_mount_and_unpack_once_for_many_callers() {
    let f = Fixture::new();
    let layers: Vec<Layer> =
        (0..110).map(|n| f.layer(Tar::default().file(&format!("f{n}"), "x").file("last", &n.to_string()))).collect();
    let stacks: Vec<Stack> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|n| {
                let (layers, f) = (&layers, &f);
                scope.spawn(move || f.unpack(&layers[..layers.len() - n]).unwrap())
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert_eq!(fs::read_dir(f.dir.path().join("snapshots/l")).unwrap().count(), 110);
    f.mounted(&stacks[0], |root| {
        assert_eq!(fs::read_dir(root).unwrap().count(), 111);
        assert_eq!(text(root.join("last")).as_deref(), Some("109"));
    });
    assert_eq!(f.snapshots.remove_unused(&[]).unwrap(), 0);
    let in_hand = f.unpack(&layers[..10]).unwrap();
    drop(stacks);
    f.snapshots.remove_writable("task").unwrap();
    assert_eq!(f.snapshots.unused().unwrap().len(), 100);
    let known = layers[..30].iter().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>();
    // A list that is no image's keeps nothing.
    let senseless = vec!["sha256:x".to_owned()];
    assert_eq!(f.snapshots.remove_unused(&[senseless, known]).unwrap(), 80);
    assert_eq!(f.snapshots.remove_unused(&[]).unwrap(), 20);
    drop(in_hand);
    assert_eq!(f.snapshots.remove_unused(&[]).unwrap(), 10);
    assert_eq!(fs::read_dir(f.dir.path().join("snapshots/l")).unwrap().count(), 0);
}

#[test]
fn layers_go_while_images_are_unpacked_and_nobody_notices() {
    let f = Fixture::new();
    let layers: Vec<Layer> = (0..12).map(|n| f.layer(Tar::default().file(&format!("d/f{n}"), "x"))).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let remover = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                f.snapshots.remove_unused(&[]).unwrap();
            }
        });
        let callers: Vec<_> = (0..2)
            .map(|caller| {
                let (layers, f) = (&layers, &f);
                scope.spawn(move || {
                    for turn in 0..20 {
                        let stack = f.unpack(&layers[..=(caller + turn) % layers.len()]).unwrap();
                        let root = f.snapshots.writable(&format!("t{caller}"), "c", &stack).unwrap();
                        drop(stack);
                        assert!(root.lower.iter().all(|layer| root.base.join(layer).is_dir()));
                        f.snapshots.remove_writable(&format!("t{caller}")).unwrap();
                    }
                })
            })
            .collect();
        let ended: Vec<_> = callers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        remover.join().unwrap();
        ended.into_iter().for_each(|one| one.unwrap());
    });
    f.snapshots.remove_unused(&[]).unwrap();
    assert_eq!(fs::read_dir(f.dir.path().join("snapshots/l")).unwrap().count(), 0);
}

#[test]
fn what_a_crash_left_half_done_is_gone_after_open() {
    let f = Fixture::new();
    let stack = f.unpack(&[f.layer(Tar::default().file("a", "x"))]).unwrap();
    let dir = f.dir.path().join("snapshots");
    fs::create_dir_all(dir.join("l/77/deep/er")).unwrap();
    std::os::unix::fs::symlink("99", dir.join("chains/sha256-lost")).unwrap();
    fs::create_dir_all(dir.join("w/t/.c.1234/u")).unwrap();
    let again = Snapshots::open(&dir).unwrap();
    assert_eq!(fs::read_dir(dir.join("l")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(dir.join("chains")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(dir.join("w/t")).unwrap().count(), 0);
    assert_eq!(again.doctor().no_overlay, None);
    // What was whole is used, not unpacked again.
    let blob_is_gone = Layer { blob: "/nowhere".into(), ..f.layer(Tar::default().file("a", "x")) };
    assert_eq!(again.unpack(&[blob_is_gone], &|_| ()).unwrap().chain_ids, stack.chain_ids);
    let next = again.unpack(&[f.layer(Tar::default().file("b", "x"))], &|_| ()).unwrap();
    assert!(again.writable("t", "c", &next).unwrap().lower[0].as_str() > "l/77");
}

/// The child of the test below: unpacks until it is killed.
#[test]
#[ignore = "run by a_kill_in_the_middle_leaves_a_store_that_opens"]
fn unpack_until_killed() {
    let Ok(dir) = std::env::var("COVE_TEST_UNPACK") else { return };
    let dir = PathBuf::from(dir);
    let layer = Layer {
        diff_id: text(dir.join("diff_id")).unwrap(),
        media_type: String::new(),
        blob: dir.join("blob"),
        digest: String::new(),
    };
    Snapshots::open(&dir.join("snapshots")).unwrap().unpack(&[layer], &|_| ()).unwrap();
}

#[test]
fn a_kill_in_the_middle_leaves_a_store_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    let tar = (0..3000).fold(Tar::default(), |tar, n| tar.file(&format!("d{}/f{n}", n % 50), "content"));
    let bytes = tar.whole();
    fs::write(dir.path().join("blob"), &bytes).unwrap();
    fs::write(dir.path().join("diff_id"), format!("sha256:{}", hex::encode(Sha256::digest(&bytes)))).unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "rootfs::tests::unpack_until_killed"])
        .env("COVE_TEST_UNPACK", dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let started = dir.path().join("snapshots/l/1/d49");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !started.exists() && child.try_wait().unwrap().is_none() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    let _ = child.kill();
    child.wait().unwrap();
    let snapshots = Snapshots::open(&dir.path().join("snapshots")).unwrap();
    let diff_id = text(dir.path().join("diff_id")).unwrap();
    let layer = Layer { diff_id, media_type: String::new(), blob: dir.path().join("blob"), digest: String::new() };
    let stack = snapshots.unpack(&[layer], &|_| ()).unwrap();
    let root = snapshots.writable("t", "c", &stack).unwrap();
    let layer = root.base.join(&root.lower[0]);
    let files = (0..50).map(|n| fs::read_dir(layer.join(format!("d{n}"))).unwrap().count()).sum::<usize>();
    assert_eq!(files, 3000);
    assert_eq!(fs::read_dir(root.base.join("l")).unwrap().count(), 1);
}

#[test]
fn trees_deeper_than_a_path_can_name_and_locked_files_are_removed() {
    let f = Fixture::new();
    let deep = "d/".repeat(1000);
    let tar =
        Tar::default().dir(&deep, 0o755).link(b'2', "s", deep.trim_end_matches('/')).dir(&format!("s/{deep}"), 0o755);
    let stack = f.unpack(&[f.layer(tar)]).unwrap();
    let root = f.snapshots.writable("t", "c", &stack).unwrap();
    let locked = root.base.join(&root.upper).join("locked");
    fs::write(&locked, "x").unwrap();
    let set = std::process::Command::new("chattr").arg("+i").arg(&locked).status();
    assert!(set.is_ok());
    let outside = f.dir.path().join("outside");
    fs::write(&outside, "x").unwrap();
    std::os::unix::fs::symlink(&outside, root.base.join(&root.upper).join("link")).unwrap();
    f.snapshots.remove_writable("t").unwrap();
    drop(stack);
    assert_eq!(f.snapshots.remove_unused(&[]).unwrap(), 1);
    assert_eq!(fs::read_dir(root.base.join("trash")).unwrap().count(), 0);
    assert!(outside.exists());
}

#[test]
fn a_volume_nested_deeper_than_a_recursion_goes_is_removed() {
    use nix::fcntl::{OFlag, open, openat};
    use nix::sys::stat::{Mode, mkdirat};
    let f = Fixture::new();
    let volumes = f.dir.path().join("volumes");
    fs::create_dir_all(volumes.join("t")).unwrap();
    let mut at = open(&volumes.join("t"), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..20_000 {
        mkdirat(Some(at), "d", Mode::S_IRWXU).unwrap();
        let below = openat(Some(at), "d", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        nix::unistd::close(at).unwrap();
        at = below;
    }
    nix::unistd::close(at).unwrap();
    f.snapshots.remove_directory(&volumes, "t").unwrap();
    assert_eq!(fs::read_dir(&volumes).unwrap().count(), 0);
    assert_eq!(fs::read_dir(f.snapshots.dir.join("trash")).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_removed_holds_up_nobody_elses_removal() {
    let f = Fixture::new();
    let stack = f.unpack(&[f.layer(Tar::default().file("a", "1"))]).unwrap();
    let root = f.snapshots.writable("t", "c", &stack).unwrap();
    let stuck = root.base.join("trash/x/y");
    fs::create_dir_all(&stuck).unwrap();
    let bind = nix::mount::MsFlags::MS_BIND;
    nix::mount::mount(Some(f.dir.path()), &stuck, None::<&str>, bind, None::<&str>).unwrap();
    let removed = f.snapshots.remove_writable("t");
    nix::mount::umount(&stuck).unwrap();
    removed.unwrap();
    assert!(!root.base.join(&root.upper).exists());
}

#[test]
fn an_empty_volume_begins_with_what_the_image_shows_at_its_path() {
    let f = Fixture::new();
    let outside = f.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "x").unwrap();
    let pax = [("uid", "1234"), ("gid", "77"), ("SCHILY.xattr.user.mark", "yes")];
    let below = Tar::default().dir("srv", 0o755).pax(&pax).dir("srv/data", 0o2750).file("srv/data/gone", "1");
    let below = below.file("srv/data/old/gone", "1").pax(&pax).file("srv/data/kept", "kept");
    let above = Tar::default()
        .pax(&pax)
        .dir("srv/data", 0o2750)
        .file("srv/data/.wh.gone", "")
        .file("srv/data/old/.wh..wh..opq", "");
    let above = above.file("srv/data/old/new", "new").link(b'1', "srv/data/hard", "srv/data/old/new");
    let above = above.link(b'2', "srv/data/soft", outside.to_str().unwrap()).link(b'2', "data", "/srv/../srv/data");
    let above = above.link(b'2', "escape", &format!("../../../../..{}", outside.display())).file("plain", "x");
    let stack = f.unpack(&[f.layer(below), f.layer(above)]).unwrap();
    let root = f.snapshots.writable("t", "c", &stack).unwrap();
    let volume = |name: &str| {
        let path = f.dir.path().join("volumes").join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let one = |name: &str, path: &str| Fill { volume: volume(name), path: path.to_owned(), manner: Manner::Replaced };
    let used = one("used", "/data");
    fs::write(used.volume.join("mine"), "x").unwrap();
    let fills = [one("0", "/data"), one("1", "/escape"), one("2", "/plain"), one("3", "/none/at/all"), used];
    fill(&root, &fills).unwrap();
    let names = |path: &Path| {
        let mut names: Vec<String> =
            fs::read_dir(path).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let filled = &fills[0].volume;
    assert_eq!(names(filled), ["hard", "kept", "old", "soft"]);
    assert_eq!(names(&filled.join("old")), ["new"]);
    for path in [filled.clone(), filled.join("kept")] {
        let about = fs::metadata(&path).unwrap();
        assert_eq!((about.uid(), about.gid()), (1234, 77), "{path:?}");
        assert_eq!(xattr::get(&path, "user.mark").unwrap().as_deref(), Some(&b"yes"[..]));
    }
    let about = fs::metadata(filled).unwrap();
    assert_eq!((about.mode() & 0o7777, about.mtime()), (0o2750, 1_000_000));
    assert_eq!(fs::metadata(filled.join("hard")).unwrap().ino(), fs::metadata(filled.join("old/new")).unwrap().ino());
    assert_eq!(fs::read_link(filled.join("soft")).unwrap(), outside);
    for empty in &fills[1..4] {
        assert!(names(&empty.volume).is_empty(), "{empty:?}");
    }
    assert_eq!(names(&fills[4].volume), ["mine"]);
    assert_eq!(names(&f.dir.path().join("volumes")), ["0", "1", "2", "3", "used"]);
    // Filled once: what was taken away does not come back while something is left.
    fs::remove_file(filled.join("kept")).unwrap();
    fill(&root, &fills).unwrap();
    assert!(!filled.join("kept").exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(f.dir.path().to_str().unwrap()), "nobody else sees the mount");
}
