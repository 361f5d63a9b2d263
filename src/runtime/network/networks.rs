//! [`Networks`]: which routers and tasks there are, and the order of the steps.
//!
//! Order of an attachment: file, host ports (the step that may be refused), namespace, link, rules, addresses, route on
//! the host, file marked whole. Detaching goes through all steps and removes the file last.
//!
//! Locks, outermost first: a network's router, the host, the list of tasks. None is held while a task's namespace is
//! made, which is the slowest part.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cove_base::crash::{self, Point};
use cove_base::paths::NodeName;
use cove_model::network::Cidr;

use super::host::Host;
use super::namespace::{Namespace, unpin};
use super::netlink::{Channel, Protocol, open};
use super::router::{Router, configure_isolated, configure_task, task_settings};
use super::state::{Records, TaskRecord};
use super::system::{is_mount_point, mount_pins};
use super::{Attachment, NetworkConfig, NetworkError, NetworkId, RouterListeners, names};

/// A killed server's sockets close a moment after its death.
const CLAIM_PATIENCE: Duration = Duration::from_secs(3);
const CLAIM_INTERVAL: Duration = Duration::from_millis(10);

pub(super) type Slot = Arc<Mutex<Option<Router>>>;

/// The networks of one node.
#[derive(Debug)]
pub struct Networks {
    pub(super) pins: PathBuf,
    pub(super) records: Records,
    pub(super) host: Mutex<Host>,
    pub(super) routers: Mutex<BTreeMap<NetworkId, Slot>>,
    pub(super) tasks: Mutex<BTreeMap<String, Task>>,
    /// Held while the directory of pins is looked at and mounted: two mounts on top of each other would hide pins.
    pins_made: Mutex<()>,
    /// Bound for as long as this server speaks for the node.
    _claim: UnixListener,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) record: TaskRecord,
    /// A call is at work on it.
    pub(super) busy: bool,
}

/// A panic in another call leaves the kernel as the next inventory finds it; the list itself stays usable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Networks {
    /// Takes over what an earlier server of this node left in the kernel: routers and tasks that are whole are
    /// adopted, half-made ones are removed. The calling thread's network namespace is the host.
    ///
    /// # Errors
    /// When another server runs as this node, or the kernel refuses.
    pub fn open(config: NetworkConfig) -> Result<Self, NetworkError> {
        let NetworkConfig { node, run_dir, transit_range } = config;
        let networks = Self {
            _claim: claim(&node)?,
            pins: run_dir.netns(),
            records: Records::of(&run_dir),
            host: Mutex::new(Host::new(&node, transit_range)?),
            routers: Mutex::default(),
            tasks: Mutex::default(),
            pins_made: Mutex::default(),
        };
        networks.adopt()?;
        Ok(networks)
    }

    /// Makes the network's router namespace unless it is there.
    ///
    /// # Errors
    /// When the range cannot be used or the kernel refuses.
    pub fn ensure(&self, network: &NetworkId, cidr: Cidr) -> Result<(), NetworkError> {
        self.with_router(network, cidr, |_| Ok(()))
    }

    fn with_router<T>(
        &self,
        network: &NetworkId,
        cidr: Cidr,
        work: impl FnOnce(&mut Router) -> Result<T, NetworkError>,
    ) -> Result<T, NetworkError> {
        let key = names::key(network)?;
        if !(8..=28).contains(&cidr.prefix) {
            return Err(NetworkError::BadRange { range: cidr.to_string() });
        }
        let slot = lock(&self.routers).entry(network.clone()).or_default().clone();
        let mut slot = lock(&slot);
        let router = match slot.take() {
            Some(router) => router,
            None => self.create_router(&key, network, cidr)?,
        };
        let router = slot.insert(router);
        if router.record.cidr != cidr {
            let (have, want) = (router.record.cidr.to_string(), cidr.to_string());
            return Err(NetworkError::RangeChanged { network: key, have, want });
        }
        work(router)
    }

    fn create_router(&self, key: &str, network: &NetworkId, cidr: Cidr) -> Result<Router, NetworkError> {
        self.prepare_pins()?;
        let pin = self.pin_of_router(key);
        let mut host = lock(&self.host);
        if !host.prepared {
            host.prepare(&self.records, &self.published())?;
        }
        let created = Router::create(&mut host, &self.records, &pin, network, cidr);
        if created.is_err() {
            // The record, once written, knows the link; whatever of it was made goes.
            let slot = self.records.routers().ok().and_then(|all| all.into_iter().find(|one| one.network == *network));
            if let Some(record) = slot {
                let _ = host.part(record.slot);
            }
            let _ = unpin(&pin);
            let _ = self.records.remove_router(key);
        }
        created
    }

    /// The sockets inside the router, once for as long as it is up: to be asked for after each attachment.
    ///
    /// # Errors
    /// [`NetworkError::ListenersOpen`] when they were handed out already; [`NetworkError::NotUp`].
    pub fn listeners(&self, network: &NetworkId) -> Result<RouterListeners, NetworkError> {
        let slot = lock(&self.routers).get(network).cloned().unwrap_or_default();
        let mut slot = lock(&slot);
        slot.as_mut().ok_or_else(|| NetworkError::NotUp { network: format!("{network:?}") })?.listen()
    }

    /// Whether [`Networks::listeners`] handed them out since the network came up.
    #[must_use]
    pub fn has_listeners(&self, network: &NetworkId) -> bool {
        let slot = lock(&self.routers).get(network).cloned().unwrap_or_default();
        lock(&slot).as_ref().is_some_and(Router::is_listening)
    }

    /// Networks that are up.
    #[must_use]
    pub fn networks(&self) -> Vec<NetworkId> {
        let slots = lock(&self.routers).clone();
        slots.into_iter().filter(|(_, slot)| lock(slot).is_some()).map(|(network, _)| network).collect()
    }

    /// Connects a task, making its network first; the answer is the path of its pinned namespace.
    ///
    /// # Errors
    /// [`NetworkError::PortTaken`] names the port; nothing of the task is left behind then.
    pub fn attach(&self, attachment: &Attachment) -> Result<PathBuf, NetworkError> {
        check(attachment)?;
        self.make(TaskRecord::new(&attachment.task_id, Some(attachment.clone())), |record, pin| {
            self.connect(attachment, record, pin)
        })
    }

    /// A namespace with nothing but loopback (network mode `none`).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn isolated(&self, task_id: &str) -> Result<PathBuf, NetworkError> {
        names::check(task_id)?;
        self.make(TaskRecord::new(task_id, None), |_, pin| {
            let (_, mut inside) = make_task_namespace(pin)?;
            configure_isolated(&mut inside)
        })
    }

    /// Runs the steps for a task that is not there yet; undoes them when one fails.
    fn make(
        &self,
        mut record: TaskRecord,
        steps: impl FnOnce(&mut TaskRecord, &Path) -> Result<(), NetworkError>,
    ) -> Result<PathBuf, NetworkError> {
        let pin = self.pin_of_task(&record.task_id);
        if self.reserve(&record)? == Reserved::AlreadyWhole {
            return Ok(pin);
        }
        let made = self
            .records
            .write_task(&record)
            .inspect(|()| crash::at(Point::NetworkRecorded))
            .and_then(|()| self.prepare_pins())
            .and_then(|()| remove_pin(&pin))
            .and_then(|()| steps(&mut record, &pin))
            .and_then(|()| {
                record.whole = true;
                self.records.write_task(&record)
            })
            .inspect(|()| crash::at(Point::NetworkWhole));
        if let Err(error) = made {
            for failure in self.disconnect(&record) {
                tracing::warn!(error = %cove_base::error::chain(&failure), task = record.task_id, "undoing an attachment");
            }
            lock(&self.tasks).remove(&record.task_id);
            if let Some(attachment) = &record.attachment {
                self.remove_if_empty(&attachment.network);
            }
            return Err(error);
        }
        lock(&self.tasks).insert(record.task_id.clone(), Task { record, busy: false });
        Ok(pin)
    }

    fn reserve(&self, record: &TaskRecord) -> Result<Reserved, NetworkError> {
        let mut tasks = lock(&self.tasks);
        if let Some(there) = tasks.get(&record.task_id) {
            return if there.busy {
                Err(NetworkError::Busy { task: record.task_id.clone() })
            } else if there.record.attachment == record.attachment {
                Ok(Reserved::AlreadyWhole)
            } else {
                Err(NetworkError::AttachedDifferently { task: record.task_id.clone() })
            };
        }
        if let Some(wanted) = &record.attachment {
            let same = |one: &Attachment| one.network == wanted.network && one.address == wanted.address;
            if let Some(owner) = tasks.values().find(|task| task.record.attachment.as_ref().is_some_and(same)) {
                let owner = owner.record.task_id.clone();
                return Err(NetworkError::AddressTaken { address: wanted.address, owner });
            }
        }
        tasks.insert(record.task_id.clone(), Task { record: record.clone(), busy: true });
        Ok(Reserved::Now)
    }

    fn connect(&self, attachment: &Attachment, record: &mut TaskRecord, pin: &Path) -> Result<(), NetworkError> {
        let (network, cidr) = (&attachment.network, attachment.cidr);
        let (lease, host_link) = self.with_router(network, cidr, |router| Ok((router.lease, router.host_link)))?;
        record.router = Some(lease.router);
        if !attachment.ports.is_empty() {
            lock(&self.host).add_ports(&attachment.ports, lease.router)?;
            record.ports_mapped = true;
            crash::at(Point::NetworkPublished);
        }
        let (namespace, mut inside) = make_task_namespace(pin)?;
        crash::at(Point::NetworkPinned);
        self.with_router(network, cidr, |router| {
            let link = router.connect(attachment, &namespace)?;
            record.link = Some(link);
            crash::at(Point::NetworkLinked);
            router.admit(attachment, link)
        })?;
        crash::at(Point::NetworkAdmitted);
        configure_task(&mut inside, attachment)?;
        record.host_route = lock(&self.host).add_route(attachment.address, lease, host_link)?;
        crash::at(Point::NetworkRouted);
        Ok(())
    }

    /// Removes everything of a task; nothing to do is success. The last task of a network takes the router along.
    ///
    /// # Errors
    /// All steps are tried; the failures are collected.
    pub fn detach(&self, task_id: &str) -> Result<(), NetworkError> {
        names::check(task_id)?;
        let record = {
            let mut tasks = lock(&self.tasks);
            match tasks.get_mut(task_id) {
                // Nothing is known of it, but a pin may be left.
                None => return remove_pin(&self.pin_of_task(task_id)),
                Some(task) if task.busy => return Err(NetworkError::Busy { task: task_id.to_owned() }),
                Some(task) => {
                    task.busy = true;
                    task.record.clone()
                }
            }
        };
        // From here on it is half-made: a server that dies in between leaves it to the next one to finish.
        let mut failures: Vec<NetworkError> =
            self.records.write_task(&TaskRecord { whole: false, ..record.clone() }).err().into_iter().collect();
        crash::at(Point::NetworkLeaving);
        failures.extend(self.disconnect(&record));
        {
            let mut tasks = lock(&self.tasks);
            if failures.is_empty() {
                tasks.remove(task_id);
            } else if let Some(task) = tasks.get_mut(task_id) {
                task.busy = false;
            }
        }
        if let Some(attachment) = &record.attachment {
            failures.extend(self.remove_if_empty(&attachment.network));
        }
        all(failures)
    }

    /// Every step of taking a task out, whatever is there of it.
    pub(super) fn disconnect(&self, record: &TaskRecord) -> Vec<NetworkError> {
        let mut failures = Vec::new();
        if let Some(attachment) = &record.attachment {
            let slot = lock(&self.routers).get(&attachment.network).cloned().unwrap_or_default();
            let mut slot = lock(&slot);
            if let Some(router) = slot.as_mut() {
                let mut host = lock(&self.host);
                if record.ports_mapped {
                    failures.extend(host.delete_ports(&attachment.ports).err());
                    host.forget_udp(&attachment.ports, router.lease.router);
                }
                if record.host_route {
                    failures.extend(host.delete_route(attachment.address, router.host_link).err());
                }
                drop(host);
                crash::at(Point::NetworkUnpublished);
                failures.extend(router.dismiss(record));
            }
        }
        crash::at(Point::NetworkDismissed);
        failures.extend(remove_pin(&self.pin_of_task(&record.task_id)).err());
        crash::at(Point::NetworkUnpinned);
        if failures.is_empty() {
            failures.extend(self.records.remove_task(&record.task_id).err());
        }
        failures
    }

    pub(super) fn remove_if_empty(&self, network: &NetworkId) -> Vec<NetworkError> {
        let slot = lock(&self.routers).get(network).cloned().unwrap_or_default();
        let mut slot = lock(&slot);
        let used = |task: &Task| task.record.attachment.as_ref().is_some_and(|one| one.network == *network);
        if lock(&self.tasks).values().any(used) {
            return Vec::new();
        }
        let Some(router) = slot.take() else { return Vec::new() };
        match names::key(network) {
            Err(error) => vec![error],
            Ok(key) => {
                let mut failures = router.remove(&mut lock(&self.host), &self.pin_of_router(&key));
                crash::at(Point::RouterUnpinned);
                failures.extend(self.records.remove_router(&key).err());
                failures
            }
        }
    }

    /// Where the namespaces are pinned, each task's under its id: a mount of its own, private, so that a shim detaches it in one call.
    #[must_use]
    pub fn pins(&self) -> &Path {
        &self.pins
    }

    fn prepare_pins(&self) -> Result<(), NetworkError> {
        let failed = |attempt| move |source| NetworkError::File { attempt, path: self.pins.clone(), source };
        let _alone = lock(&self.pins_made);
        fs::create_dir_all(&self.pins).map_err(failed("make"))?;
        if !is_mount_point(&self.pins).map_err(failed("look at"))? {
            mount_pins(&self.pins).map_err(failed("mount"))?;
        }
        Ok(())
    }

    /// Named like the task, so that others can tell where it is; no task's name has a dot.
    pub(super) fn pin_of_task(&self, task_id: &str) -> PathBuf {
        self.pins.join(task_id)
    }

    pub(super) fn pin_of_router(&self, key: &str) -> PathBuf {
        self.pins.join(format!("router.{key}"))
    }
}

/// What a reservation found.
#[derive(Debug, PartialEq, Eq)]
enum Reserved {
    Now,
    AlreadyWhole,
}

/// Binds a name that only one process of this network namespace can have, and that goes when it dies.
fn claim(node: &NodeName) -> Result<UnixListener, NetworkError> {
    let failed = |source| NetworkError::System { attempt: "claim the node's name", source };
    let address = SocketAddr::from_abstract_name(format!("cove-node-{node}")).map_err(failed)?;
    let deadline = Instant::now() + CLAIM_PATIENCE;
    loop {
        match UnixListener::bind_addr(&address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                if Instant::now() > deadline {
                    return Err(NetworkError::NodeInUse { node: node.to_string() });
                }
                std::thread::sleep(CLAIM_INTERVAL);
            }
            outcome => return outcome.map_err(failed),
        }
    }
}

fn check(attachment: &Attachment) -> Result<(), NetworkError> {
    names::check(&attachment.task_id)?;
    names::key(&attachment.network)?;
    attachment.security_groups.iter().try_for_each(|group| names::check(group))?;
    let (address, cidr) = (attachment.address, attachment.cidr);
    // The first two are the network's own and the gateway's, the last is the broadcast address.
    let last = u32::try_from(cidr.size() - 1).unwrap_or(u32::MAX);
    if !cidr.contains(address) || [cidr.nth(0), cidr.nth(1), cidr.nth(last)].contains(&address) {
        return Err(NetworkError::BadAddress { address, range: cidr.to_string() });
    }
    Ok(())
}

/// A task's namespace with its settings, and a route socket inside.
fn make_task_namespace(pin: &Path) -> Result<(Namespace, Channel), NetworkError> {
    let made = Namespace::create(pin, || {
        task_settings()?;
        open(Protocol::Route)
    });
    let (namespace, socket) =
        made.map_err(|source| NetworkError::System { attempt: "make a task's network namespace", source })?;
    let inside = Channel::with_socket(&namespace, Protocol::Route, socket);
    Ok((namespace, inside))
}

/// A network namespace with nothing but its loopback, for as long as the descriptor or a process in it lives.
///
/// # Errors
/// When the kernel refuses.
pub fn loopback_only() -> Result<OwnedFd, NetworkError> {
    let failed = |source| NetworkError::System { attempt: "make a network namespace of loopback alone", source };
    let made = Namespace::unpinned(|| {
        task_settings()?;
        open(Protocol::Route)
    });
    let (namespace, socket) = made.map_err(failed)?;
    configure_isolated(&mut Channel::with_socket(&namespace, Protocol::Route, socket))?;
    namespace.descriptor().map_err(failed)
}

pub(super) fn remove_pin(pin: &Path) -> Result<(), NetworkError> {
    unpin(pin).map_err(|source| NetworkError::File { attempt: "remove the pin", path: pin.to_owned(), source })
}

/// No failure, or all of them.
pub(super) fn all(mut failures: Vec<NetworkError>) -> Result<(), NetworkError> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => Err(NetworkError::Teardown(failures)),
    }
}
