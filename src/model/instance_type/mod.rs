//! EC2 instance types, as far as ECS and Cove care: what a container instance of each has.
//!
//! In: a name such as `m5.large`. Out: the row of the table. x86-64 only: this is what the node's containers run on.
//!
//! Holds: ECS registers less memory than the type's page says, because the kernel and the agent keep a part; so does
//! [`InstanceType::registered_memory_mib`].

mod family;
mod table;

pub use family::Accelerator;

/// AWS's figures change by type and by kernel (t2.micro registers 983 of 1024 MiB, t2.medium 3943 of 4096); one part in
/// 25 lies among them, and a task as large as the type itself fits no instance of it, as on AWS.
const MEMORY_KEPT_PART: i64 = 25;

/// One type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceType {
    pub name: &'static str,
    pub vcpus: u32,
    /// What the type's page says.
    pub memory_mib: i64,
    /// Network interfaces, the machine's own among them.
    pub interfaces: u32,
    /// awsvpc tasks when the account setting `awsvpcTrunking` is on; `None` where the type has no trunk.
    pub trunk_tasks: Option<u32>,
    pub gpus: u32,
    /// What the network always has.
    pub network_mbps: u32,
    /// What EBS always has; 0: nothing, or nothing that is known.
    pub ebs_mbps: u32,
    /// Disks of its own, together; all are SSDs.
    pub disks_gb: u32,
    /// Whether it can be hibernated.
    pub hibernates: bool,
}

impl InstanceType {
    /// All of them.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        table::TYPES.iter()
    }

    /// Looks a type up by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        table::TYPES.iter().find(|one| one.name == name)
    }

    /// Names of types in the same family, for whoever mistyped a size; of every family without one.
    #[must_use]
    pub fn like(name: &str) -> Vec<&'static str> {
        let family = |name: &'static str| name.split('.').next().unwrap_or_default();
        let wanted = name.split('.').next().unwrap_or_default();
        let same: Vec<&str> = table::TYPES.iter().map(|one| one.name).filter(|one| family(one) == wanted).collect();
        if !same.is_empty() {
            return same;
        }
        let mut families: Vec<&str> = table::TYPES.iter().map(|one| family(one.name)).collect();
        families.dedup();
        families
    }

    /// The memory that a container instance of this type registers.
    #[must_use]
    pub const fn registered_memory_mib(&self) -> i64 {
        self.memory_mib - self.memory_mib / MEMORY_KEPT_PART
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_type_stands_once_and_has_what_a_machine_needs() {
        let names: HashSet<_> = table::TYPES.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), table::TYPES.len());
        for one in table::TYPES {
            assert!(one.vcpus > 0 && one.memory_mib >= 512 && one.interfaces >= 2, "{}", one.name);
            assert!(one.trunk_tasks.is_none_or(|tasks| tasks > one.interfaces - 1), "{}: a trunk adds tasks", one.name);
            assert!(one.network_mbps > 0, "{}", one.name);
        }
    }

    #[test]
    fn figures_are_those_of_awss_pages() {
        let large = InstanceType::find("m5.large").unwrap();
        assert_eq!((large.vcpus, large.memory_mib, large.interfaces, large.trunk_tasks), (2, 8192, 3, Some(10)));
        let large = InstanceType::find("c5.18xlarge").unwrap();
        assert_eq!((large.vcpus, large.memory_mib, large.interfaces), (72, 147_456, 15));
        assert_eq!(InstanceType::find("p3.8xlarge").unwrap().gpus, 4);
        assert_eq!(InstanceType::find("t2.micro").unwrap().registered_memory_mib(), 984);
        assert_eq!(InstanceType::find("m5.huge"), None);
        let large = InstanceType::find("m6i.large").unwrap();
        assert_eq!((large.network_mbps, large.ebs_mbps, large.hibernates), (781, 650, true));
        assert_eq!(InstanceType::find("g5.48xlarge").unwrap().disks_gb, 7600);
    }

    #[test]
    fn a_mistyped_name_gets_its_family_or_every_family() {
        assert!(InstanceType::like("m5.huge").contains(&"m5.24xlarge"));
        assert!(InstanceType::like("z9.large").contains(&"c6i"));
    }
}
