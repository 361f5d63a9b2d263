//! Carries out what the store wishes: one driver per live task, level-triggered.

mod observe;
mod resolve;
mod step;
