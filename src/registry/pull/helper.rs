//! Docker's credential helpers: programs on the host that know logins.
//!
//! `docker-credential-NAME get` reads the registry's name and answers `{"Username", "Secret"}`. It is asked anew after
//! some minutes: logins of clouds live for hours, and people log in while we run.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cove_model::image::DOCKER_HUB;
use serde::Deserialize;

use super::Credentials;
use crate::registry::blocking;

/// How long an answer stands: an image has many blobs, and each asks.
const KEEP: Duration = Duration::from_secs(5 * 60);
/// A helper that takes longer has nothing for us.
const LIMIT: Duration = Duration::from_secs(10);
/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);
/// Answers are a few hundred bytes; tokens of clouds are a few thousand.
const ANSWER_MAX_BYTES: u64 = 64 * 1024;

/// Answers by helper and host.
#[derive(Default)]
pub(super) struct Helpers(Mutex<HashMap<(String, String), Kept>>);

/// An answer, and when it came.
type Kept = (Instant, Option<Credentials>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Helpers {
    /// What the helper has for a host.
    pub(super) async fn ask(&self, helper: String, host: &str) -> Option<Credentials> {
        let key = (helper, host.to_owned());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, answer)) = known
            && at.elapsed() < KEEP
        {
            return answer;
        }
        let (helper, host) = key.clone();
        let answer = blocking(move || run(&helper, &host)).await;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < KEEP);
        known.insert(key, (Instant::now(), answer.clone()));
        answer
    }
}

fn run(helper: &str, host: &str) -> Option<Credentials> {
    let program = format!("docker-credential-{helper}");
    let pipes = (Stdio::piped(), Stdio::piped());
    let started = Command::new(&program).arg("get").stdin(pipes.0).stdout(pipes.1).stderr(Stdio::null()).spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!(program, %error, "could not run a credential helper of the Docker config");
            return None;
        }
    };
    let name = if host == DOCKER_HUB { "https://index.docker.io/v1/" } else { host };
    if let Some(mut input) = child.stdin.take() {
        // One that does not read its input says what it knows all the same.
        let _ = input.write_all(name.as_bytes());
    }
    if !ends_well(&mut child) {
        tracing::info!(program, host, "the credential helper has nothing for the registry");
        return None;
    }
    let mut text = Vec::new();
    child.stdout.take()?.take(ANSWER_MAX_BYTES).read_to_end(&mut text).ok()?;
    let answer: Answer = serde_json::from_slice(&text).ok()?;
    // The name may say that the secret is an identity token: see IDENTITY.
    Some(Credentials { username: answer.username, password: answer.secret })
}

/// Waits for the end of the helper, and brings it about after its time.
fn ends_well(child: &mut Child) -> bool {
    let deadline = Instant::now() + LIMIT;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}
