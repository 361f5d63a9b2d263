//! Which types of EC2 meet a provider's requirements, and how many tasks each holds.
//!
//! Holds: what was required is looked at here, member by member, or was refused. Without requirements the general types
//! are meant (families c, m and r), as on AWS.

use cove_model::instance_type::InstanceType;
use cove_model::managed_instances::{InstanceRequirements, Limits, Wanted};
use cove_model::wildcard;

use crate::fleet::scale::{Room, tasks_in};
use crate::place::{Request, Reserve};

/// A type that will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) name: &'static str,
    /// How many of the tasks it holds; never none.
    pub(super) tasks: usize,
    pub(super) price: i64,
}

/// The types for tasks of the request, beside what is kept for daemons.
pub(super) fn offers(
    requirements: Option<&InstanceRequirements>,
    request: &Request,
    trunking: bool,
    kept: &[&Reserve],
) -> Vec<Offer> {
    let (cpu, memory_mib) = kept.iter().fold((0, 0), |sum, it| (sum.0 + it.cpu, sum.1 + it.memory_mib));
    let offer = |one: &'static InstanceType| {
        let interfaces = one.trunk_tasks.filter(|_| trunking).unwrap_or(one.interfaces - 1);
        let room = Room {
            cpu: i64::from(one.vcpus) * 1024 - cpu,
            memory_mib: one.registered_memory_mib() - memory_mib,
            gpus: one.gpus as usize,
            interfaces: Some(interfaces),
        };
        let tasks = tasks_in(&room, request);
        (tasks > 0).then(|| Offer { name: one.name, tasks, price: one.relative_price() })
    };
    InstanceType::all().filter(|one| meets(one, requirements)).filter_map(offer).collect()
}

/// Whether any type meets the requirements.
#[must_use]
pub fn has_offers(requirements: &InstanceRequirements) -> bool {
    InstanceType::all().any(|one| meets(one, Some(requirements)))
}

fn meets(one: &InstanceType, requirements: Option<&InstanceRequirements>) -> bool {
    let Some(wanted) = requirements else {
        return matches!(one.family().as_bytes().first(), Some(b'c' | b'm' | b'r'));
    };
    let named = |patterns: &[String]| patterns.iter().any(|pattern| wildcard::matches(pattern, one.name));
    let is_among = |values: &[String], value: &str| values.is_empty() || values.iter().any(|it| it == value);
    let all = |limits: Option<Limits>, value: i64| limits.is_none_or(|limits| limits.hold(value));
    // What was named outright is wanted, whatever its kind.
    let default = if wanted.allowed_instance_types.is_empty() { Wanted::Excluded } else { Wanted::Included };
    // Quarters of a GiB at least: exact.
    #[allow(clippy::cast_precision_loss)]
    let gib_per_vcpu = one.memory_mib as f64 / 1024.0 / f64::from(one.vcpus);
    (wanted.allowed_instance_types.is_empty() || named(&wanted.allowed_instance_types))
        && !named(&wanted.excluded_instance_types)
        && wanted.v_cpu_count.hold(i64::from(one.vcpus))
        && wanted.memory_mib.hold(one.memory_mib)
        && wanted.memory_gib_per_vcpu.is_none_or(|limits| limits.hold(gib_per_vcpu))
        && is_among(&wanted.cpu_manufacturers, one.cpu_manufacturer())
        // All of the table are sold as current ones.
        && is_among(&wanted.instance_generations, "current")
        && wanted.bare_metal.unwrap_or(default).allows(one.is_bare_metal())
        && wanted.burstable_performance.unwrap_or(default).allows(one.is_burstable())
        && wanted.local_storage.unwrap_or(Wanted::Included).allows(one.has_local_storage())
        && all(wanted.network_interface_count, i64::from(one.interfaces))
        && has_accelerators(one, wanted)
}

/// What is said of accelerators is said of types that have some: a type without meets only a count that may be none.
fn has_accelerators(one: &InstanceType, wanted: &InstanceRequirements) -> bool {
    if !wanted.accelerator_count.is_none_or(|limits| limits.hold(i64::from(one.gpus))) {
        return false;
    }
    let says_what = !wanted.accelerator_types.is_empty()
        || !wanted.accelerator_manufacturers.is_empty()
        || !wanted.accelerator_names.is_empty()
        || wanted.accelerator_total_memory_mib.is_some();
    let Some(has) = one.accelerator() else { return !says_what };
    let is_among = |values: &[String], value: &str| values.is_empty() || values.iter().any(|it| it == value);
    let total = has.memory_mib * i64::from(one.gpus);
    is_among(&wanted.accelerator_types, "gpu")
        && is_among(&wanted.accelerator_manufacturers, has.manufacturer)
        && is_among(&wanted.accelerator_names, has.name)
        && wanted.accelerator_total_memory_mib.is_none_or(|limits| limits.hold(total))
}

#[cfg(test)]
mod tests {
    use cove_model::managed_instances::RealLimits;

    use super::*;

    fn meeting(wanted: &InstanceRequirements) -> Vec<&'static str> {
        InstanceType::all().filter(|one| meets(one, Some(wanted))).map(|one| one.name).collect()
    }

    fn limits(min: i64, max: i64) -> Limits {
        Limits { min: Some(min), max: Some(max) }
    }

    fn sized(vcpus: (i64, i64), gib: (i64, i64)) -> InstanceRequirements {
        InstanceRequirements {
            v_cpu_count: limits(vcpus.0, vcpus.1),
            memory_mib: limits(gib.0 << 10, gib.1 << 10),
            ..InstanceRequirements::default()
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, is) in [
            ("m5.large", "m5.large", true),
            ("m5.*", "m5.large", true),
            ("m*.large", "m5a.large", true),
            ("*", "m5.large", true),
            ("m5*", "m5a.large", true),
            ("m5.*", "m5a.large", false),
            ("*.large", "m5.xlarge", false),
        ] {
            assert_eq!(wildcard::matches(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn sizes_are_those_of_the_types_pages() {
        let got = meeting(&sized((2, 2), (4, 8)));
        assert!(got.contains(&"m5.large") && got.contains(&"c5.large"), "{got:?}");
        assert!(!got.iter().any(|name| name.starts_with('t') || name.contains(".xlarge")), "{got:?}");
    }

    /// Each member takes away what it must, and leaves something.
    #[test]
    fn every_requirement_has_its_effect() {
        let texts = |values: &[&str]| values.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let base = || InstanceRequirements {
            burstable_performance: Some(Wanted::Included),
            ..InstanceRequirements::default()
        };
        let all = meeting(&base()).len();
        let cases: Vec<(&str, InstanceRequirements, &str, &str)> = vec![
            ("vCpuCount", InstanceRequirements { v_cpu_count: limits(4, 4), ..base() }, "m5.xlarge", "m5.large"),
            ("memoryMiB", InstanceRequirements { memory_mib: limits(8192, 8192), ..base() }, "m5.large", "c5.large"),
            (
                "memoryGiBPerVCpu",
                InstanceRequirements { memory_gib_per_vcpu: Some(RealLimits { min: Some(8.0), max: None }), ..base() },
                "r5.large",
                "m5.large",
            ),
            ("cpu", InstanceRequirements { cpu_manufacturers: texts(&["amd"]), ..base() }, "m5a.large", "m5.large"),
            (
                "allowed",
                InstanceRequirements { allowed_instance_types: texts(&["m5.*"]), ..base() },
                "m5.large",
                "c5.large",
            ),
            (
                "excluded",
                InstanceRequirements { excluded_instance_types: texts(&["m*"]), ..base() },
                "c5.large",
                "m5.large",
            ),
            (
                "burstable",
                InstanceRequirements { burstable_performance: Some(Wanted::Required), ..base() },
                "t3.small",
                "m5.large",
            ),
            (
                "storage",
                InstanceRequirements { local_storage: Some(Wanted::Excluded), ..base() },
                "m5.large",
                "g4dn.xlarge",
            ),
            (
                "interfaces",
                InstanceRequirements { network_interface_count: Some(limits(15, 15)), ..base() },
                "m5.16xlarge",
                "m5.large",
            ),
            (
                "count",
                InstanceRequirements { accelerator_count: Some(limits(4, 4)), ..base() },
                "p3.8xlarge",
                "m5.large",
            ),
            ("type", InstanceRequirements { accelerator_types: texts(&["gpu"]), ..base() }, "g4dn.xlarge", "m5.large"),
            ("name", InstanceRequirements { accelerator_names: texts(&["t4"]), ..base() }, "g4dn.xlarge", "g5.xlarge"),
            (
                "maker",
                InstanceRequirements { accelerator_manufacturers: texts(&["nvidia"]), ..base() },
                "g5.xlarge",
                "m5.large",
            ),
            (
                "memory",
                InstanceRequirements { accelerator_total_memory_mib: Some(limits(60_000, 70_000)), ..base() },
                "p3.8xlarge",
                "g5.xlarge",
            ),
        ];
        for (what, wanted, stays, goes) in cases {
            let got = meeting(&wanted);
            assert!(got.contains(&stays) && !got.contains(&goes) && got.len() < all, "{what}: {got:?}");
            assert!(has_offers(&wanted), "{what}");
        }
        let old = InstanceRequirements { instance_generations: texts(&["previous"]), ..base() };
        assert!(!has_offers(&old));
    }

    #[test]
    fn what_is_named_outright_may_be_burstable() {
        let allowed_instance_types = vec!["t3.small".to_owned()];
        let wanted = InstanceRequirements { allowed_instance_types, ..InstanceRequirements::default() };
        assert_eq!(meeting(&wanted), ["t3.small"]);
    }
}
