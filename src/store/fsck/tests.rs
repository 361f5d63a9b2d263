//! Damage is planted, found, repaired where it can be, and said where it cannot.

use std::fs;
use std::path::Path;

use cove_base::Timestamp;
use cove_base::paths::DataDir;
use cove_model::registry::{BlobLink, Image, ImageTag, Repository, Upload};
use cove_model::role::Role;

use super::*;
use crate::database::sled_config;
use crate::migration::{SCHEMA_KEY, open_sled};
use crate::tests::{open, put, role, tag, tenant};
use crate::{Prefix, Read, Store};

fn look(data: &DataDir, mode: Mode) -> Report {
    fsck(data, mode, Timestamp(5)).unwrap()
}

fn codes(report: &Report) -> Vec<&'static str> {
    let mut codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes
}

/// Asserts what is found, what a repair leaves of it, and that a second look sees only that.
#[track_caller]
fn assert_found(data: &DataDir, wanted: &[&str], left: &[&str]) {
    let found = look(data, Mode::Look);
    assert_eq!(codes(&found), wanted, "{:#?}", found.findings);
    assert!(found.is_bad());
    assert_eq!(codes(&look(data, Mode::Look)), wanted, "looking changes nothing");
    let repaired = look(data, Mode::Repair);
    assert_eq!(codes(&repaired), wanted);
    assert_eq!(repaired.is_bad(), !left.is_empty(), "{:#?}", repaired.findings);
    let after = look(data, Mode::Look);
    assert_eq!(codes(&after), left, "{:#?}", after.findings);
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", crate::document::digest_of(content))
}

fn blob_path(data: &DataDir, content: &[u8]) -> PathBuf {
    crate::blob::path(&data.blobs(), &digest(content)).unwrap()
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A repository with one image of two blobs, a tag, and a role that is a document.
async fn filled(data: &DataDir) -> Store {
    let store = open(data).unwrap();
    let repository = Repository { created_at: Timestamp(1), ..Repository::new(&tenant(), "app") };
    put(&store, repository).await.unwrap();
    let image = Image {
        tenant: tenant(),
        repository: "app".into(),
        digest: digest(b"manifest"),
        media_type: "m".into(),
        manifest_size: 8,
        image_size: 11,
        artifact_type: None,
        config_media_type: None,
        blobs: vec![digest(b"config"), digest(b"layer")],
        manifests: Vec::new(),
        subject: None,
        pushed_at: Timestamp(1),
        last_pulled_at: None,
        is_archived: false,
        archived_at: None,
        activated_at: None,
    };
    put(&store, image).await.unwrap();
    for content in [&b"manifest"[..], b"config", b"layer"] {
        write(&blob_path(data, content), content);
        let size = content.len() as u64;
        let (repository, digest) = ("app".into(), digest(content));
        put(&store, BlobLink { tenant: tenant(), repository, digest, size, linked_at: Timestamp(1) }).await.unwrap();
    }
    put(&store, tag("app", "latest", &digest(b"manifest"))).await.unwrap();
    put(&store, role("big", &"p".repeat(20_000))).await.unwrap();
    store
}

fn raw(data: &DataDir, change: impl FnOnce(&sled::Db)) {
    let db = open_sled(&sled_config(&data.database())).unwrap();
    change(&db);
    db.flush().unwrap();
}

#[tokio::test]
async fn a_healthy_directory_has_no_findings() {
    let home = tempfile::tempdir().unwrap();
    let data = DataDir::new(home.path());
    filled(&data).await.close().await;
    let report = look(&data, Mode::Look);
    assert!(!report.is_bad(), "{:#?}", report.findings);
    assert_eq!((report.records, report.documents, report.blobs), (7, 1, 3));
}

#[tokio::test]
async fn a_directory_in_use_or_without_a_store_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let data = DataDir::new(home.path());
    assert!(matches!(fsck(&data, Mode::Look, Timestamp(5)), Err(StoreError::File { .. })));
    let store = filled(&data).await;
    assert!(matches!(fsck(&data, Mode::Look, Timestamp(5)), Err(StoreError::Locked(_))));
    store.close().await;
}

#[tokio::test]
async fn bad_records_are_set_aside_so_that_the_server_starts_again() {
    let home = tempfile::tempdir().unwrap();
    let data = DataDir::new(home.path());
    filled(&data).await.close().await;
    raw(&data, |db| {
        let tags = db.open_tree("image_tags").unwrap();
        let good = tags.first().unwrap().unwrap().1;
        tags.insert("broken", &b"\xff{ no json"[..]).unwrap();
        tags.insert("moved", good).unwrap();
        db.open_tree("events").unwrap().insert(9_u64.to_be_bytes(), "torn").unwrap();
    });
    assert!(open(&data).is_err());
    assert_found(&data, &["event-unreadable", "record-key", "record-unreadable"], &[]);
    let kept = fs::read_to_string(data.root().join("set-aside/records-5.jsonl")).unwrap();
    assert!(kept.contains("\"hex\":\"ff7b206e6f206a736f6e\"") && kept.contains("\"key\":\"moved\""), "{kept}");
    let store = open(&data).unwrap();
    assert_eq!(store.read(|view| view.count::<ImageTag>(&Prefix::all())), 1);
    store.close().await;
}

#[tokio::test]
async fn a_lost_document_takes_its_record_out_and_a_leftover_one_goes() {
    let home = tempfile::tempdir().unwrap();
    let data = DataDir::new(home.path());
    filled(&data).await.close().await;
    let document = fs::read_dir(data.documents()).unwrap().next().unwrap().unwrap().path();
    fs::write(&document, "other content").unwrap();
    fs::write(data.documents().join("0000"), "left").unwrap();
    assert_found(&data, &["document-bad", "document-leftover"], &[]);
    assert!(!document.exists());
    let store = open(&data).unwrap();
    assert_eq!(store.read(|view| view.count::<Role>(&Prefix::all())), 0);
    store.close().await;
}

#[tokio::test]
async fn what_another_version_wrote_is_named_and_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let data = DataDir::new(home.path());
    filled(&data).await.close().await;
    raw(&data, |db| {
        db.open_tree("roles").unwrap().insert("newer", r#"{"v":9,"rev":1,"data":{}}"#).unwrap();
        db.open_tree("comets").unwrap().insert("a", "b").unwrap();
    });
    assert_found(&data, &["record-version", "tree-unknown"], &["record-version", "tree-unknown"]);
    raw(&data, |db| drop(db.insert(SCHEMA_KEY, "9").unwrap()));
    assert_found(&data, &["schema"], &["schema"]);
    let refused = open(&data).err().unwrap();
    assert!(matches!(refused, StoreError::NewerSchema { found: 9, .. }), "{refused}");
}

#[tokio::test]
async fn a_damaged_and_a_missing_blob_are_taken_back_so_that_a_push_heals_them() {
    let home = tempfile::tempdir().unwrap();
    let data = DataDir::new(home.path());
    filled(&data).await.close().await;
    fs::write(blob_path(&data, b"layer"), "damage").unwrap();
    fs::remove_file(blob_path(&data, b"config")).unwrap();
    let wanted = ["blob-damaged", "blob-missing", "image-broken", "link-broken", "link-broken"];
    assert_found(&data, &wanted, &["blob-missing", "blob-missing", "image-broken"]);
    assert_eq!(fs::read(data.root().join("set-aside").join(&digest(b"layer")[7..])).unwrap(), b"damage");
    let store = open(&data).unwrap();
    assert_eq!(store.read(|view| view.count::<BlobLink>(&Prefix::all())), 1);
    store.close().await;
    for content in [&b"config"[..], b"layer"] {
        write(&blob_path(&data, content), content);
    }
    // Pushed without their links: those are made again.
    assert_found(&data, &["image-link-missing", "image-link-missing"], &[]);
}

#[tokio::test]
async fn references_to_nothing_and_half_written_files_are_cleared_away() {
    let home = tempfile::tempdir().unwrap();
    let data = DataDir::new(home.path());
    let store = filled(&data).await;
    put(&store, tag("app", "old", &digest(b"gone"))).await.unwrap();
    let (repository, id) = ("app".into(), "an-upload".into());
    put(&store, Upload { tenant: tenant(), repository, id, started_at: Timestamp(1) }).await.unwrap();
    store.close().await;
    write(&data.uploads().join("nobody's"), b"x");
    write(&data.exits().join("task/.app.0.json.ab12.tmp"), b"{");
    write(&data.keys().join(".root.json.ab12.tmp"), b"{");
    let wanted = ["tag-image-missing", "temporary-file", "temporary-file", "upload-leftover", "upload-missing"];
    assert_found(&data, &wanted, &[]);
}

#[tokio::test]
async fn a_damaged_snapshot_is_done_without() {
    let home = tempfile::tempdir().unwrap();
    let data = DataDir::new(home.path());
    filled(&data).await.close().await;
    fs::write(data.database().join("snap.00000000FFFFFFFF"), "torn").unwrap();
    let refused = open(&data).err().unwrap();
    assert!(matches!(refused, StoreError::Damaged { .. } | StoreError::Database { .. }), "{refused}");
    assert_eq!(codes(&look(&data, Mode::Look)), ["database"]);
    let repaired = look(&data, Mode::Repair);
    assert_eq!((codes(&repaired), repaired.is_bad(), repaired.records), (vec!["database"], false, 7));
    let store = open(&data).unwrap();
    assert_eq!(store.read(|view| view.count::<Role>(&Prefix::all())), 1);
    store.close().await;
}

#[tokio::test]
async fn a_database_that_lost_everything_is_not_taken_for_a_new_one() {
    let home = tempfile::tempdir().unwrap();
    let data = DataDir::new(home.path());
    filled(&data).await.close().await;
    fs::remove_dir_all(data.database()).unwrap();
    let refused = open(&data).err().unwrap();
    assert!(matches!(refused, StoreError::Lost(_)), "{refused}");
    let report = look(&data, Mode::Repair);
    assert_eq!(codes(&report), ["database-lost"]);
    assert_eq!(report.findings[0].remedy, Remedy::Person("restore a backup with `cove restore`"));
    assert_eq!(fs::read(blob_path(&data, b"layer")).unwrap(), b"layer");
}
