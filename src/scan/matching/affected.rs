//! Whether a version is affected, by the evaluation that the OSV schema prescribes.

use std::cmp::Ordering;

use crate::osv::{Event, Range, Statement};
use crate::version::VersionOrder;

/// Nothing when the version is not affected; else the next version that is not, if there is one.
pub(super) fn fixed(statement: &Statement, ecosystem: &str, version: &str) -> Option<Option<String>> {
    if !same_release(&statement.ecosystem, ecosystem) {
        return None;
    }
    let order = VersionOrder::of_ecosystem(ecosystem)?;
    let mut affected = statement.versions.iter().any(|known| order.compare(known, version).is_eq());
    let mut next: Option<&str> = None;
    for range in &statement.ranges {
        let order = if range.semver { VersionOrder::SemVer } else { order };
        affected |= within(range, order, version);
        for event in &range.events {
            if let Event::Fixed(fixed) = event
                && order.compare(fixed, version).is_gt()
                && next.is_none_or(|next| order.compare(fixed, next).is_lt())
            {
                next = Some(fixed);
            }
        }
    }
    affected.then(|| next.map(str::to_owned))
}

/// The events in their order, each of which turns the state at its version.
fn within(range: &Range, order: VersionOrder, version: &str) -> bool {
    let mut events: Vec<&Event> = range.events.iter().collect();
    events.sort_by(|one, other| position(order, one, other));
    let mut affected = false;
    for event in events {
        match event {
            Event::Introduced(from) if from == "0" || order.compare(version, from).is_ge() => affected = true,
            Event::Fixed(end) if order.compare(version, end).is_ge() => affected = false,
            Event::Limit(end) if end != "*" && order.compare(version, end).is_ge() => affected = false,
            Event::LastAffected(last) if order.compare(version, last).is_gt() => affected = false,
            Event::Introduced(_) | Event::Fixed(_) | Event::Limit(_) | Event::LastAffected(_) => {}
        }
    }
    affected
}

fn position(order: VersionOrder, one: &Event, other: &Event) -> Ordering {
    let parts = |event: &Event| match event {
        Event::Introduced(version) if version == "0" => (0, version.clone()),
        Event::Limit(version) if version == "*" => (2, version.clone()),
        Event::Introduced(version) | Event::Fixed(version) | Event::LastAffected(version) | Event::Limit(version) => {
            (1, version.clone())
        }
    };
    // At one version, what was introduced there is affected, and what is last affected there too.
    let rank = |event: &Event| match event {
        Event::Fixed(_) | Event::Limit(_) => 0,
        Event::Introduced(_) => 1,
        Event::LastAffected(_) => 2,
    };
    let ((first, one_version), (second, other_version)) = (parts(one), parts(other));
    first
        .cmp(&second)
        .then_with(|| if first == 1 { order.compare(&one_version, &other_version) } else { Ordering::Equal })
        .then_with(|| rank(one).cmp(&rank(other)))
}

/// Whether what is said of one ecosystem holds for a package of another, which differ in their releases.
fn same_release(said: &str, package: &str) -> bool {
    if said == package {
        return true;
    }
    let Some((base, release)) = package.split_once(':') else { return false };
    let Some((_, said_release)) = said.split_once(':').filter(|(said_base, _)| *said_base == base) else {
        // Of no release: of all.
        return said == base;
    };
    match base {
        // Those of Ubuntu Pro are fixed for its customers alone.
        "Ubuntu" => said_release.strip_suffix(":LTS") == Some(release),
        "Red Hat" => said_release.strip_prefix(release).is_some_and(|rest| rest.starts_with(':')),
        // Products and modules of one service pack.
        "SUSE" => tail(said_release) == tail(release),
        _ => false,
    }
}

/// `15 SP5` of `Linux Enterprise Server 15 SP5`.
fn tail(release: &str) -> &str {
    release.find(|sign: char| sign.is_ascii_digit()).map_or("", |at| &release[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(ecosystem: &str, events: &[Event]) -> Statement {
        let range = Range { semver: false, events: events.to_vec() };
        Statement { ecosystem: ecosystem.to_owned(), ranges: vec![range], ..Statement::default() }
    }

    fn introduced(version: &str) -> Event {
        Event::Introduced(version.to_owned())
    }

    fn ended(version: &str) -> Event {
        Event::Fixed(version.to_owned())
    }

    #[test]
    fn a_version_is_affected_between_introduction_and_fix_in_whatever_order_they_stand() {
        let events = [ended("2.5"), introduced("2"), introduced("0"), ended("1.2")];
        let statement = statement("PyPI", &events);
        let fixed = |version| fixed(&statement, "PyPI", version);
        assert_eq!(fixed("0.1"), Some(Some("1.2".to_owned())));
        assert_eq!(fixed("1.2rc1"), Some(Some("1.2".to_owned())));
        assert_eq!(fixed("1.2"), None);
        assert_eq!(fixed("2.4"), Some(Some("2.5".to_owned())));
        assert_eq!(fixed("2.5"), None);
    }

    #[test]
    fn the_last_affected_version_is_affected_and_nothing_fixes_it() {
        let statement = statement("PyPI", &[introduced("1"), Event::LastAffected("1.4".to_owned())]);
        assert_eq!(fixed(&statement, "PyPI", "1.4"), Some(None));
        assert_eq!(fixed(&statement, "PyPI", "1.4.1"), None);
        let single = self::statement("PyPI", &[Event::LastAffected("1".to_owned()), introduced("1")]);
        assert_eq!(fixed(&single, "PyPI", "1"), Some(None));
    }

    #[test]
    fn limits_end_a_range_and_versions_add_to_it() {
        let mut statement = statement("npm", &[introduced("0"), Event::Limit("2.0.0".to_owned())]);
        statement.versions = vec!["3.0.0".to_owned()];
        assert!(fixed(&statement, "npm", "1.9.9").is_some() && fixed(&statement, "npm", "2.0.0").is_none());
        assert_eq!(fixed(&statement, "npm", "v3.0.0"), Some(None));
        let endless = self::statement("npm", &[Event::Limit("*".to_owned()), introduced("1.0.0")]);
        assert!(fixed(&endless, "npm", "9.0.0").is_some());
    }

    #[test]
    fn releases_are_kept_apart() {
        assert!(same_release("Debian:12", "Debian:12") && !same_release("Debian:11", "Debian:12"));
        assert!(
            same_release("Ubuntu:22.04:LTS", "Ubuntu:22.04") && !same_release("Ubuntu:Pro:22.04:LTS", "Ubuntu:22.04")
        );
        assert!(same_release("Red Hat:enterprise_linux:9::baseos", "Red Hat:enterprise_linux:9"));
        assert!(!same_release("Red Hat:enterprise_linux:90::baseos", "Red Hat:enterprise_linux:9"));
        assert!(same_release(
            "SUSE:Linux Enterprise Module for Basesystem 15 SP5",
            "SUSE:Linux Enterprise Server 15 SP5"
        ));
        assert!(!same_release("Maven:https://repo.example", "Maven") && same_release("Alpine", "Alpine:v3.19"));
    }
}
