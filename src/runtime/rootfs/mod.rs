//! Root filesystems of containers: layers unpacked once and shared, a writable layer on top, users of the image.
//!
//! In: blobs of layers. Out: a [`Stack`] of shared directories, a [`RootFilesystem`](crate::spec::RootFilesystem) per
//! container, mounted by the shim.
//!
//! ```text
//! DIR/chains/HEX -> N     the index: a link is the commit of an unpacked layer
//! DIR/s/N -> BYTES        what a layer takes; the link's time is its last use
//! DIR/l/N                 one unpacked layer; without a link it is half done and removed at open
//! DIR/w/TASK/NAME/{u,k}   writable layers; m is where one is mounted to fill volumes from it
//! DIR/trash/              what is being removed
//! ```
//!
//! Holds: a layer is in the index only when all of it is on disk and its bytes had the promised digest. An archive never
//! writes outside its layer, whatever its names and links say.
//! Why short names: overlayfs takes its layers in one page of mount options, and a hundred of them must fit.

mod ahead;
mod cap;
mod copy;
mod error;
mod fill;
mod mount;
mod names;
mod remove;
mod snapshots;
mod sparse;
mod sys;
mod tar;
mod tree;
mod unpack;
mod unused;
mod usage;
mod user;

pub use ahead::{Ahead, Arriving, Opening};
pub use error::RootfsError;
pub use fill::{Fill, Manner, fill, settle};
pub use mount::mount;
pub use names::read_in_root;
pub use snapshots::{Doctor, Layer, Snapshots, Stack};
pub use unpack::Limits;
pub use usage::{Used, measure};
pub use user::{User, lookup_user};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;
