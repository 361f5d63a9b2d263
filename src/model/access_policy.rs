//! Policies that stand at a resource and say who may do what with it. Pure.
//!
//! In: JSON that anyone may have sent; who wants to do what. Out: allowed, denied, or nothing said.
//!
//! Holds: what cannot be judged here helps nobody in and keeps everybody out: a statement with a condition that is not
//! understood never allows, and denies always. Services and federated users never call this node, so they match nobody.
//! Understood are the string and ARN operators on `aws:PrincipalArn` and `aws:PrincipalAccount`.

use serde_json::{Map, Value};

use crate::wildcard::is_like;

/// Who wants something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub account: String,
    /// Of a user or role; of a session it is the role's. `None` is the account's root.
    pub arn: Option<String>,
}

impl Principal {
    /// The root of an account.
    #[must_use]
    pub fn root(account: &str) -> Self {
        Self { account: account.to_owned(), arn: None }
    }

    /// From a caller's ARN: the session of a role is the role; who is neither user nor role is root.
    #[must_use]
    pub fn of_caller(account: &str, caller_arn: &str) -> Self {
        let arn = match caller_arn.strip_prefix("arn:aws:sts::").and_then(|rest| rest.split_once(":assumed-role/")) {
            Some((account, session)) => {
                let role = session.split('/').next().unwrap_or_default();
                Some(format!("arn:aws:iam::{account}:role/{role}"))
            }
            None => {
                Some(caller_arn.to_owned()).filter(|arn| arn.starts_with("arn:aws:iam::") && !arn.ends_with(":root"))
            }
        };
        Self { account: account.to_owned(), arn }
    }

    /// As it stands in policies and messages.
    #[must_use]
    pub fn shown(&self) -> String {
        self.arn.clone().unwrap_or_else(|| format!("arn:aws:iam::{}:root", self.account))
    }
}

/// What a policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    Denied,
    Silent,
}

/// A policy that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPolicy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    allows: bool,
    principals: Named,
    /// Lower case.
    actions: Named,
    /// `None`: the resource that the policy stands at.
    resources: Option<Named>,
    conditions: Vec<Condition>,
}

/// Those that are named, or all others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    patterns: Vec<String>,
    but: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    operator: String,
    key: String,
    values: Vec<String>,
}

/// Whether statements of a policy name resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resources {
    /// They stand at one resource, and must not.
    Forbidden,
    Required,
}

impl AccessPolicy {
    /// Reads a policy about actions of one service. `None` when it is none.
    #[must_use]
    pub fn parse(text: &str, service: &str, resources: Resources) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let policy = value.as_object()?;
        let known = |name: &String| matches!(name.as_str(), "Version" | "Id" | "Statement");
        policy.keys().all(known).then_some(())?;
        let version = policy.get("Version").map_or(Some("2008-10-17"), Value::as_str)?;
        matches!(version, "2012-10-17" | "2008-10-17").then_some(())?;
        let statements = one_or_many(policy.get("Statement")?);
        if statements.is_empty() {
            return None;
        }
        let read = |value: &&Value| statement(value.as_object()?, service, resources);
        Some(Self { statements: statements.iter().map(read).collect::<Option<_>>()? })
    }

    /// What it says about an action, as in `ecr:BatchGetImage`. A denial beats everything.
    #[must_use]
    pub fn verdict(&self, who: &Principal, action: &str, resource: &str) -> Verdict {
        let action = action.to_ascii_lowercase();
        let fits = |one: &&Statement| {
            one.actions.has(|pattern| is_like(pattern, &action))
                && one.principals.has(|pattern| is_principal(pattern, who))
                && one.resources.as_ref().is_none_or(|all| all.has(|pattern| is_like(pattern, resource)))
        };
        let mut verdict = Verdict::Silent;
        for statement in self.statements.iter().filter(fits) {
            let holds: Option<bool> =
                statement.conditions.iter().try_fold(true, |all, one| Some(all & one.holds(who)?));
            match (statement.allows, holds) {
                (false, None | Some(true)) => return Verdict::Denied,
                (true, Some(true)) => verdict = Verdict::Allowed,
                (true, None | Some(false)) | (false, Some(false)) => {}
            }
        }
        verdict
    }
}

impl Named {
    fn has(&self, is: impl Fn(&str) -> bool) -> bool {
        self.patterns.iter().any(|pattern| is(pattern)) != self.but
    }
}

impl Condition {
    /// `None`: nobody here can tell.
    fn holds(&self, who: &Principal) -> Option<bool> {
        let found = match self.key.to_ascii_lowercase().as_str() {
            "aws:principalarn" => who.shown(),
            "aws:principalaccount" => who.account.clone(),
            _ => return None,
        };
        let any = |is: &dyn Fn(&str) -> bool| self.values.iter().any(|value| is(value));
        Some(match self.operator.as_str() {
            "StringEquals" => any(&|value| value == found),
            "StringNotEquals" => !any(&|value| value == found),
            "StringEqualsIgnoreCase" => any(&|value| value.eq_ignore_ascii_case(&found)),
            "StringLike" | "ArnLike" | "ArnEquals" => any(&|value| is_like(value, &found)),
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => !any(&|value| is_like(value, &found)),
            _ => return None,
        })
    }
}

/// Whether a principal's pattern means somebody: everybody, an account, or a user or role.
fn is_principal(pattern: &str, who: &Principal) -> bool {
    if pattern == "*" || pattern == who.account {
        return true;
    }
    let account = pattern.strip_prefix("arn:aws:iam::").and_then(|rest| rest.strip_suffix(":root"));
    account.is_some_and(|account| account == who.account) || who.arn.as_deref() == Some(pattern)
}

fn statement(value: &Map<String, Value>, service: &str, resources: Resources) -> Option<Statement> {
    const KNOWN: [&str; 9] =
        ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
    value.keys().all(|name| KNOWN.contains(&name.as_str())).then_some(())?;
    if let Some(sid) = value.get("Sid") {
        sid.as_str()?;
    }
    let allows = match value.get("Effect")?.as_str()? {
        "Allow" => true,
        "Deny" => false,
        _ => return None,
    };
    let (named, but) = one_of(value, "Principal", "NotPrincipal")?;
    let principals = Named { patterns: principals(named)?, but };
    let (named, but_actions) = one_of(value, "Action", "NotAction")?;
    let actions: Vec<String> = texts(named)?.iter().map(|action| action.to_ascii_lowercase()).collect();
    let prefix = format!("{service}:");
    let of_service =
        |action: &String| action == "*" || action.strip_prefix(&prefix).is_some_and(|name| !name.is_empty());
    actions.iter().all(of_service).then_some(())?;
    let named = one_of(value, "Resource", "NotResource");
    let resources = match (resources, named) {
        (Resources::Forbidden, None) if !value.contains_key("Resource") && !value.contains_key("NotResource") => None,
        (Resources::Required, Some((named, but))) => Some(Named { patterns: texts(named)?, but }),
        (Resources::Forbidden | Resources::Required, _) => return None,
    };
    let conditions = match value.get("Condition") {
        Some(conditions) => conditions_of(conditions.as_object()?)?,
        None => Vec::new(),
    };
    let actions = Named { patterns: actions, but: but_actions };
    Some(Statement { allows, principals, actions, resources, conditions })
}

/// Exactly one of two members, and whether it is the second.
fn one_of<'a>(value: &'a Map<String, Value>, name: &str, opposite: &str) -> Option<(&'a Value, bool)> {
    match (value.get(name), value.get(opposite)) {
        (Some(one), None) => Some((one, false)),
        (None, Some(one)) => Some((one, true)),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn principals(value: &Value) -> Option<Vec<String>> {
    let kinds = match value {
        Value::String(all) => return (all == "*").then(|| vec![all.clone()]),
        Value::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return None,
    };
    let mut patterns = Vec::new();
    for (kind, named) in kinds {
        match kind.as_str() {
            "AWS" => {
                let named = texts(named)?;
                named.iter().all(|one| is_known_form(one)).then_some(())?;
                patterns.extend(named);
            }
            "Service" | "Federated" | "CanonicalUser" => drop(texts(named)?),
            _ => return None,
        }
    }
    Some(patterns)
}

/// `*`, an account, or the ARN of a root, a user or a role.
fn is_known_form(text: &str) -> bool {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let named = |rest: &str| {
        let (account, resource) = rest.split_once(':')?;
        let is_one = resource == "root"
            || ["user/", "role/"].iter().any(|kind| resource.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
        Some(is_account(account) && is_one && !resource.contains('*'))
    };
    text == "*" || is_account(text) || text.strip_prefix("arn:aws:iam::").and_then(named).unwrap_or(false)
}

fn conditions_of(all: &Map<String, Value>) -> Option<Vec<Condition>> {
    let mut conditions = Vec::new();
    for (operator, keys) in all {
        for (key, values) in keys.as_object()? {
            let text = |value: &&Value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            };
            let values = one_or_many(values).iter().map(text).collect::<Option<_>>()?;
            conditions.push(Condition { operator: operator.clone(), key: key.clone(), values });
        }
    }
    Some(conditions)
}

/// At least one text.
fn texts(value: &Value) -> Option<Vec<String>> {
    let all: Vec<String> =
        one_or_many(value).into_iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    (!all.is_empty()).then_some(all)
}

/// A policy's lists may be single values.
fn one_or_many(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(many) => many.iter().collect(),
        one => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HERE: &str = "arn:aws:ecr:us-east-1:111111111111:repository/app";

    fn policy(statements: Value) -> Option<AccessPolicy> {
        let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        AccessPolicy::parse(&text, "ecr", Resources::Forbidden)
    }

    fn says(statements: Value, who: &Principal, action: &str) -> Verdict {
        policy(statements).expect("a policy").verdict(who, action, HERE)
    }

    #[test]
    fn accounts_roles_and_everybody_are_let_in_by_name() {
        let root = Principal::root("222222222222");
        let role = Principal::of_caller("222222222222", "arn:aws:sts::222222222222:assumed-role/app/session");
        assert_eq!(role.arn.as_deref(), Some("arn:aws:iam::222222222222:role/app"));
        let allow = |principal: Value| json!({"Effect": "Allow", "Principal": principal, "Action": ["ecr:BatchGet*"]});
        for (principal, root_may, role_may) in [
            (json!("*"), true, true),
            (json!({"AWS": "222222222222"}), true, true),
            (json!({"AWS": ["arn:aws:iam::222222222222:root"]}), true, true),
            (json!({"AWS": "arn:aws:iam::222222222222:role/app"}), false, true),
            (json!({"AWS": "333333333333"}), false, false),
            (json!({"Service": "lambda.amazonaws.com"}), false, false),
        ] {
            let may = |who: &Principal| says(allow(principal.clone()), who, "ecr:BatchGetImage") == Verdict::Allowed;
            assert_eq!((may(&root), may(&role)), (root_may, role_may), "{principal}");
        }
        assert_eq!(says(allow(json!("*")), &root, "ecr:PutImage"), Verdict::Silent);
    }

    #[test]
    fn denials_win_and_unknown_conditions_help_nobody() {
        let who = Principal::root("222222222222");
        let with = |effect: &str, condition: Value| json!({"Effect": effect, "Principal": "*", "Action": "ecr:*", "Condition": condition});
        let address = json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}});
        let account = |account: &str| json!({"StringEquals": {"aws:PrincipalAccount": account}});
        assert_eq!(says(with("Allow", address.clone()), &who, "ecr:PutImage"), Verdict::Silent);
        assert_eq!(says(with("Deny", address), &who, "ecr:PutImage"), Verdict::Denied);
        assert_eq!(says(with("Allow", account("222222222222")), &who, "ecr:PutImage"), Verdict::Allowed);
        assert_eq!(says(with("Deny", account("333333333333")), &who, "ecr:PutImage"), Verdict::Silent);
        let both = json!([with("Allow", json!({})),
            {"Effect": "Deny", "Principal": {"AWS": "222222222222"}, "Action": "ecr:PutImage"}]);
        assert_eq!(says(both.clone(), &who, "ecr:PutImage"), Verdict::Denied);
        assert_eq!(says(both, &who, "ecr:ListImages"), Verdict::Allowed);
        let others = json!({"Effect": "Allow", "Principal": "*", "NotAction": "ecr:Delete*"});
        assert_eq!(says(others.clone(), &who, "ecr:DeleteRepository"), Verdict::Silent);
        assert_eq!(says(others, &who, "ecr:PutImage"), Verdict::Allowed);
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let good = || json!({"Effect": "Allow", "Principal": "*", "Action": "ecr:PutImage"});
        let with = |name: &str, value: Value| {
            let mut changed = good();
            changed[name] = value;
            changed
        };
        assert!(policy(good()).is_some());
        for bad in [
            json!([]),
            with("Effect", json!("Maybe")),
            with("Resource", json!("*")),
            with("Principal", json!({"AWS": "arn:aws:iam::111111111111:*"})),
            with("Principal", json!({"AWS": []})),
            with("Action", json!("s3:GetObject")),
            with("Condition", json!("x")),
            with("Colour", json!("x")),
            json!({"Effect": "Allow", "Action": "ecr:*"}),
        ] {
            assert_eq!(policy(bad.clone()), None, "{bad}");
        }
        assert_eq!(AccessPolicy::parse("{}", "ecr", Resources::Forbidden), None);
        let registry = json!({"Statement": with("Resource", json!("arn:aws:ecr:*:111111111111:repository/a*"))});
        let registry = AccessPolicy::parse(&registry.to_string(), "ecr", Resources::Required).expect("a policy");
        let who = Principal::root("1");
        assert_eq!(registry.verdict(&who, "ecr:PutImage", HERE), Verdict::Allowed);
        assert_eq!(registry.verdict(&who, "ecr:PutImage", &HERE.replace("/app", "/b")), Verdict::Silent);
    }
}
