//! Control groups: where the node's shims and tasks live, what they may use, what they used, and how they end.
//!
//! In: a node name, ids of instances and tasks, limits. Out: directories below each hierarchy, numbers, kills.
//!
//! ```text
//! /cove-NODE/shim             every shim of the node, outside the server's own unit
//! /cove-NODE/scan/ID          one run of a scanner's command
//! /cove-NODE/task/ID          limits of the whole task: Fargate, and the host's own instance
//! /cove-NODE/task/ID/c.NAME   one container, filled in by libcontainer
//! /cove-NODE/task/i-NNN       limits of a container instance
//! /cove-NODE/task/i-NNN/ID    a task on it, as above
//! ```
//! (Not `tasks`: that is a file in every v1 group, and a container may be called so; hence the prefix too.)
//!
//! Holds: nothing outside `/cove-NODE` is written, except that v2 controllers are switched on at the root. Removing
//! goes bottom-up and is repeatable. Works on v1, hybrid (v1 controllers and an empty v2 tree) and v2.

mod device;
mod error;
mod group;
mod layout;
mod node;

pub(crate) use device::{DeviceProgram, DeviceRule};
pub use error::CgroupError;
pub use group::{Group, Usage};
pub use layout::Layout;
pub use node::NodeCgroups;
