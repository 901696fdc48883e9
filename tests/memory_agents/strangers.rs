//! What those who share a server may not learn of each other's memory, nor take from it.

use crate::{
    support::{self, Gateway},
    world::{self, Bearer, Caller, Wire, request},
};
use quarterdeck::proto::{
    self, GetMemoryStatusResponse, RememberRequest, memory_service_client::MemoryServiceClient,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tonic::{Status, transport::Endpoint};

type Memory = MemoryServiceClient<Wire>;

/// Memory as the bearer of a key sees it.
async fn memory(gateway: &Gateway, key: &str) -> Memory {
    let endpoint = Endpoint::from_shared(gateway.address.clone()).unwrap();
    let bearer = Bearer(Some(format!("Bearer {key}").parse().unwrap()));
    MemoryServiceClient::with_interceptor(endpoint.connect().await.unwrap(), bearer)
        .max_decoding_message_size(usize::MAX)
}

/// A key of a subject in a tenant.
async fn key(gateway: &Gateway, tenant: &str, subject: &str, scopes: &[&str]) -> String {
    let wish = proto::CreateApiKeyRequest {
        tenant: tenant.into(),
        subject: subject.into(),
        ..request(scopes)
    };
    let admin = Caller::admin(gateway).await;
    admin.make(wish).await.expect("a key").secret
}

async fn remember(memory: &mut Memory, content: &str) {
    let request = RememberRequest {
        content: content.into(),
        ..Default::default()
    };
    memory.remember(request).await.expect("remembered");
}

async fn status(memory: &mut Memory) -> GetMemoryStatusResponse {
    let request = proto::GetMemoryStatusRequest::default();
    memory
        .get_memory_status(request)
        .await
        .unwrap()
        .into_inner()
}

/// The index is the whole server's: only who runs the server makes it anew, and sees how much that is.
#[tokio::test]
async fn a_rebuild_and_its_totals_are_the_operators() {
    let gateway = world::start();
    let both = ["memory.read", "memory.write"];
    let operator_key = world::admin_key(&gateway);
    let mut operator = memory(&gateway, &operator_key).await;
    for number in 0..5 {
        remember(&mut operator, &format!("operator's note {number}")).await;
    }
    let all = ["memory.read", "memory.write", "admin.logs"];
    for (tenant, scopes) in [("acme", &all[..]), ("default", &both)] {
        let key = key(&gateway, tenant, "clerk", scopes).await;
        let mut memory = memory(&gateway, &key).await;
        let refused = memory.rebuild_memory(proto::RebuildMemoryRequest {}).await;
        let refused = refused.expect_err("not the operator");
        assert_eq!(support::reason(&refused), "SCOPE_REQUIRED", "{tenant}");
    }
    operator
        .rebuild_memory(proto::RebuildMemoryRequest {})
        .await
        .expect("the operator may");

    let key = key(&gateway, "acme", "clerk", &both).await;
    let mut acme = memory(&gateway, &key).await;
    remember(&mut acme, "acme's one note").await;
    let told = status(&mut acme).await;
    assert_eq!(
        (
            told.archival_count,
            told.indexed_count,
            told.pending_episode_count
        ),
        (1, 1, 0),
        "{told:?}"
    );
    assert_eq!(told.rebuild, None, "how much others have is theirs");
    let told = status(&mut operator).await;
    assert_eq!((told.archival_count, told.indexed_count), (5, 6));
    assert!(told.rebuild.is_some());
}

/// The primary session reaches the tenant's memory by default. That needs what naming it would need, of whoever sends
/// the turn and on every turn; who lacks it gets the session's own memory.
#[tokio::test]
async fn the_primary_sessions_reach_is_its_senders_right() {
    let gateway = world::start();
    let operator_key = world::admin_key(&gateway);
    let mut operator = memory(&gateway, &operator_key).await;
    remember(&mut operator, "the boat's pin is 4711").await;
    let say = async |key: &str, text: &str| -> Result<String, Status> {
        let mut client = Caller::with_key(&gateway, key).await.gateway();
        let request = proto::EnqueueRequest {
            session_key: "main".into(),
            text: text.into(),
            ..Default::default()
        };
        let turn = client.enqueue(request).await?.into_inner().turn.unwrap();
        let request = proto::AwaitTurnRequest {
            session_key: "main".into(),
            turn_id: turn.turn_id,
            ..Default::default()
        };
        let ended = client.await_turn(request).await?.into_inner();
        Ok(ended.turn.unwrap().response_text)
    };
    let given = say(&operator_key, "!memory pin").await.unwrap();
    assert!(given.contains("4711"), "{given}");
    let sessions = ["session.read", "session.write", "tenant.sessions"];
    let narrow = key(&gateway, "default", "clerk", &sessions).await;
    let given = say(&narrow, "!memory pin").await.unwrap();
    assert_eq!(given, "", "who may not read memory gets none by a turn");
    let with_read = [&sessions[..], &["memory.read"]].concat();
    let reader = key(&gateway, "default", "clerk", &with_read).await;
    assert_eq!(say(&reader, "!memory pin").await.unwrap(), "");
    let wide = [&sessions[..], &["memory.read", "memory.write"]].concat();
    let wide = key(&gateway, "default", "clerk", &wide).await;
    let given = say(&wide, "!memory pin").await.unwrap();
    assert!(given.contains("4711"), "{given}");
    // What the session's own scope has reaches every turn of it.
    let own = RememberRequest {
        session_key: "main".into(),
        content: "the session's own pin is 12".into(),
        ..Default::default()
    };
    operator.remember(own).await.expect("remembered");
    let given = say(&narrow, "!memory pin").await.unwrap();
    assert!(
        given.contains("pin is 12") && !given.contains("4711"),
        "{given}"
    );
}

/// What another tenant's flood may add to twice the quiet value where the machine does something else too.
const NOISE_MAX: Duration = Duration::from_millis(150);
/// A quiet value below this is taken as this: at such speed the scheduler decides.
const QUIET_MIN: Duration = Duration::from_millis(5);
/// Memories that the flood searches.
const FLOODED: usize = 20_000;
/// Searches of the flood at one time.
const FLOOD: usize = 30;
/// Calls of one sample.
const CALLS: usize = 120;

/// Thirty searches at a time, each for 24 beginnings of one letter over 20 000 memories, hold no other tenant's reads and
/// searches up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_searches_holds_no_other_tenant_up() {
    let gateway = world::start();
    let operator_key = world::admin_key(&gateway);
    let mut operator = memory(&gateway, &operator_key).await;
    let letters: Vec<char> = ('a'..='x').collect();
    for piece in 0..FLOODED / 1000 {
        let memories = (0..1000).map(|number| {
            let number = piece * 1000 + number;
            let words: Vec<String> = (0..12)
                .map(|at| {
                    format!(
                        "{}{}",
                        letters[(number * 7 + at * 5) % letters.len()],
                        (number + at) % 97
                    )
                })
                .collect();
            proto::MemoryItem {
                content: format!("{} {number}", words.join(" ")),
                ..Default::default()
            }
        });
        let request = proto::ImportMemoriesRequest {
            memories: memories.collect(),
            ..Default::default()
        };
        operator.import_memories(request).await.expect("imported");
    }
    let scopes = [
        "memory.read",
        "memory.write",
        "session.read",
        "session.write",
    ];
    let quiet_key = key(&gateway, "acme", "clerk", &scopes).await;
    let mut acme = memory(&gateway, &quiet_key).await;
    for number in 0..50 {
        remember(&mut acme, &format!("acme's note {number} of a lamp")).await;
    }
    let mut sessions = Caller::with_key(&gateway, &quiet_key).await.gateway();
    let made = proto::CreateSessionRequest {
        session_key: "quiet".into(),
        ..Default::default()
    };
    sessions.create_session(made).await.expect("made");
    let mut felt = async || {
        let (mut reads, mut searches) = (Vec::new(), Vec::new());
        for _ in 0..CALLS {
            let begun = Instant::now();
            let request = proto::GetSessionRequest {
                session_key: "quiet".into(),
                ..Default::default()
            };
            sessions.get_session(request).await.expect("read");
            reads.push(begun.elapsed());
            let begun = Instant::now();
            let request = proto::SearchMemoryRequest {
                query: "lamp note".into(),
                ..Default::default()
            };
            acme.search_memory(request).await.expect("searched");
            searches.push(begun.elapsed());
        }
        [reads, searches].map(|mut times| {
            times.sort_unstable();
            times[times.len() * 99 / 100]
        })
    };
    let quiet = felt().await;
    let query: Vec<String> = letters.iter().map(|letter| format!("{letter}*")).collect();
    let query = query.join(" ");
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..FLOOD {
        let (query, over, answered) = (query.clone(), over.clone(), answered.clone());
        let mut memory = operator.clone();
        flood.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let request = proto::SearchMemoryRequest {
                    query: query.clone(),
                    ..Default::default()
                };
                // On a machine that is busy elsewhere it may be given up.
                if let Ok(found) = memory.search_memory(request).await {
                    assert_eq!(found.into_inner().hits.len(), 4);
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // The flood is on once one of its searches is over.
    while answered.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let flooded = felt().await;
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = flood.join_next().await {
        ended.expect("the flood was answered");
    }
    println!("quiet {quiet:?}, beside the flood {flooded:?}, {answered:?} searches of it");
    for (quiet, flooded) in quiet.into_iter().zip(flooded) {
        let most = 2 * quiet.max(QUIET_MIN) + NOISE_MAX;
        assert!(
            flooded <= most,
            "{flooded:?} beside the flood, {quiet:?} without"
        );
    }
}

/// What is said in sessions that a caller may not see changes nothing of what a search of the tenant's scope gives it.
#[tokio::test]
async fn what_others_say_changes_no_answer() {
    let mut gateway = world::start();
    let scopes = ["memory.read", "session.read", "session.write"];
    let clerk_key = key(&gateway, "default", "clerk", &scopes).await;
    let other_key = key(&gateway, "default", "other", &scopes).await;
    let say = async |key: &str, session_key: &str, text: &str| {
        let mut client = Caller::with_key(&gateway, key).await.gateway();
        let request = proto::EnqueueRequest {
            session_key: session_key.into(),
            text: text.into(),
            ..Default::default()
        };
        let turn = client
            .enqueue(request)
            .await
            .unwrap()
            .into_inner()
            .turn
            .unwrap();
        let request = proto::AwaitTurnRequest {
            session_key: session_key.into(),
            turn_id: turn.turn_id,
            ..Default::default()
        };
        client.await_turn(request).await.unwrap();
    };
    for text in [
        "the otter sleeps",
        "the otter and the lamp",
        "a lamp by the river",
        "the pin is 4711",
    ] {
        say(&clerk_key, "clerks", text).await;
    }
    let mut clerk = memory(&gateway, &clerk_key).await;
    let mut answers = async || {
        let mut answers = Vec::new();
        for query in [
            "otter",
            "lamp river",
            "pin 4711",
            "otter pin",
            "riv*",
            "lam",
        ] {
            for session_key in ["", "clerks"] {
                let request = proto::SearchMemoryRequest {
                    query: query.into(),
                    session_key: session_key.into(),
                    limit: 20,
                    ..Default::default()
                };
                let hits = clerk
                    .search_memory(request)
                    .await
                    .unwrap()
                    .into_inner()
                    .hits;
                assert!(hits.len() > 1, "{query}");
                // How new a message is moves on between two answers.
                let facts = hits.into_iter().map(|hit| {
                    (
                        format!("{:?}", hit.found),
                        hit.snippet,
                        (hit.score * 1e4).round(),
                    )
                });
                answers.push((query, facts.collect::<Vec<_>>()));
            }
        }
        answers
    };
    let before = answers().await;
    for number in 0..30 {
        say(
            &other_key,
            "others",
            &format!("otter lamp 4711 {number} river {}", "riverside ".repeat(60)),
        )
        .await;
    }
    // They are in the index by now: the one who said them finds them.
    let mut other = memory(&gateway, &other_key).await;
    let request = proto::SearchMemoryRequest {
        query: "otter".into(),
        limit: 100,
        ..Default::default()
    };
    assert_eq!(
        other
            .search_memory(request)
            .await
            .unwrap()
            .into_inner()
            .hits
            .len(),
        60
    );
    assert_eq!(before, answers().await);
    gateway.check_store();
}
