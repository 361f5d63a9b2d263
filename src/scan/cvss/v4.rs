//! CVSS 4: the macro vectors of section 8 of its specification, for base metrics alone.
//!
//! A vector belongs to a macro vector of six digits, each of which stands for a group of metrics. Its score is that of the
//! macro vector, less the mean over the groups of how far the vector is from the worst of its group, as a share of the way
//! to the next milder macro vector.

use super::Metrics;
use crate::severity::Score;

/// Levels of one group, in steps from the worst value of each metric.
struct Group {
    digit: usize,
    /// Steps below the worst vector of the group.
    distance: u8,
    /// Steps between the worst and the mildest vector of the group.
    depth: u8,
}

pub(super) fn score(metrics: Metrics) -> Option<Score> {
    let level = |name: &str, values: &[&str]| {
        let value = metrics.get(name)?;
        values.iter().position(|known| *known == value).and_then(|at| u8::try_from(at).ok())
    };
    let reach = [level("AV", &["N", "A", "L", "P"])?, level("PR", &["N", "L", "H"])?, level("UI", &["N", "P", "A"])?];
    let ease = [level("AC", &["L", "H"])?, level("AT", &["N", "P"])?];
    let impact = ["H", "L", "N"];
    let here = [level("VC", &impact)?, level("VI", &impact)?, level("VA", &impact)?];
    let beyond = [level("SC", &impact)?, level("SI", &impact)?, level("SA", &impact)?];
    if here == [2; 3] && beyond == [2; 3] {
        return Some(Score::from_tenths(0));
    }
    Some(interpolate(&[reach_group(reach), ease_group(ease), here_group(here), beyond_group(beyond)]))
}

fn interpolate(groups: &[Group; 4]) -> Score {
    let [first, second, third, fourth] = groups.each_ref().map(|group| group.digit);
    // Without threat metrics the fifth digit is 0; without environmental ones the sixth follows from the third.
    let sixth = usize::from(third == 2);
    let of = table;
    let here = f64::from(of([first, second, third, fourth, 0, sixth]).unwrap_or_default());
    let milder_here = match third {
        0 => of([first, second, 1, fourth, 0, 0]).max(of([first, second, 0, fourth, 0, 1])),
        1 => of([first, second, 1, fourth, 0, 1]),
        _ => None,
    };
    let milder = [
        of([first + 1, second, third, fourth, 0, sixth]),
        of([first, second + 1, third, fourth, 0, sixth]),
        milder_here,
        of([first, second, third, fourth + 1, 0, sixth]),
    ];
    // The group of threats is always at its worst: it counts, with nothing to take off.
    let (mut sum, mut count) = (0.0, 1.0);
    for (group, milder) in groups.iter().zip(milder) {
        if let Some(milder) = milder {
            sum += (here - f64::from(milder)) * f64::from(group.distance) / f64::from(group.depth);
            count += 1.0;
        }
    }
    // What binary fractions cannot hold is rounded as decimals would be.
    let tenths = (here - sum / count + 1e-6).round().clamp(0.0, 100.0);
    Score::from_f64(tenths / 10.0).unwrap_or(Score::from_tenths(0))
}

/// How far a vector is below the first of the worst vectors that is nowhere milder.
fn distance<const N: usize>(levels: [u8; N], worst: &[[u8; N]]) -> u8 {
    let above = worst.iter().find(|worst| levels.iter().zip(*worst).all(|(level, worst)| level >= worst));
    above.map_or(0, |worst| levels.iter().zip(worst).map(|(level, worst)| level - worst).sum())
}

fn reach_group(levels: [u8; 3]) -> Group {
    let open = levels.iter().filter(|level| **level == 0).count();
    let (digit, depth, worst): (_, _, &[[u8; 3]]) = match open {
        3 => (0, 1, &[[0, 0, 0]]),
        1 | 2 if levels[0] != 3 => (1, 4, &[[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        _ => (2, 5, &[[3, 0, 0], [1, 1, 1]]),
    };
    Group { digit, distance: distance(levels, worst), depth }
}

fn ease_group(levels: [u8; 2]) -> Group {
    let (digit, depth, worst): (_, _, &[[u8; 2]]) =
        if levels == [0, 0] { (0, 1, &[[0, 0]]) } else { (1, 2, &[[1, 0], [0, 1]]) };
    Group { digit, distance: distance(levels, worst), depth }
}

fn here_group(levels: [u8; 3]) -> Group {
    let (digit, depth, worst): (_, _, &[[u8; 3]]) = match levels {
        [0, 0, _] => (0, 7, &[[0, 0, 0]]),
        [0, _, _] | [_, 0, _] | [_, _, 0] => (1, 8, &[[1, 0, 0], [0, 1, 0]]),
        _ => (2, 10, &[[1, 1, 1]]),
    };
    Group { digit, distance: distance(levels, worst), depth }
}

/// The worst digit is for safety, which base metrics cannot say.
fn beyond_group(levels: [u8; 3]) -> Group {
    let (digit, depth, worst): (_, _, &[[u8; 3]]) =
        if levels.contains(&0) { (1, 5, &[[0, 0, 0]]) } else { (2, 4, &[[1, 1, 1]]) };
    Group { digit, distance: distance(levels, worst), depth }
}

/// The score of a macro vector in tenths; nothing when there is no such.
fn table([first, second, third, fourth, fifth, sixth]: [usize; 6]) -> Option<u8> {
    if first > 2 || second > 1 || third > 2 || fourth > 2 {
        return None;
    }
    let score = SCORES[first * 6 + second * 3 + third][fourth * 6 + fifth * 2 + sixth];
    (score > 0).then_some(score)
}

/// The specification's table: a row for each of the first three digits, a column for each of the last three.
const SCORES: [[u8; 18]; 18] = [
    [100, 99, 98, 95, 95, 92, 100, 96, 93, 87, 91, 81, 93, 90, 89, 80, 81, 68],
    [98, 95, 95, 92, 90, 84, 93, 92, 89, 81, 81, 65, 88, 80, 78, 70, 69, 48],
    [0, 92, 0, 82, 0, 72, 0, 79, 0, 69, 0, 50, 0, 69, 0, 55, 0, 27],
    [99, 97, 95, 92, 92, 85, 95, 91, 90, 83, 84, 71, 92, 81, 82, 71, 72, 53],
    [95, 93, 92, 85, 85, 73, 92, 82, 80, 72, 70, 59, 84, 70, 71, 52, 50, 30],
    [0, 86, 0, 75, 0, 52, 0, 71, 0, 52, 0, 29, 0, 63, 0, 29, 0, 17],
    [98, 95, 94, 87, 91, 81, 94, 89, 86, 74, 77, 64, 87, 75, 74, 63, 63, 49],
    [94, 89, 88, 77, 76, 67, 86, 76, 74, 58, 59, 50, 72, 57, 57, 52, 52, 25],
    [0, 83, 0, 70, 0, 54, 0, 65, 0, 58, 0, 26, 0, 53, 0, 21, 0, 13],
    [95, 90, 88, 76, 76, 70, 90, 77, 75, 62, 61, 53, 77, 66, 68, 59, 52, 30],
    [89, 78, 76, 67, 62, 58, 74, 59, 57, 57, 47, 23, 61, 52, 57, 29, 24, 16],
    [0, 71, 0, 59, 0, 30, 0, 58, 0, 26, 0, 15, 0, 23, 0, 13, 0, 6],
    [93, 87, 86, 72, 75, 58, 86, 74, 74, 61, 56, 34, 70, 54, 52, 40, 40, 22],
    [85, 75, 74, 55, 62, 51, 72, 57, 55, 41, 46, 19, 53, 36, 34, 19, 19, 8],
    [0, 64, 0, 51, 0, 20, 0, 47, 0, 21, 0, 11, 0, 24, 0, 9, 0, 4],
    [88, 75, 73, 53, 60, 50, 73, 55, 59, 40, 41, 20, 54, 43, 45, 22, 20, 11],
    [75, 55, 58, 45, 40, 21, 61, 51, 48, 18, 20, 9, 46, 18, 17, 7, 8, 2],
    [0, 53, 0, 24, 0, 14, 0, 24, 0, 12, 0, 5, 0, 10, 0, 3, 0, 1],
];
