//! Backups are whole, restores are all or nothing, and archives are hostile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cove_base::Timestamp;
use cove_base::paths::DataDir;
use cove_model::registry::{BlobLink, ImageTag};
use cove_model::role::Role;

use super::*;
use crate::blob_aside;
use crate::tests::{names, open, put, role, tag, tenant};
use crate::{Prefix, Read as _, Store, keys};

const CHILD: &str = "COVE_RESTORE_CHILD";

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", crate::document::digest_of(content))
}

fn blob_file(data: &DataDir, digest: &str) -> PathBuf {
    crate::blob::path(&data.blobs(), digest).unwrap()
}

async fn link(store: &Store, content: &[u8]) -> String {
    let digest = digest(content);
    let path = blob_file(&DataDir::new(store.data_dir().root()), &digest);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    let size = content.len() as u64;
    let record =
        BlobLink { tenant: tenant(), repository: "app".into(), digest: digest.clone(), size, linked_at: Timestamp(1) };
    put(store, record).await.unwrap();
    digest
}

/// A store with small and large records, keys and blobs; what its backup says, and the archive.
pub(crate) async fn backed_up(home: &Path, images: Images) -> (Written, PathBuf) {
    let data = DataDir::new(home.join("data"));
    let store = open(&data).unwrap();
    fs::create_dir(data.keys()).unwrap();
    fs::write(data.keys().join("root.json"), "secret").unwrap();
    for number in 0..40 {
        put(&store, tag("app", &format!("{number:02}"), &"d".repeat(number * 200))).await.unwrap();
    }
    put(&store, role("big", &"p".repeat(64 << 10))).await.unwrap();
    link(&store, b"whole").await;
    let damaged = link(&store, b"damaged").await;
    fs::write(blob_file(&data, &damaged), "something else").unwrap();
    let missing = link(&store, b"missing").await;
    fs::remove_file(blob_file(&data, &missing)).unwrap();
    let backup = store.backup(images);
    // What comes later is not in it.
    put(&store, tag("app", "later", "1")).await.unwrap();
    let archive = home.join("backup");
    let written = backup.write(fs::File::create(&archive).unwrap()).unwrap();
    store.close().await;
    (written, archive)
}

fn entries(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_of_a_running_store_is_restored_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let (written, archive) = backed_up(home.path(), Images::With).await;
    assert_eq!((written.records, written.blobs, written.bad_blobs.len()), (44, 1, 2));
    let data = DataDir::new(home.path().join("other/data"));
    let restored = restore(&archive, &data).unwrap();
    assert_eq!((restored.records, restored.blobs, restored.bad_blobs), (44, 1, written.bad_blobs));
    assert_eq!(entries(data.root()), ["blobs", "db", "documents", "keys", "lock"]);
    let key = data.keys().join("root.json");
    assert_eq!(
        (fs::read(&key).unwrap(), key.metadata().unwrap().permissions().mode() & 0o777),
        (b"secret".to_vec(), 0o600)
    );
    assert_eq!(fs::read(blob_file(&data, &digest(b"whole"))).unwrap(), b"whole");
    assert!(!blob_file(&data, &digest(b"damaged")).exists());
    let aside = |data: &DataDir, content: &[u8]| blob_aside(&data.blobs(), &digest(content)).exists();
    let noted = [b"whole", &b"damaged"[..], b"missing"].map(|content| aside(&data, content));
    assert_eq!(noted, [false, true, true], "what records name and nobody has");

    let store = open(&data).unwrap();
    store.read(|view| {
        let tags = view.scan::<ImageTag>(&Prefix::all());
        assert_eq!(
            tags.iter().map(|tag| tag.digest.len()).collect::<Vec<_>>(),
            (0..40).map(|n| n * 200).collect::<Vec<_>>()
        );
        let role = view.get::<Role>(&keys::role(&tenant().account, "big")).unwrap();
        assert_eq!(role.assume_role_policy_document.len(), 64 << 10);
        assert_eq!(view.revision(), 44);
    });
    put(&store, tag("app", "new", "1")).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn only_an_empty_directory_is_restored_into() {
    let home = tempfile::tempdir().unwrap();
    let (written, archive) = backed_up(home.path(), Images::Without).await;
    assert_eq!((written.blobs, written.bad_blobs.len()), (0, 0));
    let own = DataDir::new(home.path().join("data"));
    let refused = restore(&archive, &own).unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty { .. }), "{refused}");
    let store = open(&own).unwrap();
    assert_eq!(store.read(|view| names(view, "app")).len(), 41, "untouched");
    let busy = restore(&archive, &own).unwrap_err();
    assert!(cove_base::error::chain(&busy).contains("in use"), "{busy}");
    store.close().await;
    let data = DataDir::new(home.path().join("other"));
    restore(&archive, &data).unwrap();
    assert_eq!(entries(&data.blobs().join("damaged")).len(), 3, "without images all of them are missing");
}

#[tokio::test]
async fn an_archive_that_is_cut_or_changed_is_refused_before_anything_is_touched() {
    let home = tempfile::tempdir().unwrap();
    let (_, archive) = backed_up(home.path(), Images::With).await;
    let whole = fs::read(&archive).unwrap();
    let bad = home.path().join("bad");
    let target = DataDir::new(home.path().join("target"));
    let end = whole.windows(END.len()).rposition(|bytes| bytes == END.as_bytes()).unwrap();
    for cut in (0..end).step_by(1537) {
        fs::write(&bad, &whole[..cut]).unwrap();
        restore(&bad, &target).unwrap_err();
    }
    for at in (0..end).step_by(1009) {
        let mut changed = whole.clone();
        changed[at] ^= 0x20;
        if changed[at] == whole[at] || whole[at] == 0 {
            continue;
        }
        fs::write(&bad, &changed).unwrap();
        assert!(restore(&bad, &target).is_err(), "byte {at}");
    }
    fs::write(&bad, "not a tar archive at all, but longer than one header needs to be".repeat(20)).unwrap();
    assert!(matches!(restore(&bad, &target), Err(BackupError::NotABackup)));
    assert!(!target.root().exists());
}

/// An archive with these entries, and an end that is right about them.
fn hostile(path: &Path, entries: &[(&str, tar::EntryType, &[u8])]) {
    let mut archive = tar::Builder::new(fs::File::create(path).unwrap());
    let mut sums = BTreeMap::new();
    let mut add = |name: &str, kind: tar::EntryType, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        // As it is: the library would refuse such names.
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        if kind.is_symlink() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        archive.append(&header, content).unwrap();
        sums.insert(name.to_owned(), crate::document::digest_of(content));
    };
    let head = Head { format: FORMAT, schema: 1, revision: 1, at: Timestamp(1), images: true };
    add(HEAD, tar::EntryType::Regular, &serde_json::to_vec(&head).unwrap());
    for (name, kind, content) in entries {
        add(name, *kind, content);
    }
    let end = serde_json::to_vec(&End { records: 0, sums, bad_blobs: Vec::new() }).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path(END).unwrap();
    header.set_size(end.len() as u64);
    header.set_cksum();
    archive.append(&header, end.as_slice()).unwrap();
    archive.finish().unwrap();
}

#[test]
fn a_hostile_archive_reaches_nothing() {
    let home = tempfile::tempdir().unwrap();
    let archive = home.path().join("backup");
    let plain = tar::EntryType::Regular;
    for entry in [
        ("../escaped", plain, &b"x"[..]),
        ("/tmp/escaped", plain, b"x"),
        ("keys/../../escaped", plain, b"x"),
        ("keys/.hidden", plain, b"x"),
        ("keys/link", tar::EntryType::Symlink, b""),
        ("keys/node", tar::EntryType::Char, b""),
        ("keys", tar::EntryType::Directory, b""),
        ("blobs/sha256/../../../escaped", plain, b"x"),
        ("blobs/sha256/00", plain, b"x"),
        ("db/db", plain, b"x"),
        ("cove-backup.json", plain, b"{}"),
        ("records/000000.jsonl", plain, b"{\"tree\":\"../x\",\"key\":\"k\",\"v\":1,\"data\":1}\n"),
        ("records/000000.jsonl", plain, b"{\"tree\":\"roles\",\"key\":\"k\",\"v\":1,\"data\":1}\n"),
        ("records/000000.jsonl", plain, b"no json\n"),
    ] {
        hostile(&archive, &[entry]);
        let target = DataDir::new(home.path().join("target/data"));
        let refused = restore(&archive, &target);
        assert!(refused.is_err(), "{}", entry.0);
        assert!(open(&target).is_err() || fs::read_dir(target.keys()).is_err(), "{}", entry.0);
        let _ = fs::remove_dir_all(home.path().join("target"));
        assert_eq!(entries(home.path()), ["backup"], "{}", entry.0);
    }
    // A blob under a wrong name is left out.
    let name = entry_of_blob(&digest(b"other")).unwrap();
    hostile(&archive, &[(&name, plain, b"content")]);
    let target = DataDir::new(home.path().join("target"));
    assert_eq!(restore(&archive, &target).unwrap().blobs, 0);
    assert!(!blob_file(&target, &digest(b"other")).exists());
}

#[test]
fn a_newer_format_or_schema_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let archive = home.path().join("backup");
    for (format, schema, words) in [(9, 1, "format 9"), (1, 9, "schema 9")] {
        let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
        let head = serde_json::json!({"format": format, "schema": schema, "revision": 1, "at": 1, "images": false});
        let head = head.to_string();
        let mut header = tar::Header::new_ustar();
        header.set_size(head.len() as u64);
        tar.append_data(&mut header, HEAD, head.as_bytes()).unwrap();
        tar.finish().unwrap();
        let refused = verify(&archive).unwrap_err();
        let text = cove_base::error::chain(&refused);
        assert!(text.contains(words), "{text}");
    }
}

/// Not a test of its own: the process that is killed while it restores.
#[test]
fn child() {
    let Some(home) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    restore(&home.join("backup"), &DataDir::new(home.join("target"))).unwrap();
}

#[tokio::test]
async fn a_restore_that_is_killed_leaves_nothing_that_opens_and_is_done_again() {
    let home = tempfile::tempdir().unwrap();
    let (_, _archive) = backed_up(home.path(), Images::With).await;
    let target = DataDir::new(home.path().join("target"));
    let mut unfinished = 0;
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "backup::tests::child", "--test-threads=1"])
            .env(CHILD, home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The moment is the point here.
        std::thread::sleep(Duration::from_millis(8 + round * 9));
        child.kill().unwrap();
        child.wait().unwrap();
        if !target.database().exists() {
            continue;
        }
        match open(&target) {
            Err(StoreError::RestoreUnfinished(_)) => unfinished += 1,
            Err(other) => panic!("{other}"),
            Ok(store) => {
                assert_eq!(store.read(|view| names(view, "app")).len(), 40, "all of it");
                store.close().await;
                fs::remove_dir_all(target.root()).unwrap();
            }
        }
    }
    fs::create_dir_all(target.documents()).unwrap();
    fs::write(target.root().join(crate::directory::RESTORE_UNFINISHED), "").unwrap();
    assert!(matches!(open(&target), Err(StoreError::RestoreUnfinished(_))), "{unfinished} before");
    restore(&home.path().join("backup"), &target).unwrap();
    let store = open(&target).unwrap();
    assert_eq!(store.read(|view| names(view, "app")).len(), 40);
    store.close().await;
}
