//! ECR: the registry as AWS clients see it. The same repositories, images and blobs as `/v2/`.
//!
//! Absent: lifecycle policies, replication, repository policies; their operations are not
//! in the table, and fields that ask for them are refused or, where they only record a setting, kept and shown.

#![allow(clippy::needless_pass_by_value, reason = "handlers own their input")]

mod creation_template;
mod error;
mod image;
mod layer;
mod login;
mod mutability;
mod page;
mod pull_through_rule;
mod push;
mod repository;
mod resource_tag;
mod scan;
mod wire;

use crate::aws::service::{Op, Service, json, read};

/// The tests of pull through cache rules, and of templates.
const RULE_TEST: &str = "a_rule_is_made_changed_and_removed";
const VALIDATE_TEST: &str = "an_image_is_fetched_with_the_credentials_of_a_secret";
const TEMPLATE_TEST: &str = "a_template_dresses_the_repositories_that_are_made_by_a_push";
const TEMPLATE_LACKS: &str = "kept and shown without effect: repository and lifecycle policies";

/// What is there. Behaviour tests are in `tests/blackbox/ecr/`.
pub(crate) const OPS: &[Op] = &[
    Op::done("BatchCheckLayerAvailability", "layers_pushed_by_api_make_an_image", |cx, input| {
        json(cx, input, layer::availability)
    }),
    Op::done("BatchDeleteImage", "an_image_is_listed_described_fetched_and_deleted", |cx, input| {
        json(cx, input, image::delete)
    }),
    Op::done("BatchGetRepositoryScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        read(cx, input, scan::setting::batch_get)
    }),
    Op::done("BatchGetImage", "an_image_is_listed_described_fetched_and_deleted", |cx, input| {
        json(cx, input, image::get)
    }),
    Op::done("CompleteLayerUpload", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, layer::complete)),
    Op::done("CreatePullThroughCacheRule", RULE_TEST, |cx, input| json(cx, input, pull_through_rule::create)),
    Op::partial(
        "CreateRepository",
        "a_repository_lives_and_dies",
        "kept and shown without effect: KMS encryption",
        |cx, input| json(cx, input, repository::create),
    ),
    Op::partial("CreateRepositoryCreationTemplate", TEMPLATE_TEST, TEMPLATE_LACKS, |cx, input| {
        json(cx, input, creation_template::create)
    }),
    Op::done("DeletePullThroughCacheRule", RULE_TEST, |cx, input| json(cx, input, pull_through_rule::delete)),
    Op::done("DeleteRepository", "a_repository_lives_and_dies", |cx, input| json(cx, input, repository::delete)),
    Op::done("DeleteRepositoryCreationTemplate", TEMPLATE_TEST, |cx, input| json(cx, input, creation_template::delete)),
    Op::done("DescribeImageScanFindings", "a_scan_shows_what_its_hook_found", |cx, input| {
        json(cx, input, scan::image::findings)
    }),
    Op::partial(
        "DescribeImages",
        "an_image_is_listed_described_fetched_and_deleted",
        "archive storage",
        |cx, input| read(cx, input, image::describe),
    ),
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
    Op::done("GetRegistryScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        read(cx, input, scan::setting::get_registry)
    }),
    Op::done("InitiateLayerUpload", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, layer::start)),
    Op::done("ListImages", "an_image_is_listed_described_fetched_and_deleted", |cx, input| {
        read(cx, input, image::list)
    }),
    Op::done("ListTagsForResource", "a_repository_is_tagged_and_untagged", |cx, input| {
        read(cx, input, resource_tag::list)
    }),
    Op::done("PutImage", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, push::put)),
    Op::done("PutImageTagMutability", "an_excluded_tag_does_the_opposite_of_others", |cx, input| {
        json(cx, input, mutability::put)
    }),
    Op::done("PutImageScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        json(cx, input, scan::setting::put_image)
    }),
    Op::done("PutRegistryScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        json(cx, input, scan::setting::put_registry)
    }),
    Op::done("StartImageScan", "a_scan_shows_what_its_hook_found", |cx, input| json(cx, input, scan::image::start)),
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
