//! Statistics by name, as `Average` or `p99.9`.

use crate::points::Points;

/// A statistic of a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    SampleCount,
    Average,
    Sum,
    Minimum,
    Maximum,
    /// From 0 to 1.
    Percentile(f64),
}

impl Statistic {
    /// `None` for what is no statistic, or one that is not computed here (trimmed means and the like).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "SampleCount" => Self::SampleCount,
            "Average" => Self::Average,
            "Sum" => Self::Sum,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            other => {
                let digits = other.strip_prefix('p')?;
                let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                let percent: f64 = digits.parse().ok().filter(|_| plain)?;
                return (0.0..=100.0).contains(&percent).then_some(Self::Percentile(percent / 100.0));
            }
        })
    }

    /// Its value for a period; `None` for a percentile of values that are not known.
    #[must_use]
    pub fn of(self, points: &Points) -> Option<f64> {
        match self {
            Self::SampleCount => Some(points.count),
            Self::Average => Some(points.sum / points.count),
            Self::Sum => Some(points.sum),
            Self::Minimum => Some(points.minimum),
            Self::Maximum => Some(points.maximum),
            Self::Percentile(share) => points.percentile(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_have_names_and_percentiles_a_number() {
        assert_eq!(Statistic::parse("Average"), Some(Statistic::Average));
        assert_eq!(Statistic::parse("p50"), Some(Statistic::Percentile(0.5)));
        for wrong in ["average", "p", "p101", "p-1", "p1e1", "tm90", ""] {
            assert_eq!(Statistic::parse(wrong), None, "{wrong}");
        }
        let points = Points::of_set(4.0, 10.0, 1.0, 4.0);
        assert_eq!(Statistic::Average.of(&points), Some(2.5));
        assert_eq!(Statistic::Percentile(0.5).of(&points), None);
    }
}
