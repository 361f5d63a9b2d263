//! Scans of images: asked for, made by hooks, kept.
//!
//! ```text
//! record (Pending) ─▶ work (loop) ─▶ opened image ─▶ layout ─▶ cage: a command ─┐
//!                        ▲                 └──────▶ webhook: a scanner's server ─┼▶ report ─▶ findings, SBOM
//!                        └──────────── record (Complete, Failed, Unsupported) ◀──┘
//! ```
//!
//! With advisories imported and no hook that looks for findings, the built-in scanner does ([`builtin`]).
//!
//! Holds: a scan is complete only when every hook gave a report that could be read and that is about this image; anything
//! else is Failed with the reason. A scan that a dead server began is made again. What hooks leave is removed, also after
//! a crash. No hook, however it misbehaves, keeps more than its time, its memory and its bytes.

mod asked;
mod attach;
mod builtin;
mod cage;
mod command;
mod config;
mod inspector;
mod kept;
mod layout;
mod opened;
mod renew;
mod report;
mod run;
mod webhook;
mod work;

pub use asked::ScanRefused;
pub use cage::cage_main;
pub use config::{
    CommandGroup, CommandGroups, CommandHook, Gives, Hook, HookKind, PullLogin, ReportFormat, SbomFormat, ScanConfig,
    WebhookHook,
};
pub use inspector::{Form, Seen};
pub use work::scan_for_ever;
