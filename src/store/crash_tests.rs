//! Survival of SIGKILL: a child writes and reports what was acknowledged, is killed at a random moment, and what it was
//! told is there, whole, and in order.
//!
//! Each writer owns slots and a head. One command writes a slot (its content computed from the sequence number, every
//! fourth one large enough to be a document) and the head. After each acknowledgement the child writes the pair to its
//! standard output. `COVE_CRASH_ROUNDS` sets the number of rounds.
//! Pitfall: a round begins at the heads found, not at the acknowledged ones: a command may be durable before its caller
//! hears of it.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cove_base::Clock;
use cove_base::paths::DataDir;
use cove_model::registry::ImageTag;

use crate::database::Durability;
use crate::tests::{tag, tenant};
use crate::{Key, Prefix, Read, Store, StoreError, StoreOptions, keys};

const WRITERS: u64 = 4;
const SLOTS: u64 = 16;
const ROUNDS: usize = 15;
/// The child's directory and how it acknowledges; the test binary is its own child.
const DIRECTORY: &str = "COVE_CRASH_DIRECTORY";
const CARELESS: &str = "COVE_CRASH_CARELESS";

/// What writer `writer` has in a slot after `sequence`.
fn content(writer: u64, sequence: u64) -> String {
    let length = if sequence.is_multiple_of(4) { 5000 } else { 200 };
    let mut text = format!("{sequence} ");
    while text.len() < length {
        text.push_str(&format!("{writer}.{} ", sequence.wrapping_mul(0x9e37_79b9).wrapping_add(text.len() as u64)));
    }
    text
}

fn slot(writer: u64, sequence: u64) -> ImageTag {
    tag(&format!("w{writer}"), &format!("slot{:02}", sequence % SLOTS), &content(writer, sequence))
}

fn head_key(writer: u64) -> Key {
    keys::image_tag(&tenant(), &format!("w{writer}"), "head")
}

fn head(source: &impl Read, writer: u64) -> u64 {
    source.get::<ImageTag>(&head_key(writer)).map_or(0, |tag| tag.digest.parse().unwrap())
}

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let durability = if std::env::var_os(CARELESS).is_some() { Durability::None } else { Durability::Synced };
    let data = DataDir::new(directory);
    let store = Store::open(&data, Clock::system(), StoreOptions { durability }).unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        std::thread::spawn(move || {
            let mut sequence = store.read(|view| head(view, writer));
            loop {
                sequence += 1;
                let next = sequence;
                let written = store.write_blocking(move |tx| {
                    tx.put(slot(writer, next));
                    tx.put(tag(&format!("w{writer}"), "head", &next.to_string()));
                    Ok::<_, StoreError>(())
                });
                written.unwrap();
                let mut frame = [0; 17];
                frame[0] = b'A';
                frame[1..9].copy_from_slice(&writer.to_le_bytes());
                frame[9..].copy_from_slice(&sequence.to_le_bytes());
                std::io::stderr().write_all(&frame).unwrap();
            }
        })
    });
    // They only end by panicking.
    let writers: Vec<std::thread::JoinHandle<()>> = writers.collect();
    let ended = writers.into_iter().map(std::thread::JoinHandle::join).find(Result::is_err);
    assert!(ended.is_none(), "a writer failed");
}

/// Runs the child for a while and kills it. What it had acknowledged, by writer.
fn run_and_kill(directory: &Path, after: Duration, careless: bool) -> HashMap<u64, u64> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash_tests::child", "--nocapture", "--test-threads=1"]).env(DIRECTORY, directory);
    if careless {
        command.env(CARELESS, "1");
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).unwrap();
        bytes
    });
    // The moment is the point here: nothing is waited for.
    let until = Instant::now() + after;
    while Instant::now() < until && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    let bytes = reader.join().unwrap();
    let frames =
        bytes.chunks_exact(17).inspect(|frame| assert_eq!(frame[0], b'A', "{}", String::from_utf8_lossy(&bytes)));
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    frames.map(|frame| (number(&frame[1..9]), number(&frame[9..]))).collect()
}

/// How many writers lost something that was acknowledged to them. Anything torn panics at once.
fn losses(directory: &Path, acknowledged: &HashMap<u64, u64>) -> Result<usize, StoreError> {
    let store = Store::open(&DataDir::new(directory), Clock::system(), StoreOptions::default())?;
    let lost = store.read(|view| {
        let lost = (0..WRITERS).filter(|writer| head(view, *writer) < acknowledged.get(writer).copied().unwrap_or(0));
        let lost = lost.count();
        for writer in 0..WRITERS {
            let head = head(view, writer);
            let slots = view.scan::<ImageTag>(&Prefix::parent(&tenant(), &format!("w{writer}")));
            let slots: Vec<_> = slots.iter().filter(|slot| slot.tag != "head").collect();
            assert_eq!(slots.len() as u64, head.min(SLOTS), "writer {writer}: half a command");
            for slot in slots {
                let sequence: u64 = slot.digest.split(' ').next().unwrap().parse().unwrap();
                assert!(sequence <= head && sequence + SLOTS > head, "writer {writer}: slot {sequence} at head {head}");
                assert_eq!(slot.digest, content(writer, sequence), "writer {writer}: torn");
            }
        }
        lost
    });
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.close());
    Ok(lost)
}

/// A delay that differs from round to round; one round in four hits the opening.
fn delay(round: usize) -> Duration {
    let random = u64::from(cove_base::ids::random_bytes(1)[0]);
    Duration::from_millis(if round.is_multiple_of(4) { random % 25 } else { 40 + random })
}

#[test]
fn nothing_acknowledged_is_lost_by_sigkill() {
    let rounds = std::env::var("COVE_CRASH_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 0..rounds {
        let before = total;
        let acknowledged = run_and_kill(directory.path(), delay(round), false);
        total += acknowledged.values().sum::<u64>();
        let lost = losses(directory.path(), &acknowledged).unwrap();
        assert_eq!(lost, 0, "round {round}, {} acknowledged", total - before);
    }
    assert!(total > 0, "no round acknowledged anything");
}

/// The control: without flush the same harness must see losses, or it proves nothing.
#[test]
fn a_store_that_does_not_flush_is_caught() {
    let caught = (0..20).any(|_| {
        let directory = tempfile::tempdir().unwrap();
        let acknowledged = run_and_kill(directory.path(), Duration::from_millis(250), true);
        // A document that went while its record stayed counts as well: the store does not even open then.
        losses(directory.path(), &acknowledged).map_or(true, |lost| lost > 0)
    });
    assert!(caught, "no loss was seen");
}
