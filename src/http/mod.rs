//! Plain HTTP beside gRPC, on the same port: what a browser asks for.
//!
//! Promises: no byte of a request is read, no state is kept, and no path means anything but the one file that it names.
//! Names of hosts, origins of pages and the bounds of connections are looked at before, by the listener and `grpc::web`.
//! Left out: whatever needs a credential. The console's files are public; all that it shows it asks for by gRPC-web.

pub mod console;
