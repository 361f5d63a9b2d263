//! Repositories: made, changed, listed, removed.

use std::collections::HashMap;
use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::event::ecr;
use cove_model::image::is_repository;
use cove_model::registry::{BlobLink, Image, ImageTag, Referrer, Repository, Upload};
use cove_model::registry_rules::UpstreamTag;
use cove_model::registry_settings::{LifecyclePolicy, LifecyclePreview, RepositoryPolicy};
use cove_store::{Key, Prefix, Read, Tx, keys};

use crate::error::RegistryError;
use crate::images::forget_replications;
use crate::registry::Registry;

impl Registry {
    /// Adds a repository. `made_at` is set to the transaction's time.
    ///
    /// # Errors
    /// When one of that name exists or the name is none.
    pub async fn create_repository(&self, mut wanted: Repository) -> Result<Repository, RegistryError> {
        if !is_repository(&wanted.name) {
            return Err(RegistryError::NameInvalid(wanted.name));
        }
        self.store
            .write(move |tx| {
                if tx.get::<Repository>(&keys::repository(&wanted.tenant, &wanted.name)).is_some() {
                    let (name, account) = (wanted.name, wanted.tenant.account);
                    return Err(RegistryError::RepositoryExists { name, account });
                }
                wanted.created_at = tx.now();
                tx.put(wanted.clone());
                Ok(wanted)
            })
            .await
    }

    /// A repository.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn repository(&self, tenant: &Tenant, name: &str) -> Result<Arc<Repository>, RegistryError> {
        self.store.read(|view| known(view, tenant, name))
    }

    /// All repositories of a tenant, by name.
    #[must_use]
    pub fn repositories(&self, tenant: &Tenant) -> Vec<Arc<Repository>> {
        self.store.read(|view| view.scan::<Repository>(&Prefix::tenant(tenant)))
    }

    /// Changes a repository's settings.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn update_repository(
        &self,
        tenant: &Tenant,
        name: &str,
        change: impl FnOnce(&mut Repository) + Send + 'static,
    ) -> Result<Repository, RegistryError> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        self.store
            .write(move |tx| {
                let mut repository = (*known(tx, &tenant, &name)?).clone();
                change(&mut repository);
                tx.put(repository.clone());
                Ok(repository)
            })
            .await
    }

    /// Removes a repository that is empty.
    ///
    /// # Errors
    /// When there is none of that name or it holds images.
    pub async fn delete_repository(&self, tenant: &Tenant, name: &str) -> Result<Repository, RegistryError> {
        self.remove_repository(tenant, name, Full::Refuse).await
    }

    /// Removes a repository with everything in it. Its blobs go with the next collection.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn delete_repository_with_images(
        &self,
        tenant: &Tenant,
        name: &str,
    ) -> Result<Repository, RegistryError> {
        self.remove_repository(tenant, name, Full::Empty).await
    }

    async fn remove_repository(&self, tenant: &Tenant, name: &str, full: Full) -> Result<Repository, RegistryError> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        let removed = self
            .store
            .write(move |tx| {
                let repository = known(tx, &tenant, &name)?;
                let inside = Prefix::parent(&tenant, &name);
                let images = tx.scan::<Image>(&inside);
                match full {
                    Full::Refuse if !images.is_empty() => {
                        return Err(RegistryError::RepositoryNotEmpty { name, account: tenant.account });
                    }
                    Full::Refuse | Full::Empty => {}
                }
                let mut tags: HashMap<String, Vec<String>> = HashMap::new();
                for tag in tx.scan::<ImageTag>(&inside) {
                    tags.entry(tag.digest.clone()).or_default().push(tag.tag.clone());
                }
                for image in images {
                    if let Some(subject) = &image.subject {
                        tx.delete::<Referrer>(&keys::referrer(&tenant, &name, subject, &image.digest));
                    }
                    forget_replications(tx, &tenant, &name, &image.digest);
                    tx.delete::<Image>(&keys::image(&tenant, &name, &image.digest));
                    tell_deleted(tx, &image, tags.get(&image.digest).map_or(&[], Vec::as_slice));
                }
                delete_all::<ImageTag>(tx, &inside, |tag| keys::image_tag(&tenant, &name, &tag.tag));
                delete_all::<UpstreamTag>(tx, &inside, |tag| keys::image_tag(&tenant, &name, &tag.tag));
                delete_all::<BlobLink>(tx, &inside, |link| keys::blob_link(&tenant, &name, &link.digest));
                let uploads = tx.scan::<Upload>(&inside);
                delete_all::<Upload>(tx, &inside, |upload| keys::upload(&tenant, &name, &upload.id));
                tx.delete::<LifecyclePolicy>(&keys::lifecycle_policy(&tenant, &name));
                tx.delete::<LifecyclePreview>(&keys::lifecycle_policy(&tenant, &name));
                tx.delete::<RepositoryPolicy>(&keys::repository_policy(&tenant, &name));
                tx.delete::<Repository>(&keys::repository(&tenant, &name));
                Ok::<_, RegistryError>(((*repository).clone(), uploads))
            })
            .await;
        let (repository, uploads) = removed?;
        for upload in uploads {
            self.forget(&upload.id).await;
        }
        Ok(repository)
    }
}

/// An image that goes with its repository is told of like one that goes by itself.
fn tell_deleted(tx: &mut Tx<'_>, image: &Image, tags: &[String]) {
    let now = tx.now();
    if tags.is_empty() {
        tx.emit(ecr::deleted(image, None, now));
    }
    for tag in tags {
        tx.emit(ecr::deleted(image, Some(tag), now));
    }
}

/// What to do with a repository that holds images.
enum Full {
    Refuse,
    Empty,
}

fn delete_all<K: cove_store::Record>(tx: &mut Tx<'_>, inside: &Prefix, key: impl Fn(&K) -> Key) {
    for record in tx.scan::<K>(inside) {
        tx.delete::<K>(&key(&record));
    }
}

/// The repository, or the refusal that names it.
pub(crate) fn known(read: &impl Read, tenant: &Tenant, name: &str) -> Result<Arc<Repository>, RegistryError> {
    read.get::<Repository>(&keys::repository(tenant, name))
        .ok_or_else(|| RegistryError::RepositoryUnknown { name: name.to_owned(), account: tenant.account.clone() })
}
