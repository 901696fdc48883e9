//! What people see at a terminal: every command on a pseudo-terminal, against a server whose every text is hostile, and
//! conversations that are typed and pasted.

#[path = "../support/mod.rs"]
mod support;

mod chat;
mod everyday;
mod hostile;
mod hostile_server;
mod top;
mod tty;
