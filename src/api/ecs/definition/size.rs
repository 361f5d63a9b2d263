//! Task-level cpu and memory: texts in, numbers out; and whether Fargate has such a size.
//!
//! Holds: what is returned is what ECS shows afterwards: cpu in 1/1024 of a core, memory in MiB, as a plain number.

use cove_model::fargate::is_fargate_size;

use crate::ecs::error::EcsError;

/// The smallest and the largest task-level cpu outside Fargate, in 1/1024 of a core.
const EC2_CPU: std::ops::RangeInclusive<i64> = 128..=196_608;
/// 1 TiB steps would already overflow nothing; this only keeps arithmetic far from the edge of `i32`.
const MEMORY_MAX_MIB: i64 = 1 << 30;

/// `"1024"`, `"1 vCPU"`, `".5 vcpu"`.
pub(crate) fn parse_cpu(text: &str) -> Result<i64, EcsError> {
    let bad = || EcsError::client("Invalid 'cpu' setting for task.");
    let units = parse_scaled(text, &[("vcpu", 1024), ("vcpus", 1024)]).ok_or_else(bad)?;
    if EC2_CPU.contains(&units) { Ok(units) } else { Err(bad()) }
}

/// `"1024"`, `"1GB"`, `"0.5 GB"`.
pub(crate) fn parse_memory(text: &str) -> Result<i64, EcsError> {
    let bad = || EcsError::client("Invalid 'memory' setting for task.");
    let mib = parse_scaled(text, &[("gb", 1024), ("mb", 1)]).ok_or_else(bad)?;
    if (1..=MEMORY_MAX_MIB).contains(&mib) { Ok(mib) } else { Err(bad()) }
}

/// A decimal number with an optional unit; a number without one is in the base unit and whole.
fn parse_scaled(text: &str, units: &[(&str, i64)]) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let scale = match unit.trim() {
        "" => 1,
        unit => units.iter().find(|(name, _)| *name == unit)?.1,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 9 || fraction.len() > 6 {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let places = 10_i64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: i64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scaled = (whole * places + fraction) * scale;
    (scaled % places == 0).then_some(scaled / places)
}

/// Refuses what Fargate has no size for.
pub(crate) fn check_fargate_size(cpu: Option<i64>, memory_mib: Option<i64>) -> Result<(), EcsError> {
    let cpu = cpu.ok_or_else(|| EcsError::client("Fargate requires that 'cpu' be defined at the task level."))?;
    let memory =
        memory_mib.ok_or_else(|| EcsError::client("Fargate requires that 'memory' be defined at the task level."))?;
    if is_fargate_size(cpu, memory) {
        return Ok(());
    }
    Err(EcsError::client(format!(
        "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS documentation for the valid values."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_units_or_as_vcpu_and_gb() {
        for (text, units) in [("256", 256), ("1 vCPU", 1024), (".25 vCPU", 256), ("0.5vcpu", 512), (" 2 vCPUs ", 2048)]
        {
            assert_eq!(parse_cpu(text).ok(), Some(units), "{text}");
        }
        for (text, mib) in [("512", 512), ("1GB", 1024), ("0.5 GB", 512), ("30 gb", 30720), ("64MB", 64)] {
            assert_eq!(parse_memory(text).ok(), Some(mib), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "abc", "-1", "1.5", "1 GB", "100", "196609", "9999999999999", ".", "1.2.3 vcpu", "0.1234567 vcpu"]
        {
            assert!(parse_cpu(text).is_err(), "{text}");
        }
        for text in ["", "0", "1TB", "1.0001GB", "nan", "1e3"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
    }
}
