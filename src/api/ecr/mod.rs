//! ECR: the registry as AWS clients see it. The same repositories, images and blobs as `/v2/`.
//!
//! Absent: what is not in the table; fields that ask for it are refused or, where they only record a setting, kept and
//! shown.

#![allow(clippy::needless_pass_by_value, reason = "handlers own their input")]

mod access;
mod account_setting;
mod creation_template;
mod encryption;
mod error;
mod image;
mod layer;
mod lifecycle;
mod login;
mod mutability;
mod page;
mod policy;
mod pull_through_rule;
mod pull_time;
mod push;
mod referrer;
mod registry;
mod replication;
mod repository;
mod request;
mod resource_tag;
mod scan;
mod signing;
mod storage_class;
mod wire;

use crate::aws::service::{Op, Service, json, read};

/// The tests of pull through cache rules, and of templates.
const RULE_TEST: &str = "a_rule_is_made_changed_and_removed";
const VALIDATE_TEST: &str = "an_image_is_fetched_with_the_credentials_of_a_secret";
const TEMPLATE_TEST: &str = "a_template_dresses_the_repositories_that_are_made_by_a_push";

const REPLICATION_TEST: &str = "a_pushed_image_is_in_the_regions_that_the_rules_name";

/// What is there. Behaviour tests are in `tests/blackbox/ecr/`.
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
    Op::done("BatchGetRepositoryScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        read(cx, input, scan::setting::batch_get)
    }),
    Op::done("CompleteLayerUpload", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, layer::complete)),
    Op::done("CreatePullThroughCacheRule", RULE_TEST, |cx, input| json(cx, input, pull_through_rule::create)),
    Op::partial(
        "CreateRepository",
        "a_repository_lives_and_dies",
        "kept and shown without effect: KMS encryption",
        |cx, input| json(cx, input, repository::create),
    ),
    Op::done("CreateRepositoryCreationTemplate", TEMPLATE_TEST, |cx, input| json(cx, input, creation_template::create)),
    Op::done("DeleteLifecyclePolicy", "a_lifecycle_policy_is_kept_and_carried_out", |cx, input| {
        json(cx, input, lifecycle::delete)
    }),
    Op::done("DeletePullThroughCacheRule", RULE_TEST, |cx, input| json(cx, input, pull_through_rule::delete)),
    Op::done("DeleteRegistryPolicy", "a_registry_policy_is_kept_and_counts", |cx, input| {
        json(cx, input, policy::delete_registry)
    }),
    Op::done("DeleteRepository", "a_repository_lives_and_dies", |cx, input| json(cx, input, repository::delete)),
    Op::done("DeleteRepositoryCreationTemplate", TEMPLATE_TEST, |cx, input| json(cx, input, creation_template::delete)),
    Op::done("DeleteRepositoryPolicy", "another_account_gets_in_by_policy", |cx, input| {
        json(cx, input, policy::delete)
    }),
    Op::done("DeleteSigningConfiguration", "signing_rules_are_kept_and_nothing_is_signed", |cx, input| {
        json(cx, input, signing::delete)
    }),
    Op::done("DeregisterPullTimeUpdateExclusion", "pulls_of_excepted_principals_leave_no_time", |cx, input| {
        json(cx, input, pull_time::deregister)
    }),
    Op::done("DescribeImageReplicationStatus", REPLICATION_TEST, |cx, input| read(cx, input, replication::status)),
    Op::done("DescribeImageScanFindings", "a_scan_shows_what_its_hook_found", |cx, input| {
        json(cx, input, scan::image::findings)
    }),
    Op::partial(
        "DescribeImageSigningStatus",
        "signing_rules_are_kept_and_nothing_is_signed",
        "a signer: what a rule wants signed is FAILED",
        |cx, input| read(cx, input, signing::status),
    ),
    Op::done("DescribeImages", "an_image_is_listed_described_fetched_and_deleted", |cx, input| {
        read(cx, input, image::describe)
    }),
    Op::done("DescribePullThroughCacheRules", RULE_TEST, |cx, input| read(cx, input, pull_through_rule::describe)),
    Op::done("DescribeRegistry", "a_registry_policy_is_kept_and_counts", |cx, input| {
        read(cx, input, registry::describe)
    }),
    Op::done("DescribeRepositories", "a_repository_lives_and_dies", |cx, input| read(cx, input, repository::describe)),
    Op::done("DescribeRepositoryCreationTemplates", TEMPLATE_TEST, |cx, input| {
        read(cx, input, creation_template::describe)
    }),
    Op::done("GetAccountSetting", "account_settings_take_effect", |cx, input| read(cx, input, account_setting::get)),
    Op::done("GetAuthorizationToken", "a_login_token_opens_its_own_tenant_only", |cx, input| {
        read(cx, input, login::token)
    }),
    Op::done("GetDownloadUrlForLayer", "layers_pushed_by_api_make_an_image", |cx, input| {
        read(cx, input, layer::download_url)
    }),
    Op::done("GetLifecyclePolicy", "a_lifecycle_policy_is_kept_and_carried_out", |cx, input| {
        read(cx, input, lifecycle::get)
    }),
    Op::done("GetLifecyclePolicyPreview", "a_preview_shows_what_a_policy_would_do", |cx, input| {
        read(cx, input, lifecycle::preview)
    }),
    Op::done("GetRegistryPolicy", "a_registry_policy_is_kept_and_counts", |cx, input| {
        read(cx, input, policy::get_registry)
    }),
    Op::done("GetRegistryScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        read(cx, input, scan::setting::get_registry)
    }),
    Op::done("GetRepositoryPolicy", "another_account_gets_in_by_policy", |cx, input| read(cx, input, policy::get)),
    Op::done("GetSigningConfiguration", "signing_rules_are_kept_and_nothing_is_signed", |cx, input| {
        read(cx, input, signing::get)
    }),
    Op::done("InitiateLayerUpload", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, layer::start)),
    Op::done("ListImageReferrers", "referrers_are_listed_by_type_and_status", |cx, input| {
        json(cx, input, referrer::list)
    }),
    Op::done("ListImages", "an_image_is_listed_described_fetched_and_deleted", |cx, input| {
        read(cx, input, image::list)
    }),
    Op::done("ListPullTimeUpdateExclusions", "pulls_of_excepted_principals_leave_no_time", |cx, input| {
        read(cx, input, pull_time::list)
    }),
    Op::done("ListTagsForResource", "a_repository_is_tagged_and_untagged", |cx, input| {
        read(cx, input, resource_tag::list)
    }),
    Op::done("PutAccountSetting", "account_settings_take_effect", |cx, input| json(cx, input, account_setting::put)),
    Op::done("PutImage", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, push::put)),
    Op::done("PutImageScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        json(cx, input, scan::setting::put_image)
    }),
    Op::done("PutImageTagMutability", "an_excluded_tag_does_the_opposite_of_others", |cx, input| {
        json(cx, input, mutability::put)
    }),
    Op::done("PutLifecyclePolicy", "a_lifecycle_policy_is_kept_and_carried_out", |cx, input| {
        json(cx, input, lifecycle::put)
    }),
    Op::done("PutRegistryPolicy", "a_registry_policy_is_kept_and_counts", |cx, input| {
        json(cx, input, policy::put_registry)
    }),
    Op::done("PutRegistryScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        json(cx, input, scan::setting::put_registry)
    }),
    Op::done("PutReplicationConfiguration", REPLICATION_TEST, |cx, input| json(cx, input, replication::put)),
    Op::partial(
        "PutSigningConfiguration",
        "signing_rules_are_kept_and_nothing_is_signed",
        "a signer: rules are kept, images are not signed",
        |cx, input| json(cx, input, signing::put),
    ),
    Op::done("RegisterPullTimeUpdateExclusion", "pulls_of_excepted_principals_leave_no_time", |cx, input| {
        json(cx, input, pull_time::register)
    }),
    Op::done("SetRepositoryPolicy", "another_account_gets_in_by_policy", |cx, input| json(cx, input, policy::set)),
    Op::done("StartImageScan", "a_scan_shows_what_its_hook_found", |cx, input| json(cx, input, scan::image::start)),
    Op::done("StartLifecyclePolicyPreview", "a_preview_shows_what_a_policy_would_do", |cx, input| {
        json(cx, input, lifecycle::start_preview)
    }),
    Op::done("TagResource", "a_repository_is_tagged_and_untagged", |cx, input| json(cx, input, resource_tag::add)),
    Op::done("UntagResource", "a_repository_is_tagged_and_untagged", |cx, input| json(cx, input, resource_tag::remove)),
    Op::done("UpdateImageStorageClass", "an_archived_image_is_described_and_not_pulled", |cx, input| {
        json(cx, input, storage_class::update)
    }),
    Op::done("UpdatePullThroughCacheRule", RULE_TEST, |cx, input| json(cx, input, pull_through_rule::update)),
    Op::done("UpdateRepositoryCreationTemplate", TEMPLATE_TEST, |cx, input| json(cx, input, creation_template::update)),
    Op::done("UploadLayerPart", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, layer::append)),
    Op::done("ValidatePullThroughCacheRule", VALIDATE_TEST, |cx, input| json(cx, input, pull_through_rule::validate)),
];

/// The service.
pub static SERVICE: Service =
    Service::json("ecr", "AmazonEC2ContainerRegistry_V20150921", include_bytes!("model.json.gz"), OPS);
