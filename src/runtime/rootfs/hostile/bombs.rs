//! Blobs that are small and want to be large, and what they cost: each is unpacked by a process of its own, whose memory
//! is measured.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::tests::{Fixture, Tar, text};
use super::super::{Layer, Limits, RootfsError, Snapshots};

/// Where the child finds the blob.
const HOME: &str = "COVE_TEST_BOMB";
/// What any of these may take, beside a zstd window: chunks under way, names of directories, one map.
const MEMORY_MAX_MIB: u64 = 160;
/// The largest window that is taken: what `zstd --ultra -22` makes.
const WINDOW_MAX_MIB: u64 = 128;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A frame of zstd whose every four bytes are 128 KiB, with a window of that power of two.
fn zstd_bomb(window_log: u8, head: &[u8], pieces: usize) -> Vec<u8> {
    let block = |last: bool, kind: u32, size: usize| {
        let size = u32::try_from(size).unwrap();
        (u32::from(last) | kind << 1 | size << 3).to_le_bytes()[..3].to_vec()
    };
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    frame.extend([block(false, 0, head.len()), head.to_vec()].concat());
    for _ in 0..pieces {
        frame.extend([block(false, 1, 128 << 10), vec![0]].concat());
    }
    frame.extend(block(true, 0, 0));
    frame
}

fn header(name: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// The child of the tests below.
#[test]
#[ignore = "run by the tests of bombs"]
fn unpack_and_tell() {
    let Some(home) = std::env::var_os(HOME).map(PathBuf::from) else { return };
    let numbers: Vec<u64> =
        text(home.join("limits")).unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
    let snapshots =
        Snapshots::open_with(&home.join("snapshots"), Limits { entries: numbers[0], bytes: numbers[1] }).unwrap();
    let layer = Layer {
        diff_id: format!("sha256:{}", "0".repeat(64)),
        media_type: String::new(),
        blob: home.join("blob"),
        digest: String::new(),
    };
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    };
    let before = peak();
    let error = snapshots.unpack(&[layer], &|_| ()).unwrap_err();
    let mut told = format!("{} ", peak() - before);
    write!(told, "{}", cove_base::error::chain(&error)).unwrap();
    let left = fs::read_dir(home.join("snapshots/l")).unwrap().count();
    assert_eq!(left, 0, "a bomb leaves nothing");
    fs::write(home.join("told"), told).unwrap();
}

/// What unpacking says, and the MiB that it took.
fn unpacked(blob: &[u8], limits: Limits) -> (u64, String) {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("blob"), blob).unwrap();
    fs::write(home.path().join("limits"), format!("{} {}", limits.entries, limits.bytes)).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "rootfs::hostile::bombs::unpack_and_tell"])
        .env(HOME, home.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(child.success());
    let told = told(home.path());
    eprintln!("{} MiB: {}", told.0, told.1);
    told
}

fn told(home: &Path) -> (u64, String) {
    let told = text(home.join("told")).unwrap();
    let (mib, error) = told.split_once(' ').unwrap();
    (mib.parse().unwrap(), error.to_owned())
}

const SMALL: Limits = Limits { entries: 1000, bytes: 64 << 20 };

#[track_caller]
fn assert_refused((mib, error): (u64, String), words: &str, mib_max: u64) {
    assert!(error.contains(words), "{error}");
    assert!(mib <= mib_max, "it took {mib} MiB");
}

#[test]
fn bombs_of_gzip_end_at_the_limits() {
    let mib = gzip(&vec![0; 1 << 20]);
    // One file that is too large says so itself; one that hides it stands behind the last entry.
    let large = [gzip(&header("a", 1 << 40)), mib.repeat(10)].concat();
    assert_refused(unpacked(&large, SMALL), "unpacked bytes of 67108864", MEMORY_MAX_MIB);
    let behind = mib.repeat(200);
    assert_refused(unpacked(&behind, SMALL), "archive's unpacked bytes", MEMORY_MAX_MIB);
    // Many members of many entries: the number is what ends it.
    let entries: Vec<u8> = (0..1000).flat_map(|_| Tar::default().raw(b'V', b"v", b"", 0, b"", (0, 0)).0).collect();
    let many = gzip(&entries).repeat(10_000);
    let limits = Limits { entries: 100_000, ..Limits::default() };
    assert_refused(unpacked(&many, limits), "number of entries of 100000", MEMORY_MAX_MIB);
}

#[test]
fn bombs_of_zstd_end_at_the_limits_and_no_window_is_too_large() {
    let head = header("a", 60 << 20);
    let fits = unpacked(&zstd_bomb(20, &head, 8000), SMALL);
    assert_refused(fits, "archive's unpacked bytes", MEMORY_MAX_MIB);
    let widest = unpacked(&zstd_bomb(27, &head, 8000), SMALL);
    assert_refused(widest, "archive's unpacked bytes", MEMORY_MAX_MIB + WINDOW_MAX_MIB);
    for log in [28, 31, 41] {
        let refused = unpacked(&zstd_bomb(log, &head, 8000), SMALL);
        assert_refused(refused, "too much memory", MEMORY_MAX_MIB);
    }
}

/// A deep directory named again and again: what is kept for the end is bounded.
#[test]
fn names_of_directories_are_kept_up_to_a_bound() {
    let deep = "d/".repeat(1900);
    let once = Tar::default().dir(&deep, 0o755).0;
    let members = [gzip(&once), gzip(&once.repeat(50)).repeat(800)].concat();
    assert_refused(unpacked(&members, Limits::default()), "bytes of directory names", MEMORY_MAX_MIB);
}

/// Attributes and long names of one entry, and the map of one file, each at their limit.
#[test]
fn headers_at_their_limits_cost_what_they_may() {
    let value = "v".repeat(60_000);
    let records: Vec<(String, &str)> = (0..17).map(|n| (format!("SCHILY.xattr.user.{n}"), value.as_str())).collect();
    let records: Vec<(&str, &str)> = records.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let tar = (0..40).fold(Tar::default(), |tar, _| tar.pax(&records).raw(b'V', b"v", b"", 0, b"", (0, 0)));
    let too_many = tar.pax(&records).pax(&records).file("x", "x");
    assert_refused(unpacked(&gzip(&too_many.0), SMALL), "bytes of one entry's headers", MEMORY_MAX_MIB);
}

#[test]
fn truncated_blobs_are_refused_wherever_they_end() {
    let bytes = Tar::default().file("a", &"hello ".repeat(3000)).dir("d", 0o755).file("d/b", "x").whole();
    for packed in [gzip(&bytes), zstd::encode_all(bytes.as_slice(), 3).unwrap()] {
        let f = Fixture::new();
        let cuts = (1..packed.len()).step_by(packed.len().div_ceil(60)).chain(packed.len() - 9..packed.len());
        for cut in cuts {
            let refused = f.unpack(&[f.packed(&bytes, &packed[..cut])]);
            assert!(refused.is_err(), "{cut} of {} bytes", packed.len());
        }
        assert_eq!(fs::read_dir(f.dir.path().join("snapshots/l")).unwrap().count(), 0);
        f.unpack(&[f.packed(&bytes, &packed)]).unwrap();
    }
}

#[test]
fn concatenated_members_are_one_archive() {
    let bytes = Tar::default().file("a", "1").file("b", "2").whole();
    let (first, second) = bytes.split_at(700);
    let frame = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"any"].concat();
    let whole = [
        [gzip(first), gzip(b""), gzip(second)].concat(),
        [frame(first), frame(second)].concat(),
        [skipped.clone(), frame(first), skipped.clone(), frame(second), skipped].concat(),
    ];
    for packed in whole {
        let f = Fixture::new();
        let stack = f.unpack(&[f.packed(&bytes, &packed)]).unwrap();
        f.mounted(&stack, |root| assert_eq!(text(root.join("b")).as_deref(), Some("2")));
    }
    // What follows a member and is none is no part of the archive, and no honest tool writes it.
    let f = Fixture::new();
    let refused = f.unpack(&[f.packed(&bytes, &[gzip(&bytes), b"garbage".to_vec()].concat())]);
    assert!(matches!(refused, Err(RootfsError::Blob(_))), "{refused:?}");
}
