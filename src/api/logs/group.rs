//! Log groups.

use std::sync::Arc;

use cove_model::arn::{Arn, Tenant};
use cove_model::logs::{LogGroup, LogStream};
use cove_store::{Prefix, Read, Tx, keys};

use super::error::LogsError;
use super::wire::{
    CreateLogGroupIn, DescribeLogGroupsIn, DescribeLogGroupsOut, GroupIn, LogGroupOut, Nothing, PutRetentionIn,
};
use super::{tag, token};
use crate::Context;

/// What PutRetentionPolicy takes.
const RETENTION_DAYS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// CreateLogGroup.
pub(super) async fn create(cx: &Context, input: CreateLogGroupIn) -> Result<Nothing, LogsError> {
    if input.kms_key_id.is_some() || input.deletion_protection_enabled == Some(true) {
        return Err(LogsError::parameter("kmsKeyId and deletionProtectionEnabled are not supported."));
    }
    let tags = tag::checked(input.tags)?;
    let tenant = cx.tenant.clone();
    let created_at = cx.clock.now();
    let class = input.log_group_class.unwrap_or_else(|| "STANDARD".to_owned());
    cx.store
        .write(move |tx| {
            let name = input.log_group_name;
            if tx.get::<LogGroup>(&keys::log_group(&tenant, &name)).is_some() {
                return Err(LogsError::GroupExists);
            }
            tx.put(LogGroup { tenant, name, created_at, retention_days: None, tags, class });
            Ok(Nothing {})
        })
        .await
}

/// DeleteLogGroup. The agent removes the streams' directories, which no record names any more.
pub(super) async fn delete(cx: &Context, input: GroupIn) -> Result<Nothing, LogsError> {
    let tenant = cx.tenant.clone();
    cx.store
        .write(move |tx| {
            let name = input.log_group_name;
            if !tx.delete::<LogGroup>(&keys::log_group(&tenant, &name)) {
                return Err(LogsError::NoGroup);
            }
            for stream in tx.scan::<LogStream>(&Prefix::parent(&tenant, &name)) {
                tx.delete::<LogStream>(&keys::log_stream(&tenant, &name, &stream.name));
            }
            Ok(Nothing {})
        })
        .await
}

/// DescribeLogGroups.
pub(super) fn describe(cx: &Context, input: DescribeLogGroupsIn) -> Result<DescribeLogGroupsOut, LogsError> {
    if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
        return Err(LogsError::parameter(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    if input.include_linked_accounts && !input.account_identifiers.is_empty() {
        return Err(LogsError::parameter("accountIdentifiers of linked accounts are not supported."));
    }
    let mut wanted = Vec::with_capacity(input.log_group_identifiers.len());
    for identifier in &input.log_group_identifiers {
        wanted.push(name_of(&cx.tenant, identifier)?);
    }
    let groups = cx.store.read(|view| view.scan::<LogGroup>(&Prefix::tenant(&cx.tenant)));
    let prefix = input.log_group_name_prefix.as_deref().unwrap_or("");
    let pattern = input.log_group_name_pattern.as_deref().unwrap_or("");
    let matches = |group: &Arc<LogGroup>| {
        group.name.starts_with(prefix)
            && group.name.contains(pattern)
            && input.log_group_class.as_ref().is_none_or(|class| *class == group.class)
            && (wanted.is_empty() || wanted.contains(&group.name))
    };
    let items = groups.iter().filter(|group| matches(group)).map(|group| (group.name.clone(), show(group))).collect();
    let (log_groups, next_token) = token::page("groups", input.limit, input.next_token.as_deref(), false, items)?;
    Ok(DescribeLogGroupsOut { log_groups, next_token })
}

/// PutRetentionPolicy. The agent's timer removes what is older.
pub(super) async fn put_retention(cx: &Context, input: PutRetentionIn) -> Result<Nothing, LogsError> {
    let days = input.retention_in_days;
    let good = u32::try_from(days).ok().filter(|_| RETENTION_DAYS.contains(&days));
    let days = good.ok_or_else(|| {
        LogsError::parameter(format!("1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: {RETENTION_DAYS:?}"))
    })?;
    change(cx, input.log_group_name, move |group| {
        group.retention_days = Some(days);
        Ok(())
    })
    .await
}

/// DeleteRetentionPolicy.
pub(super) async fn delete_retention(cx: &Context, input: GroupIn) -> Result<Nothing, LogsError> {
    change(cx, input.log_group_name, |group| {
        group.retention_days = None;
        Ok(())
    })
    .await
}

/// Changes the record of a group that must exist.
pub(super) async fn change(
    cx: &Context,
    name: String,
    change: impl FnOnce(&mut LogGroup) -> Result<(), LogsError> + Send + 'static,
) -> Result<Nothing, LogsError> {
    let tenant = cx.tenant.clone();
    cx.store
        .write(move |tx| {
            let mut group = get(tx, &tenant, &name)?;
            change(&mut group)?;
            tx.put(group);
            Ok(Nothing {})
        })
        .await
}

fn get(tx: &Tx<'_>, tenant: &Tenant, name: &str) -> Result<LogGroup, LogsError> {
    let group = tx.get::<LogGroup>(&keys::log_group(tenant, name)).ok_or(LogsError::NoGroup)?;
    Ok(group.as_ref().clone())
}

/// The group that a request names by `logGroupName` or `logGroupIdentifier`: exactly one of them.
pub(super) fn named(
    cx: &Context,
    name: Option<String>,
    identifier: Option<String>,
) -> Result<Arc<LogGroup>, LogsError> {
    let name = match (name, identifier) {
        (Some(name), None) => name,
        (None, Some(identifier)) => name_of(&cx.tenant, &identifier)?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(LogsError::parameter("Exactly one of logGroupName and logGroupIdentifier must be specified."));
        }
    };
    let key = keys::log_group(&cx.tenant, &name);
    cx.store.read(|view| view.get::<LogGroup>(&key)).ok_or(LogsError::NoGroup)
}

/// The name in an ARN of this tenant, with or without `:*`; anything else is the name itself.
pub(super) fn name_of(tenant: &Tenant, identifier: &str) -> Result<String, LogsError> {
    if !identifier.starts_with("arn:") {
        return Ok(identifier.to_owned());
    }
    let arn = Arn::parse(identifier).filter(|arn| arn.service == "logs" && arn.belongs_to(tenant));
    let name = arn.and_then(|arn| arn.resource.strip_prefix("log-group:"));
    let name = name.ok_or(LogsError::NoResource)?;
    Ok(name.strip_suffix(":*").unwrap_or(name).to_owned())
}

fn show(group: &LogGroup) -> LogGroupOut {
    let log_group_arn = group.tenant.arn("logs", format_args!("log-group:{}", group.name));
    LogGroupOut {
        log_group_name: group.name.clone(),
        creation_time: group.created_at.millis(),
        retention_in_days: group.retention_days,
        metric_filter_count: 0,
        arn: format!("{log_group_arn}:*"),
        stored_bytes: 0,
        log_group_class: group.class.clone(),
        log_group_arn,
    }
}
