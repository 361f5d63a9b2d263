//! Lifecycle policies kept, tried, carried out.

use std::sync::Arc;
use std::time::Duration;

use cove_model::arn::Tenant;
use cove_model::registry_settings::{LifecyclePolicy, LifecyclePreview};
use cove_store::{Prefix, Read, StoreError, Tx, keys};

use super::decide::{Choice, decide};
use super::policy::{Action, Policy};
use crate::error::RegistryError;
use crate::images::{UnlinkChecks, remove_image};
use crate::registry::Registry;
use crate::repositories::known;
use crate::storage::{StorageClass, set_storage_class};
use crate::tags::{TaggedImage, tagged_images};

/// Images that go in one transaction: pushes wait for no more than that.
const BATCH: usize = 256;

impl Registry {
    /// Puts a repository's policy, which was parsed before.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub async fn put_lifecycle_policy(
        &self,
        tenant: &Tenant,
        repository: &str,
        text: String,
    ) -> Result<(), RegistryError> {
        let (tenant, repository) = (tenant.clone(), repository.to_owned());
        self.store
            .write(move |tx| {
                known(tx, &tenant, &repository)?;
                let before = tx.get::<LifecyclePolicy>(&keys::lifecycle_policy(&tenant, &repository));
                let evaluated_at = before.and_then(|before| before.evaluated_at);
                tx.put(LifecyclePolicy { tenant, repository, text, evaluated_at });
                Ok(())
            })
            .await
    }

    /// A repository's policy, if it has one.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub fn lifecycle_policy(
        &self,
        tenant: &Tenant,
        repository: &str,
    ) -> Result<Option<Arc<LifecyclePolicy>>, RegistryError> {
        self.store.read(|view| {
            known(view, tenant, repository)?;
            Ok(view.get::<LifecyclePolicy>(&keys::lifecycle_policy(tenant, repository)))
        })
    }

    /// Removes a repository's policy; what it was.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub async fn delete_lifecycle_policy(
        &self,
        tenant: &Tenant,
        repository: &str,
    ) -> Result<Option<Arc<LifecyclePolicy>>, RegistryError> {
        let (tenant, repository) = (tenant.clone(), repository.to_owned());
        self.store
            .write(move |tx| {
                known(tx, &tenant, &repository)?;
                let key = keys::lifecycle_policy(&tenant, &repository);
                let before = tx.get::<LifecyclePolicy>(&key);
                tx.delete::<LifecyclePolicy>(&key);
                Ok(before)
            })
            .await
    }

    /// Begins to try a policy.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub async fn start_preview(&self, tenant: &Tenant, repository: &str, text: String) -> Result<(), RegistryError> {
        let (tenant, repository) = (tenant.clone(), repository.to_owned());
        self.store
            .write(move |tx| {
                known(tx, &tenant, &repository)?;
                let started_at = tx.now();
                tx.put(LifecyclePreview { tenant, repository, text, started_at });
                Ok(())
            })
            .await
    }

    /// The policy that is tried, the images, and what it would do to them, as of when that began.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub fn preview(&self, tenant: &Tenant, repository: &str) -> Result<Option<Previewed>, RegistryError> {
        let found = self.store.read(|view| {
            known(view, tenant, repository)?;
            let Some(preview) = view.get::<LifecyclePreview>(&keys::lifecycle_policy(tenant, repository)) else {
                return Ok(None);
            };
            Ok::<_, RegistryError>(Some((preview, tagged_images(view, tenant, repository))))
        })?;
        let Some((preview, mut images)) = found else { return Ok(None) };
        images.retain(|one| one.image.pushed_at <= preview.started_at);
        let choices = match Policy::parse(&preview.text) {
            Ok(policy) => decide(&policy, &images, preview.started_at),
            Err(_) => Vec::new(),
        };
        Ok(Some(Previewed { preview, images, choices }))
    }

    /// Carries out every repository's policy, now and at each interval.
    pub async fn keep_lifecycles(self, pause: Duration) {
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.apply_lifecycles().await {
                if matches!(error, RegistryError::Store(StoreError::Closed)) {
                    return;
                }
                tracing::warn!(
                    error = cove_base::error::chain(&error),
                    "a lifecycle policy could not be carried out; it is tried again later"
                );
            }
        }
    }

    /// Carries out every repository's policy once.
    ///
    /// # Errors
    /// When the store does not take a change; the rest waits for the next time.
    pub async fn apply_lifecycles(&self) -> Result<(), RegistryError> {
        for policy in self.store.read(|view| view.scan::<LifecyclePolicy>(&Prefix::all())) {
            let (mut expired, mut archived) = (0, 0);
            loop {
                let (tenant, repository) = (policy.tenant.clone(), policy.repository.clone());
                let done = self.store.write(move |tx| apply(tx, &tenant, &repository)).await?;
                expired += done.expired;
                archived += done.archived;
                if !done.more {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if expired + archived > 0 {
                let repository = &policy.repository;
                tracing::info!(%repository, expired, archived, "carried out a lifecycle policy");
            }
        }
        Ok(())
    }
}

/// A policy that was tried.
#[derive(Debug)]
pub struct Previewed {
    pub preview: Arc<LifecyclePreview>,
    pub images: Vec<TaggedImage>,
    pub choices: Vec<Choice>,
}

#[derive(Default)]
struct Done {
    expired: usize,
    archived: usize,
    more: bool,
}

/// Decides and acts on the writer thread: what was decided is still so.
fn apply(tx: &mut Tx<'_>, tenant: &Tenant, repository: &str) -> Result<Done, RegistryError> {
    let Some(policy) = tx.get::<LifecyclePolicy>(&keys::lifecycle_policy(tenant, repository)) else {
        return Ok(Done::default());
    };
    let now = tx.now();
    let choices = match Policy::parse(&policy.text) {
        Ok(parsed) => decide(&parsed, &tagged_images(tx, tenant, repository), now),
        Err(fault) => {
            tracing::error!(repository, fault, "a lifecycle policy that was taken cannot be read any more");
            Vec::new()
        }
    };
    let mut done = Done { more: choices.len() > BATCH, ..Done::default() };
    for choice in choices.iter().take(BATCH) {
        match choice.action {
            Action::Expire => {
                remove_image(tx, tenant, repository, &choice.digest, UnlinkChecks::None)?;
                done.expired += 1;
            }
            Action::Archive => {
                set_storage_class(tx, tenant, repository, &choice.digest, StorageClass::Archive)?;
                done.archived += 1;
            }
        }
    }
    if !done.more {
        tx.put(LifecyclePolicy { evaluated_at: Some(now), ..(*policy).clone() });
    }
    Ok(done)
}
