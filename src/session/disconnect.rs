//! `cancel_on_disconnect`: aborts a turn when the last such stream of it has been gone for five seconds.

use super::registry::Registry;
use crate::{
    clock,
    domain::{
        access::Identity,
        ids::{SessionKey, SessionRow},
        limits::{DISCONNECT_GRACE, GRACE_DEFAULT},
        turn::{AbortMode, Cause},
    },
    store::{Abort, Caller, Store},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::runtime::Handle;
use tracing::warn;
use uuid::Uuid;

/// Counts the streams of turns that asked for it.
pub struct Disconnects {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    runtime: Handle,
    streams: Mutex<HashMap<Uuid, usize>>,
}

/// One such stream; its drop is the disconnect.
pub struct Connected {
    disconnects: Arc<Disconnects>,
    identity: Arc<Identity>,
    key: SessionKey,
    session: SessionRow,
    turn_id: Uuid,
    /// The turn has ended: there is nothing left to abort.
    over: bool,
}

// === impl Disconnects ===

impl Disconnects {
    /// `runtime` runs the waits; it must outlive the streams.
    pub fn new(store: Arc<dyn Store>, registry: Arc<Registry>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            store,
            registry,
            runtime,
            streams: Mutex::new(HashMap::new()),
        })
    }

    /// Counts a stream for as long as the guard lives.
    pub fn connected(
        self: &Arc<Self>,
        identity: Arc<Identity>,
        key: SessionKey,
        session: SessionRow,
        turn_id: Uuid,
    ) -> Connected {
        *self.lock().entry(turn_id).or_default() += 1;
        Connected {
            disconnects: self.clone(),
            identity,
            key,
            session,
            turn_id,
            over: false,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, usize>> {
        self.streams.lock().expect("no holder panics")
    }
}

// === impl Connected ===

impl Connected {
    /// The stream ended with its turn: its end is no disconnect.
    pub fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let last = {
            let mut streams = self.disconnects.lock();
            let left = streams.get_mut(&self.turn_id).map_or(0, |count| {
                *count -= 1;
                *count
            });
            if left == 0 {
                streams.remove(&self.turn_id);
            }
            left == 0
        };
        // Streams that a drain ends are no disconnects.
        if !last || self.over || self.disconnects.registry.draining() {
            return;
        }
        let disconnects = self.disconnects.clone();
        let (identity, key) = (self.identity.clone(), self.key.clone());
        let (session, turn_id) = (self.session, self.turn_id);
        self.disconnects.runtime.spawn(async move {
            tokio::time::sleep(DISCONNECT_GRACE).await;
            if disconnects.lock().contains_key(&turn_id) || disconnects.registry.draining() {
                return;
            }
            let tenant = identity.principal.tenant.clone();
            let abort = Abort {
                caller: Caller {
                    identity,
                    key,
                    request: None,
                    expected_generation: None,
                    now: clock::now(),
                },
                turn_id: Some(turn_id),
                clear_queue: false,
                mode: AbortMode::Cancel,
                grace: GRACE_DEFAULT,
                cause: Cause::Disconnected,
            };
            if let Err(problem) = disconnects.store.abort(abort).await {
                warn!(tenant, %turn_id, %problem, "the turn of a gone caller was not aborted");
            }
            disconnects.registry.nudge(session);
        });
    }
}
