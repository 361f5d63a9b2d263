//! Who calls: from a signature, or from nothing with `--dev`, to a tenant and a caller.
//!
//! Holds: without `--dev` a caller is the holder of the root secret or a live task's role. The account is the tenant's
//! of the role, a key id of twelve digits, or the default.

use std::borrow::Cow;
use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::task::{Task, TaskRole};
use cove_store::{Prefix, Read};
use hyper::http::request::Parts;

pub(crate) use super::sigv4::Refused;

use super::context::{Caller, CallerKind, Origin};
use super::credentials::{DEFAULT_ACCOUNT, execution_role, secret_of, session_token_of};
use super::sigv4::{self, Claim};
use crate::RawContext;
use crate::http::server::{ListenerKind, Shared};

/// A caller and what it may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub tenant: Tenant,
    pub caller: Caller,
}

impl RawContext {
    pub(crate) fn origin(&self) -> Origin {
        match self.listener {
            ListenerKind::Public { .. } => Origin::Public,
            ListenerKind::Task { .. } => Origin::Task,
        }
    }

    /// Whether credentials are not checked here.
    fn is_dev(&self) -> bool {
        match self.listener {
            ListenerKind::Public { .. } => self.shared.settings.dev_for(self.peer.ip()),
            ListenerKind::Task { .. } => self.shared.settings.dev,
        }
    }
}

/// Finds out who calls. `service` must be the one that the signature is for; `None` takes any.
pub(crate) fn authenticate(
    cx: &RawContext,
    parts: &Parts,
    body: &[u8],
    service: Option<&str>,
) -> Result<Identity, Refused> {
    let shared = &*cx.shared;
    let dev = cx.is_dev();
    let Some(claim) = sigv4::read(parts)? else {
        return if dev { Ok(unchecked("", &shared.settings.region)) } else { Err(Refused::Missing) };
    };
    if let Some(service) = service.filter(|service| *service != claim.service) {
        return Err(Refused::Invalid(format!("Credential should be scoped to correct service: '{service}'. ")));
    }
    match checked(shared, parts, body, &claim) {
        Err(_) if dev => Ok(unchecked(&claim.access_key_id, &claim.region)),
        // With --dev the root key is a key like any other: what it may do depends on nothing.
        other => other,
    }
}

fn unchecked(access_key_id: &str, region: &str) -> Identity {
    let account = account_of(access_key_id);
    let tenant = Tenant::new(account, region);
    Identity { caller: root(&tenant, access_key_id, CallerKind::Dev), tenant }
}

/// A key id of twelve digits is an account.
fn account_of(access_key_id: &str) -> &str {
    let is_account = access_key_id.len() == 12 && access_key_id.bytes().all(|byte| byte.is_ascii_digit());
    if is_account { access_key_id } else { DEFAULT_ACCOUNT }
}

fn root(tenant: &Tenant, access_key_id: &str, kind: CallerKind) -> Caller {
    Caller {
        arn: tenant.global_arn("iam", "root"),
        user_id: tenant.account.clone(),
        access_key_id: access_key_id.to_owned(),
        kind,
    }
}

fn checked(shared: &Shared, parts: &Parts, body: &[u8], claim: &Claim<'_>) -> Result<Identity, Refused> {
    let keys = &shared.settings.keys;
    let id = &*claim.access_key_id;
    let is_root = id == keys.root.access_key_id || account_of(id) == id;
    let secret: &dyn Fn() -> String = if is_root {
        &|| keys.root.secret_access_key.clone()
    } else if id.starts_with("ASIA") {
        // Derived for any id: whether a task has it is looked up only for those who know the secret.
        &|| secret_of(&keys.node_secret, id)
    } else {
        return Err(Refused::UnknownKey);
    };
    sigv4::verify(parts, body, claim, secret, &shared.signing_keys, shared.clock.now())?;
    if is_root {
        let tenant = Tenant::new(account_of(id), &*claim.region);
        return Ok(Identity { caller: root(&tenant, id, CallerKind::Root), tenant });
    }
    of_role(shared, claim)
}

/// The task whose role has this key id. Its credentials end with the task.
fn of_role(shared: &Shared, claim: &Claim<'_>) -> Result<Identity, Refused> {
    let id = &*claim.access_key_id;
    let secret = &shared.settings.keys.node_secret;
    let role_of = |task: &Task| {
        let of_id = |role: &TaskRole| role.access_key_id == id;
        task.task_role.clone().filter(of_id).or_else(|| execution_role(secret, task).filter(of_id))
    };
    let has_key = |task: &Arc<Task>| role_of(task).is_some();
    // Live ones first: only expired credentials are worth a walk over the stopped.
    let live = shared.store.read(|view| view.live::<Task>(&Prefix::all()).into_iter().find(has_key));
    let task = live.or_else(|| shared.store.read(|view| view.scan::<Task>(&Prefix::all()).into_iter().find(has_key)));
    let task = task.ok_or(Refused::UnknownKey)?;
    let role = role_of(&task).ok_or(Refused::UnknownKey)?;
    let token = session_token_of(secret, id, &role.role_arn);
    let given: &str = claim.session_token.as_deref().unwrap_or_default();
    if !same(&token, given) {
        return Err(Refused::UnknownKey);
    }
    if !task.is_live() {
        return Err(Refused::Expired);
    }
    let tenant = Tenant::new(&task.tenant.account, Cow::into_owned(claim.region.clone()));
    let name = role.role_arn.rsplit('/').next().unwrap_or_default();
    let caller = Caller {
        arn: tenant.global_arn("sts", format_args!("assumed-role/{name}/{}", task.id)),
        user_id: format!("{id}:{}", task.id),
        access_key_id: id.to_owned(),
        kind: CallerKind::Role,
    };
    Ok(Identity { tenant, caller })
}

/// Compares secrets without telling by its time where they differ.
fn same(one: &str, other: &str) -> bool {
    let differing = one.bytes().zip(other.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && differing == 0
}
