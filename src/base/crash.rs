//! Places between two effects where a test may end the process at once.
//!
//! In: one [`Point`] by name, armed at start. Out: at that point the process is gone; nothing is closed, written or told.
//!
//! Holds: nothing can be armed in a build without debug assertions, so a release has none of this.
//! Why names and not line numbers: `tests/crash` goes through [`Point::ALL`] and fails when one is never reached.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

macro_rules! points {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A place between two effects. What starts with `shim.` happens in a shim.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point { $($(#[$doc])* $variant,)* }

        impl Point {
            /// All of them, in the order of the flow.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As tests name it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

points! {
    /// Documents are on disk, the records that name them are not.
    StoreDocuments = "store.documents",
    /// The transaction is in sled's buffers.
    StoreWritten = "store.written",
    /// sled has written its buffers; nothing was synced.
    StoreFlushed = "store.flushed",
    /// Durable, not yet published, not yet acknowledged.
    StoreSynced = "store.synced",
    /// A file lies beside its place, under another name.
    FileWritten = "file.written",
    /// A blob is in its place; no record names it.
    BlobPlaced = "registry.blob.placed",
    /// The driver knows that it will make a task.
    TaskPreparing = "agent.task.preparing",
    /// Images are unpacked.
    TaskUnpacked = "agent.task.unpacked",
    /// Writable layers and small files are there.
    TaskBuilt = "agent.task.built",
    /// Layers are unpacked and synced; no link names them.
    LayerUnpacked = "rootfs.layer.unpacked",
    /// Layers have their links, the links are not synced.
    LayerLinked = "rootfs.layer.linked",
    /// The host forwards packets.
    HostForwards = "network.host.forwards",
    /// The node's table is there.
    HostTable = "network.host.table",
    /// A record of a router, and nothing else of it.
    RouterRecorded = "network.router.recorded",
    /// The router's namespace is pinned.
    RouterPinned = "network.router.pinned",
    /// The router's link to the host is there.
    RouterJoined = "network.router.joined",
    /// The router has addresses and routes, no table.
    RouterConfigured = "network.router.configured",
    /// A record of a task, and nothing else of it.
    NetworkRecorded = "network.task.recorded",
    /// Its host ports lead to the router.
    NetworkPublished = "network.task.published",
    /// Its namespace is pinned.
    NetworkPinned = "network.task.pinned",
    /// Its link is there.
    NetworkLinked = "network.task.linked",
    /// The router lets its packets through.
    NetworkAdmitted = "network.task.admitted",
    /// The host has a route to it.
    NetworkRouted = "network.task.routed",
    /// The record says that all of it is there.
    NetworkWhole = "network.task.whole",
    /// The socket of the shim is there, the shim is not.
    ShimListening = "agent.shim.listening",
    /// The shim lives; it is in no group yet.
    ShimSpawned = "agent.shim.spawned",
    /// The shim has said what state it is in.
    ShimAnswered = "agent.shim.answered",
    /// Containers whose turn it was were asked to start.
    StartSent = "agent.start.sent",
    /// A container that ended was asked to start again.
    RestartSent = "agent.restart.sent",
    /// The record says that a container will never be started.
    GivenUp = "agent.given.up",
    /// The shim has left the host's mounts.
    ShimUnmounted = "shim.mounts.left",
    /// The task's groups are there, with limits.
    ShimGrouped = "shim.group.limited",
    /// A root file system is mounted.
    ShimRootMounted = "shim.root.mounted",
    /// A container's process waits for the order to execute.
    ShimCreated = "shim.container.created",
    /// A container runs; nobody was told.
    ShimStarted = "shim.container.started",
    /// A probe of a container's health has begun.
    ShimProbing = "shim.probe.begun",
    /// A container has ended; its record is not written.
    ShimReaped = "shim.container.reaped",
    /// An exit is on disk; nobody was told.
    ShimRecorded = "shim.exit.recorded",
    /// An exit was told; the container's mounts and groups are there.
    ShimTold = "shim.exit.told",
    /// What was seen is about to be written.
    Recording = "agent.recording",
    /// Containers whose turn it was were asked to stop.
    StopSent = "agent.stop.sent",
    /// The shim has ended.
    ShimFinished = "agent.shim.finished",
    /// A task's groups are gone.
    ReleasedGroups = "agent.released.groups",
    /// A record says that the network is going.
    NetworkLeaving = "network.task.leaving",
    /// Its host ports lead nowhere.
    NetworkUnpublished = "network.task.unpublished",
    /// The router has forgotten it.
    NetworkDismissed = "network.task.dismissed",
    /// Its namespace is not pinned any more.
    NetworkUnpinned = "network.task.unpinned",
    /// The router's link to the host is gone.
    RouterParted = "network.router.parted",
    /// The router's namespace is not pinned any more.
    RouterUnpinned = "network.router.unpinned",
    /// A task's network is gone.
    ReleasedNetwork = "agent.released.network",
    /// A task's writable layers are gone.
    ReleasedLayers = "agent.released.layers",
    /// Nothing is left of a task; its record does not say STOPPED.
    Released = "agent.released",
    /// STOPPED is durable; exit records are there.
    Buried = "agent.buried",
}

struct Armed {
    point: Point,
    /// Passes that are let through.
    left: AtomicU32,
}

static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();

/// What cannot be armed.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    #[error("this build has no crash points")]
    Release,
    #[error("there is no crash point `{0}`")]
    Unknown(String),
}

/// Arms points, as in `NAME` or `NAME:N` for the N-th pass, several separated by commas. Only the first call counts.
///
/// # Errors
/// For a name that does not exist, and for any in a build without debug assertions.
pub fn arm(text: &str) -> Result<(), ArmError> {
    if !cfg!(debug_assertions) {
        return Err(ArmError::Release);
    }
    let _ = ARMED.set(text.split(',').map(parse).collect::<Result<_, _>>()?);
    Ok(())
}

fn parse(text: &str) -> Result<Armed, ArmError> {
    let (name, pass) = text.split_once(':').unwrap_or((text, "1"));
    let point = Point::ALL.iter().find(|point| point.name() == name);
    match (point, pass.parse::<u32>()) {
        (Some(point), Ok(pass)) => Ok(Armed { point: *point, left: AtomicU32::new(pass.saturating_sub(1)) }),
        _ => Err(ArmError::Unknown(text.to_owned())),
    }
}

/// What a shim is to be armed with; one shim of this process, or no task would ever end well.
#[must_use]
pub fn for_shim() -> Option<&'static str> {
    let armed = ARMED.get()?.iter().find(|armed| armed.point.name().starts_with("shim."))?;
    let first = armed.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_add(1));
    (first == Ok(0)).then(|| armed.point.name())
}

/// Ends the process if this point is armed.
pub fn at(point: Point) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Some(armed) = ARMED.get().and_then(|all| all.iter().find(|armed| armed.point == point)) else { return };
    let passed = armed.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if passed.is_err() {
        // Runs nothing on the way out, as `kill -9` does.
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Point::ALL.len());
        assert!(arm("no.such.point").is_err() && arm("store.synced:x").is_err());
    }
}
