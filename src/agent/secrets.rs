//! Secrets of containers: values of Secrets Manager that a task definition names, for the environment.
//!
//! Holds: a secret is the task's own account's; its value goes into the container's environment and nowhere else, and
//! no failure tells it.

use std::collections::BTreeMap;

use cove_model::arn::{Arn, Tenant};
use cove_model::task::Task;
use cove_model::task_definition::{ContainerDefinition, TaskDefinitionDocument};
use cove_registry::Credentials;
use cove_store::secret;
use serde_json::{Map, Value};

use crate::deps::Deps;

/// Names and values by container.
pub(crate) type Environment = BTreeMap<String, Vec<(String, String)>>;

/// What `valueFrom` names: `ARN[:json-key[:stage[:version]]]`, each but the ARN may be empty.
struct Wanted<'a> {
    arn: String,
    json_key: Option<&'a str>,
    stage: Option<&'a str>,
    version: Option<&'a str>,
}

/// The environment that comes from secrets.
pub(crate) fn environment(deps: &Deps, task: &Task, document: &TaskDefinitionDocument) -> Result<Environment, String> {
    let mut all = Environment::new();
    for container in &document.container_definitions {
        for it in &container.secrets {
            let (Some(name), Some(from)) = (&it.name, &it.value_from) else { continue };
            let value = value_of(deps, task, from)?;
            all.entry(container.name.clone().unwrap_or_default()).or_default().push((name.clone(), value));
        }
    }
    Ok(all)
}

/// The login for a container's image: a secret with `username` and `password`.
pub(crate) fn login(deps: &Deps, task: &Task, container: &ContainerDefinition) -> Result<Option<Credentials>, String> {
    let given = container.repository_credentials.as_ref().and_then(|given| given.credentials_parameter.as_deref());
    let Some(arn) = given else { return Ok(None) };
    let value = value_of(deps, task, arn)?;
    let login: Option<Map<String, Value>> = serde_json::from_str(&value).ok();
    let part = |name: &str| login.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let (Some(username), Some(password)) = (part("username"), part("password")) else {
        return Err(format!("secret {arn} is no JSON object with `username` and `password`"));
    };
    Ok(Some(Credentials { username, password }))
}

fn value_of(deps: &Deps, task: &Task, from: &str) -> Result<String, String> {
    let failed = |why: &str| {
        format!(
            "unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret \
             from asm: failed to fetch secret {from} from secrets manager: {why}"
        )
    };
    let absent = || failed("ResourceNotFoundException: Secrets Manager can't find the specified secret.");
    let wanted = parse(from).ok_or_else(|| failed("it is no ARN of a secret"))?;
    let arn = Arn::parse(&wanted.arn).ok_or_else(absent)?;
    if arn.account != task.tenant.account {
        return Err(failed("AccessDeniedException: the secret is another account's"));
    }
    let (tenant, now) = (Tenant::new(arn.account, arn.region), deps.clock.now());
    let found = deps.store.read(|view| secret(view, &tenant, &wanted.arn, now)).ok_or_else(absent)?;
    if found.gone_at.is_some() {
        return Err(failed(
            "InvalidRequestException: You can't perform this operation on the secret because it was marked for \
             deletion.",
        ));
    }
    let version = found.version(wanted.version, wanted.stage).ok_or_else(absent)?;
    let bytes = deps.vault.value(&found, version).ok_or_else(|| failed("DecryptionFailure"))?;
    let text = String::from_utf8(bytes).map_err(|_| failed("the value is no text"))?;
    let Some(key) = wanted.json_key else { return Ok(text) };
    let object: Map<String, Value> =
        serde_json::from_str(&text).map_err(|_| failed("the value is no JSON object, and a key of it is asked for"))?;
    match object.get(key) {
        Some(Value::String(value)) => Ok(value.clone()),
        Some(value) => Ok(value.to_string()),
        None => Err(failed(&format!("retrieved secret from Secrets Manager did not contain json key {key}"))),
    }
}

/// Takes `valueFrom` apart.
fn parse(from: &str) -> Option<Wanted<'_>> {
    let parts: Vec<&str> = from.split(':').collect();
    let is_secret = parts.len() >= 7 && parts[2] == "secretsmanager" && parts[5] == "secret";
    let part = |place: usize| parts.get(place).copied().filter(|part| !part.is_empty());
    is_secret.then(|| Wanted { arn: parts[..7].join(":"), json_key: part(7), stage: part(8), version: part(9) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_with_key_stage_and_version() {
        let arn = "arn:aws:secretsmanager:us-east-1:0:secret:a/b-AbCdEf";
        let whole = format!("{arn}:key:AWSPREVIOUS:id");
        let wanted = parse(&whole).unwrap();
        assert_eq!(
            (wanted.arn.as_str(), wanted.json_key, wanted.stage, wanted.version),
            (arn, Some("key"), Some("AWSPREVIOUS"), Some("id"))
        );
        let stage = format!("{arn}::AWSPREVIOUS:");
        let wanted = parse(&stage).unwrap();
        assert_eq!((wanted.json_key, wanted.stage, wanted.version), (None, Some("AWSPREVIOUS"), None));
        assert!(parse("arn:aws:ssm:us-east-1:0:parameter/x").is_none() && parse("x").is_none());
    }
}
