//! Sessions that were made and that nobody has opened yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cove_base::ids::{random_bytes, random_hex};
use cove_model::arn::Tenant;
use sha2::{Digest, Sha256};

use super::SessionLog;

/// How long a token may wait for its client, who connects at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// Sessions that wait at once.
const WAITING_MAX: usize = 256;
/// Bytes of a token.
const TOKEN_BYTES: usize = 48;

/// What a session is to run.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) tenant: Tenant,
    pub(crate) task_id: String,
    pub(crate) container: String,
    pub(crate) args: Vec<String>,
    pub(crate) log: Option<SessionLog>,
}

/// Sessions by id.
#[derive(Default)]
pub(crate) struct Sessions {
    waiting: Mutex<HashMap<String, Waiting>>,
}

struct Waiting {
    token: [u8; 32],
    wanted: Wanted,
    until: Instant,
}

/// What a client needs to open a session.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) session_id: String,
    pub(crate) token: String,
}

impl Sessions {
    /// Makes one, unless as many wait as may: then how many that are.
    pub(crate) fn make(&self, wanted: Wanted) -> Result<Ticket, usize> {
        let ticket = Ticket {
            session_id: format!("ecs-execute-command-{}", random_hex(16)),
            token: STANDARD.encode(random_bytes(TOKEN_BYTES)),
        };
        let now = Instant::now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, one| one.until > now);
        if waiting.len() >= WAITING_MAX {
            return Err(WAITING_MAX);
        }
        let one = Waiting { token: digest(&ticket.token), wanted, until: now + PATIENCE };
        waiting.insert(ticket.session_id.clone(), one);
        Ok(ticket)
    }

    /// Whether somebody may still open it.
    pub(super) fn waits(&self, session_id: &str) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(session_id).is_some_and(|one| one.until > Instant::now())
    }

    /// Takes it, if the token is its own. Digests are compared, so that the time it takes says nothing of the token.
    pub(super) fn take(&self, session_id: &str, token: &str) -> Option<Wanted> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let one = waiting.get(session_id)?;
        if one.until <= Instant::now() || one.token != digest(token) {
            return None;
        }
        waiting.remove(session_id).map(|one| one.wanted)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        let tenant = Tenant::new("000000000000", "us-east-1");
        Wanted { tenant, task_id: "t".into(), container: "main".into(), args: vec!["sh".into()], log: None }
    }

    #[test]
    fn a_token_opens_its_session_once() {
        let sessions = Sessions::default();
        let (one, other) = (sessions.make(wanted()).unwrap(), sessions.make(wanted()).unwrap());
        assert!(sessions.take(&one.session_id, &other.token).is_none());
        assert!(sessions.waits(&one.session_id), "a wrong token spoils nothing");
        assert!(sessions.take(&one.session_id, &one.token).is_some());
        assert!(sessions.take(&one.session_id, &one.token).is_none());
        assert!(!sessions.waits(&one.session_id));
    }

    #[test]
    fn no_more_than_so_many_wait() {
        let sessions = Sessions::default();
        let made = (0..WAITING_MAX + 1).filter_map(|_| sessions.make(wanted()).ok()).count();
        assert_eq!(made, WAITING_MAX);
    }
}
