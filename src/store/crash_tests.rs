//! Survival of SIGKILL.
