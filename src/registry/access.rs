//! Who may use a repository: its own account, and others as policies say.
//!
//! Holds: within an account only an explicit denial keeps anybody out; from outside only an explicit permission lets
//! anybody in. The repository's policy counts, and the registry's where the account has given it that scope.

use std::sync::Arc;

use cove_model::access_policy::{AccessPolicy, Principal, Resources, Verdict};
use cove_model::arn::Tenant;
use cove_model::registry::Repository;
use cove_model::registry_settings::{RegistrySettings, RepositoryPolicy};
use cove_store::{Read, keys};

use crate::error::RegistryError;
use crate::registry::Registry;
use crate::repositories::known;

/// The service of actions in policies.
const SERVICE: &str = "ecr";
/// The account setting that says how far the registry's policy reaches, and its value for all actions.
const SCOPE: (&str, &str) = ("REGISTRY_POLICY_SCOPE", "V2");
/// What the registry's policy is about in either scope.
const OF_REGISTRY: [&str; 3] = ["ecr:ReplicateImage", "ecr:BatchImportUpstreamImage", "ecr:CreateRepository"];

/// Reads a repository's policy; `None` when it is none.
#[must_use]
pub fn repository_policy(text: &str) -> Option<AccessPolicy> {
    AccessPolicy::parse(text, SERVICE, Resources::Forbidden)
}

/// Reads a registry's policy; `None` when it is none.
#[must_use]
pub fn registry_policy(text: &str) -> Option<AccessPolicy> {
    AccessPolicy::parse(text, SERVICE, Resources::Required)
}

impl Registry {
    /// Lets somebody at a repository, or says why not. `action` is as in `ecr:BatchGetImage`.
    ///
    /// # Errors
    /// When the repository is unknown or the policies do not let `who` do that.
    pub fn admit(&self, who: &Principal, tenant: &Tenant, repository: &str, action: &str) -> Result<(), RegistryError> {
        self.store.read(|view| {
            if who.account != tenant.account {
                known(view, tenant, repository)?;
            }
            admit(view, who, tenant, repository, action)
        })
    }

    /// The same where the repository need not be there, as for `ecr:CreateRepository` and `ecr:ReplicateImage`.
    ///
    /// # Errors
    /// When the policies do not let `who` do that.
    pub fn admit_to_any(
        &self,
        who: &Principal,
        tenant: &Tenant,
        repository: &str,
        action: &str,
    ) -> Result<(), RegistryError> {
        self.store.read(|view| admit(view, who, tenant, repository, action))
    }

    /// A repository's policy, if it has one.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub fn policy_of(&self, tenant: &Tenant, name: &str) -> Result<Option<Arc<RepositoryPolicy>>, RegistryError> {
        self.store.read(|view| {
            known(view, tenant, name)?;
            Ok(view.get::<RepositoryPolicy>(&keys::repository_policy(tenant, name)))
        })
    }

    /// Puts a repository's policy, or removes it; what it was.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub async fn set_policy(
        &self,
        tenant: &Tenant,
        name: &str,
        text: Option<String>,
    ) -> Result<Option<Arc<RepositoryPolicy>>, RegistryError> {
        let (tenant, repository) = (tenant.clone(), name.to_owned());
        self.store
            .write(move |tx| {
                known(tx, &tenant, &repository)?;
                let key = keys::repository_policy(&tenant, &repository);
                let before = tx.get::<RepositoryPolicy>(&key);
                match text {
                    Some(text) => tx.put(RepositoryPolicy { tenant, repository, text }),
                    None => drop(tx.delete::<RepositoryPolicy>(&key)),
                }
                Ok(before)
            })
            .await
    }

    /// What holds for all repositories of a tenant.
    #[must_use]
    pub fn settings(&self, tenant: &Tenant) -> Arc<RegistrySettings> {
        let found = self.store.read(|view| view.get::<RegistrySettings>(&keys::registry_settings(tenant)));
        found.unwrap_or_else(|| Arc::new(RegistrySettings::new(tenant)))
    }

    /// Changes what holds for all repositories of a tenant; a refused change changes nothing.
    ///
    /// # Errors
    /// What the change refuses, or when the store does not take it.
    pub async fn change_settings<T, E>(
        &self,
        tenant: &Tenant,
        change: impl FnOnce(&mut RegistrySettings, cove_base::Timestamp) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<cove_store::StoreError> + Send + 'static,
    {
        let tenant = tenant.clone();
        self.store
            .write(move |tx| {
                let found = tx.get::<RegistrySettings>(&keys::registry_settings(&tenant));
                let mut settings = found.map_or_else(|| RegistrySettings::new(&tenant), |found| (*found).clone());
                let done = change(&mut settings, tx.now())?;
                tx.put(settings);
                Ok(done)
            })
            .await
    }
}

/// Inside a transaction.
pub(crate) fn admit(
    read: &impl Read,
    who: &Principal,
    tenant: &Tenant,
    repository: &str,
    action: &str,
) -> Result<(), RegistryError> {
    let resource = || Repository::arn_of(tenant, repository);
    let policy = read.get::<RepositoryPolicy>(&keys::repository_policy(tenant, repository));
    let own = policy.and_then(|policy| repository_policy(&policy.text));
    let settings = read.get::<RegistrySettings>(&keys::registry_settings(tenant));
    let whole = settings.and_then(|settings| {
        let scope = settings.account.get(SCOPE.0).map_or(SCOPE.1, String::as_str);
        let reaches = scope == SCOPE.1 || OF_REGISTRY.contains(&action);
        settings.policy.as_deref().filter(|_| reaches).and_then(registry_policy)
    });
    let found: Vec<Verdict> = own.iter().chain(&whole).map(|policy| policy.verdict(who, action, &resource())).collect();
    let is_inside = who.account == tenant.account;
    let is_denied = found.contains(&Verdict::Denied);
    if !is_denied && (is_inside || found.contains(&Verdict::Allowed)) {
        return Ok(());
    }
    let why = if is_denied { "with an explicit deny in a" } else { "because no" };
    Err(RegistryError::Denied { who: who.shown(), action: action.to_owned(), resource: resource(), why })
}
