//! What `-f` does while no server answers: it says so, waits, and asks again from where it was.
//!
//! Absent on purpose: an end of the waiting. Who follows a server wants to see what it does after its restart, whenever
//! that is, and ends the command by a key.

use std::time::Duration;

use super::client::Client;
use super::error::CliError;
use super::say_error;

/// How often a server that is gone is asked again.
const AGAIN: Duration = Duration::from_millis(300);

/// The first answer to a question that changes nothing, so that it can be asked twice.
pub(super) async fn answered<T>(client: &Client, ask: impl AsyncFn() -> Result<T, CliError>) -> Result<T, CliError> {
    let mut is_told = false;
    loop {
        match ask().await {
            Err(CliError::Connect { .. } | CliError::Http { .. }) => {}
            answer => return answer,
        }
        if !is_told {
            say_error(&format!("{} does not answer any more: going on when it does", client.url()));
            is_told = true;
        }
        tokio::time::sleep(AGAIN).await;
    }
}
