use std::io::{Cursor, Write};

use super::*;

/// A tar of files, links (`path -> target` as a hard link) and directories (with a slash at the end).
fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = ::tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_mode(0o644);
        if let Some((path, target)) = path.split_once(" -> ") {
            header.set_entry_type(::tar::EntryType::Link);
            header.set_size(0);
            tar.append_link(&mut header, path, target).unwrap();
            continue;
        }
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn inventory(layers: &[Vec<u8>]) -> Inventory {
    let mut reader = ImageReader::new();
    for (number, layer) in layers.iter().enumerate() {
        reader.layer(&format!("layer{number}"), &mut Cursor::new(layer)).unwrap();
    }
    reader.finish()
}

fn names(inventory: &Inventory) -> Vec<String> {
    inventory.packages.iter().map(|package| format!("{} {} {}", package.name, package.version, package.layer)).collect()
}

const FLASK: &str = "usr/lib/python3/site-packages/flask.dist-info/METADATA";
const SIX: &str = "usr/lib/python3/site-packages/six.dist-info/METADATA";

fn metadata(name: &str, version: &str) -> String {
    format!("Name: {name}\nVersion: {version}\n\n")
}

#[test]
fn packages_are_those_that_a_container_sees() {
    let (new, old, six) = (metadata("Flask", "2.0"), metadata("Flask", "1.0"), metadata("six", "1.0"));
    let found = inventory(&[
        layer(&[(FLASK, &new), ("usr/lib/python3/site-packages/.wh.six.dist-info", "")]),
        layer(&[(FLASK, &old), (SIX, &six), ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")]),
    ]);
    assert_eq!(names(&found), ["Flask 2.0 layer0"]);
    assert_eq!(found.packages[0].purl, "pkg:pypi/flask@2.0");
    assert_eq!((found.packages[0].path.as_str(), found.packages[0].ecosystem.as_str()), (FLASK, "PyPI"));
    assert_eq!(found.distribution.unwrap().version_id, "12");
}

#[test]
fn a_directory_that_says_it_has_content_hides_nothing() {
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Directory);
    header.set_path("d/").unwrap();
    header.set_size(4096);
    header.set_cksum();
    let whole = [header.as_bytes().to_vec(), layer(&[(SIX, &metadata("six", "1.0"))])].concat();
    assert_eq!(names(&inventory(&[whole])), ["six 1.0 layer0"]);
}

#[test]
fn layers_may_be_compressed() {
    let plain = layer(&[(SIX, &metadata("six", "1.0"))]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    for blob in [plain, gzip.finish().unwrap(), zstd] {
        assert_eq!(names(&inventory(&[blob])), ["six 1.0 layer0"]);
    }
}

#[test]
fn packages_of_a_distribution_have_its_name() {
    let status = "Package: curl\nStatus: install ok installed\nVersion: 7.88-1\nArchitecture: amd64\n\n";
    let release = ("usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    let found = inventory(&[layer(&[("./var/lib/dpkg/status", status)]), layer(&[release])]);
    let [curl] = &found.packages[..] else { panic!("{found:?}") };
    assert_eq!(curl.ecosystem, "Debian:12");
    assert_eq!(curl.purl, "pkg:deb/debian/curl@7.88-1?arch=amd64&distro=debian-12");
    assert!(found.problems.is_empty());
    let nameless = inventory(&[layer(&[("var/lib/dpkg/status", status)])]);
    assert!(nameless.problems[0].text.contains("no advisories"), "{nameless:?}");
}

#[test]
fn a_broken_file_is_a_problem_and_the_rest_is_read() {
    let found = inventory(&[layer(&[("app/package-lock.json", "{"), (SIX, &metadata("six", "1.0"))])]);
    assert_eq!(names(&found), ["six 1.0 layer0"]);
    assert_eq!(found.problems, [Problem { path: "app/package-lock.json".into(), text: "it is no JSON".into() }]);
}

#[test]
fn a_broken_layer_is_an_error() {
    let good = layer(&[(SIX, &metadata("six", "1.0"))]);
    let read = |blob: &[u8]| ImageReader::new().layer("l", &mut Cursor::new(blob));
    assert!(matches!(read(b"not a tar at all, but longer than nothing"), Err(LayerError::Read { .. })));
    assert!(matches!(read(&good[..520]), Err(LayerError::Read { .. })), "cut within a file");
    let zstd = zstd::encode_all(&good[..], 1).unwrap();
    assert!(matches!(read(&zstd[..zstd.len() - 3]), Err(LayerError::Read { .. })));
}

#[test]
fn hard_links_name_their_packages_again() {
    let link = format!("app/node_modules/a/package.json -> {}", "store/node_modules/a/package.json");
    let package = r#"{"name":"a","version":"1.0.0"}"#;
    let found = inventory(&[layer(&[("store/node_modules/a/package.json", package), (&link, "")])]);
    assert_eq!(names(&found), ["a 1.0.0 layer0", "a 1.0.0 layer0"]);
    let unread = inventory(&[layer(&[("x", package), ("app/node_modules/a/package.json -> x", "")])]);
    assert_eq!(unread.problems[0].text, "not read: a hard link to x");
}

#[test]
fn the_last_of_two_entries_of_one_name_counts() {
    let (one, two) = (metadata("six", "1.0"), metadata("six", "2.0"));
    assert_eq!(names(&inventory(&[layer(&[(SIX, &one), (SIX, &two)])])), ["six 2.0 layer0"]);
}

#[test]
fn long_names_and_pax_headers_are_heeded() {
    let long = format!("opt/{}/six.dist-info/METADATA", "d".repeat(150));
    let pax = |key: &str, value: &str| cove_fuzz::tar::record(key, value);
    let meta = metadata("six", "1.0");
    let by_pax = [
        cove_fuzz::tar::entry(b'x', "pax", "", &pax("path", SIX)),
        cove_fuzz::tar::entry(b'0', "short", "", meta.as_bytes()),
    ];
    assert_eq!(inventory(&[layer(&[(&long, &meta)])]).packages[0].path, long);
    assert_eq!(inventory(&[by_pax.concat()]).packages[0].path, SIX);
    let mut prefixed = cove_fuzz::tar::entry(b'0', "six.dist-info/METADATA", "", meta.as_bytes());
    prefixed[345..348].copy_from_slice(b"opt");
    let sum: u32 = prefixed[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    prefixed[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    assert_eq!(inventory(&[prefixed]).packages[0].path, "opt/six.dist-info/METADATA");
}

#[test]
fn a_header_that_claims_a_huge_name_costs_no_memory() {
    for kind in [b'L', b'K', b'x', b'g'] {
        let mut bomb = cove_fuzz::tar::entry(kind, "long", "", b"");
        bomb[124..136].copy_from_slice(b"77777777777\0");
        let sum: u32 = bomb
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        bomb[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut endless = (&bomb[..]).chain(io::repeat(0));
        assert!(matches!(ImageReader::new().layer("l", &mut endless), Err(LayerError::Read { .. })));
    }
}

#[test]
fn paths_that_leave_the_root_say_nothing() {
    let meta = metadata("six", "1.0");
    let outside = cove_fuzz::tar::entry(b'0', "../six.dist-info/METADATA", "", meta.as_bytes());
    assert!(inventory(&[outside]).packages.is_empty());
}
