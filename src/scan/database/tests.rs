use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use cove_base::Timestamp;

use super::{Database, DatabaseError, Imported, import, key};

fn record(id: &str, ecosystem: &str, name: &str) -> String {
    let package = format!(r#"{{"ecosystem":"{ecosystem}","name":"{name}"}}"#);
    let events = r#"[{"introduced":"0"},{"fixed":"2"}]"#;
    let range = format!(r#"{{"type":"ECOSYSTEM","events":{events}}}"#);
    format!(
        r#"{{"id":"{id}","modified":"2024-01-01T00:00:00Z","affected":[{{"package":{package},"ranges":[{range}]}}]}}"#
    )
}

fn directory_of(records: &[String]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (number, record) in records.iter().enumerate() {
        fs::write(directory.path().join(format!("{number}.json")), record).unwrap();
    }
    directory
}

fn imported(path: &Path, sources: &[&Path], at: i64) -> Result<Imported, DatabaseError> {
    let sources: Vec<PathBuf> = sources.iter().map(|source| source.to_path_buf()).collect();
    import(path, &sources, Timestamp(at))
}

/// Ids of the advisories of some packages.
fn ids(database: &Database, packages: &[(&str, &str)]) -> Vec<String> {
    let mut keys: Vec<String> = packages.iter().map(|(ecosystem, name)| key(ecosystem, name)).collect();
    keys.sort();
    let mut found = Vec::new();
    database.read(&keys, |_, advisory, _| found.push(advisory.id)).unwrap();
    found
}

#[test]
fn what_was_imported_is_found_by_package() {
    let source = directory_of(&[
        record("A-1", "PyPI", "Foo_Bar"),
        record("A-2", "Debian:12", "curl"),
        record("A-3", "Debian:11", "curl"),
        r#"{"id":"A-4","withdrawn":"2024-01-01T00:00:00Z"}"#.to_owned(),
        "broken".to_owned(),
    ]);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let done = imported(&path, &[source.path()], 7).unwrap();
    assert_eq!((done.records, done.withdrawn, done.refused, done.problems.len()), (5, 1, 1, 1));
    let database = Database::open(&path).unwrap();
    assert_eq!(ids(&database, &[("PyPI", "foo-bar"), ("Debian:12", "curl"), ("PyPI", "other")]), ["A-2", "A-3", "A-1"]);
    assert_eq!((database.info().advisories(), database.info().oldest_import()), (3, Some(Timestamp(7))));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing temporary is left");
}

#[test]
fn an_import_replaces_its_ecosystems_and_keeps_the_others() {
    let first = directory_of(&[record("A-1", "PyPI", "a"), record("A-2", "npm", "b")]);
    let second = directory_of(&[record("A-3", "npm", "c")]);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    imported(&path, &[first.path()], 7).unwrap();
    let done = imported(&path, &[second.path()], 8).unwrap();
    let database = Database::open(&path).unwrap();
    assert_eq!(ids(&database, &[("PyPI", "a"), ("npm", "b"), ("npm", "c")]), ["A-1", "A-3"]);
    assert_eq!(done.info.ecosystems["PyPI"].imported_at, Timestamp(7));
    assert_eq!((done.info.ecosystems["npm"].imported_at, done.info.ecosystems["npm"].advisories), (Timestamp(8), 1));
}

#[test]
fn many_advisories_of_one_package_span_blocks_and_are_all_found() {
    let long = "x".repeat(3000);
    let records: Vec<String> = (0..300)
        .map(|number| {
            record(&format!("A-{number:03}"), "npm", "a").replacen('{', &format!(r#"{{"details":"{long}{number}","#), 1)
        })
        .collect();
    let source = directory_of(&records);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    imported(&path, &[source.path()], 7).unwrap();
    let database = Database::open(&path).unwrap();
    assert!(database.blocks() > 2, "{}", database.blocks());
    assert_eq!(ids(&database, &[("npm", "a")]).len(), 300);
}

#[test]
fn a_file_that_is_not_ours_old_or_damaged_is_refused() {
    let source = directory_of(&[record("A-1", "PyPI", "a")]);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    imported(&path, &[source.path()], 7).unwrap();
    let good = fs::read(&path).unwrap();
    assert!(matches!(Database::open(&home.path().join("none")), Err(DatabaseError::Read { .. })));
    fs::write(&path, b"something else").unwrap();
    assert!(matches!(Database::open(&path), Err(DatabaseError::Foreign(_))));
    assert!(imported(&path, &[source.path()], 7).is_err(), "a foreign file is not replaced");
    fs::write(&path, [b"cove-advisories0", &good[16..]].concat()).unwrap();
    assert!(matches!(Database::open(&path), Err(DatabaseError::Version(_))));
    fs::write(&path, &good).unwrap();
    let mut right = Vec::new();
    Database::open(&path).unwrap().read(&[key("PyPI", "a")], |_, advisory, _| right.push(advisory)).unwrap();
    // Any byte that is flipped or missing shows, at the latest when its block is read.
    for at in 16..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        let mut found = Vec::new();
        let keys = [key("PyPI", "a")];
        let read =
            Database::open(&path).and_then(|database| database.read(&keys, |_, advisory, _| found.push(advisory)));
        // A few bits of the compression's headers mean nothing.
        let same = read.is_ok() && found == right;
        assert!(same || matches!(read, Err(DatabaseError::Damaged(_))), "byte {at}: {read:?}");
        fs::write(&path, &good[..at]).unwrap();
        assert!(matches!(Database::open(&path), Err(DatabaseError::Damaged(_))), "cut at {at}");
    }
    assert!(imported(&path, &[source.path()], 7).is_ok(), "a damaged one is");
}

#[test]
fn a_source_without_advisories_changes_nothing() {
    let (good, empty) = (directory_of(&[record("A-1", "PyPI", "a")]), directory_of(&["{}".to_owned()]));
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    imported(&path, &[good.path()], 7).unwrap();
    assert!(matches!(imported(&path, &[empty.path()], 8), Err(DatabaseError::Empty(_))));
    assert_eq!(Database::open(&path).unwrap().info().oldest_import(), Some(Timestamp(7)));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn a_bomb_in_an_archive_is_a_refused_record() {
    let home = tempfile::tempdir().unwrap();
    let archive = home.path().join("osv.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&archive).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("bomb.json", options).unwrap();
    for _ in 0..20 {
        zip.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    zip.start_file("good.json", options).unwrap();
    zip.write_all(record("A-1", "PyPI", "a").as_bytes()).unwrap();
    zip.finish().unwrap();
    let done = imported(&home.path().join("db"), &[&archive], 7).unwrap();
    assert_eq!((done.records, done.refused, done.info.advisories()), (1, 1, 1));
}

#[test]
fn the_whole_archive_of_pypi_is_imported() {
    let Some(archive) = crate::shared_data("osv-pypi.zip") else { return };
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let done = imported(&path, &[&archive], 7).unwrap();
    assert_eq!((done.records, done.refused), (2661, 0), "{:?}", done.problems);
    let database = Database::open(&path).unwrap();
    let found = ids(&database, &[("PyPI", "Jinja2")]);
    assert!(found.contains(&"PYSEC-2014-8".to_owned()), "{found:?}");
    assert!(fs::metadata(&path).unwrap().len() < 2 << 20);
}
