//! What goes wrong on purpose, to see that it is found: a decision is shown something else, or another one is carried out; a
//! message is heard as it must not be.

use cove_model::service::{HookStatus, LifecycleStage, RolloutState};

use crate::daemons::decide as daemons;
use crate::deploy::{Condition, Decision, State};

macro_rules! bugs {
    ($($name:ident),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Bug {
            $($name),*
        }

        impl Bug {
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

bugs! {
    MinimumRoundedDown,
    StoppingCountsAsHealthy,
    StartsTwice,
    NeverCompletes,
    EndingTaskTakesNoRoom,
    OrderLost,
    StopsProtected,
    CountsTwice,
    HookPassedOver,
    OldGoesTooEarly,
    DrainingOverlooked,
    DeletedGoesOn,
    FailedGoesOn,
    SeveralOnOneInstance,
    PortGivenTwice,
    LateMessageHeard,
    EndHeardTwice,
    MachineDiesUnnoticed,
    ForgottenByRestart,
    IdleStays,
    WaitingForgotten,
    DaemonComesTwice,
    DrainPercentIgnored,
    DaemonLeavesFirst,
    BaseForgotten,
    FargateOnInstance,
    RepairForgotten,
    ReplacedTooEarly,
    LargeStays,
    BaseLeaves,
    AlarmUnheard,
}

impl Bug {
    /// Changes what the decision is shown.
    pub(super) fn bend_state(self, state: &mut State) {
        match self {
            Self::MinimumRoundedDown => {
                let desired = i32::try_from(state.service.desired_count).unwrap().max(1);
                let minimum = &mut state.service.configuration.minimum_healthy_percent;
                *minimum = minimum.map(|it| desired * it / 100 * 100 / desired);
            }
            // What it does to the sums: so many healthy ones more may go.
            Self::StoppingCountsAsHealthy => {
                let desired = i32::try_from(state.service.desired_count).unwrap().max(1);
                let stopping = state.tasks.iter().filter(|it| !it.is_wanted && it.condition == Condition::Healthy);
                let stopping = i32::try_from(stopping.count()).unwrap();
                let minimum = &mut state.service.configuration.minimum_healthy_percent;
                *minimum = minimum.map(|it| ((desired * it + 99) / 100 - stopping).max(0) * 100 / desired);
            }
            Self::BaseLeaves => state.base = None,
            Self::AlarmUnheard => state.alarms_need_millis = 0,
            Self::StopsProtected => state.tasks.iter_mut().for_each(|it| it.protected_until = None),
            Self::CountsTwice => state.departed.extend(state.departed.clone()),
            Self::EndingTaskTakesNoRoom => {
                state.tasks.iter_mut().for_each(|it| it.is_running_or_pending = it.is_wanted);
            }
            Self::HookPassedOver => {
                let hooks = state.rollouts.iter_mut().flat_map(|it| &mut it.hooks);
                hooks.for_each(|hook| hook.status = HookStatus::Succeeded);
            }
            Self::OldGoesTooEarly => {
                let stages = state.rollouts.iter_mut().filter_map(|it| it.stage.as_mut());
                stages.filter(|it| **it == LifecycleStage::BakeTime).for_each(|it| *it = LifecycleStage::CleanUp);
            }
            Self::DrainingOverlooked => state.tasks.iter_mut().for_each(|it| it.is_on_draining = false),
            Self::FailedGoesOn => {
                if let Some(primary) = state.service.deployments.first_mut()
                    && primary.rollout == RolloutState::Failed
                {
                    primary.rollout = RolloutState::InProgress;
                }
            }
            _ => {}
        }
    }

    /// Changes what a decision about a daemon is shown.
    pub(super) fn bend_daemon(self, state: &mut daemons::State) {
        match self {
            Self::DaemonComesTwice => state.tasks.retain(|it| it.is_wanted),
            Self::DrainPercentIgnored => state.daemon.configuration.drain_percent = Some(100.0),
            Self::DaemonLeavesFirst => state.instances.iter_mut().for_each(|it| it.others = 0),
            Self::RepairForgotten => state.instances.iter_mut().for_each(|it| it.is_repaired = false),
            _ => {}
        }
    }

    /// Changes what was decided.
    pub(super) fn bend_decision(self, state: &State, decision: &mut Decision) {
        match self {
            Self::StartsTwice => decision.start.extend(decision.start.clone()),
            Self::NeverCompletes => {
                let before = &state.service.deployments;
                let was_open = |id: &str| before.iter().any(|it| it.id == id && it.rollout == RolloutState::InProgress);
                let open = decision.service.deployments.iter_mut().filter(|it| was_open(&it.id));
                open.for_each(|it| it.rollout = RolloutState::InProgress);
            }
            Self::OrderLost => decision.stop.clear(),
            Self::DeletedGoesOn if state.service.desired_count == 0 => decision.stop.clear(),
            // What was asked for is kept, not what was made of it to fool the decision.
            Self::MinimumRoundedDown | Self::StoppingCountsAsHealthy => {
                decision.service.configuration.clone_from(&state.service.configuration);
            }
            _ => {}
        }
    }
}
