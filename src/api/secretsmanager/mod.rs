//! AWS Secrets Manager, as far as the registry and tasks need it: secrets, their values, stages and tags.
//!
//! Holds: a value leaves the store sealed and is opened for GetSecretValue alone; no value is ever logged.
//! Absent: rotation, replication to other regions.

mod error;
mod password;
mod policy;
mod secret;
mod tag;
mod value;
mod version;
mod wire;

use crate::{Op, Service, json, read};

const TEST: &str = "a_secret_is_kept_sealed_and_told_to_its_owner_alone";
const DELETE_TEST: &str = "a_deleted_secret_can_be_restored_within_its_window";
const POLICY_TEST: &str = "what_terraform_asks_of_every_secret_is_answered";
const STAGE_TEST: &str = "a_stage_moves_from_version_to_version";
const POLICY: &str = "kept and shown without effect: who may call is decided by keys";
const KEYS: &str =
    "kept and shown without effect: KmsKeyId, every value is sealed with the node's own key; refused: replicas";

pub(crate) const OPS: &[Op] = &[
    Op::partial("CreateSecret", TEST, KEYS, |cx, input| json(cx, input, secret::create)),
    Op::done("DeleteResourcePolicy", POLICY_TEST, |cx, input| json(cx, input, policy::delete)),
    Op::done("DeleteSecret", DELETE_TEST, |cx, input| json(cx, input, secret::delete)),
    Op::done("DescribeSecret", TEST, |cx, input| read(cx, input, secret::describe)),
    Op::done("GetRandomPassword", POLICY_TEST, |cx, input| read(cx, input, password::get)),
    Op::done("GetResourcePolicy", POLICY_TEST, |cx, input| read(cx, input, policy::get)),
    Op::done("GetSecretValue", TEST, |cx, input| json(cx, input, value::get)),
    Op::done("ListSecretVersionIds", STAGE_TEST, |cx, input| read(cx, input, version::list)),
    Op::done("ListSecrets", DELETE_TEST, |cx, input| read(cx, input, secret::list)),
    Op::partial("PutResourcePolicy", POLICY_TEST, POLICY, |cx, input| json(cx, input, policy::put)),
    Op::done("PutSecretValue", TEST, |cx, input| json(cx, input, value::put)),
    Op::done("RestoreSecret", DELETE_TEST, |cx, input| json(cx, input, secret::restore)),
    Op::done("TagResource", TEST, |cx, input| json(cx, input, tag::add)),
    Op::done("UntagResource", TEST, |cx, input| json(cx, input, tag::remove)),
    Op::partial("UpdateSecret", TEST, KEYS, |cx, input| json(cx, input, secret::update)),
    Op::done("UpdateSecretVersionStage", STAGE_TEST, |cx, input| json(cx, input, version::update_stage)),
];

pub static SERVICE: Service = Service::json("secretsmanager", "secretsmanager", include_bytes!("model.json.gz"), OPS);
