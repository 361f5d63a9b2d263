//! ECR: the registry as AWS clients see it. The same repositories, images and blobs as `/v2/`.
//!
//! Absent: lifecycle policies, scanning, repository policies; their operations are not
//! in the table, and fields that ask for them are refused or, where they only record a setting, kept and shown.

#![allow(clippy::needless_pass_by_value, reason = "handlers own their input")]

mod creation_template;
mod error;
mod image;
mod layer;
mod login;
mod page;
mod pull_through_rule;
mod push;
mod replication;
mod repository;
mod resource_tag;
mod wire;

use crate::aws::service::{Op, Service, json, read};

const REPLICATION_TEST: &str = "a_pushed_image_is_in_the_regions_that_the_rules_name";
const RULE_TEST: &str = "a_rule_is_made_changed_and_removed";
const VALIDATE_TEST: &str = "an_image_is_fetched_with_the_credentials_of_a_secret";
const TEMPLATE_TEST: &str = "a_template_dresses_the_repositories_that_are_made_by_a_push";
const TEMPLATE_LACKS: &str = "kept and shown without effect: exclusions of tags, repository and lifecycle policies";

/// What is there. Behaviour tests are in `tests/blackbox/ecr.rs`.
pub(crate) const OPS: &[Op] = &[
    Op::done("BatchCheckLayerAvailability", "layers_pushed_by_api_make_an_image", |cx, input| {
        json(cx, input, layer::availability)
    }),
    Op::done("BatchDeleteImage", "an_image_is_listed_described_fetched_and_deleted", |cx, input| {
        json(cx, input, image::delete)
    }),
    Op::done("BatchGetImage", "an_image_is_listed_described_fetched_and_deleted", |cx, input| {
        json(cx, input, image::get)
    }),
    Op::done("CompleteLayerUpload", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, layer::complete)),
    Op::done("CreatePullThroughCacheRule", RULE_TEST, |cx, input| json(cx, input, pull_through_rule::create)),
    Op::partial(
        "CreateRepository",
        "a_repository_lives_and_dies",
        "tag mutability with exclusions; kept and shown without effect: scanOnPush, KMS encryption",
        |cx, input| json(cx, input, repository::create),
    ),
    Op::partial("CreateRepositoryCreationTemplate", TEMPLATE_TEST, TEMPLATE_LACKS, |cx, input| {
        json(cx, input, creation_template::create)
    }),
    Op::done("DeletePullThroughCacheRule", RULE_TEST, |cx, input| json(cx, input, pull_through_rule::delete)),
    Op::done("DeleteRepository", "a_repository_lives_and_dies", |cx, input| json(cx, input, repository::delete)),
    Op::done("DeleteRepositoryCreationTemplate", TEMPLATE_TEST, |cx, input| json(cx, input, creation_template::delete)),
    Op::partial(
        "DescribeImages",
        "an_image_is_listed_described_fetched_and_deleted",
        "scan status and archive storage",
        |cx, input| read(cx, input, image::describe),
    ),
    Op::done("DescribeImageReplicationStatus", REPLICATION_TEST, |cx, input| read(cx, input, replication::status)),
    Op::done("DescribePullThroughCacheRules", RULE_TEST, |cx, input| read(cx, input, pull_through_rule::describe)),
    Op::done("DescribeRepositories", "a_repository_lives_and_dies", |cx, input| read(cx, input, repository::describe)),
    Op::done("DescribeRepositoryCreationTemplates", TEMPLATE_TEST, |cx, input| {
        read(cx, input, creation_template::describe)
    }),
    Op::done("GetAuthorizationToken", "a_login_token_opens_its_own_tenant_only", |cx, input| {
        read(cx, input, login::token)
    }),
    Op::done("GetDownloadUrlForLayer", "layers_pushed_by_api_make_an_image", |cx, input| {
        read(cx, input, layer::download_url)
    }),
    Op::done("InitiateLayerUpload", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, layer::start)),
    Op::done("ListImages", "an_image_is_listed_described_fetched_and_deleted", |cx, input| {
        read(cx, input, image::list)
    }),
    Op::done("ListTagsForResource", "a_repository_is_tagged_and_untagged", |cx, input| {
        read(cx, input, resource_tag::list)
    }),
    Op::done("PutImage", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, push::put)),
    Op::partial(
        "PutImageTagMutability",
        "an_immutable_tag_does_not_move",
        "tag mutability with exclusions",
        |cx, input| json(cx, input, repository::put_mutability),
    ),
    Op::partial(
        "PutReplicationConfiguration",
        REPLICATION_TEST,
        "other accounts: without a registry policy that allows it, their copies say FAILED",
        |cx, input| json(cx, input, replication::put),
    ),
    Op::done("TagResource", "a_repository_is_tagged_and_untagged", |cx, input| json(cx, input, resource_tag::add)),
    Op::done("UntagResource", "a_repository_is_tagged_and_untagged", |cx, input| json(cx, input, resource_tag::remove)),
    Op::done("UpdatePullThroughCacheRule", RULE_TEST, |cx, input| json(cx, input, pull_through_rule::update)),
    Op::partial("UpdateRepositoryCreationTemplate", TEMPLATE_TEST, TEMPLATE_LACKS, |cx, input| {
        json(cx, input, creation_template::update)
    }),
    Op::done("UploadLayerPart", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, layer::append)),
    Op::done("ValidatePullThroughCacheRule", VALIDATE_TEST, |cx, input| json(cx, input, pull_through_rule::validate)),
];

/// The service.
pub static SERVICE: Service =
    Service::json("ecr", "AmazonEC2ContainerRegistry_V20150921", include_bytes!("model.json.gz"), OPS);
