//! What is no longer to be seen: stopped tasks after an hour, client tokens after a day, deleted definitions.

use cove_model::task::{ClientToken, Task};
use cove_model::task_definition::{TaskDefinition, TaskDefinitionStatus};
use cove_store::{Prefix, Read, StoreError, Tx, keys};

/// How long ECS shows a stopped task.
const STOPPED_TASK_MILLIS: i64 = 60 * 60 * 1000;
/// How long a client token stands for its request.
const CLIENT_TOKEN_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Removes them, of all tenants. Meant for a timer; safe to call at any time, also twice.
///
/// # Errors
/// None of its own.
pub fn purge(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let now = tx.now().millis();
    for task in tx.scan::<Task>(&Prefix::all()) {
        let old = |at: cove_base::Timestamp| now - at.millis() >= STOPPED_TASK_MILLIS;
        if !task.is_live() && task.observed.stopped_at.is_some_and(old) {
            tx.delete::<Task>(&keys::task(&task.tenant, &task.cluster, &task.id));
        }
    }
    for token in tx.scan::<ClientToken>(&Prefix::all()) {
        if now - token.at.millis() >= CLIENT_TOKEN_MILLIS {
            tx.delete::<ClientToken>(&keys::client_token(&token.tenant, &token.cluster, &token.token));
        }
    }
    let tasks = tx.scan::<Task>(&Prefix::all());
    for definition in tx.scan::<TaskDefinition>(&Prefix::all()) {
        let refers = |task: &Task| {
            task.tenant == definition.tenant && task.family == definition.family && task.revision == definition.revision
        };
        if definition.status == TaskDefinitionStatus::DeleteInProgress && !tasks.iter().any(|task| refers(task)) {
            tx.delete::<TaskDefinition>(&keys::definition(&definition.tenant, &definition.family, definition.revision));
        }
    }
    Ok(())
}
