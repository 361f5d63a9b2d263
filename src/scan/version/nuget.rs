//! NuGet: semantic versions with a fourth component, and pre-releases without case.

use std::cmp::Ordering;

use super::semver::{Parsed, pre_releases};

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let (one, other) = (Parsed::of(&one), Parsed::of(&other));
    super::padded(&one.numbers, &other.numbers, "0", super::numbers).then_with(|| pre_releases(one.pre, other.pre))
}
