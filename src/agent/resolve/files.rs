//! Who a container is on the network: its hostname, /etc/hosts, /etc/hostname and /etc/resolv.conf.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use cove_model::task::{Container, TaskNetwork};
use cove_model::task_definition::ContainerDefinition;
use cove_runtime::spec::BindMount;

use super::{Surroundings, has_router};

/// Cove's own name server, bound in each router namespace.
const NAME_SERVER: &str = "169.254.169.253";
/// A hostname made from the container's id has as many digits as Docker's.
const SHORT_ID_LENGTH: usize = 12;

/// Files and how they are mounted.
pub(super) struct Identity {
    pub binds: Vec<BindMount>,
    pub contents: Vec<(PathBuf, String)>,
}

/// `None` keeps the host's name (host mode).
pub(super) fn hostname(
    around: &Surroundings<'_>,
    definition: &ContainerDefinition,
    container: &Container,
) -> Option<String> {
    match &around.task.network {
        TaskNetwork::Host => None,
        TaskNetwork::Awsvpc(eni) => Some(private_dns_name(eni.address, &around.task.tenant.region)),
        TaskNetwork::Bridge { .. } | TaskNetwork::None => {
            let given = definition.hostname.as_deref().filter(|name| is_hostname(name));
            Some(given.map_or_else(|| short_id(&container.id), str::to_owned))
        }
    }
}

/// EC2's private name of an address.
pub(crate) fn private_dns_name(address: Ipv4Addr, region: &str) -> String {
    let [a, b, c, d] = address.octets();
    let domain = if region == "us-east-1" { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") };
    format!("ip-{a}-{b}-{c}-{d}.{domain}")
}

/// What can stand in /etc/hosts and /etc/hostname without breaking out of its line.
fn is_hostname(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !name.is_empty() && name.len() <= 63 && name.bytes().all(legal)
}

fn short_id(id: &str) -> String {
    id.chars().filter(char::is_ascii_hexdigit).take(SHORT_ID_LENGTH).collect()
}

/// The three files of a container, in that directory. Why not in the run directory: the container may write to them as much
/// as it likes, and that is for its own storage to pay.
pub(super) fn identity(
    around: &Surroundings<'_>,
    definition: &ContainerDefinition,
    directory: &Path,
    hostname: Option<&str>,
) -> Identity {
    let own_name = hostname.unwrap_or(&around.host.hostname);
    let named = [
        ("hosts", hosts(around, definition, own_name)),
        ("hostname", format!("{own_name}\n")),
        ("resolv.conf", resolv_conf(around, definition)),
    ];
    let read_only = definition.readonly_root_filesystem.unwrap_or(false);
    let bind = |name: &str| BindMount {
        source: directory.join(name),
        destination: format!("/etc/{name}"),
        read_only,
        propagation: None,
    };
    Identity {
        binds: named.iter().map(|(name, _)| bind(name)).collect(),
        contents: named.into_iter().map(|(name, text)| (directory.join(name), text)).collect(),
    }
}

fn hosts(around: &Surroundings<'_>, definition: &ContainerDefinition, own_name: &str) -> String {
    let mut text = String::from("127.0.0.1 localhost\n");
    let own_address = around.task.network.address().filter(|_| definition.disable_networking != Some(true));
    if let Some(address) = own_address {
        text.push_str(&format!("{address} {own_name}\n"));
    }
    for entry in &definition.extra_hosts {
        let (Some(name), Some(address)) = (&entry.hostname, &entry.ip_address) else { continue };
        if is_hostname(name) && address.parse::<std::net::IpAddr>().is_ok() {
            text.push_str(&format!("{address} {name}\n"));
        }
    }
    // The containers of a task share one address here, so a link is another name of our own.
    for link in &definition.links {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        if let Some(address) = own_address.filter(|_| is_hostname(name) && is_hostname(alias)) {
            text.push_str(&format!("{address} {alias} {name}\n"));
        }
    }
    text
}

fn resolv_conf(around: &Surroundings<'_>, definition: &ContainerDefinition) -> String {
    let word = |text: &&String| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let servers: Vec<&str> = definition.dns_servers.iter().filter(word).map(String::as_str).collect();
    let domains: Vec<&str> = definition.dns_search_domains.iter().filter(word).map(String::as_str).collect();
    if servers.is_empty() && domains.is_empty() && !has_router(&around.task.network) {
        return around.resolv_conf.to_owned();
    }
    let mut text = String::new();
    if !domains.is_empty() {
        text.push_str(&format!("search {}\n", domains.join(" ")));
    }
    if servers.is_empty() && has_router(&around.task.network) {
        text.push_str(&format!("nameserver {NAME_SERVER}\n"));
    } else if servers.is_empty() {
        let own = around.resolv_conf.lines().filter(|line| line.trim_start().starts_with("nameserver"));
        own.for_each(|line| text.push_str(&format!("{}\n", line.trim())));
    }
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    text
}
