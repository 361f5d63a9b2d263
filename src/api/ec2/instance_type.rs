//! Instance types, as far as the table goes that the fleet's machines are sized by.

use cove_model::instance_type::InstanceType;
use serde_json::{Value, json};

use super::error::Ec2Error;
use super::filter::{Item, Noun, answer, texts};
use crate::Context;

const NOUN: Noun = Noun {
    member: "InstanceTypes",
    code: "InvalidInstanceType",
    what: "instance type",
    list: "InstanceTypes",
    filters: FILTERS,
    results: 5..=100,
};
/// Those by what the table has. Others of EC2 are refused: every type has something of each, and it is not known here.
const FILTERS: &[&str] = &[
    "bare-metal",
    "burstable-performance-supported",
    "current-generation",
    "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps",
    "hibernation-supported",
    "instance-storage-info.total-size-in-gb",
    "instance-storage-supported",
    "instance-type",
    "memory-info.size-in-mib",
    "network-info.maximum-network-interfaces",
    "processor-info.supported-architecture",
    "supported-usage-class",
    "vcpu-info.default-vcpus",
];
/// EC2's own limit of a page that nobody limited.
const PAGE: i64 = 100;
/// The table has no others.
const ARCHITECTURE: &str = "x86_64";
const USAGE_CLASSES: [&str; 2] = ["on-demand", "spot"];

/// DescribeInstanceTypes.
pub(super) fn describe(_: &Context, mut input: Value) -> Result<Value, Ec2Error> {
    let names = texts(&input["InstanceTypes"]);
    let unknown: Vec<String> = names.iter().filter(|name| InstanceType::find(name).is_none()).cloned().collect();
    if !unknown.is_empty() {
        return Err(Ec2Error::Types(unknown));
    }
    if names.is_empty() && input["MaxResults"].is_null() {
        input["MaxResults"] = PAGE.into();
    }
    answer(InstanceType::all().map(item).collect(), &names, &input, &NOUN)
}

fn item(one: &InstanceType) -> Item {
    let manufacturer = match one.cpu_manufacturer() {
        "amd" => "AMD",
        _ => "Intel",
    };
    let mut shown = json!({
        "InstanceType": one.name,
        "CurrentGeneration": one.is_current(),
        "SupportedUsageClasses": USAGE_CLASSES,
        "BareMetal": one.is_bare_metal(),
        "BurstablePerformanceSupported": one.is_burstable(),
        "HibernationSupported": one.hibernates,
        "ProcessorInfo": {"SupportedArchitectures": [ARCHITECTURE], "Manufacturer": manufacturer},
        "VCpuInfo": {"DefaultVCpus": one.vcpus},
        "MemoryInfo": {"SizeInMiB": one.memory_mib},
        "NetworkInfo": {"MaximumNetworkInterfaces": one.interfaces},
        "InstanceStorageSupported": one.has_local_storage(),
    });
    let mut properties = vec![
        ("instance-type", one.name.to_owned()),
        ("current-generation", one.is_current().to_string()),
        ("bare-metal", one.is_bare_metal().to_string()),
        ("burstable-performance-supported", one.is_burstable().to_string()),
        ("hibernation-supported", one.hibernates.to_string()),
        ("processor-info.supported-architecture", ARCHITECTURE.to_owned()),
        ("vcpu-info.default-vcpus", one.vcpus.to_string()),
        ("memory-info.size-in-mib", one.memory_mib.to_string()),
        ("network-info.maximum-network-interfaces", one.interfaces.to_string()),
        ("instance-storage-supported", one.has_local_storage().to_string()),
    ];
    properties.extend(USAGE_CLASSES.map(|class| ("supported-usage-class", class.to_owned())));
    if one.has_local_storage() {
        shown["InstanceStorageInfo"] = json!({"TotalSizeInGB": one.disks_gb});
        properties.push(("instance-storage-info.total-size-in-gb", one.disks_gb.to_string()));
    }
    if one.ebs_mbps > 0 {
        shown["EbsInfo"] = json!({"EbsOptimizedInfo": {"BaselineBandwidthInMbps": one.ebs_mbps}});
        properties.push(("ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps", one.ebs_mbps.to_string()));
    }
    if let Some(gpu) = one.accelerator() {
        let (name, manufacturer) = (gpu.name.to_uppercase(), gpu.manufacturer.to_uppercase());
        let memory = json!({"SizeInMiB": gpu.memory_mib});
        let kind = json!({"Name": name, "Manufacturer": manufacturer, "Count": one.gpus, "MemoryInfo": memory});
        shown["GpuInfo"] = json!({"Gpus": [kind], "TotalGpuMemoryInMiB": gpu.memory_mib * i64::from(one.gpus)});
    }
    Item { id: one.name.to_owned(), properties, tags: Vec::new(), shown }
}
