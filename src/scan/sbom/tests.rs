use cove_base::Timestamp;
use serde_json::Value;

use super::{Document, cyclonedx, spdx};
use crate::files::Raw;
use crate::package::{Distribution, Inventory, Manager, Package};

fn inventory() -> Inventory {
    let system = Distribution { id: "debian".to_owned(), version_id: "12".to_owned(), ..Distribution::default() };
    let raw = |name: &str| Raw { name: name.to_owned(), version: "1.0".to_owned(), ..Raw::default() };
    let package = |manager, name, path| Package::of(&raw(name), manager, Some(&system), path, "sha256:l");
    let packages = vec![
        package(Manager::Dpkg, "curl", "var/lib/dpkg/status"),
        package(Manager::Pip, "six", "a/METADATA"),
        package(Manager::Pip, "six", "b/METADATA"),
    ];
    Inventory { distribution: Some(system.clone()), packages, problems: Vec::new() }
}

const DOCUMENT: Document<'_> = Document {
    name: "app:1",
    digest: "sha256:00ff",
    created: Timestamp(1_700_000_000_123),
    id: "3e671687-395b-41f5-a30f-a58921a69b79",
};

#[test]
fn spdx_names_the_image_and_each_package_once() {
    let bytes = spdx(&inventory(), &DOCUMENT);
    assert_eq!(bytes, spdx(&inventory(), &DOCUMENT));
    let text: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(text["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    assert_eq!(text["packages"][0]["checksums"][0]["algorithm"], "SHA256");
    assert_eq!(text["packages"][1]["externalRefs"][0]["referenceLocator"], "pkg:deb/debian/curl@1.0?distro=debian-12");
    let mut ids: Vec<&str> =
        text["packages"].as_array().unwrap().iter().filter_map(|it| it["SPDXID"].as_str()).collect();
    let related = text["relationships"].as_array().unwrap();
    assert_eq!((ids.len(), related.len(), related[0]["relationshipType"].as_str()), (4, 4, Some("DESCRIBES")));
    assert!(related.iter().all(|it| ids.contains(&it["relatedSpdxElement"].as_str().unwrap())));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "ids are unique");
    let good = |id: &&str| id.chars().all(|sign| sign.is_ascii_alphanumeric() || ".-".contains(sign));
    assert!(ids.iter().all(good));
}

#[test]
fn cyclonedx_names_the_image_the_system_and_each_package() {
    let bytes = cyclonedx(&inventory(), &DOCUMENT);
    assert_eq!(bytes, cyclonedx(&inventory(), &DOCUMENT));
    let text: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (text["specVersion"].as_str(), text["serialNumber"].as_str()),
        (Some("1.5"), Some("urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79"))
    );
    let components = text["components"].as_array().unwrap();
    assert_eq!((components.len(), components[0]["type"].as_str()), (4, Some("operating-system")));
    let depends = text["dependencies"][0]["dependsOn"].as_array().unwrap();
    assert!(components[1..].iter().all(|component| depends.contains(&component["bom-ref"])));
}
