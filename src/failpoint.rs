//! Places at which a test has the process killed, as by `kill -9`: a test starts the server with
//! `QUARTERDECK_TEST_KILL_AT=name`, or `name:3` for the third time that it comes there. Only in debug builds; a release has none.

/// Passed by name. The process does not come back from the one that is named.
#[cfg(debug_assertions)]
pub(crate) fn pass(name: &'static str) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };
    static WANTED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let wanted = std::env::var("QUARTERDECK_TEST_KILL_AT").ok()?;
        let (name, count) = match wanted.split_once(':') {
            Some((name, count)) => (name.to_owned(), count.parse().ok()?),
            None => (wanted, 1),
        };
        Some((name, AtomicU64::new(count)))
    });
    if let Some((wanted, left)) = &*WANTED
        && wanted == name
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn pass(_: &'static str) {}
