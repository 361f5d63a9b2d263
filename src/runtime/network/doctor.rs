//! What in a host's network could get in Cove's way, tried out in a throw-away namespace. Needs no running server.

use std::fs;
use std::io;
use std::path::Path;

use super::host_table;
use super::names::{ANY_TRANSIT, Names};
use super::namespace::Namespace;
use super::netlink::nft::{self, Transaction};
use super::netlink::route::{self, End};
use super::netlink::{Channel, Protocol};
use super::outcome::{missing_nft, missing_veth};
use super::{Finding, Level, NetworkConfig, NetworkError};

/// Tries the kernel's features and looks at the host's routes and firewalls.
#[must_use]
pub fn doctor(config: &NetworkConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    match Namespace::current() {
        Err(error) => findings.push(failure(format!("cannot open the own network namespace: {error}"))),
        Ok(host) => {
            findings.push(features(config));
            findings.extend(transit_range(&host, config));
            findings.extend(firewalls(&host).unwrap_or_else(|error| vec![failure(cove_base::error::chain(&error))]));
        }
    }
    findings.extend(forwarding());
    findings
}

fn good(text: impl Into<String>) -> Finding {
    Finding { level: Level::Good, text: text.into() }
}

fn warning(text: impl Into<String>) -> Finding {
    Finding { level: Level::Warning, text: text.into() }
}

fn failure(text: impl Into<String>) -> Finding {
    Finding { level: Level::Failure, text: text.into() }
}

/// Makes a link and a table like ours where nobody sees them.
fn features(config: &NetworkConfig) -> Finding {
    let scratch = std::env::temp_dir().join(format!("cove-doctor-{}", cove_base::ids::random_hex(6)));
    let made = Namespace::create(&scratch, || Ok(()));
    let tried = made
        .map_err(|source| NetworkError::System { attempt: "make a network namespace", source })
        .and_then(|(namespace, ())| try_features(&namespace, config));
    let _ = super::namespace::unpin(&scratch);
    match tried {
        Ok(()) => good("network namespaces, veth and nf_tables work"),
        Err(error) => failure(cove_base::error::chain(&error)),
    }
}

fn try_features(namespace: &Namespace, config: &NetworkConfig) -> Result<(), NetworkError> {
    let end = |name, last| End { name, index: 0, mac: [2, 0, 0, 0, 0, last], group: 0 };
    let pair = route::veth(&end("try0", 1), &end("try1", 2), namespace.fd(), 1500);
    Channel::new(namespace, Protocol::Route).one("create veth pair", pair).map_err(missing_veth)?;
    let names = Names::of(&config.node);
    let table = names.table();
    let mut transaction = Transaction::on(&table);
    host_table::build(&mut transaction, &names, config.transit_range, true);
    transaction.commit(&mut Channel::new(namespace, Protocol::Netfilter)).map_err(missing_nft)
}

fn transit_range(host: &Namespace, config: &NetworkConfig) -> Vec<Finding> {
    let mut channel = Channel::new(host, Protocol::Route);
    let listed = route::destinations(&mut channel).and_then(|all| Ok((all, route::links(&mut channel)?)));
    let (destinations, links) = match listed {
        Ok(listed) => listed,
        Err(refused) => return vec![failure(cove_base::error::chain(&NetworkError::from(refused)))],
    };
    let foreign = destinations.iter().find(|one| {
        let own = links.iter().any(|link| link.index == one.index && link.name.starts_with(ANY_TRANSIT));
        one.prefix >= 8 && !own && (config.transit_range.contains(one.address) || routed_over(one, config))
    });
    match foreign {
        None => vec![good(format!("the transit range {} is free", config.transit_range))],
        Some(one) => vec![warning(format!(
            "{}/{} is routed on this host and overlaps the transit range {}: choose another range in the configuration",
            one.address, one.prefix, config.transit_range
        ))],
    }
}

fn routed_over(one: &route::Destination, config: &NetworkConfig) -> bool {
    let mask = if one.prefix == 0 { 0 } else { u32::MAX << (32 - u32::from(one.prefix)) };
    u32::from(one.address) & mask == u32::from(config.transit_range.address) & mask
}

fn firewalls(host: &Namespace) -> Result<Vec<Finding>, NetworkError> {
    let mut findings = Vec::new();
    let mut channel = Channel::new(host, Protocol::Netfilter);
    let (_, others) = nft::tables(&mut channel).map_err(missing_nft)?;
    if others.iter().any(|table| table == "firewalld") {
        findings.push(firewalld(&trusted_zone()));
    }
    for chain in nft::dropping_forward(&mut channel)? {
        let name = chain.name();
        let is_let_through = chain.mentions(&mut channel, ANY_TRANSIT)?;
        findings.push(if is_let_through {
            good(format!("chain `{name}` drops by default and names Cove's links"))
        } else if name == "ip filter FORWARD" {
            warning(
                "the FORWARD chain drops by default (Docker or ufw did that); Cove inserts two accept rules for its own links when it starts its first network",
            )
        } else {
            warning(format!(
                "chain `{name}` drops by default, and tasks reach nothing outside: `nft insert rule {name} iifname \"{ANY_TRANSIT}*\" accept` and the same with oifname, also where your ruleset is kept (/etc/nftables.conf)"
            ))
        });
    }
    if fs::read_to_string("/proc/net/ip_tables_names").is_ok_and(|names| names.contains("filter")) {
        findings.push(warning(
            "legacy iptables rules are loaded, which Cove does not look at: if their FORWARD chain drops, `iptables-legacy -I FORWARD -i cvr+ -j ACCEPT` and the same with -o",
        ));
    }
    Ok(findings)
}

/// Zone files of the operator and of the distribution.
fn trusted_zone() -> String {
    let read = |directory: &str| fs::read_to_string(format!("{directory}/firewalld/zones/trusted.xml")).ok();
    read("/etc").or_else(|| read("/usr/lib")).unwrap_or_default()
}

fn firewalld(trusted_zone: &str) -> Finding {
    if trusted_zone.contains(&format!("<interface name=\"{ANY_TRANSIT}+\"")) {
        return good("firewalld is active and trusts Cove's links");
    }
    warning(format!(
        "firewalld is active and may drop what tasks send out: `firewall-cmd --permanent --zone=trusted --add-interface={ANY_TRANSIT}+` and `firewall-cmd --reload`"
    ))
}

fn forwarding() -> Option<Finding> {
    let path = Path::new("/proc/sys/net/ipv4/ip_forward");
    match fs::read_to_string(path) {
        Ok(value) if value.trim() == "0" => Some(warning(
            "IPv4 forwarding is off: Cove turns it on with its first network, drops new connections between other interfaces meanwhile, and turns it off again on `cove down`; a program that needs forwarding for itself (Docker) must find it on before Cove starts",
        )),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(failure("/proc/sys is not mounted")),
        Err(error) => Some(failure(format!("cannot read {}: {error}", path.display()))),
    }
}
