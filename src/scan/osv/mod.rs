//! Records of the OSV schema, version 1.
//!
//! In: JSON of one record. Out: an [`Advisory`] with what a scan needs of it.
//!
//! Holds: a record without an id, or whose `affected` cannot be read, is refused, for nobody could say what it misses; any
//! other field of a wrong type counts as absent. Texts and lists are cut at named limits.

mod record;
#[cfg(test)]
mod tests;

#[cfg(test)]
use record::RecordFault;
pub(crate) use record::{Advisory, Event, Range, Statement, parse};

/// Whether two names mean one package. PyPI and NuGet do not tell case apart, and PyPI takes `-`, `_` and `.` for one.
pub(crate) fn package_key(ecosystem: &str, name: &str) -> String {
    match ecosystem.split(':').next().unwrap_or_default() {
        "PyPI" => {
            let mut key = String::with_capacity(name.len());
            for letter in name.chars().map(|letter| letter.to_ascii_lowercase()) {
                let sign = if "-_.".contains(letter) { '-' } else { letter };
                if !(sign == '-' && key.ends_with('-')) {
                    key.push(sign);
                }
            }
            key
        }
        "NuGet" | "Packagist" => name.to_ascii_lowercase(),
        _ => name.to_owned(),
    }
}
