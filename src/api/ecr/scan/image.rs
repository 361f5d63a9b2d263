//! StartImageScan, DescribeImageScanFindings, and what DescribeImages shows of a scan.

use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::registry::Image;
use cove_model::scan::{Applied, Eligibility, ImageScan, ScanType, applied, is_scannable};
use cove_registry::scan::{Form, ScanRefused, Seen};
use cove_registry::{Digest, RegistryError};
use cove_store::{Read, keys};
use serde::Serialize;
use serde_json::Value;

use super::super::error::{EcrError, of};
use super::super::request::ImageIn;
use super::super::wire::ImageId;
use super::finding::{BasicFinding, basic};
use super::setting::settings;
use super::wire::{Counted, ScanSummary, StatusWire, counted, status, summary, unavailable};
use crate::aws::context::Context;

/// ECR's default for `maxResults`.
const PAGE: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartOut {
    registry_id: String,
    repository_name: String,
    image_id: ImageId,
    image_scan_status: StatusWire,
}

pub(crate) async fn start(cx: &Context, input: ImageIn) -> Result<StartOut, EcrError> {
    let (tenant, image, image_id) = found(cx, &input, "StartImageScan")?;
    if !is_scannable(&image) {
        let media_type =
            image.artifact_type.as_ref().or(image.config_media_type.as_ref().filter(|_| image.manifests.is_empty()));
        return Err(EcrError::UnsupportedImageType(media_type.unwrap_or(&image.media_type).clone()));
    }
    let applied = of_repository(cx, &tenant, &input.of.repository_name)?;
    // Amazon Inspector decides when to scan; ECR answers so where it does.
    if applied.scan_type == ScanType::Enhanced {
        return Err(EcrError::FeatureDisabled);
    }
    let started = cx.registry.start_scan(&image).await.map_err(|refused| match refused {
        ScanRefused::TooSoon => EcrError::ScanLimit,
        ScanRefused::Registry(error) => of(&tenant, &input.of.repository_name)(error),
    })?;
    Ok(StartOut {
        registry_id: tenant.account,
        repository_name: input.of.repository_name,
        image_id,
        image_scan_status: status(&started, &applied, Eligibility::Eligible),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FindingsOut {
    registry_id: String,
    repository_name: String,
    image_id: ImageId,
    image_scan_status: StatusWire,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_scan_findings: Option<Findings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Findings {
    #[serde(flatten)]
    counted: Counted,
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<Vec<BasicFinding>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enhanced_findings: Option<Vec<Value>>,
}

pub(crate) async fn findings(cx: &Context, input: ImageIn) -> Result<FindingsOut, EcrError> {
    let (tenant, image, image_id) = found(cx, &input, "DescribeImageScanFindings")?;
    let name = &input.of.repository_name;
    let applied = of_repository(cx, &tenant, name)?;
    let key = keys::image_scan(&tenant, name, &image.digest);
    let Some(scan) = cx.store.read(|view| view.get::<ImageScan>(&key)) else {
        return Err(EcrError::ScanNotFound {
            repository: name.clone(),
            account: tenant.account,
            digest: image_id.image_digest,
            tag: image_id.image_tag,
        });
    };
    let eligibility = cx.registry.eligibility(&image, &applied);
    let mut out = FindingsOut {
        registry_id: tenant.account.clone(),
        repository_name: name.clone(),
        image_id,
        image_scan_status: status(&scan, &applied, eligibility),
        image_scan_findings: None,
        next_token: None,
    };
    let (Some(counted), Some(result)) = (counted(&scan, &applied, eligibility), &scan.result) else { return Ok(out) };
    let report = match cx.registry.findings(&result.findings).await {
        Err(RegistryError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            out.image_scan_status = unavailable();
            return Ok(out);
        }
        read => read.map_err(of(&tenant, name))?,
    };
    let from = input.page.next_token.as_deref().map_or(Ok(0), |token| place(token, &result.findings))?;
    let rest = report.findings.get(from..).unwrap_or_default();
    let page = &rest[..rest.len().min(input.page.max_results.unwrap_or(PAGE).max(1))];
    if page.len() < rest.len() {
        out.next_token = Some(URL_SAFE_NO_PAD.encode(format!("{} {}", from + page.len(), result.findings)));
    }
    let tags = cx.registry.tags_of(&tenant, name, &image.digest);
    let (mut findings, mut enhanced_findings) = (None, None);
    match scan.scan_type {
        ScanType::Basic => findings = Some(page.iter().map(basic).collect()),
        ScanType::Enhanced => {
            let seen = Seen { form: Form::Ecr, image: &image, tags: &tags, at: result.completed_at };
            enhanced_findings = Some(page.iter().map(|one| seen.active(one)).collect());
        }
    }
    out.image_scan_findings = Some(Findings { counted, findings, enhanced_findings });
    Ok(out)
}

/// A token names the findings that it goes on with: after another scan it is none of this list.
fn place(token: &str, findings: &str) -> Result<usize, EcrError> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.as_deref().and_then(|text| text.strip_suffix(findings)).and_then(|at| at.trim_end().parse().ok());
    place.ok_or_else(|| {
        EcrError::InvalidParameter(
            "Invalid parameter at 'nextToken' failed to satisfy constraint: 'must be a token of this list'".to_owned(),
        )
    })
}

/// For DescribeImages.
pub(crate) fn summary_of(cx: &Context, image: &Image) -> ScanSummary {
    let key = keys::image_scan(&image.tenant, &image.repository, &image.digest);
    let scan = cx.store.read(|view| view.get::<ImageScan>(&key));
    match of_repository(cx, &image.tenant, &image.repository) {
        Ok(applied) => summary(scan.as_deref(), &applied, cx.registry.eligibility(image, &applied)),
        Err(_gone) => ScanSummary::default(),
    }
}

/// What the owner of the registry wants for a repository.
fn of_repository(cx: &Context, tenant: &Tenant, name: &str) -> Result<Applied, EcrError> {
    let repository = cx.registry.repository(tenant, name).map_err(of(tenant, name))?;
    Ok(applied(settings(cx, tenant).as_ref(), &repository))
}

/// Whose the image is, the image, and its id with the digest that the tag stands for.
fn found(cx: &Context, input: &ImageIn, operation: &str) -> Result<(Tenant, Arc<Image>, ImageId), EcrError> {
    let (name, id) = (&input.of.repository_name, &input.image_id);
    let tenant = input.of.reach(cx, operation)?;
    let absent = || EcrError::ImageNotFound {
        repository: name.clone(),
        account: tenant.account.clone(),
        digest: id.image_digest.clone(),
        tag: id.image_tag.clone(),
    };
    let invalid = |why: &str| {
        EcrError::InvalidParameter(format!("Invalid parameter at 'imageId' failed to satisfy constraint: '{why}'"))
    };
    let selector = match (&id.image_tag, &id.image_digest) {
        (None, None) => return Err(invalid("Invalid request parameters: both tag and digest cannot be null")),
        (_, Some(digest)) if Digest::parse(digest).is_none() => {
            return Err(invalid("image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"));
        }
        (Some(tag), _) => ImageSelector::Tag(tag.clone()),
        (None, Some(digest)) => ImageSelector::Digest(digest.clone()),
    };
    cx.registry.repository(&tenant, name).map_err(of(&tenant, name))?;
    let image = cx.registry.image(&tenant, name, &selector).map_err(|_unknown| absent())?;
    if id.image_digest.as_ref().is_some_and(|digest| *digest != image.digest) {
        return Err(absent());
    }
    let image_id = ImageId { image_digest: Some(image.digest.clone()), image_tag: id.image_tag.clone() };
    Ok((tenant, image, image_id))
}
