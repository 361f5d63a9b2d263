//! A driver's decisions in a world where anything may happen between two of them: the server, the shim or the host dies,
//! messages are late, containers end, get well or ill, time passes, somebody stops the task, its instance is lost; daemons
//! that come first run, end, or never come.
//!
//! In: a seed. Out: a panic that names it when something is broken. Real: knowledge, order, step, observe, and what the gate
//! decides. Made up: shim, store, clock, daemons and containers, which do what the real ones promise.
//!
//! Holds: see [`World::check_gate`], [`World::check_start`], [`World::check_stop`], [`World::write`] and [`World::check_end`].

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::container_instance::ContainerInstanceStatus;
use cove_model::task::{Container, ContainerState, Desired, Health, Keeper, StopCode, StopOrder, Task, TaskStatus};
use cove_model::task_definition::{
    ContainerCondition, ContainerDefinition, ContainerDependency, ContainerRestartPolicy, HealthCheck,
    TaskDefinitionDocument,
};
use cove_shim::protocol::{self, Event, ExitRecord, Phase, Request};

use super::gate::{self, Wanted, is_closed};
use super::knowledge::{Knowledge, Outlook};
use crate::observe;
use crate::order::Graph;
use crate::resolve::tests::{app, task};
use crate::step::{Shim, Step, next_step};

/// Seeds of a run; `SIMULATION_SEEDS` says otherwise.
const SEEDS: u64 = 1500;
/// Random happenings before the world becomes quiet.
const CHAOS: usize = 120;
/// Steps after which a quiet world must have come to rest.
const PATIENCE: usize = 3000;

/// What the driver does wrong, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    StartsAllAtOnce,
    StopsAllAtOnce,
    ForgetsWhoWasGivenUp,
    RestartsAsTheSameAttempt,
    TakesWaitingForOver,
    PassesTheGate,
    WaitsForWhatNeverComes,
}

/// xorshift: nothing but different numbers is asked of it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

/// The shim's side of a container.
struct Supervised {
    state: protocol::ContainerState,
    was_healthy: bool,
    is_asked_to_stop: bool,
}

struct World {
    seed: u64,
    bug: Bug,
    dice: Dice,
    now: Timestamp,
    document: TaskDefinitionDocument,
    graph: Arc<Graph>,
    task: Task,
    known: Knowledge,
    shim: Option<Vec<Supervised>>,
    /// The spec is in the run directory.
    was_made: bool,
    has_begun: bool,
    journal: Vec<ExitRecord>,
    requests: VecDeque<Request>,
    events: VecDeque<Event>,
    /// How each container really ended last.
    ends: HashMap<String, ExitRecord>,
    /// The host's boots so far.
    boots: u32,
    /// Of the task's instance, and the daemons that are meant for it.
    instance: ContainerInstanceStatus,
    daemons: Vec<Wanted>,
    /// Names of containers that ran when the shim was killed: nobody knows how they ended.
    lost: HashSet<String>,
}

fn definition(dice: &mut Dice) -> TaskDefinitionDocument {
    let count = 1 + dice.roll(5);
    let name = |at: usize| Some(format!("c{at}"));
    let mut all: Vec<ContainerDefinition> = Vec::new();
    for at in 0..count {
        let mut depends_on = Vec::new();
        for _ in 0..dice.roll(3).min(at) {
            let on = dice.roll(at);
            use ContainerCondition::{Complete, Healthy, Start, Success};
            let condition = [Start, Complete, Success, Healthy][dice.roll(4)];
            match condition {
                Complete | Success => all[on].essential = Some(false),
                Healthy => all[on].health_check = Some(HealthCheck::default()),
                Start => {}
            }
            depends_on.push(ContainerDependency { container_name: name(on), condition: Some(condition) });
        }
        let policy = ContainerRestartPolicy {
            enabled: Some(true),
            ignored_exit_codes: vec![0],
            restart_attempt_period: Some(60),
        };
        all.push(ContainerDefinition {
            name: name(at),
            essential: Some(at + 1 == count || dice.one_in(3)),
            depends_on,
            start_timeout: dice.one_in(2).then_some(30),
            restart_policy: dice.one_in(3).then_some(policy),
            ..Default::default()
        });
    }
    if dice.one_in(2) {
        all.reverse();
    }
    TaskDefinitionDocument { container_definitions: all, ..Default::default() }
}

impl World {
    fn new(seed: u64, bug: Bug) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let document = definition(&mut dice);
        let mut task = task();
        let container = |it: &ContainerDefinition| app(it.name.as_deref().unwrap(), it.essential.unwrap());
        task.containers = document.container_definitions.iter().map(container).collect();
        let graph = Arc::new(Graph::of(&task, &document).unwrap());
        // Daemons wait for nobody, not for each other either.
        task.keeper = dice.one_in(4).then(|| Keeper::Daemon("eye".into()));
        let wanted =
            |dice: &mut Dice| Wanted { is_meant: !dice.one_in(3), may_come: !dice.one_in(4), runs: dice.one_in(3) };
        let daemons = (0..dice.roll(3)).map(|_| wanted(&mut dice)).collect();
        Self {
            instance: ContainerInstanceStatus::Active,
            daemons,
            seed,
            bug,
            dice,
            now: Timestamp(1_000_000),
            document,
            graph,
            task,
            known: Knowledge::default(),
            shim: None,
            was_made: false,
            has_begun: false,
            journal: Vec::new(),
            requests: VecDeque::new(),
            events: VecDeque::new(),
            ends: HashMap::new(),
            boots: 1,
            lost: HashSet::new(),
        }
    }

    /// The one transaction of a step. Holds: a status only moves forward, a container's within one attempt.
    fn write(&mut self, change: impl FnOnce(&mut Task)) {
        let before = self.task.clone();
        self.task.observed.boot_id.get_or_insert(self.boots.to_string());
        change(&mut self.task);
        assert!(self.task.observed.status >= before.observed.status, "{before:?} became {:?}", self.task);
        for (old, new) in before.containers.iter().zip(&self.task.containers) {
            let (old, new) = (&old.seen, &new.seen);
            let forward = new.attempt > old.attempt || new.attempt == old.attempt && new.state >= old.state;
            assert!(forward && (old.state != ContainerState::Stopped || old.state == new.state), "{old:?} ▶ {new:?}");
        }
    }

    fn is_rebooted(&self) -> bool {
        self.task.observed.boot_id.as_ref().is_some_and(|boot| *boot != self.boots.to_string())
    }

    /// One step of the driver; whether there was anything to do.
    fn drive(&mut self) -> bool {
        let mut outlook = self.known.outlook(&self.task, &self.graph, self.is_rebooted(), self.now);
        if self.is_held(&outlook) {
            outlook.hold_starts();
        }
        let (graph, said, now) = (Arc::clone(&self.graph), self.known.said.clone(), self.now);
        match next_step(&self.task, &outlook.facts) {
            Step::Rest => match self.events.pop_front() {
                Some(event) => self.known.heard(event),
                None => return false,
            },
            Step::Connect => self.connect(),
            Step::Prepare => self.prepare(),
            Step::Start => self.send_starts(outlook.starts.now),
            Step::GiveUp if self.bug == Bug::ForgetsWhoWasGivenUp => return false,
            Step::GiveUp => self.write(|task| {
                observe::containers(task, &said, &graph, now);
                outlook.starts.never.into_iter().for_each(|(at, why)| observe::give_up(task, at, why, now));
                observe::containers(task, &said, &graph, now);
            }),
            Step::Record => self.write(|task| observe::containers(task, &said, &graph, now)),
            Step::Stop => self.send_stops(&outlook.stops),
            Step::Kill => self.send_kills(),
            Step::Release => self.release(),
            Step::Bury => {
                let last_word = self.known.last_word(&graph, self.is_rebooted(), None);
                self.write(|task| last_word.write(task, now));
                self.journal.clear();
                self.has_begun = false;
            }
        }
        true
    }

    /// What the driver says.
    fn is_held(&self, outlook: &Outlook) -> bool {
        let mut daemons = self.daemons.clone();
        if self.bug == Bug::WaitsForWhatNeverComes {
            daemons.iter_mut().for_each(|it| it.may_come = true);
        }
        self.bug != Bug::PassesTheGate && gate::stands_before(&self.task, outlook) && is_closed(self.instance, daemons)
    }

    /// Holds: of a task that is no daemon's nothing is started before every daemon runs that is meant for its instance and
    /// may come there.
    fn check_gate(&self) {
        let is_asked = self.requests.iter().any(|it| matches!(it, Request::Start { .. }));
        if self.has_begun || is_asked || self.task.daemon().is_some() {
            return;
        }
        let is_missing = |it: &&Wanted| it.is_meant && it.may_come && !it.runs;
        let is_active = self.instance == ContainerInstanceStatus::Active;
        assert!(!(is_active && self.daemons.iter().any(|it| is_missing(&it))), "it starts before its daemons");
    }

    /// A daemon runs, ends, is given up or tried again; or its instance drains.
    fn a_daemon_changes(&mut self) {
        let kind = self.dice.roll(6);
        let count = self.daemons.len();
        if count == 0 {
            return;
        }
        let at = self.dice.roll(count);
        let one = &mut self.daemons[at];
        match kind {
            0 | 1 => one.runs = one.may_come,
            2 => one.runs = false,
            3 => (one.may_come, one.runs) = (false, false),
            4 => one.may_come = true,
            _ if self.dice.one_in(4) => self.instance = ContainerInstanceStatus::Draining,
            _ => {}
        }
    }

    fn connect(&mut self) {
        if !self.was_made && self.task.observed.boot_id.is_none() && !self.has_begun {
            self.known.shim = Shim::Absent;
            return;
        }
        self.known.residue = true;
        // What an earlier server asked was carried out before anybody could connect.
        while self.shim.is_some() && self.serve() {}
        self.events.clear();
        match self.states() {
            Some(states) => self.known.adopt(states),
            None => {
                let mut records = self.journal.clone();
                records.sort_by(|a, b| (&a.container, a.attempt).cmp(&(&b.container, b.attempt)));
                let was_started = self.has_begun || self.task.containers.iter().any(|it| it.seen.started_at.is_some());
                self.known.inherit(records, was_started);
            }
        }
    }

    fn states(&self) -> Option<Vec<protocol::ContainerState>> {
        Some(self.shim.as_ref()?.iter().map(|one| one.state.clone()).collect())
    }

    fn prepare(&mut self) {
        self.known.residue = true;
        self.was_made = true;
        self.requests.clear();
        let supervised = |(container, given): (&Container, &ContainerDefinition)| Supervised {
            state: protocol::ContainerState {
                name: container.name.clone(),
                attempt: 0,
                phase: Phase::Waiting,
                recording: false,
                health: given.health_check.as_ref().map(|_| Health::Unknown),
                health_since: None,
            },
            was_healthy: false,
            is_asked_to_stop: false,
        };
        self.shim =
            Some(self.task.containers.iter().zip(&self.document.container_definitions).map(supervised).collect());
        self.known.adopt(self.states().unwrap());
    }

    fn send_starts(&mut self, mut starts: Vec<(usize, u32)>) {
        assert!(!self.task.desired.is_stopped() && self.task.observed.status < TaskStatus::Deactivating);
        match self.bug {
            Bug::StartsAllAtOnce => starts = (0..self.task.containers.len()).map(|at| (at, 0)).collect(),
            Bug::RestartsAsTheSameAttempt => starts.iter_mut().for_each(|(_, attempt)| *attempt = 0),
            Bug::None
            | Bug::StopsAllAtOnce
            | Bug::ForgetsWhoWasGivenUp
            | Bug::TakesWaitingForOver
            | Bug::PassesTheGate
            | Bug::WaitsForWhatNeverComes => {}
        }
        self.check_gate();
        for (at, attempt) in starts {
            let container = self.task.containers[at].name.clone();
            self.known.said.starts.insert(container.clone(), attempt);
            self.requests.push_back(Request::Start { container, attempt });
        }
    }

    fn send_stops(&mut self, stops: &[usize]) {
        let all: Vec<usize> = (0..self.task.containers.len()).collect();
        for at in if self.bug == Bug::StopsAllAtOnce { &all } else { stops } {
            let container = self.task.containers[*at].name.clone();
            self.known.asked.stops.insert(container.clone());
            self.requests.push_back(Request::Stop { container });
        }
        self.known.said.stops |= self.bug == Bug::TakesWaitingForOver;
        if !self.known.asked.end {
            self.requests.push_back(Request::Subscribe);
            self.known.asked.end = true;
        }
    }

    /// The groups are killed beside; what starts at this moment is met by its request.
    fn send_kills(&mut self) {
        for at in self.running() {
            self.exit(at, Some(137));
            self.tell(at);
        }
        for container in &self.task.containers {
            self.requests.push_back(Request::Kill { container: container.name.clone() });
        }
        if !self.known.asked.end {
            self.requests.push_back(Request::Subscribe);
        }
        (self.known.asked.end, self.known.asked.kill) = (true, true);
    }

    fn release(&mut self) {
        if self.known.shim == Shim::Alive {
            let shim = self.shim.as_ref().unwrap();
            let running = |one: &Supervised| matches!(one.state.phase, Phase::Running { .. });
            assert!(!shim.iter().any(running), "a container runs and everything is removed");
        }
        (self.shim, self.was_made) = (None, false);
        self.requests.clear();
        self.events.clear();
        (self.known.shim, self.known.residue) = (Shim::Gone, false);
    }

    /// The shim carries out the oldest request; whether there was one.
    fn serve(&mut self) -> bool {
        let Some(request) = self.requests.pop_front() else { return false };
        let Some(shim) = &self.shim else { return true };
        let find = |name: &str| shim.iter().position(|one| one.state.name == name).unwrap();
        match request {
            Request::Subscribe => {
                let containers = self.states().unwrap();
                self.events.push_back(Event::State { version: protocol::VERSION, shim_pid: 1, containers });
            }
            Request::Start { container, attempt } => self.start(find(&container), attempt),
            Request::Stop { container } => self.stop(find(&container)),
            Request::Kill { container } => {
                let at = find(&container);
                self.exit(at, Some(137));
                self.tell(at);
            }
            other => panic!("nobody asks for {other:?}"),
        }
        true
    }

    fn tell(&mut self, at: usize) {
        let state = self.shim.as_ref().unwrap()[at].state.clone();
        self.events.push_back(Event::Changed(state));
    }

    fn start(&mut self, at: usize, attempt: u32) {
        let is_new = match &self.shim.as_ref().unwrap()[at].state.phase {
            Phase::Waiting => true,
            Phase::Running { .. } => false,
            Phase::Exited(record) => attempt > record.attempt,
        };
        if is_new {
            self.check_start(at, attempt);
            self.has_begun = true;
            let state = &mut self.shim.as_mut().unwrap()[at].state;
            (state.attempt, state.phase) = (attempt, Phase::Running { pid: 1, started_at: self.now });
            state.health = state.health.map(|_| Health::Unknown);
            if self.dice.one_in(12) {
                self.exit(at, None);
            }
        }
        self.tell(at);
    }

    /// Holds: a first start finds everything that the definition asks for, by what really happened; another one follows
    /// an end that the policy undoes, as the next attempt.
    fn check_start(&self, at: usize, attempt: u32) {
        let (shim, given) = (self.shim.as_ref().unwrap(), &self.document.container_definitions[at]);
        assert_ne!(self.task.containers[at].seen.state, ContainerState::Stopped, "its record says that it is over");
        if let Phase::Exited(before) = &shim[at].state.phase {
            let ran = before.started_at.map_or(0, |start| before.stopped_at.millis() - start.millis());
            let wanted = given.restart_policy.is_some() && before.exit_code.is_some_and(|code| code != 0);
            assert!(attempt == before.attempt + 1 && wanted && ran >= 60_000, "restart after {before:?}");
            return;
        }
        assert_eq!(attempt, 0);
        for need in &given.depends_on {
            let on = shim.iter().find(|one| Some(&one.state.name) == need.container_name.as_ref()).unwrap();
            use ContainerCondition::{Complete, Healthy, Start, Success};
            let met = match (need.condition.unwrap(), &on.state.phase) {
                (_, Phase::Waiting) => false,
                (Start, Phase::Running { .. } | Phase::Exited(_)) => true,
                (Complete, phase) => matches!(phase, Phase::Exited(_)),
                (Success, phase) => matches!(phase, Phase::Exited(record) if record.exit_code == Some(0)),
                // It may have fallen ill after the decision.
                (Healthy, _) => on.was_healthy,
            };
            assert!(met, "{:?} starts without {need:?}", given.name);
        }
    }

    fn stop(&mut self, at: usize) {
        let shim = self.shim.as_mut().unwrap();
        if matches!(shim[at].state.phase, Phase::Running { .. }) && !shim[at].is_asked_to_stop {
            shim[at].is_asked_to_stop = true;
            self.check_stop(at);
        }
    }

    /// Holds: whoever is asked to stop is needed by nobody who runs, and the task ends.
    fn check_stop(&self, at: usize) {
        let shim = self.shim.as_ref().unwrap();
        let name = &self.task.containers[at].name;
        for (other, given) in shim.iter().zip(&self.document.container_definitions) {
            let needs = given.depends_on.iter().any(|need| need.container_name.as_ref() == Some(name));
            let runs = matches!(other.state.phase, Phase::Running { .. });
            assert!(!(needs && runs), "{name} is to stop before {:?}", given.name);
        }
    }

    /// A container ends; no code: it could not be started.
    fn exit(&mut self, at: usize, exit_code: Option<i32>) {
        let state = &mut self.shim.as_mut().unwrap()[at].state;
        let Phase::Running { started_at, .. } = state.phase else { return };
        let record = ExitRecord {
            container: state.name.clone(),
            attempt: state.attempt,
            started_at: exit_code.map(|_| started_at),
            stopped_at: self.now,
            exit_code,
            oom_killed: false,
            error: exit_code.is_none().then(|| "CannotStartContainerError: no".to_owned()),
        };
        self.journal.push(record.clone());
        self.ends.insert(record.container.clone(), record.clone());
        state.phase = Phase::Exited(record);
    }

    fn running(&self) -> Vec<usize> {
        let is_running = |one: &Supervised| matches!(one.state.phase, Phase::Running { .. });
        let shim = self.shim.iter().flatten().enumerate();
        shim.filter(|(_, one)| is_running(one)).map(|(at, _)| at).collect()
    }

    /// Something happens to a running container.
    fn live(&mut self) {
        let running = self.running();
        if running.is_empty() {
            return;
        }
        let at = running[self.dice.roll(running.len())];
        let one = &mut self.shim.as_mut().unwrap()[at];
        if one.is_asked_to_stop {
            self.exit(at, Some(143));
        } else if one.state.health.is_some() && self.dice.one_in(2) {
            let health = [Health::Healthy, Health::Unhealthy][self.dice.roll(2)];
            let one = &mut self.shim.as_mut().unwrap()[at];
            one.was_healthy |= health == Health::Healthy;
            one.state.health = Some(health);
        } else {
            let code = [0, 0, 1, 137][self.dice.roll(4)];
            self.exit(at, Some(code));
        }
        self.tell(at);
    }

    fn server_dies(&mut self) {
        self.known = Knowledge::default();
        self.events.clear();
        // Some of what it wrote into the socket was read.
        for _ in 0..self.dice.roll(3) {
            self.serve();
        }
        self.requests.clear();
    }

    fn shim_dies(&mut self) {
        let running = self.running();
        if self.shim.take().is_some() {
            self.lost.extend(running.into_iter().map(|at| self.task.containers[at].name.clone()));
            self.requests.clear();
            self.events.clear();
            self.known.lost_shim();
        }
    }

    /// Everything that is not on disk is gone; the next server starts on what is.
    fn host_dies(&mut self) {
        self.shim_dies();
        self.known = Knowledge::default();
        self.was_made = false;
        self.boots += 1;
    }

    /// The instance is gone: nobody sees how its containers end.
    fn lose_instance(&mut self) {
        if self.task.is_live() {
            let order = StopOrder { code: StopCode::TerminationNotice, reason: "gone".into(), at: self.now };
            self.task.desired = Desired::Lost(order);
            self.lost.extend(self.task.containers.iter().map(|container| container.name.clone()));
        }
    }

    fn order_stop(&mut self) {
        if !self.task.desired.is_stopped() {
            let order = StopOrder { code: StopCode::UserInitiated, reason: "enough".into(), at: self.now };
            self.task.desired = Desired::Stopped(order);
        }
    }

    fn happen(&mut self) {
        match self.dice.roll(26) {
            0..=9 => drop(self.drive()),
            10..=14 => drop(self.serve()),
            15..=17 => self.live(),
            18 => self.pass(1000),
            19..=20 => self.pass(16_000),
            21 => self.pass(70_000),
            22 => self.server_dies(),
            23 | 24 => self.a_daemon_changes(),
            _ if self.dice.one_in(10) => self.shim_dies(),
            _ if self.dice.one_in(10) => self.order_stop(),
            _ if self.dice.one_in(20) => self.lose_instance(),
            _ if self.dice.one_in(20) => self.host_dies(),
            _ => {}
        }
    }

    fn pass(&mut self, millis: i64) {
        self.now = self.now.plus_millis(millis);
    }

    /// Everything that is under way is carried out, until somebody outside must act.
    fn settle(&mut self) {
        for _ in 0..PATIENCE {
            if !self.serve() && !self.drive() {
                return;
            }
        }
        panic!("it never rests: {:?}", self.task);
    }

    /// Whether the task is over. Holds: at rest nobody waits for the driver.
    fn is_over(&mut self) -> bool {
        if self.task.observed.status == TaskStatus::Stopped && !self.known.residue {
            return true;
        }
        let outlook = self.known.outlook(&self.task, &self.graph, self.is_rebooted(), self.now);
        let waits_for_time = outlook.starts.look_again_at.is_some();
        if gate::stands_before(&self.task, &outlook) && is_closed(self.instance, self.daemons.clone()) {
            self.a_daemon_changes();
            return false;
        }
        assert!(waits_for_time || !self.running().is_empty(), "nothing runs, nothing is done: {:?}", self.task);
        if self.task.desired.is_stopped() || self.task.observed.status >= TaskStatus::Deactivating {
            let shim = self.shim.as_ref().unwrap();
            let is_asked = self.task.desired.is_lost() || shim.iter().any(|one| one.is_asked_to_stop);
            assert!(is_asked, "nobody is asked to stop: {:?}", self.task);
        }
        if let Some(moment) = outlook.starts.look_again_at.filter(|_| self.dice.one_in(3)) {
            self.now = self.now.max(moment);
        }
        false
    }

    /// Holds: nothing is left, and the record says how each container really ended last.
    fn check_end(&self) {
        assert!(self.shim.is_none() && !self.was_made, "the shim is left");
        for container in &self.task.containers {
            assert_eq!(container.seen.state, ContainerState::Stopped);
            match self.ends.get(&container.name) {
                Some(end) if !self.lost.contains(&container.name) => {
                    let seen = (container.seen.attempt, container.seen.exit_code);
                    assert_eq!(seen, (end.attempt, end.exit_code), "{}", container.name);
                }
                Some(_) => {}
                None => assert!(matches!(container.seen.exit_code, None | Some(143)), "{container:?}"),
            }
        }
        assert!(self.task.observed.stop_code.is_some() && self.task.observed.stopped_reason.is_some());
    }

    fn run(mut self) {
        for _ in 0..CHAOS {
            self.happen();
        }
        for round in 0..PATIENCE {
            self.settle();
            if self.is_over() {
                self.settle();
                return self.check_end();
            }
            if round == 40 {
                self.order_stop();
            }
            self.live();
        }
        panic!("it never ends: {:?}", self.task);
    }
}

/// What the seed brings about, if it is a panic.
fn outcome(seed: u64, bug: Bug) -> Option<String> {
    let world = World::new(seed, bug);
    let text = format!("seed {}: {}", world.seed, serde_json::to_string(&world.document).unwrap());
    let why = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run())).err()?;
    let why = why.downcast_ref::<String>().cloned().or_else(|| why.downcast_ref::<&str>().map(ToString::to_string));
    Some(format!("{text}: {}", why.unwrap_or_default()))
}

#[test]
fn whatever_happens_order_holds_nothing_runs_twice_and_every_task_comes_to_its_end() {
    let seeds = std::env::var("SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let broken: Vec<String> = (0..seeds).filter_map(|seed| outcome(seed, Bug::None)).collect();
    assert!(broken.is_empty(), "{} seeds; the first: {}", broken.len(), broken[0]);
}

#[test]
fn the_simulation_finds_bugs_that_are_put_in() {
    std::panic::set_hook(Box::new(|_| {}));
    let bugs = [
        Bug::StartsAllAtOnce,
        Bug::StopsAllAtOnce,
        Bug::ForgetsWhoWasGivenUp,
        Bug::RestartsAsTheSameAttempt,
        Bug::TakesWaitingForOver,
        Bug::PassesTheGate,
        Bug::WaitsForWhatNeverComes,
    ];
    let missed: Vec<Bug> = bugs.into_iter().filter(|bug| (0..1000).all(|seed| outcome(seed, *bug).is_none())).collect();
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "{missed:?}");
}
