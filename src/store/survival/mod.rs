//! What the store promises when things break under it: `kill -9`, a power cut, a disk that fails, fills or cannot be
//! written.
//!
//! | | |
//! |---|---|
//! | [`writers`] | a child process that writes and reports what was acknowledged, and the check of what is there later |
//! | [`disk`] | an ext4 in a file, whose power can be cut |
//! | [`kill`], [`power`], [`failing`] | the trials |
//!
//! Each kind of trial has a control that must fail, so that it is known to see losses. Rounds and seed come from the
//! environment: `COVE_CRASH_ROUNDS`, `COVE_POWER_ROUNDS`, `COVE_SEED`; `scripts/powerloss` sets them.

mod disk;
mod failing;
mod kill;
mod power;
mod writers;
