//! AWS IAM, as far as tasks need it: roles with their trust policies.
//!
//! Holds: a role is the account's, whatever region asks. Policies are not evaluated, so none can be attached: what a
//! role may do is not limited by this version, and the operations that would pretend otherwise are missing.

mod error;
mod role;
mod trust;
mod wire;

use crate::{Op, Service, json, read};

pub(crate) const OPS: &[Op] = &[
    Op::done("CreateRole", "a_role_survives_a_restart", |cx, input| json(cx, input, role::create)),
    Op::done("DeleteRole", "a_deleted_role_is_gone", |cx, input| json(cx, input, role::delete)),
    Op::done("GetRole", "a_role_survives_a_restart", |cx, input| read(cx, input, role::get)),
    Op::done("ListRoles", "roles_are_listed_in_pages", |cx, input| read(cx, input, role::list)),
];

pub static SERVICE: Service = Service::query("iam", include_bytes!("model.json.gz"), OPS);
