//! CVSS 2: section 3.2.1 of its guide.

use super::Metrics;
use crate::severity::Score;

pub(super) fn score(metrics: Metrics) -> Option<Score> {
    let impact_weights = [("N", 0.0), ("P", 0.275), ("C", 0.660)];
    let vector = metrics.weight("AV", &[("L", 0.395), ("A", 0.646), ("N", 1.0)])?;
    let complexity = metrics.weight("AC", &[("H", 0.35), ("M", 0.61), ("L", 0.71)])?;
    let authentication = metrics.weight("Au", &[("M", 0.45), ("S", 0.56), ("N", 0.704)])?;
    let unharmed = ["C", "I", "A"]
        .iter()
        .try_fold(1.0, |product, name| Some(product * (1.0 - metrics.weight::<f64>(name, &impact_weights)?)))?;
    let impact = 10.41 * (1.0 - unharmed);
    let exploitability = 20.0 * vector * complexity * authentication;
    let factor = if impact == 0.0 { 0.0 } else { 1.176 };
    Score::from_f64((0.6f64.mul_add(impact, 0.4 * exploitability) - 1.5) * factor)
}
