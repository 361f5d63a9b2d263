//! Whom to ask to stop.

use super::graph::Graph;
use super::stage::Stage;

/// Those that run and that nobody needs who runs, or is just being started: the reverse of the order of starting.
pub(crate) fn stops(graph: &Graph, stages: &[Stage], starting: &[bool]) -> Vec<usize> {
    let runs = |at: usize| matches!(stages[at], Stage::Running { .. });
    let is_needed = |at: usize| {
        let others = graph.nodes.iter().enumerate().filter(|(other, _)| runs(*other) || starting[*other]);
        others.flat_map(|(_, node)| &node.needs).any(|need| need.on == at)
    };
    (0..stages.len()).filter(|at| runs(*at) && !is_needed(*at)).collect()
}
