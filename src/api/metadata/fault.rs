//! The endpoints by which a task injects faults into its own network, as ECS's agent has them.
//!
//! ```text
//! POST $ECS_AGENT_URI/fault/v1/{network-blackhole-port,network-latency,network-packet-loss}/{start,stop,status}
//! ```
//!
//! In: the network that a request came from, the peer's address, path and body. Out: `Status` or `Error`, in the agent's
//! words.
//!
//! Holds: only tasks whose definition says `enableFaultInjection`, and only in a network of their own. What runs is read
//! from the kernel, so it is known after any crash. An endpoint takes one request in five seconds of each container.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use cove_base::Timestamp;
use cove_model::fault::{FaultAct, FaultKind, FaultState, NetworkFault};
use cove_model::network::Cidr;
use cove_model::task::{Task, TaskNetwork};
use serde::Deserialize;
use serde_json::json;

use super::{Metadata, Reply, Router, container, container_of, unknown_caller};

/// Some thousand addresses.
pub(crate) const BODY_MAX_BYTES: usize = 16 << 10;
const PAUSE_MILLIS: i64 = 5000;

/// When each endpoint was asked last, by each container.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<String, Timestamp>>);

impl Throttle {
    fn admits(&self, endpoint: String, now: Timestamp) -> bool {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, at| (now.millis() - at.millis()).abs() < PAUSE_MILLIS);
        if asked.contains_key(&endpoint) {
            return false;
        }
        asked.insert(endpoint, now);
        true
    }
}

impl Metadata {
    /// Whether the path is one of these endpoints.
    pub(crate) fn injects_faults(path: &str) -> bool {
        path.starts_with("/api/") && path.contains("/fault/")
    }

    /// Answers a POST.
    pub(crate) async fn inject(&self, router: &Router, peer: IpAddr, path: &str, body: &[u8], now: Timestamp) -> Reply {
        let IpAddr::V4(peer) = peer.to_canonical() else { return unknown_caller() };
        let Some(task) = self.caller(router, peer) else { return unknown_caller() };
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let ["api", id, "fault", "v1", name, act] = parts[..] else { return Reply::not_found("404 page not found") };
        let Some((fault, act)) = Fault::named(name).zip(act_named(act)) else {
            return Reply::not_found("404 page not found");
        };
        if !self.throttle.admits(format!("{}/{id}/{name}/{act:?}", task.id), now) {
            return refused(429, "You have reached maximum request limit.");
        }
        let fault = match fault.read(act, body) {
            Ok(fault) => fault,
            Err(why) => return refused(400, &why),
        };
        if let Err(reply) = self.allows(&task, id) {
            return reply;
        }
        let Some(port) = &self.stats else { return refused(500, "internal error") };
        match port.fault(task.id.clone(), act, fault).await {
            Ok(state) => reply(act, state),
            Err(error) => {
                tracing::warn!(task = task.id, fault = name, error, "a fault could not be injected");
                refused(500, "internal error")
            }
        }
    }

    fn allows(&self, task: &Task, id: &str) -> Result<(), Reply> {
        if container_of(task, id).is_none() {
            return Err(refused(404, &format!("unable to lookup container: {id}")));
        }
        let definition = container::definition(&self.store, task);
        if definition.is_none_or(|definition| definition.document.enable_fault_injection != Some(true)) {
            return Err(refused(400, &format!("enableFaultInjection is not enabled for task: {}", task.arn())));
        }
        let mode = match task.network {
            TaskNetwork::Awsvpc(_) => return Ok(()),
            TaskNetwork::Bridge { .. } => "bridge",
            TaskNetwork::None => "none",
            TaskNetwork::Host => "host",
        };
        Err(refused(400, &format!("{mode} mode is not supported. Please use either host or awsvpc mode.")))
    }
}

fn act_named(name: &str) -> Option<FaultAct> {
    match name {
        "start" => Some(FaultAct::Start),
        "stop" => Some(FaultAct::Stop),
        "status" => Some(FaultAct::Status),
        _ => None,
    }
}

fn refused(status: u16, why: &str) -> Reply {
    Reply { status, body: json!({"Error": why}) }
}

fn reply(act: FaultAct, state: FaultState) -> Reply {
    let word = match (act, state) {
        (_, FaultState::LatencyRuns) => return refused(409, "There is already one network latency fault running"),
        (_, FaultState::PacketLossRuns) => {
            return refused(409, "There is already one network packet loss fault running");
        }
        (FaultAct::Start | FaultAct::Status, FaultState::Running) => "running",
        (FaultAct::Stop, FaultState::Running | FaultState::NotRunning) => "stopped",
        (FaultAct::Start | FaultAct::Status, FaultState::NotRunning) => "not-running",
    };
    Reply::good(json!({"Status": word}))
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    BlackholePort,
    Latency,
    PacketLoss,
}

/// The members of all three requests.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ask {
    port: Option<u16>,
    protocol: Option<String>,
    traffic_type: Option<String>,
    delay_milliseconds: Option<u64>,
    jitter_milliseconds: Option<u64>,
    loss_percent: Option<u64>,
    sources: Option<Vec<String>>,
    sources_to_filter: Option<Vec<String>>,
}

impl Fault {
    fn named(name: &str) -> Option<Self> {
        match name {
            "network-blackhole-port" => Some(Self::BlackholePort),
            "network-latency" => Some(Self::Latency),
            "network-packet-loss" => Some(Self::PacketLoss),
            _ => None,
        }
    }

    /// To stop and to look, latency and loss need no body, and none is read.
    fn read(self, act: FaultAct, body: &[u8]) -> Result<NetworkFault, String> {
        let nobody = |kind| NetworkFault { kind, to: Vec::new(), spared: Vec::new() };
        match (self, act) {
            (Self::Latency, FaultAct::Stop | FaultAct::Status) => {
                return Ok(nobody(FaultKind::Latency { delay_millis: 0, jitter_millis: 0 }));
            }
            (Self::PacketLoss, FaultAct::Stop | FaultAct::Status) => {
                return Ok(nobody(FaultKind::PacketLoss { percent: 1 }));
            }
            (Self::BlackholePort, _) | (Self::Latency | Self::PacketLoss, FaultAct::Start) => {}
        }
        if body.is_empty() {
            return Err("required request body is missing".to_owned());
        }
        let ask: Ask = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let kind = self.kind(&ask)?;
        let to = match self {
            Self::BlackholePort => Vec::new(),
            Self::Latency | Self::PacketLoss => {
                let sources = ask.sources.unwrap_or_default();
                if sources.is_empty() {
                    return Err(missing("Sources"));
                }
                ranges(&sources, "Sources")?
            }
        };
        let spared = ranges(&ask.sources_to_filter.unwrap_or_default(), "SourcesToFilter")?;
        Ok(NetworkFault { kind, to, spared })
    }

    fn kind(self, ask: &Ask) -> Result<FaultKind, String> {
        match self {
            Self::BlackholePort => {
                let port = ask.port.ok_or_else(|| missing("Port"))?;
                let udp = one_of(ask.protocol.as_deref(), "Protocol", ["tcp", "udp"])?;
                let egress = one_of(ask.traffic_type.as_deref(), "TrafficType", ["ingress", "egress"])?;
                Ok(FaultKind::BlackholePort { port, udp, egress })
            }
            Self::Latency => Ok(FaultKind::Latency {
                delay_millis: ask.delay_milliseconds.ok_or_else(|| missing("DelayMilliseconds"))?,
                jitter_millis: ask.jitter_milliseconds.ok_or_else(|| missing("JitterMilliseconds"))?,
            }),
            Self::PacketLoss => {
                let given = ask.loss_percent.ok_or_else(|| missing("LossPercent"))?;
                let percent = u8::try_from(given).ok().filter(|percent| (1..=100).contains(percent));
                percent.map(|percent| FaultKind::PacketLoss { percent }).ok_or_else(|| invalid(&given, "LossPercent"))
            }
        }
    }
}

/// Whether it is the second of two words.
fn one_of(given: Option<&str>, parameter: &str, words: [&str; 2]) -> Result<bool, String> {
    match given {
        None | Some("") => Err(missing(parameter)),
        Some(word) if word == words[0] => Ok(false),
        Some(word) if word == words[1] => Ok(true),
        Some(word) => Err(invalid(&word, parameter)),
    }
}

fn missing(parameter: &str) -> String {
    format!("required parameter {parameter} is missing")
}

fn invalid(value: &dyn std::fmt::Display, parameter: &str) -> String {
    format!("invalid value {value} for parameter {parameter}")
}

/// Addresses and prefixes. Those of IPv6 are taken and concern nobody: tasks have IPv4 alone.
fn ranges(texts: &[String], parameter: &str) -> Result<Vec<Cidr>, String> {
    let mut found = Vec::new();
    for text in texts {
        let bad = || invalid(text, parameter);
        let (address, prefix) = text.split_once('/').map_or((text.as_str(), None), |(one, other)| (one, Some(other)));
        let prefix = prefix.map(|digits| digits.parse::<u8>().map_err(|_| bad())).transpose()?;
        match address.parse::<IpAddr>().map_err(|_| bad())? {
            IpAddr::V4(address) if prefix.is_none_or(|bits| bits <= 32) => {
                let whole = Cidr { address, prefix: prefix.unwrap_or(32) };
                found.push(Cidr { address: (u32::from(address) & whole.mask()).into(), ..whole });
            }
            IpAddr::V6(_) if prefix.is_none_or(|bits| bits <= 128) => {}
            IpAddr::V4(_) | IpAddr::V6(_) => return Err(bad()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, act: FaultAct, body: &str) -> Result<NetworkFault, String> {
        Fault::named(name).unwrap().read(act, body.as_bytes())
    }

    #[test]
    fn what_is_missing_or_odd_is_named_as_the_agent_names_it() {
        let start = |name, body| read(name, FaultAct::Start, body).unwrap_err();
        assert_eq!(start("network-latency", ""), "required request body is missing");
        assert_eq!(start("network-latency", "{}"), "required parameter DelayMilliseconds is missing");
        assert_eq!(
            start("network-packet-loss", r#"{"LossPercent": 101, "Sources": ["1.2.3.4"]}"#),
            "invalid value 101 for parameter LossPercent"
        );
        assert_eq!(start("network-packet-loss", r#"{"LossPercent": 1}"#), "required parameter Sources is missing");
        assert_eq!(
            start("network-packet-loss", r#"{"LossPercent": 1, "Sources": ["1.2.3"]}"#),
            "invalid value 1.2.3 for parameter Sources"
        );
        let hole = |body| read("network-blackhole-port", FaultAct::Status, body).unwrap_err();
        assert_eq!(hole(r#"{"Port": 1}"#), "required parameter Protocol is missing");
        assert_eq!(hole(r#"{"Port": 1, "Protocol": "icmp"}"#), "invalid value icmp for parameter Protocol");
        assert!(hole(r#"{"Port": 70000}"#).contains("70000"));
    }

    #[test]
    fn ranges_lose_their_lower_bits_and_ipv6_concerns_nobody() {
        let body = r#"{"DelayMilliseconds": 5, "JitterMilliseconds": 0, "Sources": ["10.1.2.3/8", "1.2.3.4", "::1", "fd00::/8"],
            "SourcesToFilter": ["0.0.0.0/0"]}"#;
        let fault = read("network-latency", FaultAct::Start, body).unwrap();
        let range = |text| Cidr::parse(text).unwrap();
        assert_eq!(fault.to, [range("10.0.0.0/8"), range("1.2.3.4/32")]);
        assert_eq!(fault.spared, [range("0.0.0.0/0")]);
        assert_eq!(fault.kind, FaultKind::Latency { delay_millis: 5, jitter_millis: 0 });
        assert!(ranges(&["1.2.3.4/33".to_owned()], "Sources").is_err());
    }

    #[test]
    fn an_endpoint_takes_one_request_in_five_seconds() {
        let throttle = Throttle::default();
        let ask = |endpoint: &str, millis| throttle.admits(endpoint.to_owned(), Timestamp(millis));
        assert!(ask("a", 0));
        assert!(!ask("a", PAUSE_MILLIS - 1));
        assert!(ask("b", PAUSE_MILLIS - 1), "another one");
        assert!(ask("a", PAUSE_MILLIS));
    }
}
