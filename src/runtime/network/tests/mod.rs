//! The whole of it in private hosts: what is reachable, what is not, what survives, what is left.

mod fault;
mod lab;
mod reach;
mod survive;
