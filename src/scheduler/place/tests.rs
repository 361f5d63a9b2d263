//! Placement over hand-made and random snapshots.
