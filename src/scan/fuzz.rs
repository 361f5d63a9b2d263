//! Layers, files of images, advisories, databases and reports that nobody honest sends.

use std::cmp::Ordering;
use std::io::{Cursor, Write};

use cove_base::Timestamp;
use cove_fuzz::{Fuzz, Rng, tar};

use crate::{Database, ImageReader, Inventory, VersionOrder, files, osv};

const TOKENS: [&[u8]; 10] = [
    b"\"version\":",
    b"\"name\":",
    b"==",
    b"\n\n",
    b"[[package]]\n",
    b"node_modules/",
    b"\"introduced\":\"0\"",
    b"null",
    b"\xff Go buildinf:",
    b"PK\x03\x04",
];

/// A file of every kind: its name, a zero, its content.
const FILES: &[(&str, &[u8])] = &[
    ("var/lib/dpkg/status", b"Package: a\nStatus: install ok installed\nSource: b (1)\nVersion: 1:2-3\n\n"),
    ("var/lib/rpm/Packages.db", b"RpmP\0\0\0\0\x01\0\0\0\0\0\0\0"),
    ("var/lib/rpm/Packages", b"\0\0\0\0\0\0\0\0\0\0\0\0\x61\x15\x06\0\x09\0\0\0\0\x02\0\0"),
    ("lib/apk/db/installed", b"P:a\nV:1-r0\no:b\n\n"),
    ("var/lib/rpm/rpmdb.sqlite", b"SQLite format 3\0\x10\x00\x01\x01\x00"),
    ("etc/os-release", b"ID=debian\nVERSION_ID=\"12\"\n"),
    ("a.dist-info/METADATA", b"Name: a\nVersion: 1\n\n"),
    ("requirements.txt", b"a[b]==1.0 ; x\nc>=1\n"),
    ("Pipfile.lock", b"{\"default\":{\"a\":{\"version\":\"==1\"}}}"),
    ("uv.lock", b"[[package]]\nname = \"a\"\nversion = \"1\"\n"),
    ("package-lock.json", b"{\"packages\":{\"node_modules/a\":{\"version\":\"1\"}},\"dependencies\":{}}"),
    ("package-lock.json", b"{\"dependencies\":{\"a\":{\"version\":\"npm:b@1\",\"dependencies\":{}}}}"),
    ("yarn.lock", b"\"a@npm:b@^1\", c@^2:\n  version \"1\"\n"),
    ("pnpm-lock.yaml", b"packages:\n  /a@1.0.0(b@1):\n  /c/1.0_d:\n"),
    ("node_modules/a/package.json", b"{\"name\":\"a\",\"version\":\"1\"}"),
    ("Cargo.lock", b"[[package]]\nname = \"a\"\nversion = \"1\"\nsource = \"registry+x\"\n"),
    ("Gemfile.lock", b"GEM\n  specs:\n    a (1-x86)\n"),
    ("x/specifications/a.gemspec", b"s.name = \"a\"\ns.version = \"1\"\n"),
    ("composer.lock", b"{\"packages\":[{\"name\":\"a/b\",\"version\":\"1\"}]}"),
    ("packages.lock.json", b"{\"dependencies\":{\"n\":{\"a\":{\"resolved\":\"1\"}}}}"),
    ("a.deps.json", b"{\"libraries\":{\"a/1\":{\"type\":\"package\"}}}"),
    ("a.jar", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    (
        "bin/a",
        b"\x7fELF\x02\x01\0\0\xff Go buildinf:\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08go1.21.3\x21mod\ta\tv1\n",
    ),
];

#[test]
fn fuzz_package_file() {
    let seeds = FILES.iter().map(|(name, content)| [name.as_bytes(), b"\0", content].concat()).collect();
    // Archives within archives, as far as they may grow.
    Fuzz::new("package-file").seeds(seeds).json().tokens(&TOKENS).memory(600 << 20).run(|input| {
        let at = input.iter().position(|byte| *byte == 0).unwrap_or_default();
        let (name, content) = (String::from_utf8_lossy(&input[..at]), input.get(at + 1..).unwrap_or_default());
        let Some(kind) = files::wanted(&name, true) else { return "not wanted".to_owned() };
        match files::read(kind, &name, content.len() as u64, &mut Cursor::new(content)) {
            Ok(found) => {
                let count: usize = found.iter().map(|(_, list)| list.len()).sum();
                assert!(count <= content.len(), "more packages than bytes");
                format!("{kind:?} {}", count.min(4)).chars().take(60).collect()
            }
            Err(files::Fault::Broken(text)) => text.to_owned(),
            Err(files::Fault::Read(error)) => format!("{:?}", error.kind()),
        }
    });
}

#[test]
fn fuzz_scanned_layer() {
    let names = [
        "etc/os-release",
        "a.dist-info/METADATA",
        ".wh.a",
        "d/.wh..wh..opq",
        "../x",
        "d/a.jar",
        "node_modules/a/package.json",
    ];
    let layer = [
        tar::entry(b'0', names[0], "", b"ID=alpine\nVERSION_ID=3.19\n"),
        tar::entry(b'0', names[1], "", b"Name: a\nVersion: 1\n\n"),
        tar::entry(b'1', "b.dist-info/METADATA", names[1], b""),
        tar::entry(b'0', names[2], "", b""),
        vec![0; 1024],
    ]
    .concat();
    let compressed = zstd::encode_all(&layer[..], 1).unwrap();
    let shape = |rng: &mut Rng, bytes: &mut Vec<u8>| tar::change(rng, bytes, &names);
    let fuzz = Fuzz::new("scanned-layer").seeds(vec![layer, compressed]).shape(&shape).tokens(&TOKENS);
    // The window of a frame of zstd.
    fuzz.memory(300 << 20).run(|input| {
        let mut reader = ImageReader::new();
        let read =
            reader.layer("top", &mut Cursor::new(input)).and_then(|()| reader.layer("base", &mut Cursor::new(input)));
        let found = reader.finish();
        assert!(found.packages.is_sorted());
        // All that the lower of two like layers has is hidden.
        assert!(found.packages.iter().all(|package| package.layer == "top"), "{:?}", found.packages);
        format!("{} {} {}", read.is_ok(), found.packages.len().min(3), found.problems.len().min(3))
    });
}

const RECORD: &[u8] = br#"{"id":"A-1","aliases":["CVE-1"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
"affected":[{"package":{"ecosystem":"PyPI","name":"a"},"versions":["1"],"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2"},
{"last_affected":"3"},{"limit":"*"}]}]}],"references":[{"type":"WEB","url":"x"}],"database_specific":{"severity":"HIGH"}}"#;

fn inventory() -> Inventory {
    let layer = tar::entry(b'0', "a.dist-info/METADATA", "", b"Name: a\nVersion: 1.5\n\n");
    let mut reader = ImageReader::new();
    reader.layer("l", &mut Cursor::new([layer, vec![0; 1024]].concat())).unwrap();
    reader.finish()
}

#[test]
fn fuzz_advisory() {
    Fuzz::new("advisory").seeds(vec![RECORD.to_vec()]).json().tokens(&TOKENS).run(|input| match osv::parse(input) {
        Ok(Some((advisory, statements))) => {
            let kept = serde_json::to_vec(&(&advisory, &statements)).unwrap();
            let again: (osv::Advisory, Vec<osv::Statement>) = serde_json::from_slice(&kept).unwrap();
            assert_eq!(again, (advisory, statements.clone()));
            let affected = statements.iter().filter(|it| crate::matching::affects(it, &it.ecosystem, "1.5")).count();
            format!("{} {affected}", statements.len().min(3))
        }
        Ok(None) => "withdrawn".to_owned(),
        Err(fault) => fault.to_string().chars().take(24).collect(),
    });
}

#[test]
fn fuzz_advisories() {
    let home = tempfile::tempdir().unwrap();
    let (path, record) = (home.path().join("db"), home.path().join("a.json"));
    std::fs::write(&record, RECORD).unwrap();
    crate::import(&path, &[record], Timestamp(1)).unwrap();
    let (seed, inventory) = (std::fs::read(&path).unwrap(), inventory());
    // A block as large as it may be.
    Fuzz::new("advisories").seeds(vec![seed]).memory(300 << 20).run(|input| {
        std::fs::write(&path, input).unwrap();
        match Database::open(&path).and_then(|database| crate::scan(&inventory, &database)) {
            Ok(report) => format!("{} {}", report.findings.len().min(3), report.problems.len().min(3)),
            Err(error) => error.to_string().chars().rev().take(24).collect(),
        }
    });
}

#[test]
fn fuzz_archive_of_advisories() {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["a.json", "b.json"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(RECORD).unwrap();
    }
    let seed = zip.finish().unwrap().into_inner();
    let home = tempfile::tempdir().unwrap();
    let (path, archive) = (home.path().join("db"), home.path().join("a.zip"));
    Fuzz::new("archive-of-advisories").seeds(vec![seed]).memory(128 << 20).run(|input| {
        std::fs::write(&archive, input).unwrap();
        match crate::import(&path, std::slice::from_ref(&archive), Timestamp(1)) {
            Ok(done) => format!("{} {}", done.records.min(3), done.refused.min(3)),
            Err(error) => error.to_string().chars().take(16).collect(),
        }
    });
}

#[test]
fn fuzz_scan_report() {
    let seeds: [&[u8]; 5] = [
        br#"{"SchemaVersion":2,"Results":[{"Target":"t","Class":"os-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-1","PkgName":"a","CVSS":{"nvd":{"V3Score":9.8}}}],
            "Secrets":[{"RuleID":"r"}],"Misconfigurations":[{"ID":"m"}]}]}"#,
        br#"{"matches":[{"vulnerability":{"id":"GHSA-1","fix":{"versions":["2"]}},"relatedVulnerabilities":[{"id":"CVE-1"}],"artifact":{"name":"a","locations":[{"path":"/x"}]}}]}"#,
        br#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","rules":[{"id":"CVE-1"}]}},"results":[{"ruleIndex":0,"message":{"text":"Package: a\nSeverity: LOW"}}]}]}"#,
        br#"{"bomFormat":"CycloneDX","components":[{"bom-ref":"c","name":"a","components":[]}],"vulnerabilities":[{"id":"CVE-1","affects":[{"ref":"urn:cdx:x/1#c"}],"ratings":[{"score":5}]}]}"#,
        br#"{"generated_at":"x","scanner":{"name":"s"},"vulnerabilities":[{"id":"CVE-1","package":"a","severity":"Low","preferred_cvss":{"score_v3":1}}]}"#,
    ];
    let seeds = seeds.map(<[u8]>::to_vec).to_vec();
    Fuzz::new("scan-report").seeds(seeds).json().tokens(&TOKENS).run(|input| match crate::read_report(input) {
        Ok(report) => {
            assert!(report.findings.iter().all(|finding| !finding.id.is_empty()));
            format!("{} {:?}", report.scanner.name.len().min(8), report.counts().map(|count| count.min(2)))
        }
        Err(error) => error.to_string().chars().take(30).collect(),
    });
}

#[test]
fn fuzz_version() {
    let orders = ["Alpine", "CRAN", "Debian", "Maven", "NuGet", "Packagist", "PyPI", "Red Hat", "RubyGems", "npm"];
    let orders = orders.map(|name| VersionOrder::of_ecosystem(name).expect("known"));
    let seeds: [&[u8]; 4] =
        [b"1.0-r1\n1.0_rc1", b"1:2.3~rc1-4\n2.3^x", b"1!2.0rc1.post2.dev3+l.1\n2.0a", b"1.0-alpha-1\n1.0.ga"];
    let tokens: [&[u8]; 9] = [b"\n", b"-", b".", b"~", b"^", b"rc", b"alpha", b"_p", b"0"];
    Fuzz::new("version").seeds(seeds.map(<[u8]>::to_vec).to_vec()).tokens(&tokens).run(|input| {
        let text = String::from_utf8_lossy(input);
        let (one, other) = text.split_once('\n').unwrap_or((&text, ""));
        orders
            .iter()
            .map(|order| {
                let found = order.compare(one, other);
                assert_eq!(found, order.compare(other, one).reverse(), "{order:?}");
                assert_eq!(order.compare(one, one), Ordering::Equal, "{order:?}");
                if found.is_lt() {
                    '<'
                } else if found.is_gt() {
                    '>'
                } else {
                    '='
                }
            })
            .collect()
    });
}
