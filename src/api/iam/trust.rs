//! What a trust policy must look like. Pure.

use serde_json::Value;

/// The fault of a document, if it has one.
pub(super) fn fault(document: &str) -> Option<&'static str> {
    let Ok(Value::Object(policy)) = serde_json::from_str(document) else {
        return Some("This policy contains invalid Json");
    };
    let version = policy.get("Version").and_then(Value::as_str).unwrap_or("2008-10-17");
    if !matches!(version, "2012-10-17" | "2008-10-17") {
        return Some("The policy must contain a valid version string");
    }
    match policy.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.iter().find_map(statement_fault),
        Some(statement @ Value::Object(_)) => statement_fault(statement),
        Some(_) | None => Some("Syntax errors in policy."),
    }
}

fn statement_fault(statement: &Value) -> Option<&'static str> {
    let Some(statement) = statement.as_object() else { return Some("Syntax errors in policy.") };
    if !matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
        return Some("Missing required field Effect");
    }
    if !statement.contains_key("Principal") && !statement.contains_key("NotPrincipal") {
        return Some("Missing required field Principal");
    }
    if !statement.contains_key("Action") && !statement.contains_key("NotAction") {
        return Some("Missing required field Action");
    }
    statement.contains_key("Resource").then_some("Has prohibited field Resource")
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn the_usual_trust_policy_passes_and_others_say_what_is_wrong() {
        let good = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
        assert_eq!(fault(good), None);
        assert_eq!(fault("{"), Some("This policy contains invalid Json"));
        assert_eq!(fault(&good.replace("Allow", "Maybe")), Some("Missing required field Effect"));
        assert_eq!(fault(&good.replace("Principal", "Resource")), Some("Missing required field Principal"));
        assert_eq!(fault(r#"{"Statement":[]}"#), Some("Syntax errors in policy."));
    }
}
