//! Which types of EC2 meet a provider's requirements, and how many tasks each holds.
//!
//! Holds: what was required is looked at here, member by member, or was refused. Without requirements the general types
//! are meant (families c, m and r), as on AWS. Price protection is that of EC2: against the cheapest general type of the
//! current generation that meets the rest, else the cheapest of the current one, else of all. Why Spot's is the same: what
//! Spot costs is the same part of every price here, and only their relation is asked for.

use cove_model::instance_type::InstanceType;
use cove_model::managed_instances::{InstanceRequirements, Limits, ManagedInstances, RealLimits, Wanted};
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
pub(super) fn offers(managed: &ManagedInstances, request: &Request, trunking: bool, kept: &[&Reserve]) -> Vec<Offer> {
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
    types(managed.requirements(), managed.is_spot()).into_iter().filter_map(offer).collect()
}

/// Whether any type meets the requirements.
#[must_use]
pub fn has_offers(requirements: &InstanceRequirements) -> bool {
    InstanceType::all().any(|one| meets(one, Some(requirements)))
}

/// All types that an instance may be of.
pub(super) fn types(requirements: Option<&InstanceRequirements>, is_spot: bool) -> Vec<&'static InstanceType> {
    let mut all: Vec<&InstanceType> = InstanceType::all().filter(|one| meets(one, requirements)).collect();
    let percent = requirements.and_then(|it| {
        let (spot, on_demand) =
            (it.spot_max_price_percentage_over_lowest_price, it.on_demand_max_price_percentage_over_lowest_price);
        if is_spot { spot } else { on_demand }
    });
    if let Some(percent) = percent {
        let rank = |one: &&&InstanceType| (!(one.is_current() && one.is_general()), !one.is_current());
        let base = all.iter().min_by_key(|one| (rank(one), one.relative_price())).map_or(0, |one| one.relative_price());
        let most = base.saturating_mul(percent.saturating_add(100)) / 100;
        all.retain(|one| one.relative_price() <= most);
    }
    all
}

fn meets(one: &InstanceType, requirements: Option<&InstanceRequirements>) -> bool {
    let Some(wanted) = requirements else {
        return one.is_general();
    };
    let named = |patterns: &[String]| patterns.iter().any(|pattern| wildcard::matches(pattern, one.name));
    let is_among = |values: &[String], value: &str| values.is_empty() || values.iter().any(|it| it == value);
    let all = |limits: Option<Limits>, value: i64| limits.is_none_or(|limits| limits.hold(value));
    let real = |limits: Option<RealLimits>, value: f64| limits.is_none_or(|limits| limits.hold(value));
    // What was named outright is wanted, whatever its kind.
    let default = if wanted.allowed_instance_types.is_empty() { Wanted::Excluded } else { Wanted::Included };
    // Quarters of a GiB at least: exact.
    #[allow(clippy::cast_precision_loss)]
    let gib_per_vcpu = one.memory_mib as f64 / 1024.0 / f64::from(one.vcpus);
    (wanted.allowed_instance_types.is_empty() || named(&wanted.allowed_instance_types))
        && !named(&wanted.excluded_instance_types)
        && wanted.v_cpu_count.hold(i64::from(one.vcpus))
        && wanted.memory_mib.hold(one.memory_mib)
        && real(wanted.memory_gib_per_vcpu, gib_per_vcpu)
        && is_among(&wanted.cpu_manufacturers, one.cpu_manufacturer())
        && is_among(&wanted.instance_generations, if one.is_current() { "current" } else { "previous" })
        && wanted.bare_metal.unwrap_or(default).allows(one.is_bare_metal())
        && wanted.burstable_performance.unwrap_or(default).allows(one.is_burstable())
        && wanted.local_storage.unwrap_or(Wanted::Included).allows(one.has_local_storage())
        && (wanted.local_storage_types.is_empty()
            || one.has_local_storage() && is_among(&wanted.local_storage_types, "ssd"))
        && real(wanted.total_local_storage_gb, f64::from(one.disks_gb))
        && all(wanted.baseline_ebs_bandwidth_mbps, i64::from(one.ebs_mbps))
        && real(wanted.network_bandwidth_gbps, f64::from(one.network_mbps) / 1000.0)
        && (one.hibernates || wanted.require_hibernate_support != Some(true))
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
            (
                "network",
                InstanceRequirements {
                    network_bandwidth_gbps: Some(RealLimits { min: Some(0.75), max: Some(0.76) }),
                    ..base()
                },
                "m5.large",
                "m6i.large",
            ),
            (
                "ebs",
                InstanceRequirements {
                    baseline_ebs_bandwidth_mbps: Some(Limits { min: Some(1200), max: None }),
                    ..base()
                },
                "m6i.xlarge",
                "m5.xlarge",
            ),
            (
                "disks",
                InstanceRequirements {
                    total_local_storage_gb: Some(RealLimits { min: Some(200.0), max: None }),
                    ..base()
                },
                "g5.xlarge",
                "g4dn.xlarge",
            ),
            (
                "disk types",
                InstanceRequirements { local_storage_types: texts(&["ssd"]), ..base() },
                "g5.xlarge",
                "m5.large",
            ),
            (
                "hibernation",
                InstanceRequirements { require_hibernate_support: Some(true), ..base() },
                "m6i.large",
                "r6i.large",
            ),
            (
                "generation",
                InstanceRequirements { instance_generations: texts(&["previous"]), ..base() },
                "m5.large",
                "m7i.large",
            ),
        ];
        for (what, wanted, stays, goes) in cases {
            let got = meeting(&wanted);
            assert!(got.contains(&stays) && !got.contains(&goes) && got.len() < all, "{what}: {got:?}");
            assert!(has_offers(&wanted), "{what}");
        }
        assert!(!has_offers(&InstanceRequirements { local_storage_types: texts(&["hdd"]), ..base() }));
    }

    #[test]
    fn price_protection_is_against_the_cheapest_general_type_of_today() {
        let names = |wanted: &InstanceRequirements, is_spot: bool| -> Vec<&'static str> {
            types(Some(wanted), is_spot).into_iter().map(|one| one.name).collect()
        };
        let mut wanted = sized((2, 4), (0, 64));
        let all = names(&wanted, false);
        assert!(all.contains(&"r5.xlarge"), "{all:?}");
        wanted.on_demand_max_price_percentage_over_lowest_price = Some(20);
        let got = names(&wanted, false);
        assert!(got.contains(&"c7i.large") && got.contains(&"m5.large"), "{got:?}");
        assert!(!got.contains(&"r7i.large") && !got.contains(&"c7i.xlarge"), "{got:?}");
        assert_eq!(names(&wanted, true), all, "it is said of on-demand capacity");
        wanted.spot_max_price_percentage_over_lowest_price = Some(0);
        assert!(!names(&wanted, true).contains(&"m5.large"));
        wanted.on_demand_max_price_percentage_over_lowest_price = Some(999_999);
        assert_eq!(names(&wanted, false), all, "so high a value turns it off");
        // Burstable ones are cheaper, and not what it is measured by.
        wanted.allowed_instance_types = vec!["t3.*".to_owned(), "m7i.large".to_owned()];
        wanted.on_demand_max_price_percentage_over_lowest_price = Some(0);
        assert!(names(&wanted, false).contains(&"t3.small") && names(&wanted, false).contains(&"m7i.large"));
    }

    #[test]
    fn what_is_named_outright_may_be_burstable() {
        let allowed_instance_types = vec!["t3.small".to_owned()];
        let wanted = InstanceRequirements { allowed_instance_types, ..InstanceRequirements::default() };
        assert_eq!(meeting(&wanted), ["t3.small"]);
    }
}
