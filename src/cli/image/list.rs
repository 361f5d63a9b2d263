//! `cove image ls` and `rm`.

use serde_json::{Value, json};

use super::named;
use crate::cli::client::{Client, ECR, text};
use crate::cli::error::CliError;
use crate::cli::{say, table};

/// Images of one repository or of all, as DescribeImages shows them.
pub(super) async fn described(repository: Option<&str>, client: &Client) -> Result<Vec<Value>, CliError> {
    let repositories = match repository {
        Some(name) => vec![Value::from(name)],
        None => {
            let all = client.list(ECR, "DescribeRepositories", &json!({}), "repositories").await?;
            all.iter().map(|repository| repository["repositoryName"].clone()).collect()
        }
    };
    let mut images = Vec::new();
    for name in repositories {
        images.extend(client.list(ECR, "DescribeImages", &json!({"repositoryName": name}), "imageDetails").await?);
    }
    Ok(images)
}

pub(super) fn tags(image: &Value) -> Vec<&str> {
    image["imageTags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A digest as people compare it.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

pub(super) async fn list(repository: Option<&str>, as_json: bool, client: &Client) -> Result<(), CliError> {
    let images = described(repository, client).await?;
    if as_json {
        say(&Value::from(images).to_string());
        return Ok(());
    }
    let now = cove_base::Clock::system().now().epoch_seconds();
    let rows = images.iter().map(|image| {
        vec![
            text(image, "repositoryName").to_owned(),
            tags(image).join(", "),
            short(text(image, "imageDigest")).to_owned(),
            table::size(image["imageSizeInBytes"].as_u64().unwrap_or_default()),
            table::age(now - image["imagePushedAt"].as_f64().unwrap_or(now)),
        ]
    });
    table::print(&["REPOSITORY", "TAGS", "DIGEST", "SIZE", "PUSHED"], rows.collect());
    Ok(())
}

pub(super) async fn remove(image: &str, client: &Client) -> Result<(), CliError> {
    let (repository, id) = match image.split_once('@') {
        Some((repository, digest)) => (repository.to_owned(), json!({"imageDigest": digest})),
        None => {
            let (repository, tag) = named(image)?;
            (repository, json!({"imageTag": tag}))
        }
    };
    let input = json!({"repositoryName": repository, "imageIds": [id]});
    let answer = client.aws(ECR, "BatchDeleteImage", &input).await?;
    if let Some(failure) = answer["failures"].as_array().and_then(|failures| failures.first()) {
        return Err(CliError::Failed(format!("{image}: {}", text(failure, "failureReason"))));
    }
    say(&format!("removed {image}"));
    Ok(())
}
