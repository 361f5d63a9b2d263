//! Netlink, spoken by ourselves: an encoder, a bounded decoder, a socket, and the messages of the three families we
//! use (routes and links, nf_tables, connection tracking).
//!
//! Holds: nothing here decides anything. Replies are never trusted to be well formed.
//! Why not a crate: none with a permissive licence covers the nf_tables expressions we need, and one RTM_NEWLINK that
//! puts the peer into its namespace is several times faster than create-and-move.

pub(super) mod conntrack;
mod decode;
pub(super) mod delay;
mod encode;
pub(super) mod expression;
#[cfg(test)]
mod fuzz;
pub(super) mod nft;
pub(super) mod route;
mod socket;

pub(super) use decode::{Reply, attributes, find};
pub(super) use encode::Batch;
pub(super) use socket::{Channel, Protocol, Refused, open};
