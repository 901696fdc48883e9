//! Between the contract's messages and the domain: total functions, no I/O.
//!
//! * [`a2a`]: turns as the tasks of A2A.
//! * [`bounds`]: what texts of requests must be, for descriptions.
//! * [`encode`]: domain → messages.
//! * [`frames`]: events as the bytes that store, tail and readers share; a leaf that those rooms may know too.
//! * [`memory`]: both ways for memory.
//! * [`offers`]: what agents offer.
//! * [`page`]: page tokens of all lists.
//! * [`parse`]: requests → domain, every wrong field named at once.
//! * [`read`]: what several rooms ask of messages.

pub mod a2a;
pub mod bounds;
pub mod encode;
pub mod frames;
pub mod memory;
pub mod offers;
pub mod page;
pub mod parse;
pub mod read;
pub mod routing;
