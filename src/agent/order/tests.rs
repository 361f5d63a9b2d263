//! Every pair of need and stage, and random graphs against what the module holds.

use cove_base::Timestamp;
use cove_model::task::{ContainerState, Desired, Health, StopCode, StopOrder, Task, TaskStatus};
use cove_model::task_definition::TaskDefinitionDocument;
use cove_shim::protocol::{self, ExitRecord, Phase};
use proptest::prelude::*;

use super::graph::{Need, Node, Until};
use super::restart::RestartPolicy;
use super::start::Why;
use super::*;
use crate::observe::Said;
use crate::resolve::tests::{app, task};

const UNTIL: [Until; 5] = [Until::Created, Until::Started, Until::Complete, Until::Success, Until::Healthy];

const fn running(health: Option<Health>) -> Stage {
    Stage::Running { since: Timestamp(1000), health }
}

const fn ended(exit_code: i32) -> Stage {
    Stage::Ended { exit_code: Some(exit_code), has_run: true }
}

/// Container 1 needs container 0, which has 10 s to get there.
fn pair(until: Until) -> Graph {
    let first = Node { start_timeout_secs: Some(10), ..Node::default() };
    Graph::sorted(vec![first, Node { needs: vec![Need { on: 0, until }], ..Node::default() }]).unwrap()
}

/// What becomes of container 1.
fn second(until: Until, first: Stage, now: i64) -> Result<bool, Why> {
    let starts = starts(&pair(until), &[first, Stage::Waiting], Timestamp(now));
    match starts.never.iter().find(|(at, _)| *at == 1) {
        Some((_, refusal)) => Err(refusal.why),
        None => Ok(starts.now.contains(&(1, 0))),
    }
}

#[test]
fn every_need_is_met_by_the_right_stages_and_no_other() {
    use Until::{Complete, Created, Healthy, Started, Success};
    let healthy = running(Some(Health::Healthy));
    let between = Stage::Between { attempt: 1, exit_code: Some(1) };
    let never_ran = Stage::Ended { exit_code: None, has_run: false };
    for (stage, wanted) in [
        (Stage::Waiting, [Ok(true), Ok(false), Ok(false), Ok(false), Ok(false)]),
        (running(None), [Ok(true), Ok(true), Ok(false), Ok(false), Ok(false)]),
        (running(Some(Health::Unknown)), [Ok(true), Ok(true), Ok(false), Ok(false), Ok(false)]),
        (running(Some(Health::Unhealthy)), [Ok(true), Ok(true), Ok(false), Ok(false), Ok(false)]),
        (healthy, [Ok(true), Ok(true), Ok(false), Ok(false), Ok(true)]),
        (between, [Ok(true), Ok(true), Ok(false), Ok(false), Ok(false)]),
        (ended(0), [Ok(true), Ok(true), Ok(true), Ok(true), Err(Why::NeverHealthy)]),
        (ended(1), [Ok(true), Ok(true), Ok(true), Err(Why::Failed), Err(Why::NeverHealthy)]),
        (never_ran, [Err(Why::NeverStarts); 5]),
        (Stage::GivenUp, [Err(Why::NeverStarts); 5]),
    ] {
        for (until, wanted) in [Created, Started, Complete, Success, Healthy].into_iter().zip(wanted) {
            assert_eq!(second(until, stage, 1000), wanted, "{until:?} {stage:?}");
        }
    }
}

#[test]
fn a_start_timeout_counts_from_the_start_of_the_container_that_is_needed() {
    for until in [Until::Complete, Until::Success, Until::Healthy] {
        assert_eq!(second(until, running(None), 11_000), Ok(false), "{until:?}");
        assert_eq!(second(until, running(None), 11_001), Err(Why::TimedOut), "{until:?}");
        let look = starts(&pair(until), &[running(None), Stage::Waiting], Timestamp(5000)).look_again_at;
        assert_eq!(look, Some(Timestamp(11_001)), "{until:?}");
    }
    assert_eq!(second(Until::Started, running(None), 99_000), Ok(true), "only waiting has an end");
    assert_eq!(second(Until::Healthy, running(Some(Health::Healthy)), 99_000), Ok(true), "what is met is met");
    assert_eq!(second(Until::Complete, Stage::Waiting, 99_000), Ok(false), "it has not begun");
}

#[test]
fn who_shares_volumes_waits_for_all_that_their_owner_waits_for() {
    let need = |on, until| vec![Need { on, until }];
    let nodes = [vec![], need(0, Until::Complete), need(1, Until::Created)];
    let nodes = nodes.map(|needs| Node { needs, ..Node::default() }).to_vec();
    let graph = Graph::sorted(nodes).unwrap();
    let now = |first| starts(&graph, &[first, Stage::Waiting, Stage::Waiting], Timestamp(0)).now;
    assert!(now(running(None)).is_empty());
    assert_eq!(now(ended(0)), [(1, 0), (2, 0)]);
}

#[test]
fn a_container_that_waits_for_one_given_up_is_given_up_too() {
    let need = |on| vec![Need { on, until: Until::Started }];
    let nodes = [vec![], need(0), need(1)].map(|needs| Node { needs, ..Node::default() }).to_vec();
    let graph = Graph::sorted(nodes).unwrap();
    let first = starts(&graph, &[Stage::GivenUp, Stage::Waiting, Stage::Waiting], Timestamp(0));
    assert_eq!(first.never, [(1, Refusal { on: 0, why: Why::NeverStarts })]);
    let then = starts(&graph, &[Stage::GivenUp, Stage::GivenUp, Stage::Waiting], Timestamp(0));
    assert_eq!(then.never, [(2, Refusal { on: 1, why: Why::NeverStarts })]);
}

#[test]
fn the_reason_is_the_agents() {
    let mut task = task();
    task.containers = vec![app("db", false), app("web", true)];
    (task.containers[0].seen.state, task.containers[0].seen.exit_code) = (ContainerState::Stopped, Some(1));
    assert_eq!(
        Refusal { on: 0, why: Why::Failed }.reason(&task, 1),
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [db(busybox) \
         (STOPPED->RUNNING) - Exit: 1] for target [web(busybox) (NONE->RUNNING)] as dependency did not exit successfully."
    );
}

fn document(text: &str) -> (Task, TaskDefinitionDocument) {
    let document: TaskDefinitionDocument = serde_json::from_str(text).unwrap();
    let mut task = task();
    task.containers = document.container_definitions.iter().map(|it| app(it.name.as_deref().unwrap(), true)).collect();
    (task, document)
}

#[test]
fn a_definition_says_who_needs_whom() {
    let (task, document) = document(
        r#"{"containerDefinitions": [
            {"name": "web", "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}], "links": ["db:data"],
             "volumesFrom": [{"sourceContainer": "init"}]},
            {"name": "db", "startTimeout": 20, "restartPolicy": {"enabled": true, "ignoredExitCodes": [0]}},
            {"name": "init", "restartPolicy": {"enabled": false}}]}"#,
    );
    let graph = Graph::of(&task, &document).unwrap();
    let need = |on, until| Need { on, until };
    let needs = [need(2, Until::Success), need(1, Until::Started), need(2, Until::Created)];
    assert_eq!(graph.nodes[0].needs, needs);
    assert_eq!(graph.nodes[1].start_timeout_secs, Some(20));
    assert_eq!(graph.nodes[1].restart, Some(RestartPolicy { ignored: vec![0], period_secs: 300 }));
    assert_eq!(graph.nodes[2].restart, None);
}

#[test]
fn a_circle_through_volumes_is_told_in_the_agents_words() {
    let (task, document) = document(
        r#"{"containerDefinitions": [
            {"name": "a", "volumesFrom": [{"sourceContainer": "b"}]},
            {"name": "b", "dependsOn": [{"containerName": "a", "condition": "START"}]}]}"#,
    );
    let text = Graph::of(&task, &document).unwrap_err().to_string();
    assert_eq!(text, format!("TaskDependencyError: Task dependencies cannot be resolved, taskArn: {}", task.arn()));
}

fn exit(exit_code: Option<i32>, started: Option<i64>, stopped: i64) -> ExitRecord {
    ExitRecord {
        container: "app".into(),
        attempt: 2,
        started_at: started.map(Timestamp),
        stopped_at: Timestamp(stopped),
        exit_code,
        oom_killed: false,
        error: None,
    }
}

#[test]
fn a_container_restarts_after_its_period_unless_its_exit_code_is_ignored_or_unknown() {
    let policy = RestartPolicy { ignored: vec![0, 3], period_secs: 60 };
    for (record, wanted) in [
        (exit(Some(1), Some(0), 60_000), true),
        (exit(Some(137), Some(0), 600_000), true),
        (exit(Some(1), Some(0), 59_999), false),
        (exit(Some(1), Some(60_000), 0), false),
        (exit(Some(0), Some(0), 60_000), false),
        (exit(Some(3), Some(0), 60_000), false),
        (exit(None, Some(0), 60_000), false),
        (exit(Some(1), None, 60_000), false),
    ] {
        assert_eq!(policy.wants(&record), wanted, "{record:?}");
    }
}

/// A task of an essential container with a restart policy that ended in time, and another essential one.
fn restartable() -> (Task, Said, Graph) {
    let mut task = task();
    task.containers = vec![app("app", true), app("other", true)];
    let state = |name: &str, phase: Phase| protocol::ContainerState {
        name: name.into(),
        attempt: 2,
        phase,
        recording: false,
        health: None,
        health_since: None,
    };
    let states = vec![
        state("app", Phase::Exited(exit(Some(1), Some(0), 60_000))),
        state("other", Phase::Running { pid: 1, started_at: Timestamp(0) }),
    ];
    let restart = Some(RestartPolicy { ignored: vec![], period_secs: 60 });
    let graph = Graph::sorted(vec![Node { restart, ..Node::default() }, Node::default()]).unwrap();
    (task, Said { states, alive: true, ..Said::default() }, graph)
}

#[test]
fn what_is_to_restart_has_not_ended_and_is_started_as_the_next_attempt() {
    let (task, said, graph) = restartable();
    let stages = stages(&task, &said, &graph);
    assert_eq!(stages[0], Stage::Between { attempt: 3, exit_code: Some(1) });
    assert_eq!(starts(&graph, &stages, Timestamp(0)).now, [(0, 3)]);
    assert!(starts(&graph, &stages, Timestamp(0)).never.is_empty());
}

#[test]
fn nothing_restarts_in_a_task_that_ends() {
    let stays_down = |change: fn(&mut Task, &mut Said)| {
        let (mut task, mut said, graph) = restartable();
        change(&mut task, &mut said);
        assert_eq!(stages(&task, &said, &graph)[0], ended(1));
    };
    stays_down(|task, _| {
        let order = StopOrder { code: StopCode::UserInitiated, reason: "r".into(), at: Timestamp(1) };
        task.desired = Desired::Stopped(order);
    });
    stays_down(|task, _| task.observed.status = TaskStatus::Stopping);
    stays_down(|_, said| said.alive = false);
    // The other essential container has ended for good.
    stays_down(|_, said| said.states[1].phase = Phase::Exited(exit(Some(0), Some(0), 5)));
}

/// Some containers, each needing some of those before it, in a shuffled order.
fn graphs() -> impl Strategy<Value = Graph> {
    let needs = (1usize..8).prop_flat_map(|count| {
        let of = |at: usize| proptest::collection::vec((0..at.max(1), 0..UNTIL.len()), 0..=at.min(3));
        (0..count).map(of).collect::<Vec<_>>()
    });
    needs.prop_map(|needs| {
        let need = |(on, until): (usize, usize)| Need { on, until: UNTIL[until] };
        let node = |needs: Vec<(usize, usize)>| Node {
            needs: needs.into_iter().map(need).collect(),
            start_timeout_secs: Some(10),
            restart: None,
        };
        Graph::sorted(needs.into_iter().map(node).collect()).expect("needs only earlier ones")
    })
}

/// What happens to a container that runs: 0 it gets healthy, 1 it ends well, 2 it fails, 3 time passes.
fn live(stage: &mut Stage, choice: u8) {
    match choice {
        0 => *stage = running(Some(Health::Healthy)),
        1 => *stage = ended(0),
        _ => *stage = ended(1),
    }
}

proptest! {
    #[test]
    fn whatever_happens_everything_starts_or_is_given_up_and_stops_in_reverse(
        graph in graphs(), fate in proptest::collection::vec(0u8..4, 40),
    ) {
        let count = graph.nodes.len();
        let mut stages = vec![Stage::Waiting; count];
        let mut now = Timestamp(1000);
        for choice in fate.into_iter().cycle().take(200) {
            let found = starts(&graph, &stages, now);
            for (at, _) in &found.now {
                for need in &graph.nodes[*at].needs {
                    let there = stages[need.on];
                    let is_ready = need.until == Until::Created || !matches!(there, Stage::Waiting | Stage::GivenUp);
                    prop_assert!(is_ready, "{at} started before {}", need.on);
                }
                stages[*at] = running(None);
            }
            for (at, _) in &found.never {
                prop_assert!(!graph.nodes[*at].needs.is_empty());
                stages[*at] = Stage::GivenUp;
            }
            if found.now.is_empty() && found.never.is_empty() {
                let runs = stages.iter().position(|stage| *stage == running(None));
                match (runs, choice) {
                    (Some(at), 0..=2) => live(&mut stages[at], choice),
                    (_, _) => now = now.plus_millis(11_000),
                }
            }
        }
        prop_assert!(!stages.contains(&Stage::Waiting), "{graph:?} {stages:?}");
        // Every order that this allows is a reverse one, whoever stops first.
        let mut rounds = 0;
        while stages.iter().any(|stage| matches!(stage, Stage::Running { .. })) {
            let free = stops(&graph, &stages, &vec![false; count]);
            prop_assert!(!free.is_empty(), "nobody may stop: {graph:?} {stages:?}");
            for at in free {
                let needed = (0..count).filter(|other| matches!(stages[*other], Stage::Running { .. }));
                let mut needs = needed.filter(|other| *other != at).flat_map(|other| &graph.nodes[other].needs);
                prop_assert!(needs.all(|need| need.on != at));
            }
            let first = stops(&graph, &stages, &vec![false; count])[0];
            stages[first] = ended(143);
            rounds += 1;
            prop_assert!(rounds <= count);
        }
    }
}

#[test]
fn whoever_is_just_being_started_keeps_what_it_needs_from_stopping() {
    let graph = pair(Until::Started);
    let stages = [running(None), Stage::Waiting];
    assert_eq!(stops(&graph, &stages, &[false, false]), [0]);
    assert!(stops(&graph, &stages, &[false, true]).is_empty());
    assert_eq!(stops(&graph, &[running(None), running(None)], &[false, false]), [1]);
}
