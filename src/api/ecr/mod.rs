//! ECR: the registry as AWS clients see it. The same repositories, images and blobs as `/v2/`.
//!
//! Absent: lifecycle policies, pull-through cache, replication, repository policies; their operations are not
//! in the table, and fields that ask for them are refused or, where they only record a setting, kept and shown.

#![allow(clippy::needless_pass_by_value, reason = "handlers own their input")]

mod error;
mod image;
mod layer;
mod login;
mod page;
mod push;
mod repository;
mod resource_tag;
mod scan;
mod wire;

use crate::aws::service::{Op, Service, json, read};

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
    Op::done("BatchGetRepositoryScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        read(cx, input, scan::setting::batch_get)
    }),
    Op::done("CompleteLayerUpload", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, layer::complete)),
    Op::partial(
        "CreateRepository",
        "a_repository_lives_and_dies",
        "tag mutability with exclusions; kept and shown without effect: KMS encryption",
        |cx, input| json(cx, input, repository::create),
    ),
    Op::done("DeleteRepository", "a_repository_lives_and_dies", |cx, input| json(cx, input, repository::delete)),
    Op::done("DescribeImageScanFindings", "a_scan_shows_what_its_hook_found", |cx, input| {
        json(cx, input, scan::image::findings)
    }),
    Op::partial(
        "DescribeImages",
        "an_image_is_listed_described_fetched_and_deleted",
        "archive storage",
        |cx, input| read(cx, input, image::describe),
    ),
    Op::done("DescribeRepositories", "a_repository_lives_and_dies", |cx, input| read(cx, input, repository::describe)),
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
    Op::done("PutImageScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        json(cx, input, scan::setting::put_image)
    }),
    Op::partial(
        "PutImageTagMutability",
        "an_immutable_tag_does_not_move",
        "tag mutability with exclusions",
        |cx, input| json(cx, input, repository::put_mutability),
    ),
    Op::done("PutRegistryScanningConfiguration", "rules_say_what_is_scanned_when", |cx, input| {
        json(cx, input, scan::setting::put_registry)
    }),
    Op::done("StartImageScan", "a_scan_shows_what_its_hook_found", |cx, input| json(cx, input, scan::image::start)),
    Op::done("TagResource", "a_repository_is_tagged_and_untagged", |cx, input| json(cx, input, resource_tag::add)),
    Op::done("UntagResource", "a_repository_is_tagged_and_untagged", |cx, input| json(cx, input, resource_tag::remove)),
    Op::done("UploadLayerPart", "layers_pushed_by_api_make_an_image", |cx, input| json(cx, input, layer::append)),
];

/// The service.
pub static SERVICE: Service =
    Service::json("ecr", "AmazonEC2ContainerRegistry_V20150921", include_bytes!("model.json.gz"), OPS);
