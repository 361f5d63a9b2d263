//! The data of one period: what statistics are computed from.
//!
//! Holds: two merged are what one of all the values would be, but for percentiles of more than [`VALUES_MAX`] different
//! values: neighbours are then one, the larger of them, as far apart as need be. Of statistic sets, whose values only the
//! client knows, percentiles are not known, as for CloudWatch.

use serde::{Deserialize, Serialize};

/// Distinct values of one period.
const VALUES_MAX: usize = 150;
/// How far apart neighbours are at first that become one; squared until few are left.
const FINEST: f64 = 1.01;

/// A statistic set, and the values it was made of while they are few.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Points {
    #[serde(rename = "n")]
    pub count: f64,
    #[serde(rename = "s")]
    pub sum: f64,
    #[serde(rename = "l")]
    pub minimum: f64,
    #[serde(rename = "h")]
    pub maximum: f64,
    /// Value and how often it was seen; `None` when that is not known.
    #[serde(rename = "v")]
    values: Option<Vec<(f64, f64)>>,
}

impl Points {
    /// One value, seen `count` times.
    #[must_use]
    pub fn of_value(value: f64, count: f64) -> Self {
        Self { count, sum: value * count, minimum: value, maximum: value, values: Some(vec![(value, count)]) }
    }

    /// A set whose values only the client knows; when they are all the same, we know them too.
    #[must_use]
    pub fn of_set(count: f64, sum: f64, minimum: f64, maximum: f64) -> Self {
        #[allow(clippy::float_cmp, reason = "the client gave the same number twice")]
        let values = (minimum == maximum || count == 1.0).then(|| vec![(minimum, count)]);
        Self { count, sum, minimum, maximum, values }
    }

    /// Adds what was seen in the same period.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        let (Some(mine), Some(theirs)) = (&mut self.values, &other.values) else {
            self.values = None;
            return;
        };
        for (value, count) in theirs {
            #[allow(clippy::float_cmp, reason = "the same number, not a close one")]
            match mine.iter_mut().find(|(known, _)| known == value) {
                Some((_, known)) => *known += count,
                None => mine.push((*value, *count)),
            }
        }
        if mine.len() > VALUES_MAX {
            thin_out(mine);
        }
    }

    /// The value below which that share of all lies, `share` from 0 to 1; `None` when the values are not known.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let mut values = self.values.clone()?;
        values.sort_by(|one, other| one.0.total_cmp(&other.0));
        let wanted = share * self.count;
        let mut seen = 0.0;
        for (value, count) in &values {
            seen += count;
            if seen >= wanted {
                return Some(*value);
            }
        }
        values.last().map(|(value, _)| *value)
    }

    /// What it takes in memory, in values.
    pub(crate) fn size(&self) -> usize {
        1 + self.values.as_ref().map_or(0, Vec::len)
    }
}

/// Makes one of those that lie in one bucket of a logarithmic scale, and the scale coarser until they are few.
fn thin_out(values: &mut Vec<(f64, f64)>) {
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut width = FINEST.ln();
    while values.len() > VALUES_MAX {
        let bucket = |value: f64| (value > 0.0, value < 0.0, (value.abs().ln() / width).floor());
        values.dedup_by(|next, kept| {
            let is_one = bucket(next.0) == bucket(kept.0);
            if is_one {
                *kept = (next.0, kept.1 + next.1);
            }
            is_one
        });
        width *= 2.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_points_are_the_points_of_all_values() {
        let mut all = Points::of_value(1.0, 1.0);
        for value in [5.0, 3.0, 3.0] {
            all.merge(&Points::of_value(value, 1.0));
        }
        assert_eq!((all.count, all.sum, all.minimum, all.maximum), (4.0, 12.0, 1.0, 5.0));
        assert_eq!([0.25, 0.5, 0.75, 1.0].map(|share| all.percentile(share)), [1.0, 3.0, 3.0, 5.0].map(Some));
        all.merge(&Points::of_set(2.0, 4.0, 1.0, 3.0));
        assert_eq!((all.count, all.percentile(0.5)), (6.0, None));
    }

    #[test]
    fn percentiles_of_many_different_values_are_near_and_the_largest_is_itself() {
        let mut all = Points::of_value(-3.0, 1.0);
        // Latencies from 1 to 1000, spread over their magnitudes, in no order.
        for number in 0..20_000_u32 {
            let place = f64::from(number.wrapping_mul(7919) % 20_000) / 20_000.0;
            all.merge(&Points::of_value(1000_f64.powf(place), 1.0));
        }
        all.merge(&Points::of_value(0.0, 1.0));
        assert!(all.size() <= VALUES_MAX + 1, "{}", all.size());
        assert_eq!((all.count, all.percentile(0.0), all.percentile(1.0)), (20_002.0, Some(-3.0), Some(all.maximum)));
        for share in [0.1, 0.5, 0.9, 0.99, 0.999] {
            let (got, exact) = (all.percentile(share).unwrap(), 1000_f64.powf(share));
            assert!((got / exact - 1.0).abs() < 0.1, "p{share}: {got} for {exact}");
        }
    }
}
