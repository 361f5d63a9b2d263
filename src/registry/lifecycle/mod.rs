//! Lifecycle policies: old images expire or go to the archive by themselves.
//!
//! ```text
//! text ─▶ policy (checked as AWS does) ─┐
//! images of the repository ─────────────┴▶ decide (pure) ─▶ preview: shown · timer: carried out, in one transaction
//! ```
//!
//! Holds: what a preview shows is what the timer does with the same images at the same time.

mod decide;
mod policy;
mod run;

pub use decide::{Choice, decide};
pub use policy::{Action, Policy, Rule};
pub use run::Previewed;
