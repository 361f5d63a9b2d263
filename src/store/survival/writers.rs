//! Writers in a child process, and the check of what they left.
//!
//! Each writer owns slots and a head. One command writes a slot (its content is computed from the sequence number, and
//! has any length up to 64 KiB, so that it stands in the database or in a document beside it) and the head. After each
//! acknowledgement the child writes a frame to its standard error.
//!
//! Pitfall: a round begins at the heads found, not at the acknowledged ones: a command may be durable before its caller
//! hears of it.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use cove_base::Clock;
use cove_base::paths::DataDir;
use cove_model::registry::ImageTag;

use crate::database::Durability;
use crate::tests::{tag, tenant};
use crate::{Key, Prefix, Read, Store, StoreError, StoreOptions, keys};

const WRITERS: u64 = 4;
const SLOTS: u64 = 16;
/// The largest record that is tried.
const CONTENT_MAX: u64 = 64 << 10;
/// Longer than what stands in the database itself, by any envelope.
const SMALL_MAX: u64 = 2000;
/// The child's directory and how it works; the test binary is its own child.
const DIRECTORY: &str = "COVE_CHILD_DIRECTORY";
const MODE: &str = "COVE_CHILD_MODE";
/// Begins each frame; whatever else stands in the output is a panic's text.
const FRAME: [u8; 8] = *b"\xffACKED\xff\n";

/// How the child works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// As a server does.
    Careful,
    /// Control: acknowledges without any flush.
    Unflushed,
    /// Control: acknowledges after sled's flush, without `fdatasync`. Small records only: the sync of a document makes
    /// the database durable by the way.
    Flushed,
}

impl Writing {
    const ALL: [Self; 3] = [Self::Careful, Self::Unflushed, Self::Flushed];

    const fn durability(self) -> Durability {
        match self {
            Self::Careful => Durability::Synced,
            Self::Unflushed => Durability::None,
            Self::Flushed => Durability::Flushed,
        }
    }

    const fn small(self) -> bool {
        match self {
            Self::Careful | Self::Unflushed => false,
            Self::Flushed => true,
        }
    }
}

/// Numbers that look random and come from a seed.
pub(super) const fn mixed(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Most records are small; every size up to the largest occurs, and so does the largest.
const fn length(sequence: u64, small: bool) -> u64 {
    let random = mixed(sequence);
    if small {
        return random % SMALL_MAX;
    }
    match sequence % 8 {
        0 => random % (CONTENT_MAX + 1),
        1 => CONTENT_MAX,
        2 => 3500 + random % 1000,
        _ => random % SMALL_MAX,
    }
}

/// What writer `writer` has in a slot after `sequence`.
fn content(writer: u64, sequence: u64, small: bool) -> String {
    let length = usize::try_from(length(sequence, small)).expect("64 KiB fit");
    let mut text = format!("{sequence} {} ", u8::from(small));
    while text.len() < length {
        text.push_str(&format!("{writer}.{:x} ", mixed(sequence.wrapping_add(text.len() as u64))));
    }
    text
}

fn slot(writer: u64, sequence: u64, small: bool) -> ImageTag {
    tag(&format!("w{writer}"), &format!("slot{:02}", sequence % SLOTS), &content(writer, sequence, small))
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
    let wanted = std::env::var(MODE).unwrap();
    let mode = *Writing::ALL.iter().find(|mode| format!("{mode:?}") == wanted).unwrap();
    let options = StoreOptions { durability: mode.durability() };
    let store = Store::open(&DataDir::new(directory), Clock::system(), options).unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        std::thread::spawn(move || write_on(&store, writer, mode.small()))
    });
    let writers: Vec<JoinHandle<StoreError>> = writers.collect();
    for writer in writers {
        let error = writer.join().unwrap();
        std::io::stderr().write_all(cove_base::error::chain(&error).as_bytes()).unwrap();
    }
}

/// Writes until the store refuses.
fn write_on(store: &Store, writer: u64, small: bool) -> StoreError {
    let mut sequence = store.read(|view| head(view, writer));
    loop {
        sequence += 1;
        let next = sequence;
        let written = store.write_blocking(move |tx| {
            tx.put(slot(writer, next, small));
            tx.put(tag(&format!("w{writer}"), "head", &next.to_string()));
            Ok::<_, StoreError>(())
        });
        if let Err(error) = written {
            return error;
        }
        let mut frame = [0; 24];
        frame[..8].copy_from_slice(&FRAME);
        frame[8..16].copy_from_slice(&writer.to_le_bytes());
        frame[16..].copy_from_slice(&sequence.to_le_bytes());
        std::io::stderr().write_all(&frame).unwrap();
    }
}

/// A child that runs. Killed when dropped.
pub(super) struct Writers {
    child: Child,
    reader: Option<JoinHandle<Vec<u8>>>,
}

/// What was acknowledged, by writer, and what else the child said.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) heads: HashMap<u64, u64>,
    pub(super) acknowledged: u64,
    pub(super) said: String,
}

impl Writers {
    pub(super) fn start(directory: &Path, mode: Writing) -> Self {
        // A child must not outlive a test that was killed, and would if it stood still then.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "survival::writers::child", "--nocapture", "--test-threads=1"]);
        command.env(DIRECTORY, directory).env(MODE, format!("{mode:?}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = child.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            output.read_to_end(&mut bytes).unwrap();
            bytes
        });
        Self { child, reader: Some(reader) }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL. What the child had reported.
    pub(super) fn kill(mut self) -> Report {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        report(&self.reader.take().expect("taken once").join().unwrap())
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn report(mut bytes: &[u8]) -> Report {
    let mut report = Report { heads: HashMap::new(), acknowledged: 0, said: String::new() };
    let mut said = Vec::new();
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    while let Some(first) = bytes.first() {
        if bytes.len() >= 24 && bytes[..8] == FRAME {
            report.heads.insert(number(&bytes[8..16]), number(&bytes[16..24]));
            report.acknowledged += 1;
            bytes = &bytes[24..];
        } else {
            said.push(*first);
            bytes = &bytes[1..];
        }
    }
    report.said = String::from_utf8_lossy(&said).into_owned();
    report
}

/// How many acknowledged commands are not there. Anything torn panics at once.
pub(super) fn losses(directory: &Path, acknowledged: &HashMap<u64, u64>) -> Result<u64, StoreError> {
    let store = Store::open(&DataDir::new(directory), Clock::system(), StoreOptions::default())?;
    let lost = store.read(|view| {
        let missing = |writer: u64| acknowledged.get(&writer).copied().unwrap_or(0).saturating_sub(head(view, writer));
        let lost = (0..WRITERS).map(missing).sum();
        for writer in 0..WRITERS {
            let head = head(view, writer);
            let slots = view.scan::<ImageTag>(&Prefix::parent(&tenant(), &format!("w{writer}")));
            let slots: Vec<_> = slots.iter().filter(|slot| slot.tag != "head").collect();
            assert_eq!(slots.len() as u64, head.min(SLOTS), "writer {writer}: half a command");
            for slot in slots {
                let mut words = slot.digest.split(' ');
                let sequence: u64 = words.next().unwrap().parse().unwrap();
                let small = words.next() == Some("1");
                assert!(sequence <= head && sequence + SLOTS > head, "writer {writer}: slot {sequence} at head {head}");
                assert_eq!(slot.digest, content(writer, sequence, small), "writer {writer}: torn");
            }
        }
        lost
    });
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.close());
    Ok(lost)
}
