//! What becomes of a service that is INACTIVE: it stays describable for a while, then it goes with all that is kept of it.

use cove_base::Timestamp;
use cove_model::service::{
    Departed, Service, ServiceDeployment, ServiceEvent, ServiceRevision, ServiceStatus, TaskSet,
};
use cove_store::{Key, Prefix, Read, Record, StoreError, Tx, keys};

/// How long it stays; ECS says "for some time".
const KEEP_MILLIS: i64 = 60 * 60 * 1000;

/// Services whose time is over.
pub(super) fn forgotten(source: &impl Read, now: Timestamp) -> Vec<Key> {
    let before = now.plus_millis(-KEEP_MILLIS);
    let is_over = |it: &Service| it.status == ServiceStatus::Inactive && it.gone_at.is_some_and(|at| at < before);
    source.scan::<Service>(&Prefix::all()).iter().filter(|it| is_over(it)).map(|it| it.key()).collect()
}

/// Deletes them, unless somebody has made one of that name again.
pub(super) fn delete(tx: &mut Tx<'_>, services: &[Key]) -> Result<(), StoreError> {
    for key in services {
        let Some(service) = tx.get::<Service>(key).filter(|it| it.status == ServiceStatus::Inactive) else { continue };
        let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
        delete_all::<ServiceEvent>(tx, &inside);
        delete_all::<ServiceDeployment>(tx, &inside);
        delete_all::<ServiceRevision>(tx, &inside);
        delete_all::<TaskSet>(tx, &inside);
        delete_all::<Departed>(tx, &inside);
        tx.delete::<Service>(key);
    }
    Ok(())
}

fn delete_all<K: Record>(tx: &mut Tx<'_>, inside: &Prefix) {
    for record in tx.scan::<K>(inside) {
        tx.delete::<K>(&record.key());
    }
}

#[cfg(test)]
mod tests {
    use cove_base::Clock;
    use cove_base::paths::DataDir;
    use cove_model::arn::Tenant;
    use cove_store::{Store, StoreOptions};

    use super::*;
    use crate::deploy::tests::service;

    #[test]
    fn a_service_that_is_gone_takes_its_records_along_after_an_hour() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&DataDir::new(directory.path()), Clock::system(), StoreOptions::default()).unwrap();
        let gone_at = Timestamp(1_000_000);
        let put = |name: &str, status: ServiceStatus| {
            let one = Service { name: name.into(), status, gone_at: Some(gone_at), ..service() };
            let event = ServiceEvent {
                tenant: one.tenant.clone(),
                cluster: one.cluster.clone(),
                service: name.into(),
                number: 0,
                id: String::new(),
                at: gone_at,
                message: String::new(),
            };
            let written = store.write_blocking(move |tx| {
                tx.put(one);
                tx.put(event);
                Ok::<_, StoreError>(())
            });
            written.unwrap();
        };
        put("gone", ServiceStatus::Inactive);
        put("there", ServiceStatus::Active);
        let over = |now: Timestamp| store.read(|view| forgotten(view, now));
        assert!(over(gone_at.plus_millis(KEEP_MILLIS)).is_empty());
        let keys = over(gone_at.plus_millis(KEEP_MILLIS + 1));
        assert_eq!(keys.len(), 1);
        store.write_blocking(move |tx| delete(tx, &keys)).unwrap();
        store.read(|view| {
            let tenant = Tenant::new("000000000000", "us-east-1");
            assert!(view.get::<Service>(&keys::service(&tenant, "default", "gone")).is_none());
            assert_eq!(view.count::<ServiceEvent>(&Prefix::all()), 1);
        });
    }
}
