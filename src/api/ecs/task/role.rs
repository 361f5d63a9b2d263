//! Task and execution roles: whether ECS tasks may assume them.

use cove_model::arn::{Arn, Tenant};
use cove_model::role::Role;
use cove_store::{Read, keys};
use serde_json::Value;

use crate::ecs::error::EcsError;

/// Who assumes the role of a task.
const TASKS_PRINCIPAL: &str = "ecs-tasks.amazonaws.com";
/// Who assumes an infrastructure role.
const ECS_PRINCIPAL: &str = "ecs.amazonaws.com";

/// The role's ARN, if ECS could assume it for a task of the tenant. `text` is an ARN or a name.
pub(crate) fn assumable(store: &impl Read, tenant: &Tenant, text: &str) -> Result<String, EcsError> {
    let role = find(store, tenant, text).filter(|role| trusts(&role.assume_role_policy_document, TASKS_PRINCIPAL));
    role.map(|role| role.arn()).ok_or_else(|| {
        EcsError::client(format!(
            "ECS was unable to assume the role '{text}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
        ))
    })
}

/// The ARN of a role that ECS itself could assume for the tenant, to manage what belongs to a service.
pub(crate) fn assumable_by_ecs(store: &impl Read, tenant: &Tenant, text: &str) -> Result<String, EcsError> {
    let role = find(store, tenant, text).filter(|role| trusts(&role.assume_role_policy_document, ECS_PRINCIPAL));
    role.map(|role| role.arn()).ok_or_else(|| {
        EcsError::parameter(format!(
            "Unable to assume the infrastructure role '{text}'. Please verify that the role exists and that its trust relationship names {ECS_PRINCIPAL}."
        ))
    })
}

fn find(store: &impl Read, tenant: &Tenant, text: &str) -> Option<std::sync::Arc<Role>> {
    if !text.starts_with("arn:") {
        return store.get::<Role>(&keys::role(&tenant.account, text));
    }
    let arn = Arn::parse(text).filter(|arn| arn.service == "iam" && arn.account == tenant.account)?;
    let name = arn.path_of("role")?.rsplit('/').next()?;
    store.get::<Role>(&keys::role(&tenant.account, name)).filter(|role| role.arn() == text)
}

/// Whether a trust policy lets a service assume the role. What cannot be read trusts nobody.
fn trusts(policy: &str, service: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return false };
    let statements = one_or_many(policy.get("Statement"));
    let matching = |effect: &str| {
        statements.iter().any(|statement| {
            statement.get("Effect").and_then(Value::as_str) == Some(effect)
                && names(statement.get("Principal"), service)
                && one_or_many(statement.get("Action")).iter().any(|action| is_assume_role(action))
        })
    };
    matching("Allow") && !matching("Deny")
}

fn names(principal: Option<&Value>, wanted: &str) -> bool {
    match principal {
        Some(Value::String(all)) => all == "*",
        Some(Value::Object(kinds)) => {
            one_or_many(kinds.get("Service")).iter().any(|service| service.as_str() == Some(wanted))
        }
        _ => false,
    }
}

fn is_assume_role(action: &Value) -> bool {
    action.as_str().is_some_and(|name| {
        name == "*" || name.eq_ignore_ascii_case("sts:*") || name.eq_ignore_ascii_case("sts:AssumeRole")
    })
}

/// A policy's lists may be single values.
fn one_or_many(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None => Vec::new(),
        Some(Value::Array(many)) => many.iter().collect(),
        Some(one) => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_trust_policy_must_name_ecs_tasks() {
        let policy = |principal: Value, action: Value| {
            let statement = json!({"Effect": "Allow", "Principal": principal, "Action": action});
            trusts(&json!({"Version": "2012-10-17", "Statement": statement}).to_string(), TASKS_PRINCIPAL)
        };
        assert!(policy(json!({"Service": "ecs-tasks.amazonaws.com"}), json!("sts:AssumeRole")));
        assert!(policy(
            json!({"Service": ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]}),
            json!(["sts:assumerole", "sts:TagSession"])
        ));
        assert!(!policy(json!({"Service": "ec2.amazonaws.com"}), json!("sts:AssumeRole")));
        assert!(!policy(json!({"Service": "ecs-tasks.amazonaws.com"}), json!("sts:TagSession")));
        assert!(!trusts("not json", TASKS_PRINCIPAL));
    }
}
