//! ECS, one file per noun; `inside` looks at running containers from within.

mod account_setting;
mod agent;
mod attribute;
mod capacity_provider;
mod cluster;
mod container;
mod container_instance;
mod daemon;
mod device;
pub(crate) mod execute;
mod express;
mod far_agent;
mod fault;
mod host_mode;
mod inside;
mod managed;
mod network;
mod placement;
mod protection;
mod refusal;
mod secret;
mod service;
mod stop;
mod tag;
mod task;
mod task_definition;
mod terminal;
mod volume;
mod zone;

pub(crate) use task::WAITING;
