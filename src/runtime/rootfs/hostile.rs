//! Archives that want more than to be unpacked: each ends in an error that says why, or in what GNU tar and Docker make
//! of it; nothing beside the layer is touched, nothing of a refused one is left.

mod bombs;
mod sparse;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::RootfsError;
use super::tests::{Fixture, Tar, text};

/// Places a value into a field of the last header, and makes its sum good.
fn field(mut tar: Tar, at: usize, value: &[u8]) -> Tar {
    let header = tar.0.len() - 512;
    tar.0[header + at..header + at + value.len()].copy_from_slice(value);
    let mut whole = tar::Header::from_byte_slice(&tar.0[header..]).clone();
    whole.set_cksum();
    tar.0[header..].copy_from_slice(whole.as_bytes());
    tar
}

/// The message of a refusal, after which nothing may be left.
#[track_caller]
fn refusal(f: &Fixture, tar: Tar) -> String {
    let refused = f.one(tar).expect_err("refused");
    let left = |name: &str| fs::read_dir(f.dir.path().join("snapshots").join(name)).unwrap().count();
    assert_eq!((left("l"), left("chains")), (0, 0), "a refused layer leaves nothing: {refused}");
    cove_base::error::chain(&refused)
}

#[test]
fn odd_names_are_taken_as_they_are_or_refused_in_words() {
    let f = Fixture::new();
    let odd = ["line\nbreak", "bell\x07", "\u{202e}backwards", &"n".repeat(255), " ", "-rf", "a\\..\\b"];
    let layer = f.one(odd.iter().fold(Tar::default(), |tar, name| tar.file(name, name))).unwrap();
    for name in odd {
        assert_eq!(text(layer.join(name)).as_deref(), Some(name), "{name:?}");
    }
    let f = Fixture::new();
    assert!(refusal(&f, Tar::default().file(&"n".repeat(256), "x")).contains("name too long"));
    let long = refusal(&f, Tar::default().file(&"n/".repeat(300_000), "x"));
    assert!(long.contains("its name is too long") && long.len() < 500, "{} bytes", long.len());
    let steering = refusal(&f, Tar::default().file("\x1b[2J/../../evil\n", "x"));
    assert!(steering.contains("leads out of the root") && !steering.contains(['\x1b', '\n']), "{steering:?}");
    for key in ["path", "linkpath", "GNU.sparse.name"] {
        let refused = refusal(&f, Tar::default().pax(&[(key, "a\0b")]).file("x", "x"));
        assert!(refused.contains("a name holds a NUL"), "{key}: {refused}");
    }
}

#[test]
fn numbers_beyond_their_range_are_refused_or_harmless() {
    let f = Fixture::new();
    let wide = |value: i128| value.to_be_bytes()[4..].to_vec();
    let marked = |value: i128| {
        let mut bytes = wide(value);
        bytes[0] |= 0x80;
        bytes
    };
    let empty = || Tar::default().file("x", "");
    // Sizes: negative, above 64 bits, and what no disk holds.
    for size in [-1, -(1 << 62), 1 << 80, (1 << 64) - 1, 1 << 62] {
        let refused = refusal(&f, field(empty(), 124, &marked(size)));
        assert!(refused.contains("out of range") || refused.contains("exceeds"), "{size}: {refused}");
    }
    for size in ["-1", "1e3", "99999999999999999999", "18446744073709551615", "9223372036854775807"] {
        refusal(&f, Tar::default().pax(&[("size", size)]).file("x", ""));
    }
    // Of what has no content, too: Go's reader and ours go on with the next header.
    let layer = f.one(field(Tar::default().dir("d", 0o755), 124, &marked(1 << 40)).file("behind", "y")).unwrap();
    assert_eq!(text(layer.join("behind")).as_deref(), Some("y"));
    // Times: before 1970, and beyond what file systems know.
    for time in [-1, i128::from(i64::MAX)] {
        let f = Fixture::new();
        let layer = f.one(field(empty(), 136, &marked(time))).unwrap();
        let seconds = fs::metadata(layer.join("x")).unwrap().mtime();
        assert!((0..1 << 40).contains(&seconds), "{time}: {seconds}");
    }
    let f = Fixture::new();
    let layer = f.one(Tar::default().pax(&[("mtime", "-1.5")]).file("x", "")).unwrap();
    let about = fs::metadata(layer.join("x")).unwrap();
    assert_eq!((about.mtime(), about.mtime_nsec()), (-2, 500_000_000));
    let f = Fixture::new();
    for (key, value) in [("uid", "4294967295"), ("gid", "99999999999"), ("uid", "-1"), ("mtime", "soon")] {
        refusal(&f, Tar::default().pax(&[(key, value)]).file("x", ""));
    }
    // Owner in base 256: the last 32-bit number means "as it is" to the kernel.
    let mut owner = vec![0x80, 0, 0, 0];
    owner.extend_from_slice(&u32::MAX.to_be_bytes());
    assert!(refusal(&f, field(empty(), 108, &owner)).contains("owner is out of range"));
    assert!(refusal(&f, field(empty(), 108, &[0xff; 8])).contains("out of range"));
}

/// A scanner that is written in Go must see what is unpacked here, and nothing else.
#[test]
fn entries_are_not_hidden_behind_sizes() {
    let f = Fixture::new();
    let hidden = Tar::default().file("hidden", "x").0;
    // The old way to write a directory: a file whose name ends with a slash. It has its content all the same.
    let tar = Tar::default().raw(b'0', b"d/", b"", 0o755, &hidden, (0, 0)).file("behind", "y");
    let mut tar = tar.raw(b'5', b"e", b"", 0o755, b"", (0, 0));
    let seen = Tar::default().file("seen", "z").0;
    tar = field(tar, 124, format!("{:011o}", seen.len()).as_bytes());
    tar.0.extend_from_slice(&seen);
    let layer = f.one(tar).unwrap();
    let mut names: Vec<_> = fs::read_dir(&layer).unwrap().map(|one| one.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["behind", "d", "e", "seen"]);
    assert!(layer.join("d").is_dir() && layer.join("e").is_dir());
}

#[test]
fn empty_overrides_leave_the_header_and_global_headers_say_nothing() {
    let f = Fixture::new();
    let empty = [("path", ""), ("size", ""), ("uid", ""), ("mtime", ""), ("SCHILY.xattr.user.empty", "")];
    let global = |records: &[(&str, &str)]| {
        let mut tar = Tar::default().pax(records);
        tar.0[156] = b'g';
        let mut header = tar::Header::from_byte_slice(&tar.0[..512]).clone();
        header.set_cksum();
        tar.0[..512].copy_from_slice(header.as_bytes());
        tar.0
    };
    let mut tar = Tar(global(&[("path", "../../evil"), ("size", "0"), ("uid", "9"), ("GNU.sparse.major", "7")]));
    tar = tar.pax(&[("path", "before")]).pax(&empty).file("kept", "content");
    let layer = f.one(tar.pax(&[("linkpath", "")]).link(b'2', "link", "kept")).unwrap();
    assert_eq!(text(layer.join("kept")).as_deref(), Some("content"));
    assert_eq!(fs::metadata(layer.join("kept")).unwrap().uid(), 0);
    assert_eq!(xattr::get(layer.join("kept"), "user.empty").unwrap().as_deref(), Some(&b""[..]));
    assert_eq!(fs::read_link(layer.join("link")).unwrap(), Path::new("kept"));
}

#[test]
fn an_image_sets_none_of_the_attributes_that_give_it_more_than_owners_and_modes_do() {
    let f = Fixture::new();
    let capability = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let value = "\x02\0\0\0\x01\0\x07\0\u{7f}\u{7f}\u{7f}\u{7f}";
    let refused = [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.overlay.metacopy",
        "trusted.overlay.whiteout",
        "trusted.overlay.origin",
        "trusted.other",
        "user.overlay.opaque",
        "user.overlay.redirect",
        "security.selinux",
        "security.ima",
        "security.evm",
        "security.SMACK64",
        "system.nfs4_acl",
        "",
    ];
    let keys: Vec<String> = refused.iter().map(|key| format!("SCHILY.xattr.{key}")).collect();
    let mut records: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), value)).collect();
    records.extend([("SCHILY.acl.access", "user::rwx"), ("LIBARCHIVE.xattr.trusted.overlay.opaque", "eQ==")]);
    records.extend([("SCHILY.xattr.user.own", "v"), ("SCHILY.xattr.security.capability", capability)]);
    let tar = Tar::default().pax(&records).dir("./", 0o755).pax(&records).dir("d", 0o755);
    let tar = tar.pax(&records).raw(b'0', b"d/su", b"", 0o6755, b"x", (0, 0)).pax(&records).link(b'2', "d/l", "su");
    let layer = f.one(tar.pax(&records).raw(b'6', b"d/p", b"", 0o600, b"", (0, 0))).unwrap();
    for (name, wanted) in [("", 2), ("d", 2), ("d/su", 2), ("d/l", 0), ("d/p", 0)] {
        let mut found: Vec<String> =
            xattr::list(layer.join(name)).unwrap().map(|key| key.into_string().unwrap()).collect();
        // What the host's own policy labels with is not the image's.
        found.retain(|key| key != "security.selinux");
        found.sort();
        assert_eq!(found, ["security.capability", "user.own"][..wanted], "{name}");
    }
    assert_eq!(fs::metadata(layer.join("d/su")).unwrap().permissions().mode() & 0o7777, 0o6755);
}

/// Every kind of thing after every other under one name: the later one stands, whatever the earlier was.
#[test]
fn the_later_of_two_entries_of_one_name_stands() {
    let add = |tar: Tar, kind: &str| match kind {
        "file" => tar.file("x", "new"),
        "directory" => tar.dir("x", 0o700).file("x/inside", "i"),
        "symlink" => tar.link(b'2', "x", "elsewhere"),
        "hard link" => tar.link(b'1', "x", "target"),
        "fifo" => tar.raw(b'6', b"x", b"", 0o600, b"", (0, 0)),
        "device" => tar.raw(b'3', b"x", b"", 0o600, b"", (1, 3)),
        _ => tar.file(".wh.x", ""),
    };
    let kinds = ["file", "directory", "symlink", "hard link", "fifo", "device", "whiteout"];
    for first in kinds {
        for second in kinds {
            let f = Fixture::new();
            let tar = add(add(Tar::default().file("target", "t").dir("elsewhere", 0o755), first), second);
            let layer = f.one(tar).unwrap_or_else(|error| panic!("{first}, {second}: {error}"));
            let about = fs::symlink_metadata(layer.join("x")).unwrap();
            // A whiteout is about the layers below: what its own layer has stays.
            let stands = if second == "whiteout" { first } else { second };
            let is = match stands {
                "file" => text(layer.join("x")).as_deref() == Some("new") && about.nlink() == 1,
                "directory" => text(layer.join("x/inside")).as_deref() == Some("i"),
                "symlink" => about.is_symlink(),
                "hard link" => about.ino() == fs::metadata(layer.join("target")).unwrap().ino(),
                "fifo" => about.file_type().is_fifo(),
                "device" => about.rdev() == libc::makedev(1, 3),
                _ => about.file_type().is_char_device() && about.rdev() == 0,
            };
            assert!(is, "{first}, {second}: {about:?}");
            assert_eq!(text(layer.join("target")).as_deref(), Some("t"), "{first}, {second}");
            assert_eq!(fs::read_dir(layer.join("elsewhere")).unwrap().count(), 0, "{first}, {second}");
            // A directory that replaces a whiteout, or is named by one, shows nothing of the layers below.
            let opaque = xattr::get(layer.join("x"), "trusted.overlay.opaque").unwrap_or_default();
            let hides = matches!((first, second), ("whiteout", "directory") | ("directory", "whiteout"));
            assert_eq!(opaque.is_some(), hides, "{first}, {second}");
        }
    }
}

#[test]
fn hard_links_reach_nothing_but_what_the_layer_has() {
    let f = Fixture::new();
    let outside = f.dir.path().join("outside");
    fs::write(&outside, "secret").unwrap();
    let there = outside.to_str().unwrap();
    // To a link that leads out: the link gets a second name, and what it leads to is not even looked at.
    let tar = Tar::default().link(b'2', "out", there).link(b'1', "again", "out").file("again", "written");
    let layer = f.one(tar.link(b'1', "third", "./up/../out")).unwrap();
    assert_eq!(text(layer.join("again")).as_deref(), Some("written"));
    assert!(fs::symlink_metadata(layer.join("third")).unwrap().is_symlink());
    let f = Fixture::new();
    // Through a link that leads out, to a directory, to what does not exist, to itself.
    let parent = f.dir.path().to_str().unwrap();
    refusal(&f, Tar::default().link(b'2', "up", parent).link(b'1', "h", "up/outside"));
    refusal(&f, Tar::default().dir("d", 0o755).link(b'1', "h", "d"));
    refusal(&f, Tar::default().link(b'1', "h", "absent"));
    refusal(&f, Tar::default().link(b'1', "h", "h"));
    refusal(&f, Tar::default().link(b'1', "h", ""));
    assert_eq!(fs::metadata(&outside).unwrap().nlink(), 1);
    assert_eq!(text(&outside).as_deref(), Some("secret"));
}

#[test]
fn an_opaque_root_hides_every_layer_below() {
    let f = Fixture::new();
    let below = f.layer(Tar::default().file("old", "1").file("d/old", "1"));
    let above = f.layer(Tar::default().file(".wh..wh..opq", "").file("new", "2"));
    let top = f.layer(Tar::default().file("d/top", "3"));
    let stack = f.unpack(&[below, above, top]).unwrap();
    f.mounted(&stack, |root| {
        assert_eq!((text(root.join("new")).as_deref(), text(root.join("d/top")).as_deref()), (Some("2"), Some("3")));
        assert_eq!((text(root.join("old")), text(root.join("d/old"))), (None, None));
    });
}

#[test]
fn directories_of_five_thousand_levels_come_and_go() {
    let f = Fixture::new();
    let deep = "d/".repeat(1000);
    let mut tar = Tar::default().dir(&deep, 0o755);
    // Each link leads a thousand levels deeper than the one before.
    let mut way = deep.clone();
    for level in 0..4 {
        let link = format!("s{level}");
        tar = tar.link(b'2', &link, way.trim_end_matches('/')).dir(&format!("{link}/{deep}"), 0o755);
        way = format!("{link}/{deep}");
    }
    let stack = f.unpack(&[f.layer(tar.file(&format!("{way}bottom"), "x"))]).unwrap();
    drop(stack);
    assert_eq!(f.snapshots.remove_unused(&[]).unwrap(), 1);
    assert_eq!(fs::read_dir(f.dir.path().join("snapshots/trash")).unwrap().count(), 0);
}

#[test]
fn devices_and_aufs_marks_do_nothing() {
    let f = Fixture::new();
    let tar = Tar::default()
        .raw(b'4', b"disk", b"", 0o666, b"", (8, 0))
        .raw(b'3', b"kmsg", b"", 0o666, b"", (1, 11))
        .raw(b'3', b"huge", b"", 0o666, b"", (u32::from(u16::MAX), 0o777_777))
        .file(".wh..wh.aufs", "x")
        .file(".wh..wh.plnk/1.2", "x")
        .raw(b'V', b"label", b"", 0, b"", (0, 0))
        .raw(b'D', b"dumped", b"", 0, b"names", (0, 0))
        .raw(b'M', b"continued", b"", 0, b"rest", (0, 0))
        .file("kept", "x");
    let layer = f.one(tar).unwrap();
    let mut names: Vec<_> = fs::read_dir(&layer).unwrap().map(|one| one.unwrap().file_name()).collect();
    names.retain(|name| name != ".wh..wh.plnk");
    assert_eq!(names, ["kept"]);
    let stack = f.unpack(&[f.layer(Tar::default().raw(b'4', b"disk", b"", 0o666, b"", (8, 0)))]).unwrap();
    assert_eq!(stack.skipped_devices, 1);
}

#[test]
fn a_damaged_archive_is_named_as_such() {
    let f = Fixture::new();
    let mut wrong = Tar::default().file("x", "x");
    wrong.0[0] = b'y';
    assert!(matches!(f.one(wrong), Err(RootfsError::Damaged { .. })));
    for records in ["0 a=b\n", "5 a=b\n", "99 a=b\n", "6 a=b\n\n", "6 a:b\n", "99999999999999999999 a=b\n", "x"] {
        let tar = Tar::default().raw(b'x', b"pax", b"", 0, records.as_bytes(), (0, 0)).file("x", "x");
        assert!(refusal(&f, tar).contains("PAX"), "{records:?}");
    }
}
