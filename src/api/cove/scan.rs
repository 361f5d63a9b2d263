//! `POST scan/sbom`: an image's inventory for the command line. `{"repository", "reference", "format"}`, the format `spdx` or
//! `cyclonedx`.

use cove_model::image::ImageSelector;
use cove_registry::scan::SbomFormat;

use super::{good, problem, read};
use crate::{RawContext, Request, Response};

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
