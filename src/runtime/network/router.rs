//! A router namespace: making, adopting, connecting tasks to it, removing.
//!
//! Holds: the host sees one link per router; tasks' links and addresses are known only in here.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use cove_base::crash::{self, Point};
use cove_model::network::Cidr;

use super::host::{Host, TRANSIT, mac};
use super::lease::{HostLock, Lease};
use super::namespace::{Namespace, unpin};
use super::netlink::nft::Transaction;
use super::netlink::route::{self, End, OnLink};
use super::netlink::{Batch, Channel, Protocol, open};
use super::outcome::{delete_elements, forget, missing_nft, missing_veth, tolerate};
use super::router_table;
use super::state::{Records, RouterRecord, TaskRecord};
use super::system::set_sysctl;
use super::{Attachment, DNS_ADDRESS, METADATA_ADDRESS, NetworkError, NetworkId, RouterListeners, names};

/// Tasks' links are numbered from here, above what the kernel makes by itself in a new namespace.
const FIRST_LINK: i32 = 100;
/// A number may still belong to a namespace that is being torn down.
const NUMBER_ATTEMPTS: usize = 1000;
const LOOPBACK_LINK: i32 = 1;

#[derive(Debug)]
pub(super) struct Router {
    pub(super) record: RouterRecord,
    pub(super) lease: Lease,
    pub(super) namespace: Namespace,
    /// Index of its link on the host.
    pub(super) host_link: i32,
    transit: i32,
    route: Channel,
    pub(super) nft: Channel,
    next_link: i32,
    /// Sets and chains of security groups that the table has.
    known: Vec<String>,
    /// Copies of the sockets handed out, to end them with the router.
    listeners: Vec<OwnedFd>,
}

impl Router {
    /// Makes the namespace, its transit and its table.
    pub(super) fn create(
        host: &mut Host,
        records: &Records,
        pin: &Path,
        network: &NetworkId,
        cidr: Cidr,
    ) -> Result<Self, NetworkError> {
        let key = names::key(network)?;
        let mtu = host.mtu()?;
        // Until the pair's address is on its link, the lock is what keeps others from the same lease.
        let mut lock = HostLock::take()?;
        let lease = lock.lease(host.range, &route::destinations(&mut host.route)?)?;
        let record = RouterRecord { network: network.clone(), cidr, slot: lease.slot, transit_range: host.range, mtu };
        records.write_router(&key, &record)?;
        crash::at(Point::RouterRecorded);
        let failed = |source| NetworkError::System { attempt: "make a router namespace", source };
        unpin(pin).map_err(failed)?;
        let made = Namespace::create(pin, || {
            set_sysctl("net/ipv4/ip_forward", "1")?;
            no_ipv6()?;
            open(Protocol::Route)
        });
        let (namespace, socket) = made.map_err(failed)?;
        let channel = Channel::with_socket(&namespace, Protocol::Route, socket);
        crash::at(Point::RouterPinned);
        let host_link = host.join(lease, &namespace, mtu)?;
        crash::at(Point::RouterJoined);
        drop(lock);
        let mut router = Self::known_by(record, lease, namespace, host_link, channel);
        router.configure()?;
        crash::at(Point::RouterConfigured);
        router.build_table(&[])?;
        Ok(router)
    }

    /// Takes over one that is whole; `None` when something of it is missing.
    pub(super) fn adopt(host: &mut Host, pin: &Path, record: RouterRecord) -> Result<Option<Self>, NetworkError> {
        let Ok(namespace) = Namespace::pinned(pin) else { return Ok(None) };
        let Some(host_link) = host.link_of(record.slot)? else { return Ok(None) };
        let lease = Lease::of(record.transit_range, record.slot);
        let channel = Channel::new(&namespace, Protocol::Route);
        let mut router = Self::known_by(record, lease, namespace, host_link, channel);
        let links = route::links(&mut router.route)?;
        if !links.iter().any(|link| link.name == TRANSIT) {
            return Ok(None);
        }
        // Each step replaces what is there, so a router that was left half-made is finished here.
        router.configure()?;
        router.next_link = links.iter().map(|link| link.index + 1).fold(FIRST_LINK, i32::max);
        Ok(Some(router))
    }

    fn known_by(record: RouterRecord, lease: Lease, namespace: Namespace, host_link: i32, route: Channel) -> Self {
        let nft = Channel::new(&namespace, Protocol::Netfilter);
        Self {
            record,
            lease,
            namespace,
            host_link,
            transit: 0,
            route,
            nft,
            next_link: FIRST_LINK,
            known: Vec::new(),
            listeners: Vec::new(),
        }
    }

    /// Links up, own addresses, the way out.
    fn configure(&mut self) -> Result<(), NetworkError> {
        let transit =
            route::link(&mut self.route, TRANSIT)?.ok_or_else(|| NetworkError::NotUp { network: TRANSIT.into() })?;
        self.transit = transit.index;
        let gateway = self.record.cidr.nth(1);
        let mut batch = Batch::new();
        batch.push("bring up lo", route::link_up(LOOPBACK_LINK));
        batch.push("bring up the transit", route::link_up(self.transit));
        for address in [gateway, METADATA_ADDRESS, DNS_ADDRESS] {
            batch.push("address of the router", route::address(LOOPBACK_LINK, address, 32, OnLink::No));
        }
        batch.push("address of the transit", route::address(self.transit, self.lease.router, 31, OnLink::Prefix));
        batch.push("neighbour of the transit", route::neighbour(self.transit, self.lease.host, mac(self.lease.host)));
        // What no task has must not leave for the host's networks, which may use the same range.
        batch.push("edge of the network", route::unreachable(self.record.cidr));
        batch.push(
            "default route of the router",
            route::route(Ipv4Addr::UNSPECIFIED, 0, self.transit, Some(self.lease.host)),
        );
        Ok(self.route.run(&batch)?)
    }

    /// The table anew, with these tasks in it, in one transaction.
    pub(super) fn build_table(&mut self, tasks: &[&TaskRecord]) -> Result<(), NetworkError> {
        let mut transaction = Transaction::on(router_table::TABLE);
        router_table::build(&mut transaction, self.record.cidr, self.lease, self.transit);
        self.known.clear();
        for record in tasks {
            if let (Some(attachment), Some(link)) = (&record.attachment, record.link) {
                router_table::add_groups(&mut transaction, &router_table::groups(attachment), &mut self.known);
                router_table::add_task(&mut transaction, attachment, link);
            }
        }
        transaction.commit(&mut self.nft).map_err(missing_nft)
    }

    /// Indexes of the links that are there.
    pub(super) fn links(&mut self) -> Result<Vec<i32>, NetworkError> {
        Ok(route::links(&mut self.route)?.iter().map(|link| link.index).collect())
    }

    /// The pair between router and task, the task's end born in its namespace; the answer is our end's index.
    pub(super) fn connect(&mut self, attachment: &Attachment, task: &Namespace) -> Result<i32, NetworkError> {
        let link = self.create_pair(attachment, task)?;
        let mut batch = Batch::new();
        batch.push("neighbour of a task", route::neighbour(link, attachment.address, attachment.mac));
        batch.push("route to a task", route::route(attachment.address, 32, link, None));
        self.route.run(&batch)?;
        Ok(link)
    }

    fn create_pair(&mut self, attachment: &Attachment, task: &Namespace) -> Result<i32, NetworkError> {
        for _ in 0..NUMBER_ATTEMPTS {
            let link = self.next_link;
            self.next_link = if link == i32::MAX { FIRST_LINK } else { link + 1 };
            let name = format!("t{link}");
            let ours = End { name: &name, index: link, mac: mac(attachment.address), group: 0 };
            let peer = End { name: TASK_LINK_NAME, index: TASK_LINK, mac: attachment.mac, group: 0 };
            let message = route::veth(&ours, &peer, task.fd(), self.record.mtu);
            match self.route.one(format!("create veth pair {name}"), message) {
                Err(refused) if matches!(refused.errno(), libc::EEXIST | libc::EBUSY) => {}
                outcome => return outcome.map(|()| link).map_err(missing_veth),
            }
        }
        Err(NetworkError::System {
            attempt: "find a free interface index",
            source: io::ErrorKind::AlreadyExists.into(),
        })
    }

    /// Lets the task's packets through.
    pub(super) fn admit(&mut self, attachment: &Attachment, link: i32) -> Result<(), NetworkError> {
        let mut transaction = Transaction::on(router_table::TABLE);
        let mut known = self.known.clone();
        router_table::add_groups(&mut transaction, &router_table::groups(attachment), &mut known);
        router_table::add_task(&mut transaction, attachment, link);
        transaction.commit(&mut self.nft)?;
        self.known = known;
        Ok(())
    }

    /// Stops the task's packets and forgets its flows. The link goes with the task's namespace.
    pub(super) fn dismiss(&mut self, record: &TaskRecord) -> Vec<NetworkError> {
        let (Some(attachment), Some(link)) = (&record.attachment, record.link) else { return Vec::new() };
        let elements = delete_elements(&mut self.nft, router_table::TABLE, &router_table::keys(record));
        let message = route::delete_route(attachment.address, link);
        let gone = self.route.one(format!("delete the route to {}", attachment.address), message);
        let route = tolerate(gone, &[libc::ESRCH, libc::ENODEV]);
        let losses = if record.lossy { self.stop_losing(&record.task_id).err() } else { None };
        let address = attachment.address;
        forget(&mut self.nft, |flow| {
            [flow.original.source, flow.original.destination, flow.reply.source].contains(&address)
        });
        elements.err().into_iter().chain(route.err()).chain(losses).collect()
    }

    /// The sockets, once in the life of a router under one server.
    pub(super) fn listen(&mut self) -> Result<RouterListeners, NetworkError> {
        if self.is_listening() {
            return Err(NetworkError::ListenersOpen { network: names::key(&self.record.network)? });
        }
        let opened = self.namespace.run(|| {
            let listeners = RouterListeners {
                http: TcpListener::bind((METADATA_ADDRESS, 80))?,
                dns: UdpSocket::bind((DNS_ADDRESS, 53))?,
                dns_tcp: TcpListener::bind((DNS_ADDRESS, 53))?,
            };
            listeners.http.set_nonblocking(true)?;
            listeners.dns.set_nonblocking(true)?;
            listeners.dns_tcp.set_nonblocking(true)?;
            let copies = vec![
                listeners.http.try_clone()?.into(),
                listeners.dns.try_clone()?.into(),
                listeners.dns_tcp.try_clone()?.into(),
            ];
            Ok((listeners, copies))
        });
        let (listeners, copies) =
            opened.map_err(|source| NetworkError::System { attempt: "listen inside a router", source })?;
        self.listeners = copies;
        Ok(listeners)
    }

    pub(super) fn is_listening(&self) -> bool {
        !self.listeners.is_empty()
    }

    fn end_listeners(&mut self) {
        for socket in self.listeners.drain(..) {
            // SAFETY: the descriptor is open. Failures are fine: a UDP socket says it is not connected, and wakes.
            unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
        }
    }

    /// Takes it out of the kernel. An open socket inside would keep the namespace, so the link goes first.
    pub(super) fn remove(mut self, host: &mut Host, pin: &Path) -> Vec<NetworkError> {
        self.end_listeners();
        let link = host.part(self.record.slot);
        crash::at(Point::RouterParted);
        let pin =
            unpin(pin).map_err(|source| NetworkError::File { attempt: "remove the pin", path: pin.to_owned(), source });
        link.err().into_iter().chain(pin.err()).collect()
    }

    /// Ends its sockets when the host's side is removed as a whole.
    pub(super) fn end(mut self) {
        self.end_listeners();
    }
}

/// A task's link inside its namespace. The number is above what tunnel modules make by themselves in new namespaces.
const TASK_LINK_NAME: &str = "eth0";
pub(super) const TASK_LINK: i32 = 64;

/// The kernel's settings inside a task's namespace: Docker's, and no IPv6 until it is routed.
pub(super) fn task_settings() -> io::Result<()> {
    no_ipv6()?;
    set_sysctl("net/ipv4/ip_unprivileged_port_start", "0")?;
    set_sysctl("net/ipv4/ping_group_range", "0\t2147483647")
}

/// Links made later start without it; lo loses it at once.
fn no_ipv6() -> io::Result<()> {
    for scope in ["all", "default"] {
        match set_sysctl(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Addresses and routes inside a task's namespace.
pub(super) fn configure_task(channel: &mut Channel, attachment: &Attachment) -> Result<(), NetworkError> {
    let gateway = attachment.cidr.nth(1);
    let link = TASK_LINK;
    let mut batch = Batch::new();
    batch.push("bring up lo", route::link_up(LOOPBACK_LINK));
    batch.push("bring up eth0", route::link_up(link));
    batch.push("address of the task", route::address(link, attachment.address, 32, OnLink::No));
    batch.push("neighbour of the task", route::neighbour(link, gateway, mac(attachment.address)));
    batch.push("route to the gateway", route::route(gateway, 32, link, None));
    batch.push("default route of the task", route::route(Ipv4Addr::UNSPECIFIED, 0, link, Some(gateway)));
    Ok(channel.run(&batch)?)
}

/// Loopback alone.
pub(super) fn configure_isolated(channel: &mut Channel) -> Result<(), NetworkError> {
    Ok(channel.one("bring up lo", route::link_up(LOOPBACK_LINK))?)
}
