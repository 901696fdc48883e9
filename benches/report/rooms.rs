//! The gateway's serving path with a producer in place of an agent, for bursts of exact sizes.
//!
//! Built as `app.rs` does: listener, layers, service, feed, store on a disk. A turn is started and holds an open
//! message; a thread of its own pushes tokens into the session's tail, as the session's actor would.

use super::{
    floors::announce,
    producer::{self, Command, SESSION_KEY},
    seed,
};
use arc_swap::ArcSwap;
use quarterdeck::{
    clock,
    domain::{
        event::{Delta, Event, Role},
        ids::SessionKey,
        turn::Turn,
    },
    feed::{Feed, FeedOptions, Pushed, Tail},
    grpc::{
        gateway::{Gateway, GatewaySettings},
        layers,
    },
    listener::{Listener, ListenerOptions},
    proto::gateway_service_server::GatewayServiceServer,
    session::{
        disconnect::Disconnects,
        fork::Conversations,
        handle::{Directories, Drain},
        registry::Registry,
        workspace::Workspaces,
    },
    store::{Fence, Store, Write, sqlite::SqliteStore},
    wire::page::PageTokens,
};
use std::{collections::BTreeMap, io, path::Path, sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Text of an open message after which the next one begins, in bytes; the gateway's own bound is a little above.
const MESSAGE_BYTES: i64 = 400 * 1024;
/// Serving threads, as `serve_threads = "auto"` has on two cores.
const SERVE_THREADS: usize = 1;

/// Stands for the agent and its actor.
struct Producer {
    store: Arc<dyn Store>,
    tail: Arc<Tail>,
    fence: Fence,
    turn: Turn,
    /// The open message, and the bytes of its text.
    item_id: Uuid,
    written: i64,
}

/// Serves until standard input ends.
#[tokio::main(flavor = "current_thread")]
pub async fn serve(data: &Path) {
    let listener = Listener::bind(ListenerOptions {
        serve_threads: SERVE_THREADS,
        ..ListenerOptions::default()
    })
    .await
    .expect("a free port");
    let feed = Feed::new(FeedOptions {
        serving_runtimes: SERVE_THREADS,
        max_streams: 10_000,
    });
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(data, seed::rules(), feed.clone()).expect("an empty directory"));
    let (drain, _) = watch::channel(Drain::No);
    let registry = Registry::new(drain);
    let directories = Directories::new(data, None);
    let workspaces = Workspaces {
        directories: directories.clone(),
        cwd_roots: Arc::default(),
        known_agents: Arc::default(),
    };
    let gateway = Gateway {
        options_allowed: BTreeMap::new(),
        conversations: Conversations {
            directories,
            drivers: BTreeMap::new(),
        },
        known_agents: Arc::default(),
        workspaces,
        store: store.clone(),
        feed: feed.clone(),
        registry: registry.clone(),
        disconnects: Disconnects::new(store.clone(), registry, Handle::current()),
        cwd_roots: Arc::default(),
        default_agent: seed::AGENT.into(),
        settings: Arc::new(ArcSwap::from_pointee(GatewaySettings {
            turn_timeout: Duration::from_secs(3600),
            max_turn_timeout: Duration::from_secs(3600),
        })),
        pages: Arc::new(PageTokens::new(b"bench")),
        ending: CancellationToken::new(),
        sooner: Arc::default(),
    };
    let routes = tonic::service::Routes::from(axum::Router::new())
        .add_service(GatewayServiceServer::new(gateway));
    let router = layers::layered(routes.into_axum_router(), layers::Gate::open());
    let address = listener.local_addr();
    let serving = listener.serve(move |_| router.clone());
    for (index, handle) in serving.runtimes().iter().enumerate() {
        handle.spawn(feed.relay(index));
    }
    let mut producer = Producer::start(&feed, store).await;
    announce(address);
    let runtime = Handle::current();
    let (ended_sender, mut ended) = watch::channel(());
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            match Command::parse(&line.expect("readable")) {
                Command::Open { .. } => runtime.block_on(producer.next_message()),
                Command::Burst(count) => {
                    (0..count).for_each(|_| producer.push());
                    if producer.written > MESSAGE_BYTES {
                        runtime.block_on(producer.next_message());
                    }
                }
                Command::Pace { per_second, count } => {
                    producer::pace(per_second, count, || producer.push())
                }
            }
        }
        drop(ended_sender);
    });
    // The error is the sender's end.
    let _ = ended.changed().await;
}

// === impl Producer ===

impl Producer {
    async fn start(feed: &Arc<Feed>, store: Arc<dyn Store>) -> Self {
        let key = SessionKey::parse(SESSION_KEY).expect("it follows the grammar");
        let committed = store
            .enqueue(seed::enqueue(key, "a prompt"))
            .await
            .expect("admitted");
        let row = committed.session.row;
        let tail = feed
            .tail(&store, row)
            .await
            .expect("readable")
            .expect("just made");
        let (fence, _) = store.claim(row).await.expect("nobody else claims");
        let started = store.start_next(fence, clock::now()).await.expect("ours");
        let this = Self {
            store,
            tail,
            fence,
            turn: started.expect("a turn waits").turn,
            item_id: Uuid::now_v7(),
            written: 0,
        };
        let started = this.message_started();
        this.append(vec![started]).await;
        this
    }

    /// Ends the open message and begins another.
    async fn next_message(&mut self) {
        let completed = Write::Event {
            item_id: Some(self.item_id),
            event: Event::MessageCompleted {
                role: Role::Assistant,
                // The text would go to every reader, and is not what is measured.
                blocks: vec![(0, "done".into())],
                partial: false,
                continued: true,
            },
        };
        self.item_id = Uuid::now_v7();
        self.written = 0;
        let started = self.message_started();
        self.append(vec![completed, started]).await;
    }

    fn message_started(&self) -> Write {
        Write::Event {
            item_id: Some(self.item_id),
            event: Event::MessageStarted {
                role: Role::Assistant,
                text: String::new(),
                attachments: Vec::new(),
            },
        }
    }

    async fn append(&self, writes: Vec<Write>) {
        self.store
            .append(self.fence, writes, clock::now())
            .await
            .expect("the turn runs");
    }

    fn push(&mut self) {
        let delta = producer::token_text();
        let offset = self.written;
        self.written += i64::try_from(delta.len()).expect("short");
        self.tail.push_delta(Pushed {
            time: clock::now(),
            turn_id: self.turn.turn_id,
            item_id: self.item_id,
            generation: self.turn.generation,
            tool_name: String::new(),
            delta: Delta::Token {
                delta,
                content_index: 0,
                offset,
            },
        });
    }
}
