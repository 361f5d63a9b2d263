//! Scans that clients ask for, and what they may read of them.

use cove_model::arn::Tenant;
use cove_model::registry::{Image, ImageTag, Repository};
use cove_model::scan::{Applied, Eligibility, ImageScan, ScanSettings, ScanState, ScanTrigger, applied, eligibility};
use cove_scan::Report;
use cove_store::{Prefix, Read, StoreError, keys};

use super::kept;
use crate::error::RegistryError;
use crate::registry::{Registry, blocking};
use crate::storage::refuse_archived;

/// Why a scan is not begun.
#[derive(Debug, thiserror::Error)]
pub enum ScanRefused {
    #[error("the image was scanned not long ago")]
    TooSoon,
    #[error("the scan could not be recorded")]
    Registry(#[from] RegistryError),
}

impl From<StoreError> for ScanRefused {
    fn from(error: StoreError) -> Self {
        Self::Registry(error.into())
    }
}

impl Registry {
    /// Records that an image is to be scanned. One that failed may be asked for again at once.
    ///
    /// # Errors
    /// When a scan is under way or was completed not long ago, or the image is gone or in the archive.
    pub async fn start_scan(&self, image: &Image) -> Result<ImageScan, ScanRefused> {
        let (image, interval) = (image.clone(), self.config.scan.ask_again_millis);
        self.store
            .write(move |tx| {
                let key = keys::image(&image.tenant, &image.repository, &image.digest);
                match tx.get::<Image>(&key) {
                    Some(found) => refuse_archived(&found)?,
                    None => {
                        let (repository, reference) = (image.repository, image.digest);
                        return Err(RegistryError::ManifestUnknown { repository, reference }.into());
                    }
                }
                let settings = tx.get::<ScanSettings>(&keys::scan_settings(&image.tenant));
                let repository = tx.get::<Repository>(&keys::repository(&image.tenant, &image.repository));
                let scan_type =
                    repository.map(|found| applied(settings.as_deref(), &found).scan_type).unwrap_or_default();
                let key = keys::image_scan(&image.tenant, &image.repository, &image.digest);
                let (now, trigger) = (tx.now(), ScanTrigger::Request);
                let wanted = match tx.get::<ImageScan>(&key) {
                    None => ImageScan::wanted(&image, scan_type, trigger, now),
                    Some(last) if last.state == ScanState::Failed => last.again(scan_type, trigger, now),
                    Some(last) if last.state.is_open() || now < last.requested_at.plus_millis(interval) => {
                        return Err(ScanRefused::TooSoon);
                    }
                    Some(last) => last.again(scan_type, trigger, now),
                };
                tx.put(wanted.clone());
                Ok(wanted)
            })
            .await
    }

    /// Whether the image is scanned at all.
    #[must_use]
    pub fn eligibility(&self, image: &Image, applied: &Applied) -> Eligibility {
        eligibility(image, applied, self.config.scan.renew_for_millis, self.clock.now())
    }

    /// What a scan found, by the digest in its result.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn findings(&self, digest: &str) -> Result<Report, RegistryError> {
        let path = kept::path(self.store.data_dir(), digest);
        let read = blocking(move || kept::read(&path)).await;
        read.map_err(RegistryError::io(format!("read findings `{digest}`")))
    }

    /// The tags that point at an image.
    #[must_use]
    pub fn tags_of(&self, tenant: &Tenant, repository: &str, digest: &str) -> Vec<String> {
        let tags = self.store.read(|view| view.scan::<ImageTag>(&Prefix::parent(tenant, repository)));
        tags.iter().filter(|tag| tag.digest == digest).map(|tag| tag.tag.clone()).collect()
    }
}
