//! Between the contract's messages and the domain: total functions, no I/O.

pub mod frames;
