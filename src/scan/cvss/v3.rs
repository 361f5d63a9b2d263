//! CVSS 3.0 and 3.1: section 7.1 of their specifications, which differ in how they round up.

use super::Metrics;
use crate::severity::Score;

pub(super) fn score(metrics: Metrics, round_up: fn(f64) -> f64) -> Option<Score> {
    let impact_weights = [("H", 0.56), ("L", 0.22), ("N", 0.0)];
    let changed = metrics.weight("S", &[("U", false), ("C", true)])?;
    let privileges =
        if changed { [("N", 0.85), ("L", 0.68), ("H", 0.5)] } else { [("N", 0.85), ("L", 0.62), ("H", 0.27)] };
    let vector = metrics.weight("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?;
    let complexity = metrics.weight("AC", &[("L", 0.77), ("H", 0.44)])?;
    let privileges = metrics.weight("PR", &privileges)?;
    let interaction = metrics.weight("UI", &[("N", 0.85), ("R", 0.62)])?;
    let unharmed = ["C", "I", "A"]
        .iter()
        .try_fold(1.0, |product, name| Some(product * (1.0 - metrics.weight::<f64>(name, &impact_weights)?)))?;
    let harm: f64 = 1.0 - unharmed;
    let impact = if changed { 7.52 * (harm - 0.029) - 3.25 * (harm - 0.02).powi(15) } else { 6.42 * harm };
    if impact <= 0.0 {
        return Some(Score::from_tenths(0));
    }
    let exploitability = 8.22 * vector * complexity * privileges * interaction;
    let factor = if changed { 1.08 } else { 1.0 };
    Score::from_f64(round_up((factor * (impact + exploitability)).min(10.0)))
}

/// The smallest tenth that is not below. A hair is taken off, as the calculators do for what binary fractions cannot hold.
pub(super) fn round_up_3_0(value: f64) -> f64 {
    (value * 10.0 - 1e-9).ceil() / 10.0
}

/// Appendix A of 3.1: integers, for the same result everywhere.
pub(super) fn round_up_3_1(value: f64) -> f64 {
    let scaled = (value * 100_000.0).round();
    if scaled % 10_000.0 == 0.0 { scaled / 100_000.0 } else { ((scaled / 10_000.0).floor() + 1.0) / 10.0 }
}
