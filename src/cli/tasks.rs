//! Finding tasks the way people name them: by ARN, by id, or by the first digits of an id.

use cove_model::arn::Arn;
use serde_json::{Value, json};

use super::client::{Client, ECS, text};
use super::error::CliError;

/// DescribeTasks takes at most this many.
const DESCRIBE_MAX: usize = 100;

/// All tasks of one cluster or of all, as DescribeTasks shows them. `stopped` adds those that ended lately.
pub(super) async fn describe_all(
    client: &Client,
    cluster: Option<&str>,
    stopped: bool,
) -> Result<Vec<Value>, CliError> {
    let clusters = match cluster {
        Some(cluster) => vec![Value::from(cluster)],
        None => client.list(ECS, "ListClusters", &json!({}), "clusterArns").await?,
    };
    let mut tasks = Vec::new();
    for cluster in clusters {
        let mut arns = client.list(ECS, "ListTasks", &json!({"cluster": cluster}), "taskArns").await?;
        if stopped {
            let input = json!({"cluster": cluster, "desiredStatus": "STOPPED"});
            let stopped = client.list(ECS, "ListTasks", &input, "taskArns").await?;
            // One that was asked to stop between the two questions is in both answers.
            arns.retain(|arn| !stopped.contains(arn));
            arns.extend(stopped);
        }
        for some in arns.chunks(DESCRIBE_MAX) {
            let answer = client.aws(ECS, "DescribeTasks", &json!({"cluster": cluster, "tasks": some})).await?;
            tasks.extend(answer["tasks"].as_array().cloned().unwrap_or_default());
        }
    }
    Ok(tasks)
}

/// The one task of that name.
pub(super) async fn find(client: &Client, name: &str) -> Result<Value, CliError> {
    let wanted = Arn::parse(name).map_or(name, |arn| id_of(arn.resource));
    let mut found = describe_all(client, None, true).await?;
    found.retain(|task| id_of(text(task, "taskArn")).starts_with(wanted));
    match found.len() {
        0 => Err(CliError::NoTask(name.to_owned())),
        1 => Ok(found.remove(0)),
        _ => Err(CliError::Ambiguous(name.to_owned())),
    }
}

/// The last part of an ARN.
pub(super) fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The container that was asked for, or the only one.
pub(super) fn container<'a>(task: &'a Value, wanted: Option<&str>) -> Result<&'a Value, CliError> {
    let id = id_of(text(task, "taskArn")).to_owned();
    let all = task["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    match (wanted, all) {
        (_, []) => Err(CliError::NoContainers { task: id }),
        (None, [only]) => Ok(only),
        (None, _) => {
            let names: Vec<&str> = all.iter().map(|container| text(container, "name")).collect();
            Err(CliError::ChooseContainer { task: id, names: names.join(", ") })
        }
        (Some(name), _) => all
            .iter()
            .find(|container| text(container, "name") == name)
            .ok_or_else(|| CliError::NoContainer { task: id, container: name.to_owned() }),
    }
}
