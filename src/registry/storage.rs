//! Storage classes: an image in the archive is described and deleted, and not pulled.
//!
//! Here the bytes stay where they are: what the archive changes is who may read them. So coming back takes no time, and
//! nobody ever sees an image that is only on its way.

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::event::ecr;
use cove_model::image::ImageSelector;
use cove_model::registry::Image;
use cove_store::Tx;

use crate::error::RegistryError;
use crate::images::find;
use crate::referrers::referrers_of;
use crate::registry::Registry;

/// Where an image is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageClass {
    Standard,
    Archive,
}

impl Registry {
    /// Moves an image, and who refers to it.
    ///
    /// # Errors
    /// When repository or image is unknown.
    pub async fn move_image(
        &self,
        tenant: &Tenant,
        repository: &str,
        selector: ImageSelector,
        class: StorageClass,
    ) -> Result<Arc<Image>, RegistryError> {
        let (tenant, repository) = (tenant.clone(), repository.to_owned());
        self.store
            .write(move |tx| {
                let digest = find(tx, &tenant, &repository, &selector)?.digest.clone();
                let mut waiting = vec![digest.clone()];
                let mut moved = Vec::new();
                while let Some(next) = waiting.pop() {
                    set_storage_class(tx, &tenant, &repository, &next, class)?;
                    moved.push(next.clone());
                    let behind = referrers_of(tx, &tenant, &repository, &next);
                    waiting.extend(behind.into_iter().filter(|digest| !moved.contains(digest)));
                }
                find(tx, &tenant, &repository, &ImageSelector::Digest(digest))
            })
            .await
    }
}

/// Moves one image. Who is there already stays, without an event.
pub(crate) fn set_storage_class(
    tx: &mut Tx<'_>,
    tenant: &Tenant,
    repository: &str,
    digest: &str,
    class: StorageClass,
) -> Result<(), RegistryError> {
    let image = find(tx, tenant, repository, &ImageSelector::Digest(digest.to_owned()))?;
    let to_archive = class == StorageClass::Archive;
    if image.is_archived == to_archive {
        return Ok(());
    }
    let now = tx.now();
    let mut image = (*image).clone();
    image.is_archived = to_archive;
    if to_archive {
        image.archived_at = Some(now);
    } else {
        image.activated_at = Some(now);
    }
    tx.emit(ecr::storage_changed(&image, now));
    tx.put(image);
    Ok(())
}

/// The refusal of a pull from the archive.
pub(crate) fn refuse_archived(image: &Image) -> Result<(), RegistryError> {
    if !image.is_archived {
        return Ok(());
    }
    Err(RegistryError::ImageArchived { repository: image.repository.clone(), digest: image.digest.clone() })
}
