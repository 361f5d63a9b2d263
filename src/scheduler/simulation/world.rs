//! The world: what is stored, what really runs, what is on its way, and what happens next.

use std::collections::{BTreeMap, BTreeSet};

use cove_base::Timestamp;
use cove_model::task::TaskStatus;
use cove_store::Memory;

use super::agent::{Message, Run};
use super::bug::Bug;
use super::dice::Dice;
use super::{Checked, number, setting};
use crate::deploy::Timing;
use crate::host::HostFacts;

/// Random happenings before the world becomes quiet.
const CHAOS: usize = 90;

pub(super) struct World {
    pub(super) bug: Option<Bug>,
    pub(super) dice: Dice,
    pub(super) now: Timestamp,
    pub(super) memory: Memory,
    pub(super) host: HostFacts,
    pub(super) timing: Timing,
    /// What really runs, by the task's id.
    pub(super) runs: BTreeMap<String, Run>,
    /// Of agents, in no order.
    pub(super) messages: Vec<Message>,
    /// No more faults.
    pub(super) is_quiet: bool,
    /// When the loop wants to look again.
    pub(super) wake_at: Option<Timestamp>,
    /// What the records of live tasks said at the last check, and those that have ended.
    pub(super) heard: BTreeMap<String, TaskStatus>,
    pub(super) ended: BTreeSet<String>,
    /// Tasks whose end was counted.
    pub(super) counted: BTreeSet<String>,
    is_told: bool,
}

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut world = Self {
            bug,
            dice: Dice::new(seed),
            now: Timestamp(1_700_000_000_000),
            memory: Memory::default(),
            host: setting::host(),
            timing: Timing::default(),
            runs: BTreeMap::new(),
            messages: Vec::new(),
            is_quiet: false,
            wake_at: None,
            heard: BTreeMap::new(),
            ended: BTreeSet::new(),
            counted: BTreeSet::new(),
            is_told: number("SIMULATION_SEED").is_some(),
        };
        world.furnish();
        world
    }

    /// Of a seed that is tried alone, everything is told.
    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            println!("{} {}", self.now.millis() / 100 % 1_000_000, what());
        }
    }

    pub(super) fn pass(&mut self, millis: i64) {
        self.now = self.now.plus_millis(millis);
    }

    fn happen(&mut self) -> Checked {
        match self.dice.roll(40) {
            0 | 1 => self.daemons_turn(),
            2..=7 => self.turn().map(drop),
            8..=17 => self.agent_acts(),
            18..=25 => self.hear_one(),
            26..=28 => {
                let seconds = self.dice.pick(&[1, 5, 20, 45]);
                self.pass(seconds * 1000);
                Ok(())
            }
            29 => {
                let minutes = self.dice.pick(&[1, 3, 12]);
                self.pass(minutes * 60_000);
                Ok(())
            }
            30 => self.restart(),
            31..=36 => self.somebody_asks(),
            _ if self.dice.one_in(5) => self.interrupt_spot(),
            _ => self.a_machine_changes(),
        }
    }

    pub(super) fn run(mut self) -> Checked {
        for _ in 0..CHAOS {
            self.happen()?;
        }
        self.come_to_rest()
    }
}
