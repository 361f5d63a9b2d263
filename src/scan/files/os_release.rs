//! `os-release`, and what OSV calls a distribution.

use crate::package::Distribution;

/// Unknown lines are passed over: every distribution has its own.
pub(crate) fn parse(bytes: &[u8]) -> Distribution {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Distribution::default();
    for (key, value) in text.lines().filter_map(|line| line.trim().split_once('=')) {
        let value = value.trim().trim_matches(['"', '\'']).replace('\\', "");
        match key {
            "ID" => found.id = value,
            "VERSION_ID" => found.version_id = value,
            "PRETTY_NAME" => found.pretty_name = value,
            "VERSION_CODENAME" => found.codename = value,
            _ => {}
        }
    }
    found
}

/// Empty when OSV has no advisories of it.
pub(super) fn ecosystem(distribution: &Distribution) -> String {
    let version = distribution.version_id.as_str();
    let major = version.split('.').next().unwrap_or_default();
    let minor: String = version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    match distribution.id.as_str() {
        // Testing and unstable have no version.
        "debian" if version.is_empty() => String::new(),
        "debian" => format!("Debian:{major}"),
        "ubuntu" => format!("Ubuntu:{version}"),
        "alpine" if version.contains(['_', 'a']) || version.is_empty() => "Alpine:edge".to_owned(),
        "alpine" => format!("Alpine:v{minor}"),
        "wolfi" => "Wolfi".to_owned(),
        "chainguard" => "Chainguard".to_owned(),
        "rhel" => format!("Red Hat:enterprise_linux:{major}"),
        "rocky" => format!("Rocky Linux:{major}"),
        "almalinux" => format!("AlmaLinux:{major}"),
        "mageia" => format!("Mageia:{major}"),
        "photon" => format!("Photon OS:{minor}"),
        "opensuse-leap" => format!("openSUSE:Leap {minor}"),
        "opensuse-tumbleweed" => "openSUSE:Tumbleweed".to_owned(),
        "sles" => {
            let (major, pack) = version.split_once('.').unwrap_or((version, "0"));
            let pack = if pack == "0" { String::new() } else { format!(" SP{pack}") };
            format!("SUSE:Linux Enterprise Server {major}{pack}")
        }
        _ => String::new(),
    }
}
