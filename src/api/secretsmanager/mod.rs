//! AWS Secrets Manager, as far as the registry and tasks need it: secrets, their values, stages and tags.
//!
//! Holds: a value leaves the store sealed and is opened for GetSecretValue alone; no value is ever logged.
//! Absent: rotation, replication to other regions, resource policies.

mod error;
mod secret;
mod tag;
mod value;
mod wire;

use crate::{Op, Service, json, read};

const TEST: &str = "a_secret_is_kept_sealed_and_told_to_its_owner_alone";
const DELETE_TEST: &str = "a_deleted_secret_can_be_restored_within_its_window";
const KEYS: &str =
    "kept and shown without effect: KmsKeyId, every value is sealed with the node's own key; refused: replicas";

pub(crate) const OPS: &[Op] = &[
    Op::partial("CreateSecret", TEST, KEYS, |cx, input| json(cx, input, secret::create)),
    Op::done("DeleteSecret", DELETE_TEST, |cx, input| json(cx, input, secret::delete)),
    Op::done("DescribeSecret", TEST, |cx, input| read(cx, input, secret::describe)),
    Op::done("GetSecretValue", TEST, |cx, input| json(cx, input, value::get)),
    Op::done("ListSecrets", DELETE_TEST, |cx, input| read(cx, input, secret::list)),
    Op::done("PutSecretValue", TEST, |cx, input| json(cx, input, value::put)),
    Op::done("RestoreSecret", DELETE_TEST, |cx, input| json(cx, input, secret::restore)),
    Op::done("TagResource", TEST, |cx, input| json(cx, input, tag::add)),
    Op::done("UntagResource", TEST, |cx, input| json(cx, input, tag::remove)),
    Op::partial("UpdateSecret", TEST, KEYS, |cx, input| json(cx, input, secret::update)),
];

pub static SERVICE: Service = Service::json("secretsmanager", "secretsmanager", include_bytes!("model.json.gz"), OPS);
