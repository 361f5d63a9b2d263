//! UpdateImageStorageClass. Coming back from the archive takes no time here, so no image is ever ACTIVATING.

use cove_registry::StorageClass;
use serde::{Deserialize, Serialize};

use super::access::reach;
use super::error::{EcrError, of};
use super::image::{selected, status_of};
use super::wire::ImageId;
use crate::aws::context::Context;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateIn {
    registry_id: Option<String>,
    repository_name: String,
    image_id: ImageId,
    target_storage_class: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateOut {
    registry_id: String,
    repository_name: String,
    image_id: ImageId,
    image_status: &'static str,
}

pub(super) async fn update(cx: &Context, input: UpdateIn) -> Result<UpdateOut, EcrError> {
    let name = &input.repository_name;
    let tenant = reach(cx, input.registry_id.as_deref(), name, "UpdateImageStorageClass")?;
    let selector = selected(&input.image_id)?;
    let class = if input.target_storage_class == "ARCHIVE" { StorageClass::Archive } else { StorageClass::Standard };
    let image = cx.registry.move_image(&tenant, name, selector, class).await.map_err(of(&tenant, name))?;
    Ok(UpdateOut {
        registry_id: tenant.account,
        repository_name: name.clone(),
        image_id: ImageId { image_digest: Some(image.digest.clone()), image_tag: input.image_id.image_tag },
        image_status: status_of(&image),
    })
}
