use std::path::PathBuf;

use cove_base::Timestamp;

use super::*;
use crate::database::import;
use crate::files::Raw;
use crate::package::{Distribution, SourcePackage};
use crate::severity::{Score, Severity};

fn package(manager: Manager, name: &str, version: &str) -> Package {
    let raw = Raw { name: name.to_owned(), version: version.to_owned(), ..Raw::default() };
    Package::of(&raw, manager, None, &format!("opt/{name}"), "sha256:l")
}

fn database(records: &[&str]) -> (tempfile::TempDir, Database) {
    let home = tempfile::tempdir().unwrap();
    let sources = home.path().join("records");
    std::fs::create_dir(&sources).unwrap();
    for (number, record) in records.iter().enumerate() {
        std::fs::write(sources.join(format!("{number}.json")), record).unwrap();
    }
    let path = home.path().join("db");
    let done = import(&path, &[sources], Timestamp(1)).unwrap();
    assert_eq!(done.refused, 0, "{:?}", done.problems);
    (home, Database::open(&path).unwrap())
}

fn found(packages: Vec<Package>, database: &Database) -> Report {
    scan(&Inventory { packages, ..Inventory::default() }, database).unwrap()
}

const PYSEC: &str = r#"{"id":"PYSEC-1","aliases":["CVE-2024-1","GHSA-1"],"details":"short","affected":[{"package":
    {"ecosystem":"PyPI","name":"foo"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2"}]}]}],
    "references":[{"type":"WEB","url":"https://a.example"}]}"#;
const GHSA: &str = r#"{"id":"GHSA-1","aliases":["CVE-2024-1"],"summary":"Bad","details":"a longer text","database_specific":{"severity":"LOW"},
    "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"affected":[{"package":
    {"ecosystem":"PyPI","name":"Foo"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.0"}]}]}],
    "references":[{"type":"WEB","url":"https://a.example"},{"type":"WEB","url":"https://b.example"}]}"#;

#[test]
fn two_advisories_of_one_flaw_are_one_finding() {
    let (_home, database) = database(&[PYSEC, GHSA]);
    let report = found(vec![package(Manager::Pip, "foo", "1.9"), package(Manager::Pip, "bar", "1")], &database);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(finding.id, "CVE-2024-1");
    assert_eq!(finding.aliases, ["GHSA-1", "PYSEC-1"]);
    assert_eq!((finding.severity, finding.score.map(Score::tenths)), (Severity::Critical, Some(98)));
    assert_eq!((finding.title.as_str(), finding.description.as_str()), ("Bad", "a longer text"));
    assert_eq!(finding.references, ["https://a.example", "https://b.example"]);
    assert!(finding.fixed_version.as_deref().is_some_and(|fixed| fixed.starts_with('2')));
    assert_eq!(
        (finding.path.as_str(), finding.layer.as_str(), finding.manager.as_str()),
        ("opt/foo", "sha256:l", "PYTHONPKG")
    );
    assert!(
        report.problems.is_empty() && found(vec![package(Manager::Pip, "foo", "2.0")], &database).findings.is_empty()
    );
}

#[test]
fn what_could_not_be_looked_up_is_a_problem() {
    let (_home, database) = database(&[PYSEC]);
    let report = found(vec![package(Manager::Npm, "foo", "1.0"), package(Manager::Npm, "bar", "1.0")], &database);
    assert!(report.findings.is_empty());
    assert_eq!(report.problems[0].text, "2 packages not looked up: no advisories of npm were imported");
}

#[test]
fn distributions_are_looked_up_by_source_and_release() {
    let record = |id: &str, release: &str, fixed: &str| {
        format!(
            r#"{{"id":"{id}","upstream":["CVE-2024-{id}"],"affected":[{{"package":{{"ecosystem":"Debian:{release}","name":"glibc"}},
            "ecosystem_specific":{{"urgency":"unimportant"}},
            "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
        )
    };
    let (_home, database) = database(&[&record("1", "12", "2.36-9+deb12u4"), &record("2", "11", "2.40")]);
    let source = SourcePackage { name: "glibc".to_owned(), version: "2.36-9".to_owned() };
    let raw = Raw { name: "libc6".to_owned(), version: "2.36-9+b1".to_owned(), source: Some(source), arch: None };
    let debian = Distribution { id: "debian".to_owned(), version_id: "12".to_owned(), ..Distribution::default() };
    let package = Package::of(&raw, Manager::Dpkg, Some(&debian), "var/lib/dpkg/status", "l");
    let report = found(vec![package], &database);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(
        (finding.id.as_str(), finding.package.as_str(), finding.version.as_str()),
        ("CVE-2024-1", "libc6", "2.36-9+b1")
    );
    assert_eq!((finding.severity, finding.fixed_version.as_deref()), (Severity::Informational, Some("2.36-9+deb12u4")));
}

#[test]
fn findings_have_one_order() {
    let record = |id: &str, word: &str, name: &str| {
        format!(
            r#"{{"id":"{id}","database_specific":{{"severity":"{word}"}},"affected":[{{"package":
            {{"ecosystem":"npm","name":"{name}"}},"versions":["1.0.0"]}}]}}"#
        )
    };
    let records = [record("1", "LOW", "a"), record("2", "CRITICAL", "b"), record("3", "CRITICAL", "a")];
    let (_home, database) = database(&records.each_ref().map(String::as_str));
    let report = found(vec![package(Manager::Npm, "b", "1.0.0"), package(Manager::Npm, "a", "1.0.0")], &database);
    let ids: Vec<&str> = report.findings.iter().map(|finding| finding.id.as_str()).collect();
    assert_eq!(ids, ["3", "2", "1"]);
    assert_eq!(report.counts(), [0, 0, 1, 0, 0, 2]);
}

#[test]
fn old_python_packages_are_found_in_the_archive_of_pypi() {
    let Some(archive) = crate::shared_data("osv-pypi.zip") else { return };
    let home = tempfile::tempdir().unwrap();
    let path: PathBuf = home.path().join("db");
    import(&path, &[archive], Timestamp(1)).unwrap();
    let database = Database::open(&path).unwrap();
    let old = [("Jinja2", "2.4.1"), ("Django", "1.8"), ("PyYAML", "5.1"), ("six", "1.16.0")];
    let packages: Vec<Package> = old.iter().map(|(name, version)| package(Manager::Pip, name, version)).collect();
    let report = found(packages, &database);
    let of = |name: &str| report.findings.iter().filter(|finding| finding.package == name).collect::<Vec<_>>();
    assert!(
        of("Jinja2")
            .iter()
            .any(|finding| finding.id == "CVE-2014-1402" && finding.fixed_version.as_deref() == Some("2.7.2"))
    );
    assert!(of("PyYAML").iter().any(|finding| finding.id == "CVE-2019-20477"));
    assert!(of("Django").len() > 10 && of("six").is_empty(), "{}", of("Django").len());
}

/// A layer of the installed Python packages that are named.
fn layer(packages: &[(&str, &str)], removed: &[&str]) -> Vec<u8> {
    let home = "usr/lib/python3/dist-packages";
    let mut tar = tar::Builder::new(Vec::new());
    let installed = packages.iter().map(|(name, version)| {
        (format!("{home}/{name}-{version}.dist-info/METADATA"), format!("Name: {name}\nVersion: {version}\n\n"))
    });
    let whiteouts = removed.iter().map(|directory| (format!("{home}/.wh.{directory}"), String::new()));
    for (path, content) in installed.chain(whiteouts) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn an_image_made_with_old_python_packages_has_the_findings_of_those_that_are_left() {
    let Some(archive) = crate::shared_data("osv-pypi.zip") else { return };
    let home = tempfile::tempdir().unwrap();
    let path: PathBuf = home.path().join("db");
    import(&path, &[archive], Timestamp(1)).unwrap();
    let mut reader = crate::ImageReader::new();
    let top = layer(&[("Jinja2", "2.10"), ("requests", "2.19.0")], &["Django-2.0.dist-info"]);
    let base = layer(&[("Django", "2.0"), ("six", "1.17.0"), ("urllib3", "1.24.1")], &[]);
    reader.layer("sha256:top", &mut &top[..]).unwrap();
    reader.layer("sha256:base", &mut &base[..]).unwrap();
    let report = scan(&reader.finish(), &Database::open(&path).unwrap()).unwrap();
    let of = |name: &str| {
        let findings = report.findings.iter().filter(|finding| finding.package == name);
        findings.map(|finding| finding.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of("Jinja2"), ["CVE-2019-10906", "CVE-2020-28493"]);
    assert_eq!(of("requests"), ["CVE-2018-18074", "CVE-2023-32681"]);
    assert_eq!((of("Django").len(), of("six").len(), of("urllib3").len()), (0, 0, 7), "{report:#?}");
    let urllib3 = report.findings.iter().find(|finding| finding.id == "CVE-2021-33503").expect("found above");
    assert_eq!((urllib3.fixed_version.as_deref(), urllib3.layer.as_str()), (Some("1.26.5"), "sha256:base"));
    assert!(report.problems.is_empty());
}
