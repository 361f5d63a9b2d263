//! SPDX 2.3 as JSON.

use serde_json::{Value, json};

use super::{Document, reference};
use crate::package::{Inventory, Package};

const UNKNOWN: &str = "NOASSERTION";

/// An inventory as an SPDX 2.3 document (`application/spdx+json`).
#[must_use]
pub fn spdx(inventory: &Inventory, document: &Document) -> Vec<u8> {
    let ids = inventory.packages.iter().map(|package| format!("SPDXRef-Package-{}", reference(package)));
    let contained = ids.clone().map(|id| relationship("SPDXRef-Image", "CONTAINS", &id));
    let described = relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image");
    let packages = inventory.packages.iter().zip(ids).map(|(found, id)| package(found, &id));
    let packages: Vec<Value> = [image(document)].into_iter().chain(packages).collect();
    let relationships: Vec<Value> = [described].into_iter().chain(contained).collect();
    let text = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": document.name,
        "documentNamespace": format!("urn:uuid:{}", document.id),
        "creationInfo": {
            "created": document.created(),
            "creators": [format!("Tool: cove-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    serde_json::to_vec(&text).expect("a document has nothing but texts")
}

fn image(document: &Document) -> Value {
    let mut image = json!({
        "SPDXID": "SPDXRef-Image",
        "name": document.name,
        "versionInfo": document.digest,
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "supplier": UNKNOWN,
    });
    if let Some((algorithm, value)) = document.digest.split_once(':') {
        image["checksums"] = json!([{ "algorithm": algorithm.to_ascii_uppercase(), "checksumValue": value }]);
    }
    image
}

fn package(package: &Package, id: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "supplier": UNKNOWN,
        "sourceInfo": format!("found in /{} of layer {}", package.path, package.layer),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": package.purl,
        }],
    })
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}
