//! CycloneDX 1.5 as JSON.

use serde_json::{Value, json};

use super::{Document, reference};
use crate::package::{Distribution, Inventory, Package};

/// An inventory as a CycloneDX 1.5 document (`application/vnd.cyclonedx+json`).
#[must_use]
pub fn cyclonedx(inventory: &Inventory, document: &Document) -> Vec<u8> {
    let system = inventory.distribution.as_ref().map(distribution);
    let packages = inventory.packages.iter().map(package);
    let references: Vec<String> = inventory.packages.iter().map(reference).collect();
    let text = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{}", document.id),
        "version": 1,
        "metadata": {
            "timestamp": document.created(),
            "tools": { "components": [{ "type": "application", "name": "cove", "version": env!("CARGO_PKG_VERSION") }] },
            "component": {
                "bom-ref": document.digest,
                "type": "container",
                "name": document.name,
                "version": document.digest,
            },
        },
        "components": system.into_iter().chain(packages).collect::<Vec<_>>(),
        "dependencies": [{ "ref": document.digest, "dependsOn": references }],
    });
    serde_json::to_vec(&text).expect("a document has nothing but texts")
}

fn distribution(system: &Distribution) -> Value {
    json!({
        "bom-ref": format!("os:{}@{}", system.id, system.version_id),
        "type": "operating-system",
        "name": system.id,
        "version": system.version_id,
        "description": system.pretty_name,
    })
}

fn package(package: &Package) -> Value {
    json!({
        "bom-ref": reference(package),
        "type": "library",
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "properties": [
            { "name": "cove:path", "value": package.path },
            { "name": "cove:layer", "value": package.layer },
        ],
    })
}
