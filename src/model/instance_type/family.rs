//! What EC2's types are like, beside their figures: most of it is in the letters of the family's name.

use super::InstanceType;

/// A kind of GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accelerator {
    /// As ECS names it.
    pub name: &'static str,
    pub manufacturer: &'static str,
    pub memory_mib: i64,
}

/// What one vCPU costs, in the price of a GiB; a fit to the prices of c5, m5 and r5 that is right to 4 %.
const GIBS_PER_VCPU: i64 = 10;
/// A GPU costs more than any machine around it.
const GIBS_PER_GPU: i64 = 1000;
/// Families that EC2's DescribeInstanceTypes calls no current generation, or lists no more (p3).
const PREVIOUS: [&str; 8] = ["c4", "c5", "m4", "m5", "m6i", "p3", "r5", "r6i"];

impl InstanceType {
    /// As in `m5`.
    #[must_use]
    pub fn family(&self) -> &'static str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// Whether its CPU is lent beyond a baseline.
    #[must_use]
    pub fn is_burstable(&self) -> bool {
        self.family().starts_with('t')
    }

    /// Whether it is a whole machine.
    #[must_use]
    pub fn is_bare_metal(&self) -> bool {
        self.name.contains(".metal")
    }

    /// Whether it has disks of its own.
    #[must_use]
    pub const fn has_local_storage(&self) -> bool {
        self.disks_gb > 0
    }

    /// Whether EC2 calls it one of the current generation.
    #[must_use]
    pub fn is_current(&self) -> bool {
        !PREVIOUS.contains(&self.family())
    }

    /// Whether it is of the general families, that price protection looks at.
    #[must_use]
    pub fn is_general(&self) -> bool {
        matches!(self.family().as_bytes().first(), Some(b'c' | b'm' | b'r'))
    }

    /// As ECS names it.
    #[must_use]
    pub fn cpu_manufacturer(&self) -> &'static str {
        let family = self.family();
        if family.ends_with('a') || family == "g5" { "amd" } else { "intel" }
    }

    /// What its GPUs are, if it has some.
    #[must_use]
    pub fn accelerator(&self) -> Option<Accelerator> {
        let gpu = |name, gib: i64| Some(Accelerator { name, manufacturer: "nvidia", memory_mib: gib << 10 });
        match self.family() {
            "p3" => gpu("v100", 16),
            "g4dn" => gpu("t4", 16),
            "g5" => gpu("a10g", 24),
            _ => None,
        }
    }

    /// What it costs, in the price of 1/1024 GiB: for comparisons alone. Equal sizes cost the same.
    #[must_use]
    pub fn relative_price(&self) -> i64 {
        let gibs = i64::from(self.vcpus) * GIBS_PER_VCPU + i64::from(self.gpus) * GIBS_PER_GPU;
        (gibs << 10) + self.memory_mib
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_with_gpus_says_what_they_are() {
        for one in InstanceType::all() {
            assert_eq!(one.gpus > 0, one.accelerator().is_some(), "{}", one.name);
        }
    }

    #[test]
    fn names_say_what_types_are_like() {
        let find = |name| InstanceType::find(name).unwrap();
        assert_eq!((find("t3a.small").cpu_manufacturer(), find("t3a.small").is_burstable()), ("amd", true));
        assert_eq!((find("m5.large").cpu_manufacturer(), find("m5.large").is_burstable()), ("intel", false));
        assert!(find("c5.large").relative_price() < find("m5.large").relative_price());
        assert!(find("m5.24xlarge").relative_price() < find("p3.8xlarge").relative_price());
        assert_eq!((find("m6i.large").is_current(), find("m7i.large").is_current()), (false, true));
        assert_eq!((find("r5.large").is_general(), find("t3.small").is_general()), (true, false));
    }
}
