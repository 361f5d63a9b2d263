//! The fleet as the config file declares it.
//!
//! In: the `[[instance]]` tables, as they were read. Out: checked machines, or the first that cannot be.

use std::time::Duration;

use cove_scheduler::fleet::{BadMachine, Machine, MachineWish};

use super::config::ConfigError;
use super::host;

/// AWS warns two minutes before it takes a Spot instance away.
const SPOT_WARNING: Duration = Duration::from_secs(120);
/// Long enough to look at, short enough to wait for.
const SPOT_WARNING_DEV: Duration = Duration::from_secs(2);
/// AWS's alarm for scaling in waits for 15 datapoints of a minute.
const SCALE_IN: Duration = Duration::from_secs(900);
const SCALE_IN_DEV: Duration = Duration::from_secs(5);
/// AWS gives tasks up that have waited for capacity for ten to thirty minutes.
const PROVISIONING: Duration = Duration::from_secs(1800);
const PROVISIONING_DEV: Duration = Duration::from_secs(60);

/// The machines, in the order of the file.
pub(crate) fn machines(wishes: &[MachineWish]) -> Result<Vec<Machine>, ConfigError> {
    let zones = host::zones();
    let mut all: Vec<Machine> = Vec::new();
    for wish in wishes {
        let bad = |error: BadMachine| ConfigError::Value {
            key: "instance.type",
            value: wish.instance_type.clone(),
            why: error.to_string(),
        };
        let more = Machine::all_of(wish, &zones).map_err(bad)?;
        let is_host = |machine: &Machine| machine.size.is_none();
        if all.iter().any(is_host) && more.iter().any(is_host) {
            return Err(bad(BadMachine::SecondHost));
        }
        all.extend(more);
    }
    Ok(all)
}

/// The warning of a Spot interruption: what the operator says, else AWS's, else a short one with `--dev`.
pub(crate) fn spot_warning(given_secs: Option<u64>, dev: bool) -> Duration {
    let usual = if dev { SPOT_WARNING_DEV } else { SPOT_WARNING };
    given_secs.map_or(usual, Duration::from_secs)
}

/// How long instances stay empty before managed scaling takes them away, by the same rule.
pub(crate) fn scale_in(given_secs: Option<u64>, dev: bool) -> Duration {
    let usual = if dev { SCALE_IN_DEV } else { SCALE_IN };
    given_secs.map_or(usual, Duration::from_secs)
}

/// How long tasks wait for the group of their capacity provider to grow, by the same rule.
pub(crate) fn provisioning(given_secs: Option<u64>, dev: bool) -> Duration {
    let usual = if dev { PROVISIONING_DEV } else { PROVISIONING };
    given_secs.map_or(usual, Duration::from_secs)
}
