//! Tasks: RunTask and StartTask (`run`, and what it calls), looking at tasks, stopping them.

mod ask;
mod describe;
mod execute;
pub(super) mod network;
mod order;
mod protection;
mod provider;
mod reach;
mod role;
mod run;
mod show;
mod size;
mod stop;
mod template;
mod words;

pub(super) use ask::{Ask, PlacingWish, check_rules};
pub(super) use describe::{describe, list};
pub(super) use execute::execute;
pub(super) use protection::{get as protection, update as protect};
pub(crate) use protection::{own as own_protection, protect_own};
pub(super) use provider::kind as provider_kind;
pub(super) use reach::{Reach, of as reach_of};
pub(super) use role::assumable_by_ecs as role_for_ecs;
pub(super) use run::{run, start};
pub(super) use stop::stop;
pub(super) use template::resolve;
