//! What there is of a node: taken over at the start, kept whole meanwhile, removed at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::namespace::Namespace;
use super::networks::{Networks, Task, all, lock, remove_pin};
use super::router::Router;
use super::state::TaskRecord;
use super::system::{is_mount_point, unmount};
use super::{NetworkError, NetworkId, PortMap, names};

impl Networks {
    /// Routers and tasks that are whole are taken over; the rest is removed.
    pub(super) fn adopt(&self) -> Result<(), NetworkError> {
        let mut host = lock(&self.host);
        let tasks = self.records.tasks()?;
        let mut keep = Vec::new();
        let mut half_made = Vec::new();
        let mut links: BTreeMap<NetworkId, Vec<i32>> = BTreeMap::new();
        for record in self.records.routers()? {
            if record.transit_range != host.range {
                tracing::warn!(kept = %record.transit_range, "the transit range changes when no network is up any more");
                host.range = record.transit_range;
            }
            let (network, key) = (record.network.clone(), names::key(&record.network)?);
            let slot = record.slot;
            if let Some(mut router) = Router::adopt(&mut host, &self.pin_of_router(&key), record)? {
                keep.push(host.names.link(slot));
                links.insert(network.clone(), router.links()?);
                lock(&self.routers).insert(network, Arc::new(Mutex::new(Some(router))));
            } else {
                self.records.remove_router(&key)?;
            }
        }
        for record in tasks {
            let pinned = Namespace::pinned(&self.pin_of_task(&record.task_id)).is_ok();
            let linked = match (&record.attachment, record.link) {
                (None, _) => true,
                (Some(attachment), Some(link)) => {
                    links.get(&attachment.network).is_some_and(|there| there.contains(&link))
                }
                (Some(_), None) => false,
            };
            if record.whole && pinned && linked {
                lock(&self.tasks).insert(record.task_id.clone(), Task { record, busy: false });
            } else {
                half_made.push(record);
            }
        }
        self.remove_stray_pins()?;
        host.sweep(&keep)?;
        if !keep.is_empty() || host.has_table()? {
            host.prepare(&self.records, &self.published())?;
        }
        drop(host);
        for (network, slot) in lock(&self.routers).clone() {
            if let Some(router) = lock(&slot).as_mut() {
                let tasks = lock(&self.tasks);
                let of_network =
                    |task: &&TaskRecord| task.attachment.as_ref().is_some_and(|one| one.network == network);
                router.build_table(&tasks.values().map(|task| &task.record).filter(of_network).collect::<Vec<_>>())?;
            }
        }
        for record in half_made {
            tracing::info!(task = record.task_id, "removing a half-made attachment");
            all(self.disconnect(&record))?;
        }
        for network in self.networks() {
            all(self.remove_if_empty(&network))?;
        }
        Ok(())
    }

    /// Pins without a router or task that is adopted; also those of half-made ones.
    fn remove_stray_pins(&self) -> Result<(), NetworkError> {
        let Ok(entries) = fs::read_dir(&self.pins) else { return Ok(()) };
        let mut wanted: Vec<PathBuf> = lock(&self.tasks).keys().map(|id| self.pin_of_task(id)).collect();
        for network in lock(&self.routers).keys() {
            wanted.push(self.pin_of_router(&names::key(network)?));
        }
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| !wanted.contains(path)) {
            remove_pin(&path)?;
        }
        Ok(())
    }

    /// Ids of tasks that have something in the kernel. Also repairs what others did to our rules (a flushed table,
    /// a foreign firewall that began to drop), so it is to be called from time to time.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn inventory(&self) -> Result<Vec<String>, NetworkError> {
        let mut host = lock(&self.host);
        if host.prepared {
            if host.has_table()? {
                host.open_foreign_firewall()?;
            } else {
                tracing::warn!("our nf_tables table was removed by somebody else; making it anew");
                host.prepare(&self.records, &self.published())?;
            }
        }
        drop(host);
        let mut ids: BTreeSet<String> = lock(&self.tasks).keys().cloned().collect();
        let pins = fs::read_dir(&self.pins).into_iter().flatten().filter_map(Result::ok);
        ids.extend(pins.filter_map(|pin| pin.file_name().into_string().ok().filter(|name| names::check(name).is_ok())));
        Ok(ids.into_iter().collect())
    }

    /// Removes everything of this node from the kernel and the run directory (`cove down`).
    ///
    /// # Errors
    /// All steps are tried; the failures are collected.
    pub fn remove_all(&self) -> Result<(), NetworkError> {
        let slots = std::mem::take(&mut *lock(&self.routers));
        for slot in slots.into_values() {
            if let Some(router) = lock(&slot).take() {
                router.end();
            }
        }
        let mut failures = Vec::new();
        for entry in fs::read_dir(&self.pins).into_iter().flatten().filter_map(Result::ok) {
            failures.extend(remove_pin(&entry.path()).err());
        }
        failures.extend(lock(&self.host).remove_all(&self.records));
        let pins = |attempt, source| NetworkError::File { attempt, path: self.pins.clone(), source };
        if is_mount_point(&self.pins).unwrap_or(false) {
            failures.extend(unmount(&self.pins).err().map(|source| pins("unmount", source)));
        }
        match fs::remove_dir(&self.pins) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => failures.push(pins("remove", source)),
            _ => {}
        }
        if failures.is_empty() {
            failures.extend(self.records.remove_all().err());
        }
        lock(&self.tasks).clear();
        all(failures)
    }

    /// The ports of the tasks that have them on the host, and where they lead.
    pub(super) fn published(&self) -> Vec<(PortMap, Ipv4Addr)> {
        let tasks = lock(&self.tasks);
        let mapped = tasks.values().filter(|task| task.record.ports_mapped);
        mapped
            .filter_map(|task| Some((task.record.attachment.as_ref()?, task.record.router?)))
            .flat_map(|(attachment, router)| attachment.ports.iter().map(move |port| (*port, router)))
            .collect()
    }
}
