//! Which tenants have their defaults, remembered so that only a tenant's first request writes.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use cove_model::arn::Tenant;
use cove_store::{Store, StoreError, Tx};

/// Tenants seen since the start.
#[derive(Default)]
pub(crate) struct Tenants(RwLock<HashSet<Tenant>>);

impl Tenants {
    /// Returns once the tenant's defaults are durable. Two first requests at once both write, which is harmless.
    pub(crate) async fn ensure(
        &self,
        store: &Store,
        setup: impl FnOnce(&mut Tx<'_>, &Tenant) + Send + 'static,
        tenant: &Tenant,
    ) -> Result<(), StoreError> {
        if self.0.read().unwrap_or_else(PoisonError::into_inner).contains(tenant) {
            return Ok(());
        }
        let wanted = tenant.clone();
        let made: Result<(), StoreError> = store
            .write(move |tx| {
                setup(tx, &wanted);
                Ok(())
            })
            .await;
        made?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone());
        Ok(())
    }
}
