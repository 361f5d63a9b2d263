//! The scanner that is built in: used when advisories were imported and no hook looks for findings.
//!
//! Holds: a database appears whole or not at all; a scan reads one that is whole.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cove_base::Timestamp;
use cove_base::error::chain;
use cove_base::paths::DataDir;
use cove_model::arn::Tenant;
use cove_scan::{Database, DatabaseError, Document, ImageReader, Imported, Inventory, Report};

use super::config::SbomFormat;
use super::opened::Opened;
use super::run::Unscanned;
use crate::registry::{Registry, blocking};

/// What it is called where hooks have names.
pub(super) const NAME: &str = "built-in";

/// Two imports would each replace what the other brought.
static IMPORTING: Mutex<()> = Mutex::new(());

/// Where the advisories lie.
pub(super) fn database(data: &DataDir) -> PathBuf {
    data.advisories().join("osv")
}

/// What the image holds. Blocks.
pub(super) fn inventory(opened: &Opened) -> Result<Inventory, String> {
    let mut reader = ImageReader::new();
    // The config comes first; layers are read from the top.
    let layers = opened.layers.iter().zip(&opened.files[1..]);
    for (layer, (_, path)) in layers.rev() {
        let mut blob = File::open(path).map_err(|error| format!("layer {}: {error}", layer.digest))?;
        reader.layer(&layer.digest, &mut blob).map_err(|error| chain(&error))?;
    }
    Ok(reader.finish())
}

/// What is known of it, and from when that is. Blocks.
pub(super) fn report(data: &DataDir, inventory: &Inventory) -> Result<(Report, Option<Timestamp>), String> {
    let look = || {
        let database = Database::open(&database(data))?;
        Ok((cove_scan::scan(inventory, &database)?, database.info().oldest_import()))
    };
    look().map_err(|error: DatabaseError| chain(&error))
}

/// The inventory as a document.
pub(super) fn document(
    opened: &Opened,
    inventory: &Inventory,
    format: SbomFormat,
    created: Timestamp,
) -> Option<Vec<u8>> {
    let image = &opened.image;
    let name = format!("{}:{}", image.repository, opened.tag.as_deref().unwrap_or(&image.digest));
    let id = cove_base::ids::uuid();
    let about = Document { name: &name, digest: &image.digest, created, id: &id };
    Some(match format {
        SbomFormat::CycloneDx => cove_scan::cyclonedx(inventory, &about),
        SbomFormat::Spdx => cove_scan::spdx(inventory, &about),
        SbomFormat::Syft => return None,
    })
}

impl Registry {
    /// Imports OSV records: archives, directories or single files of this host.
    ///
    /// # Errors
    /// When a source cannot be read or holds no advisory; the database is as before then.
    pub async fn import_advisories(&self, sources: Vec<PathBuf>) -> Result<Imported, DatabaseError> {
        let (data, now) = (self.store.data_dir().clone(), self.clock.now());
        blocking(move || {
            let _one = IMPORTING.lock().unwrap_or_else(PoisonError::into_inner);
            let directory = data.advisories();
            let made = std::fs::create_dir_all(&directory);
            made.map_err(|source| DatabaseError::Write { path: directory, source })?;
            cove_scan::import(&database(&data), &sources, now)
        })
        .await
    }

    /// An inventory of an image of a repository, made now.
    ///
    /// # Errors
    /// Why it cannot be made, for people.
    pub async fn inventory_document(
        &self,
        tenant: &Tenant,
        repository: &str,
        digest: &str,
        format: SbomFormat,
    ) -> Result<Vec<u8>, String> {
        let opened = match self.open_image(tenant, repository, digest).await {
            Ok(opened) => Arc::new(opened),
            Err(Unscanned::Failed(why) | Unscanned::Unsupported(why)) => return Err(why),
            Err(Unscanned::Gone) => return Err("the image is not there any more".to_owned()),
        };
        let now = self.clock.now();
        blocking(move || {
            let inventory = inventory(&opened)?;
            document(&opened, &inventory, format, now).ok_or_else(|| "inventories are SPDX or CycloneDX".to_owned())
        })
        .await
    }
}
