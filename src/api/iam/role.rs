//! The operations on roles.

use std::collections::BTreeSet;

use cove_base::ids::random_bytes;
use cove_model::role::Role;
use cove_model::tag;
use cove_store::{Prefix, Read, keys};

use super::error::IamError;
use super::trust;
use super::wire::{CreateRoleIn, ListRolesIn, ListRolesOut, Nothing, RoleNameIn, RoleOut, RoleView};
use crate::Context;

/// IAM's page when none is asked for; also its largest is 1000, which the model checks.
const PAGE: usize = 100;
const SESSION_SECS: u32 = 3600;

/// CreateRole.
pub(super) async fn create(cx: &Context, input: CreateRoleIn) -> Result<RoleOut, IamError> {
    if let Some(fault) = trust::fault(&input.assume_role_policy_document) {
        return Err(IamError::MalformedPolicyDocument(fault));
    }
    if input.permissions_boundary.is_some() {
        return Err(IamError::InvalidInput("PermissionsBoundary is not carried out by this version."));
    }
    let distinct: BTreeSet<String> = input.tags.iter().map(|tag| tag.key.to_lowercase()).collect();
    if distinct.len() != input.tags.len() {
        return Err(IamError::InvalidInput(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ));
    }
    let account = cx.tenant.account.clone();
    let role = cx
        .store
        .write(move |tx| {
            let same_name = |role: &Role| role.name.eq_ignore_ascii_case(&input.role_name);
            let known = tx.scan::<Role>(&Prefix::tenant(&keys::global(&account)));
            if known.iter().any(|role| same_name(role)) {
                return Err(IamError::EntityAlreadyExists(input.role_name));
            }
            let role = Role {
                account,
                name: input.role_name,
                path: input.path.unwrap_or_else(|| "/".to_owned()),
                id: role_id(),
                assume_role_policy_document: input.assume_role_policy_document,
                description: input.description,
                max_session_duration_secs: input.max_session_duration.unwrap_or(SESSION_SECS),
                tags: input.tags.into_iter().map(|tag| tag::Tag { key: tag.key, value: tag.value }).collect(),
                created_at: tx.now(),
            };
            tx.put(role.clone());
            Ok(role)
        })
        .await?;
    Ok(RoleOut { role: RoleView::from(&role) })
}

/// `AROA` and 17 letters or digits, as AWS's ids look.
fn role_id() -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let random: String = random_bytes(17).iter().map(|byte| char::from(letters[usize::from(byte % 32)])).collect();
    format!("AROA{random}")
}

/// DeleteRole. Tasks that run with the role keep their credentials until they stop.
pub(super) async fn delete(cx: &Context, input: RoleNameIn) -> Result<Nothing, IamError> {
    let key = keys::role(&cx.tenant.account, &input.role_name);
    cx.store
        .write(
            move |tx| {
                if tx.delete::<Role>(&key) { Ok(Nothing {}) } else { Err(IamError::NoSuchEntity(input.role_name)) }
            },
        )
        .await
}

/// GetRole.
pub(super) fn get(cx: &Context, input: RoleNameIn) -> Result<RoleOut, IamError> {
    let key = keys::role(&cx.tenant.account, &input.role_name);
    let role = cx.store.read(|view| view.get::<Role>(&key));
    let role = role.ok_or(IamError::NoSuchEntity(input.role_name))?;
    Ok(RoleOut { role: RoleView::from(&*role) })
}

/// ListRoles. The marker is the last name of the page before.
#[allow(clippy::needless_pass_by_value, reason = "the form of every handler")]
pub(super) fn list(cx: &Context, input: ListRolesIn) -> Result<ListRolesOut, IamError> {
    let all = cx.store.read(|view| view.scan::<Role>(&Prefix::tenant(&keys::global(&cx.tenant.account))));
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let after = input.marker.as_deref().unwrap_or_default();
    let limit = input.max_items.unwrap_or(PAGE);
    let mut matching = all.iter().filter(|role| role.path.starts_with(prefix) && role.name.as_str() > after);
    let page: Vec<&Role> = matching.by_ref().take(limit).map(|role| &**role).collect();
    let is_truncated = matching.next().is_some();
    let marker = page.last().filter(|_| is_truncated).map(|role| role.name.clone());
    Ok(ListRolesOut { roles: page.into_iter().map(RoleView::from).collect(), is_truncated, marker })
}
