//! Cove.
fn main() {}
