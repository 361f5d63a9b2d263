//! AWS IAM, as far as tasks need it: roles with their trust policies.
//!
//! Holds: a role is the account's, whatever region asks. Policies are not evaluated, so none can be attached: what a
//! role may do is not limited by this version, and the operations that would pretend otherwise are missing.

mod error;
mod role;
mod trust;
mod wire;

use crate::{Op, Service, json, read};

const ROLE_TEST: &str = "a_role_survives_a_restart_until_it_is_deleted";

pub(crate) const OPS: &[Op] = &[
    Op::done("CreateRole", ROLE_TEST, |cx, input| json(cx, input, role::create)),
    Op::done("DeleteRole", ROLE_TEST, |cx, input| json(cx, input, role::delete)),
    Op::done("GetRole", ROLE_TEST, |cx, input| read(cx, input, role::get)),
    Op::done("ListRoles", ROLE_TEST, |cx, input| read(cx, input, role::list)),
];

pub static SERVICE: Service = Service::query("iam", include_bytes!("model.json.gz"), OPS);
