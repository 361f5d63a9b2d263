//! Decides where tasks go, and gives each new tenant what AWS gives a new account.
//!
//! In: records from the store. Out: [`place::Placed`] values for the API's transaction, default records, and the fleet
//! of container instances ([`fleet`]).
//! Holds: [`place`] is pure: no clock, no store, no randomness of its own (the caller passes a seed).
//! Why placement is called by the API inside its write transaction: AWS answers its failures in the RunTask reply, and
//! on the one writer thread nobody else can take what was found free.

pub mod daemons;
pub mod deploy;
pub mod explain;
#[cfg(test)]
mod fixture;
pub mod fleet;
pub mod host;
pub mod launch;
mod names;
pub mod place;
pub mod services;
#[cfg(test)]
mod simulation;
pub mod tenant;

pub use host::HostFacts;
