//! Sparse files in every form that archives have them, and maps that lie.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use super::super::tests::{Fixture, Tar, text};
use super::refusal;

/// A file of the fourth form: a map of lines, a filling, the content.
fn in_content(map: &str, records: &[(&str, &str)], content: &str) -> Tar {
    let mut bytes = map.as_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend_from_slice(content.as_bytes());
    let versioned = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "s")];
    let tar = Tar::default().pax(&[&versioned, records].concat());
    tar.raw(b'0', b"GNUSparseFile.1/s", b"", 0o644, &bytes, (0, 0))
}

#[test]
fn sparse_files_of_gnu_tar_are_what_they_were() {
    if !Command::new("tar").arg("--version").output().is_ok_and(|said| said.stdout.starts_with(b"tar (GNU tar)")) {
        println!("SKIPPED: there is no GNU tar");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let make = |name: &str, size: u64, pieces: &[u64]| {
        let file = fs::File::create(home.path().join(name)).unwrap();
        file.set_len(size).unwrap();
        pieces.iter().for_each(|at| file.write_all_at(format!("piece {at}").as_bytes(), *at).unwrap());
    };
    make("few", 10 << 20, &[0, 1 << 20, 9 << 20]);
    make("many", 60 << 20, &(0..50).map(|piece| piece << 20).collect::<Vec<_>>());
    make("nothing", 5 << 20, &[]);
    make(&format!("long-{}", "n".repeat(150)), 3_000_001, &[2_999_000]);
    fs::write(home.path().join("plain"), "plain").unwrap();
    for form in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let mut made = Command::new("tar");
        made.args(form).args(["--sparse", "-C"]).arg(home.path()).args(["-cf", "-", "."]);
        let archive = made.output().unwrap();
        assert!(archive.status.success(), "{}", String::from_utf8_lossy(&archive.stderr));
        assert!(archive.stdout.len() < 2 << 20, "{form:?} left the holes out");
        let f = Fixture::new();
        let layer = f.one(Tar(archive.stdout)).unwrap_or_else(|error| panic!("{form:?}: {error}"));
        let names: Vec<_> = fs::read_dir(home.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert_eq!(fs::read_dir(&layer).unwrap().count(), names.len(), "{form:?}");
        for name in names {
            let (made, got) = (home.path().join(&name), layer.join(&name));
            assert!(fs::read(&made).unwrap() == fs::read(&got).unwrap(), "{form:?}: {name:?}");
            let about = fs::metadata(&got).unwrap();
            assert!(about.blocks() * 512 <= 1 << 20, "{form:?}: {name:?} kept its holes");
        }
    }
}

#[test]
fn maps_that_lie_are_refused() {
    let f = Fixture::new();
    let real = [("GNU.sparse.realsize", "1000")];
    let layer = f.one(in_content("2\n10\n3\n500\n2\n", &real, "abcde")).unwrap();
    let content = fs::read(layer.join("s")).unwrap();
    assert_eq!((content.len(), &content[9..14], &content[499..503]), (1000, &b"\0abc\0"[..], &b"\0de\0"[..]));
    let f = Fixture::new();
    let maps = [
        "2\n10\n3\n12\n2\n",
        "2\n500\n3\n10\n2\n",
        "1\n998\n5\n",
        "1\n10\n4\n",
        "1\n10\n6\n",
        "1\n18446744073709551615\n5\n",
        "2\n10\n3\n",
        "1\n-10\n5\n",
        "1\n010\n5\n",
        "1\n\n5\n",
        "1 10 5\n",
        "",
        "x",
        "99999999999999999999999999\n",
    ];
    for map in maps {
        let refused = refusal(&f, in_content(map, &real, "abcde"));
        assert!(refused.contains("sparse map"), "{map:?}: {refused}");
    }
    let many = format!("70000\n{}", "0\n0\n".repeat(70_000));
    assert!(refusal(&f, in_content(&many, &real, "")).contains("pieces of a sparse file"));
    let huge = [("GNU.sparse.realsize", "9223372036854775807")];
    assert!(refusal(&f, in_content("1\n0\n5\n", &huge, "abcde")).contains("unpacked bytes"));
    assert!(refusal(&f, in_content("1\n0\n5\n", &[], "abcde")).contains("malformed"));
}

#[test]
fn records_that_contradict_themselves_are_refused() {
    let (size, count) = (("GNU.sparse.size", "100"), ("GNU.sparse.numblocks", "1"));
    let file = |records: &[(&str, &str)]| Tar::default().pax(records).file("s", "abcde");
    let f = Fixture::new();
    let pair = [("GNU.sparse.offset", "10"), ("GNU.sparse.numbytes", "5")];
    let layer = f.one(file(&[&[size, count], &pair[..]].concat())).unwrap();
    assert_eq!(
        text(layer.join("s")).map(|content| (content.len(), content[9..16].to_owned())).unwrap(),
        (100, "\0abcde\0".to_owned())
    );
    let f = Fixture::new();
    let map = |text: &'static str| ("GNU.sparse.map", text);
    let refused: [&[(&str, &str)]; 12] = [
        &[size, count, pair[1], pair[0]],
        &[size, count, pair[0], pair[0], pair[1]],
        &[size, count, pair[0]],
        &[size, ("GNU.sparse.numblocks", "2"), pair[0], pair[1]],
        &[size, pair[0], pair[1]],
        &[count, pair[0], pair[1]],
        &[size, count, map("10,5,20")],
        &[size, count, map("10;5")],
        &[size, count, map("")],
        &[size, count, map("96,5")],
        &[("GNU.sparse.major", "2"), ("GNU.sparse.minor", "0"), size],
        &[("GNU.sparse.major", "1"), size, count, map("10,5")],
    ];
    for records in refused {
        let refused = refusal(&f, file(records));
        assert!(refused.contains("sparse map"), "{records:?}: {refused}");
    }
    // Nothing but a file has holes.
    refusal(&f, Tar::default().pax(&[size, count, map("10,5")]).dir("d", 0o755));
    refusal(&f, Tar::default().pax(&[size, count, map("10,5")]).link(b'2', "l", "x"));
    let evil = [("GNU.sparse.name", "../../evil"), size, count, map("10,5")];
    assert!(refusal(&f, file(&evil)).contains("leads out of the root"));
    assert!(!Path::new("/evil").exists());
}
