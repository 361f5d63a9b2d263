//! The events of ECR about images, as AWS documents them.
//!
//! In: an image and what became of it. Out: a [`NewEvent`]. Members have the names of AWS's examples; a tag that is not
//! there is left out.

use cove_base::Timestamp;
use serde_json::{Map, Value, json};

use super::{DEFAULT_BUS, NewEvent};
use crate::registry::Image;

/// An image came under this tag, or without one.
#[must_use]
pub fn pushed(image: &Image, tag: Option<&str>, at: Timestamp) -> NewEvent {
    let mut detail = detail(image, "PUSH");
    detail.extend(media_types(image));
    tagged(&mut detail, tag);
    event(image, "ECR Image Action", detail, at)
}

/// A tag of an image went, or an image that had none.
#[must_use]
pub fn deleted(image: &Image, tag: Option<&str>, at: Timestamp) -> NewEvent {
    let mut detail = detail(image, "DELETE");
    tagged(&mut detail, tag);
    event(image, "ECR Image Action", detail, at)
}

/// An image went into the archive or came back, as it says itself.
#[must_use]
pub fn storage_changed(image: &Image, at: Timestamp) -> NewEvent {
    let mut detail = detail(image, "UPDATE_STORAGE_CLASS");
    detail.extend(media_types(image));
    let class = if image.is_archived { "ARCHIVE" } else { "STANDARD" };
    detail.insert("target-storage-class".to_owned(), json!(class));
    if let (false, Some(activated)) = (image.is_archived, image.activated_at) {
        detail.insert("last-activated-at".to_owned(), json!(activated.rfc3339()));
    }
    let detail_type = if image.subject.is_some() { "ECR Referrer Action" } else { "ECR Image Action" };
    event(image, detail_type, detail, at)
}

fn detail(image: &Image, action: &str) -> Map<String, Value> {
    let parts = [
        ("result", "SUCCESS"),
        ("repository-name", image.repository.as_str()),
        ("image-digest", image.digest.as_str()),
        ("action-type", action),
    ];
    parts.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

fn media_types(image: &Image) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("manifest-media-type".to_owned(), json!(image.media_type));
    if let Some(artifact) = image.artifact_type.as_ref().or(image.config_media_type.as_ref()) {
        all.insert("artifact-media-type".to_owned(), json!(artifact));
    }
    all
}

fn tagged(detail: &mut Map<String, Value>, tag: Option<&str>) {
    if let Some(tag) = tag {
        detail.insert("image-tag".to_owned(), json!(tag));
    }
}

fn event(image: &Image, detail_type: &str, detail: Map<String, Value>, at: Timestamp) -> NewEvent {
    NewEvent {
        tenant: image.tenant.clone(),
        id: None,
        bus: DEFAULT_BUS.to_owned(),
        source: "aws.ecr".to_owned(),
        detail_type: detail_type.to_owned(),
        at,
        resources: Vec::new(),
        detail: Value::Object(detail).to_string(),
        is_routed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arn::Tenant;

    fn image() -> Image {
        Image {
            tenant: Tenant::new("123456789012", "us-west-2"),
            repository: "ubuntu".into(),
            digest: "sha256:f9".into(),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            manifest_size: 1,
            image_size: 1,
            artifact_type: None,
            config_media_type: Some("application/vnd.oci.image.config.v1+json".into()),
            blobs: Vec::new(),
            manifests: Vec::new(),
            subject: None,
            pushed_at: Timestamp(0),
            last_pulled_at: None,
            is_archived: false,
            archived_at: None,
            activated_at: None,
        }
    }

    fn of(event: &NewEvent) -> Value {
        serde_json::from_str(&event.detail).unwrap()
    }

    #[test]
    fn a_deletion_and_an_archival_say_what_awss_examples_say() {
        let gone = deleted(&image(), Some("latest"), Timestamp(0));
        assert_eq!((gone.source.as_str(), gone.detail_type.as_str()), ("aws.ecr", "ECR Image Action"));
        assert!(gone.resources.is_empty());
        let expected = json!({"result": "SUCCESS", "repository-name": "ubuntu", "image-digest": "sha256:f9",
            "action-type": "DELETE", "image-tag": "latest"});
        assert_eq!(of(&gone), expected);
        let archived = storage_changed(&Image { is_archived: true, ..image() }, Timestamp(0));
        let expected = json!({"action-type": "UPDATE_STORAGE_CLASS", "target-storage-class": "ARCHIVE",
            "image-digest": "sha256:f9", "repository-name": "ubuntu", "result": "SUCCESS",
            "manifest-media-type": "application/vnd.oci.image.manifest.v1+json",
            "artifact-media-type": "application/vnd.oci.image.config.v1+json"});
        assert_eq!(of(&archived), expected);
        let back = Image { activated_at: Some(Timestamp(0)), subject: Some("sha256:aa".into()), ..image() };
        let back = storage_changed(&back, Timestamp(0));
        assert_eq!(back.detail_type, "ECR Referrer Action");
        assert_eq!(of(&back)["last-activated-at"], "1970-01-01T00:00:00.000Z");
    }
}
