//! Resource policies of secrets: kept and shown. Who may call is decided by keys alone, as for every other service.

use serde_json::Value;

use super::error::SecretsError;
use super::value::living;
use super::wire::{IdIn, PolicyOut, PutPolicyIn, SecretOut};
use crate::Context;

/// GetResourcePolicy.
pub(super) fn get(cx: &Context, input: IdIn) -> Result<PolicyOut, SecretsError> {
    let now = cx.clock.now();
    let found = cx.store.read(|view| cove_store::secret(view, &cx.tenant, &input.secret_id, now));
    let secret = found.ok_or(SecretsError::NotFound)?;
    Ok(PolicyOut { arn: secret.arn(), name: secret.name.clone(), resource_policy: secret.policy.clone() })
}

/// PutResourcePolicy.
pub(super) async fn put(cx: &Context, input: PutPolicyIn) -> Result<SecretOut, SecretsError> {
    let statements = statements(&input.resource_policy)?;
    if input.block_public_policy && statements.iter().any(is_public) {
        return Err(SecretsError::PublicPolicy);
    }
    change(cx, input.secret_id, Some(input.resource_policy)).await
}

/// DeleteResourcePolicy. There need not be one.
pub(super) async fn delete(cx: &Context, input: IdIn) -> Result<SecretOut, SecretsError> {
    change(cx, input.secret_id, None).await
}

async fn change(cx: &Context, id: String, policy: Option<String>) -> Result<SecretOut, SecretsError> {
    let tenant = cx.tenant.clone();
    cx.store
        .write(move |tx| {
            let mut secret = living(tx, &tenant, &id)?;
            secret.policy = policy;
            tx.put(secret.clone());
            Ok(SecretOut::of(&secret))
        })
        .await
}

/// One that stands alone need not be in a list.
fn statements(text: &str) -> Result<Vec<Value>, SecretsError> {
    let policy: Value = serde_json::from_str(text).map_err(|_| SecretsError::MalformedPolicy)?;
    let all = match &policy["Statement"] {
        Value::Array(all) => all.clone(),
        one @ Value::Object(_) => vec![one.clone()],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let is_good = |one: &Value| matches!(one["Effect"].as_str(), Some("Allow" | "Deny"));
    if all.is_empty() || !all.iter().all(is_good) { Err(SecretsError::MalformedPolicy) } else { Ok(all) }
}

/// Whether it allows something to everybody.
fn is_public(statement: &Value) -> bool {
    let is_all = |value: &Value| match value {
        Value::String(text) => text == "*",
        Value::Array(list) => list.iter().any(|one| one == "*"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    let principal = &statement["Principal"];
    statement["Effect"] == "Allow"
        && statement["Condition"].is_null()
        && (is_all(principal) || is_all(&principal["AWS"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_allows_something_to_everybody_is_public() {
        let is = |text: &str| statements(text).unwrap().iter().any(is_public);
        for public in [r#""*""#, r#"{"AWS": "*"}"#, r#"{"AWS": ["arn:aws:iam::1:root", "*"]}"#] {
            assert!(is(&format!(r#"{{"Statement": {{"Effect": "Allow", "Principal": {public}}}}}"#)), "{public}");
            assert!(!is(&format!(r#"{{"Statement": [{{"Effect": "Deny", "Principal": {public}}}]}}"#)), "{public}");
        }
        assert!(!is(r#"{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:root"}}]}"#));
        for bad in ["", "[]", "{}", r#"{"Statement": []}"#, r#"{"Statement": [{"Effect": "allow"}]}"#] {
            assert!(statements(bad).is_err(), "{bad}");
        }
    }
}
