//! The data of one period: what statistics are computed from.
//!
//! Holds: two merged are what one of all the values would be; single values are kept only up to [`VALUES_MAX`] distinct
//! ones, beyond that percentiles are not known any more, as for CloudWatch's statistic sets.

/// Distinct values of one period: CloudWatch's limit of one PutMetricData.
const VALUES_MAX: usize = 150;

/// A statistic set, and the values it was made of while they are few.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    pub count: f64,
    pub sum: f64,
    pub minimum: f64,
    pub maximum: f64,
    /// Value and how often it was seen; `None` when that is not known.
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
            self.values = None;
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
    fn too_many_different_values_are_not_kept() {
        let mut all = Points::of_value(0.0, 1.0);
        for value in 1..=200 {
            all.merge(&Points::of_value(f64::from(value), 1.0));
        }
        assert_eq!((all.count, all.size(), all.percentile(0.5)), (201.0, 1, None));
    }
}
