//! Repositories that are made without CreateRepository, as a creation template says.
//!
//! Holds: of the templates for a purpose the one with the longest prefix counts; one is made in the transaction that
//! first needs it, or not at all.

use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::arn::Tenant;
use cove_model::image::is_repository;
use cove_model::registry::{Repository, TagMutability};
use cove_model::registry_rules::{CreationTemplate, MadeFor, below, exactness};
use cove_model::registry_settings::{LifecyclePolicy, RepositoryPolicy};
use cove_store::{Prefix, Read, Tx, keys};

use crate::error::RegistryError;
use crate::registry::Registry;

impl Registry {
    /// Makes the repository of a push if it is not there and a template says so.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn make_for_push(&self, tenant: &Tenant, name: &str) -> Result<(), RegistryError> {
        let key = keys::repository(tenant, name);
        let template = self.store.read(|view| match view.get::<Repository>(&key) {
            Some(_) => None,
            None => template_of(view, tenant, name, MadeFor::CreateOnPush),
        });
        if template.is_none() || !is_repository(name) {
            return Ok(());
        }
        let (tenant, name) = (tenant.clone(), name.to_owned());
        self.store
            .write(move |tx| {
                if template_of(tx, &tenant, &name, MadeFor::CreateOnPush).is_some() {
                    made(tx, &tenant, &name, MadeFor::CreateOnPush);
                }
                Ok::<_, RegistryError>(())
            })
            .await
    }
}

/// The repository, made as its template says when it is not there: without one, as CreateRepository makes it.
pub(crate) fn made(tx: &mut Tx<'_>, tenant: &Tenant, name: &str, purpose: MadeFor) -> Arc<Repository> {
    if let Some(known) = tx.get::<Repository>(&keys::repository(tenant, name)) {
        return known;
    }
    let template = template_of(tx, tenant, name, purpose);
    let repository = dressed(template.as_deref(), tenant, name, tx.now());
    tx.put(repository.clone());
    let (tenant, repository_name) = (tenant.clone(), name.to_owned());
    if let Some(text) = template.as_ref().and_then(|it| it.repository_policy.clone()) {
        tx.put(RepositoryPolicy { tenant: tenant.clone(), repository: repository_name.clone(), text });
    }
    if let Some(text) = template.and_then(|it| it.lifecycle_policy.clone()) {
        tx.put(LifecyclePolicy { tenant, repository: repository_name, text, evaluated_at: None });
    }
    Arc::new(repository)
}

/// The one that counts for a name.
fn template_of(read: &impl Read, tenant: &Tenant, name: &str, purpose: MadeFor) -> Option<Arc<CreationTemplate>> {
    let all = read.scan::<CreationTemplate>(&Prefix::tenant(tenant));
    let fits = |it: &Arc<CreationTemplate>| it.applied_for.contains(&purpose) && below(&it.prefix, name).is_some();
    all.into_iter().filter(fits).max_by_key(|it| exactness(&it.prefix))
}

/// The repository that a template describes, but for its policies.
fn dressed(template: Option<&CreationTemplate>, tenant: &Tenant, name: &str, now: Timestamp) -> Repository {
    let is_immutable = template.is_some_and(|it| it.tag_mutability.starts_with("IMMUTABLE"));
    Repository {
        tenant: tenant.clone(),
        name: name.to_owned(),
        created_at: now,
        tag_mutability: if is_immutable { TagMutability::Immutable } else { TagMutability::Mutable },
        tag_exclusions: template.map(|it| it.tag_exclusions.clone()).unwrap_or_default(),
        scan_on_push: false,
        encryption_type: template.map_or_else(|| "AES256".to_owned(), |it| it.encryption_type.clone()),
        kms_key: template.and_then(|it| it.kms_key.clone()),
        tags: template.map(|it| it.tags.clone()).unwrap_or_default(),
    }
}
