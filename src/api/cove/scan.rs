//! Scans for the command line: advisories imported, inventories made.
//!
//! | | |
//! |---|---|
//! | `POST scan/import` | `{"sources": [PATH…]}`: archives, directories or files with OSV records on the server's host |
//! | `POST scan/sbom` | `{"repository", "reference", "format"}`: the image's inventory in `spdx` or `cyclonedx` |
//!
//! Why paths and not bytes: the data of all ecosystems is larger than what a request should carry, and only the node's
//! owner gets here.

use std::path::PathBuf;

use cove_base::error::chain;
use cove_model::image::ImageSelector;
use cove_registry::scan::SbomFormat;
use serde_json::{Value, json};

use super::{good, problem, read};
use crate::{RawContext, Request, Response};

/// `POST scan/import`.
pub(super) async fn import(cx: &RawContext, request: Request) -> Response {
    let body = match read(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let sources = body["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sources: Vec<PathBuf> = sources.iter().filter_map(Value::as_str).map(PathBuf::from).collect();
    if sources.is_empty() || !sources.iter().all(|path| path.is_absolute()) {
        return problem(400, "InvalidParameter", "`sources` must be absolute paths on the server's host");
    }
    match cx.registry().import_advisories(sources).await {
        Ok(done) => {
            let ecosystems: Vec<Value> = done
                .info
                .ecosystems
                .iter()
                .map(|(name, of)| json!({"name": name, "advisories": of.advisories, "newest": of.newest}))
                .collect();
            let refused = done.problems.iter().map(|one| format!("{}: {}", one.path, one.text)).collect::<Vec<_>>();
            good(&json!({"records": done.records, "withdrawn": done.withdrawn, "refused": done.refused,
                "problems": refused, "ecosystems": ecosystems}))
        }
        Err(error) => problem(400, "Import", &chain(&error)),
    }
}

/// `POST scan/sbom`.
pub(super) async fn sbom(cx: &RawContext, request: Request) -> Response {
    let Some(identity) = &cx.identity else { return cx.not_found() };
    let body = match read(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let word = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let format = match word("format").as_str() {
        "spdx" => SbomFormat::Spdx,
        "cyclonedx" => SbomFormat::CycloneDx,
        _ => return problem(400, "InvalidParameter", "`format` must be spdx or cyclonedx"),
    };
    let (repository, reference) = (word("repository"), word("reference"));
    let selector =
        if reference.contains(':') { ImageSelector::Digest(reference) } else { ImageSelector::Tag(reference) };
    let image = match cx.registry().image(&identity.tenant, &repository, &selector) {
        Ok(image) => image,
        Err(error) => return problem(404, "NotFound", &error.to_string()),
    };
    match cx.registry().inventory_document(&identity.tenant, &repository, &image.digest, format).await {
        Ok(document) => good(&serde_json::from_slice(&document).unwrap_or_default()),
        Err(why) => problem(400, "Inventory", &why),
    }
}
