//! Memory as a caller sees it: what is remembered is found, in every script, in its scope alone, until it is forgotten.

use crate::world::*;
use proto::{MemoryKind as Kind, RememberOutcome as Outcome};
use proto::{memory_hit::Found, memory_service_client::MemoryServiceClient};
use tonic::transport::Channel;

type Memory = MemoryServiceClient<Channel>;

async fn memory(address: &str) -> Memory {
    MemoryServiceClient::connect(address.to_owned())
        .await
        .expect("the server accepts")
        .max_decoding_message_size(usize::MAX)
}

/// Remembers a fact in a namespace.
async fn remember(
    memory: &mut Memory,
    namespace: &str,
    key: &str,
    content: &str,
) -> proto::MemoryItem {
    ok!(memory.remember(RememberRequest {
        namespace: namespace,
        key: key,
        content: content
    }))
    .memory
    .expect("it is there")
}

/// Contents that a search in a namespace finds, best first.
async fn found(memory: &mut Memory, namespace: &str, query: &str) -> Vec<String> {
    let hits = ok!(memory.search_memory(SearchMemoryRequest {
        namespace: namespace,
        query: query,
        limit: 100
    }))
    .hits;
    hits.into_iter()
        .map(|hit| match hit.found.expect("something") {
            Found::Memory(item) => item.content,
            Found::Episode(episode) => panic!("no conversation is of a namespace: {episode:?}"),
        })
        .collect()
}

async fn listed(memory: &mut Memory, namespace: &str) -> Vec<proto::MemoryItem> {
    ok!(memory.list_memories(ListMemoriesRequest {
        namespace: namespace
    }))
    .memories
}

#[tokio::test]
async fn the_same_again_is_touched_and_something_else_is_a_new_version() {
    let (server, _) = shared().await;
    let mut memory = memory(server.address()).await;
    let say = |content: &str| proto::RememberRequest {
        namespace: "upsert".into(),
        key: "colour".into(),
        content: content.into(),
        kind: Kind::Preference.into(),
        tags: vec!["taste".into()],
        ..Default::default()
    };
    let first = inner(memory.remember(say("green")).await).expect("remembered");
    assert_eq!(first.outcome(), Outcome::Created);
    let first = first.memory.expect("there");
    assert_eq!(
        (first.version, first.bucket()),
        (1, proto::MemoryBucket::Core)
    );
    assert_eq!(first.source(), proto::MemorySource::Manual);

    let again = inner(memory.remember(say("green ")).await).expect("remembered");
    assert_eq!(again.outcome(), Outcome::Touched);
    let again = again.memory.expect("there");
    assert_eq!((&again.id, again.version), (&first.id, 1));
    let moment = |item: &proto::MemoryItem| {
        let time = item.update_time.expect("set");
        (time.seconds, time.nanos)
    };
    assert!(moment(&again) > moment(&first));

    let other = inner(memory.remember(say("blue")).await).expect("remembered");
    assert_eq!(other.outcome(), Outcome::Superseded);
    let other = other.memory.expect("there");
    assert_eq!((&other.id, other.version), (&first.id, 2));
    assert_eq!(found(&mut memory, "upsert", "blue").await, ["blue"]);
    assert!(
        found(&mut memory, "upsert", "green").await.is_empty(),
        "the old version is found no more"
    );
    let whole = ok!(memory.get_memory(GetMemoryRequest {
        id: first.id.clone()
    }));
    let past: Vec<_> = whole
        .history
        .iter()
        .map(|v| (v.version, v.content.as_str()))
        .collect();
    assert_eq!(past, [(1, "green")]);

    // What is left out stays: kind, bucket and tags.
    let kept = remember(&mut memory, "upsert", "colour", "red").await;
    assert_eq!(
        (kept.kind(), kept.tags.as_slice()),
        (Kind::Preference, &["taste".to_owned()][..])
    );

    // Without a key the content names it.
    let one = remember(&mut memory, "upsert", "", "keyless").await;
    let same = remember(&mut memory, "upsert", "", " keyless").await;
    let two = remember(&mut memory, "upsert", "", "keyless too").await;
    assert_eq!(one.id, same.id);
    assert_ne!(one.id, two.id);
}

#[tokio::test]
async fn every_script_is_kept_and_found() {
    let (server, _) = shared().await;
    let mut memory = memory(server.address()).await;
    let texts = [
        (
            "Das Café am Fluß schließt um acht",
            "cafe FLUSS|schließt|schliesst|CAFÉ",
        ),
        ("Мою собаку зовут Ёлка", "елка|СОБАКУ"),
        ("東京都に住んでいます", "東京|住んで|京都"),
        ("我喜欢吃北京烤鸭", "烤鸭|北京|鸭"),
        ("أحب القهوة بِالحَلِيب", "القهوة|بالحليب"),
        ("나는 서울에서 일한다", "서울에서|서울|서울을"),
        ("배포는 매주 화요일에 한다", "배포를|화요일|배포"),
        ("매운음식을 좋아한다", "음식|매운|음"),
        ("keep all timestamps in UTC", "timestamp|timestamps|keeps"),
        ("a nut allergy", "allergies|nuts|ALLERGY"),
        ("die Strasse ist gesperrt", "Straße|STRASSE"),
        ("मुझे हिन्दी पसंद है", "हिन्दी"),
        ("favourite food 🍕🍣", "🍣|🍕|food"),
        ("؟؟", "؟"),
        ("ฉันชอบกาแฟ", "กาแฟ"),
    ];
    for (text, _) in texts {
        remember(&mut memory, "scripts", "", text).await;
    }
    assert_eq!(
        listed(&mut memory, "scripts").await.len(),
        texts.len(),
        "none took another's place"
    );
    for (text, queries) in texts {
        for query in queries.split('|') {
            let found = found(&mut memory, "scripts", query).await;
            assert_eq!(
                found.first().map(String::as_str),
                Some(text),
                "{query}: {found:?}"
            );
        }
    }
    assert!(
        found(&mut memory, "scripts", "afé").await.is_empty(),
        "no piece of a word"
    );
}

#[tokio::test]
async fn the_best_come_first_whatever_their_age() {
    let (server, _) = shared().await;
    let mut memory = memory(server.address()).await;
    remember(
        &mut memory,
        "ranked",
        "",
        "the deploy of the billing service needs two approvals",
    )
    .await;
    for number in 0..60 {
        remember(
            &mut memory,
            "ranked",
            "",
            &format!("note {number} on a service that is slow today"),
        )
        .await;
    }
    let hits = ok!(memory.search_memory(SearchMemoryRequest {
        namespace: "ranked",
        query: "which approvals does the billing service need?",
        limit: 3
    }))
    .hits;
    let scores: Vec<f64> = hits.iter().map(|hit| hit.score).collect();
    assert_eq!((hits.len(), scores[0]), (3, 1.0));
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let best = &hits[0];
    assert!(
        best.snippet.contains("two approvals"),
        "the oldest fits best: {best:?}"
    );
    let marked: Vec<&str> = best
        .matches
        .iter()
        .map(|at| {
            &best.snippet[usize::try_from(at.start).unwrap()..usize::try_from(at.end).unwrap()]
        })
        .collect();
    assert!(
        marked.contains(&"billing") && marked.contains(&"approvals"),
        "{marked:?}"
    );
    assert_eq!(
        ok!(memory.search_memory(SearchMemoryRequest {
            namespace: "ranked",
            query: "service"
        }))
        .hits
        .len(),
        4
    );
    assert_eq!(
        found(&mut memory, "ranked", "\"two approvals\"")
            .await
            .len(),
        1
    );
    assert!(
        found(&mut memory, "ranked", "\"approvals two\"")
            .await
            .is_empty()
    );
    assert_eq!(found(&mut memory, "ranked", "appro*").await.len(), 1);
    assert_eq!(
        found(&mut memory, "ranked", "").await.len(),
        61,
        "blank finds the newest"
    );
}

#[tokio::test]
async fn tags_and_kinds_filter() {
    let (server, _) = shared().await;
    let mut memory = memory(server.address()).await;
    for (content, tag, kind) in [
        ("likes tea", "home", Kind::Preference),
        ("likes coffee", "two words", Kind::Preference),
        ("likes code", "work", Kind::Fact),
    ] {
        ok!(memory.remember(RememberRequest {
            namespace: "filters",
            content: content,
            kind: kind,
            tags: vec![tag.to_owned()]
        }));
    }
    assert_eq!(
        found(&mut memory, "filters", "likes tag:home").await,
        ["likes tea"]
    );
    assert_eq!(
        found(&mut memory, "filters", "tag:\"two words\"").await,
        ["likes coffee"]
    );
    assert!(
        found(&mut memory, "filters", "likes tag:two")
            .await
            .is_empty()
    );
    let facts = ok!(memory.search_memory(SearchMemoryRequest {
        namespace: "filters",
        query: "likes",
        kinds: vec![Kind::Fact as i32]
    }));
    assert_eq!(facts.hits.len(), 1);
    let work = ok!(memory.list_memories(ListMemoriesRequest {
        namespace: "filters",
        tags: vec!["work".to_owned()]
    }));
    assert_eq!(work.memories.len(), 1);
    let core = ok!(memory.list_core_memories(ListCoreMemoriesRequest {
        namespace: "filters"
    }));
    let core: Vec<_> = core.memories.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(
        core,
        ["likes coffee", "likes tea"],
        "newest first, facts are archival"
    );
}

#[tokio::test]
async fn forgetting_hides_or_erases() {
    let (server, _) = shared().await;
    let mut memory = memory(server.address()).await;
    let item = remember(&mut memory, "forget", "pet", "a cat named Miso").await;
    let soft = ok!(memory.forget(ForgetRequest {
        namespace: "forget",
        key: "pet"
    }));
    assert_eq!(soft.forgotten, 1);
    assert_eq!(
        ok!(memory.forget(ForgetRequest {
            namespace: "forget",
            key: "pet"
        }))
        .forgotten,
        0
    );
    assert!(found(&mut memory, "forget", "miso").await.is_empty());
    assert!(listed(&mut memory, "forget").await.is_empty());
    refused(
        call!(memory.get_memory(GetMemoryRequest {
            id: item.id.clone()
        })),
        Code::NotFound,
        "MEMORY_NOT_FOUND",
    );
    // The key is free again, and hard takes what is hidden too.
    let again = remember(&mut memory, "forget", "pet", "a dog").await;
    assert_ne!(again.id, item.id);
    let hard = ok!(memory.forget(ForgetRequest {
        namespace: "forget",
        key: "pet",
        hard: true
    }));
    assert_eq!(hard.forgotten, 2);
    let status = ok!(memory.get_memory_status(GetMemoryStatusRequest {
        namespace: "forget"
    }));
    assert_eq!(
        (
            status.archival_count,
            status.forgotten_count,
            status.content_bytes
        ),
        (0, 0, 0)
    );
    assert_eq!(
        ok!(memory.forget(ForgetRequest { id: again.id })).forgotten,
        0
    );
    invalid(call!(memory.forget(ForgetRequest { key: " " })), &["id"]);
    invalid(call!(memory.forget(ForgetRequest { id: "x" })), &["id"]);
}

#[tokio::test]
async fn a_repeat_of_a_request_has_one_effect() {
    let (server, _) = shared().await;
    let mut memory = memory(server.address()).await;
    let request = proto::RememberRequest {
        namespace: "repeats".into(),
        key: "k".into(),
        content: "one".into(),
        request_id: "r-1".into(),
        ..Default::default()
    };
    let first = inner(memory.remember(request.clone()).await).expect("remembered");
    remember(&mut memory, "repeats", "k", "two").await;
    let repeat = inner(memory.remember(request.clone()).await).expect("remembered");
    assert!(!first.replayed && repeat.replayed);
    assert_eq!(
        repeat.outcome(),
        Outcome::Created,
        "what was done the first time"
    );
    assert_eq!(repeat.memory.expect("there").content, "two", "as it is now");
    let other = proto::RememberRequest {
        content: "three".into(),
        ..request.clone()
    };
    refused(
        memory.remember(other).await,
        Code::AlreadyExists,
        "IDEMPOTENCY_CONFLICT",
    );

    let forget = proto::ForgetRequest {
        namespace: "repeats".into(),
        key: "k".into(),
        hard: true,
        request_id: "r-2".into(),
        ..Default::default()
    };
    assert_eq!(
        inner(memory.forget(forget.clone()).await)
            .expect("forgotten")
            .forgotten,
        1
    );
    let repeat = inner(memory.forget(forget).await).expect("forgotten");
    assert_eq!((repeat.forgotten, repeat.replayed), (1, true));
    let gone = inner(memory.remember(request).await).expect("a repeat");
    assert!(gone.replayed && gone.memory.is_none());
}

#[tokio::test]
async fn scopes_are_apart_and_a_sessions_memory_goes_with_it() {
    let (server, mut client) = shared().await;
    let mut memory = memory(server.address()).await;
    run(&mut client, "mem-scope", "hello there").await;
    let own = |content: &str| proto::RememberRequest {
        session_key: "mem-scope".into(),
        content: content.into(),
        ..Default::default()
    };
    inner(memory.remember(own("walrus of the session")).await).expect("remembered");
    // A namespace of the same name is another scope.
    remember(&mut memory, "mem-scope", "", "walrus of the namespace").await;
    ok!(memory.remember(RememberRequest {
        key: "walrus",
        content: "walrus of the tenant"
    }));
    for (namespace, session_key, expected) in [
        ("", "mem-scope", "walrus of the session"),
        ("mem-scope", "", "walrus of the namespace"),
        ("", "", "walrus of the tenant"),
    ] {
        let hits = ok!(memory.search_memory(SearchMemoryRequest {
            namespace: namespace,
            session_key: session_key,
            query: "walrus",
            episodes: Some(false)
        }))
        .hits;
        let contents: Vec<_> = hits
            .iter()
            .map(|hit| match &hit.found {
                Some(Found::Memory(item)) => item.content.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(contents, [expected]);
    }
    invalid(
        call!(memory.search_memory(SearchMemoryRequest {
            namespace: "a",
            session_key: "b"
        })),
        &["namespace"],
    );
    // It survives a Reset, and goes with the session.
    ok!(client.reset(ResetRequest {
        session_key: "mem-scope"
    }));
    let status = ok!(memory.get_memory_status(GetMemoryStatusRequest {
        session_key: "mem-scope"
    }));
    assert_eq!(status.archival_count, 1);
    ok!(client.delete_session(DeleteSessionRequest {
        session_key: "mem-scope"
    }));
    refused(
        memory.remember(own("more")).await,
        Code::NotFound,
        "SESSION_DELETED",
    );
    ok!(memory.forget(ForgetRequest {
        key: "walrus",
        hard: true
    }));
    // An unknown session is never made by a look.
    refused(
        call!(memory.list_memories(ListMemoriesRequest {
            session_key: "mem-nobody"
        })),
        Code::NotFound,
        "SESSION_NOT_FOUND",
    );
    refused(
        call!(client.get_session(GetSessionRequest {
            session_key: "mem-nobody"
        })),
        Code::NotFound,
        "SESSION_NOT_FOUND",
    );
}

#[tokio::test]
async fn conversations_are_found_and_told_apart() {
    let (server, mut client) = shared().await;
    let mut memory = memory(server.address()).await;
    run(&mut client, "mem-talk", "my locker is zyzzyva").await;
    run(&mut client, "mem-talk2", "zyzzyva is a beetle").await;
    ok!(memory.remember(RememberRequest {
        session_key: "mem-talk",
        content: "zyzzyva was mentioned"
    }));
    // What is said is put into the index after its commit; a search waits for a piece of that.
    let hits = ok!(memory.search_memory(SearchMemoryRequest {
        session_key: "mem-talk",
        query: "zyzzyva",
        limit: 10
    }))
    .hits;
    let kinds: Vec<&str> = hits
        .iter()
        .map(|hit| match hit.found.as_ref().expect("something") {
            Found::Memory(_) => "memory",
            Found::Episode(episode) => {
                assert_eq!(episode.session_key, "mem-talk");
                assert!(hit.snippet.contains("zyzzyva"));
                if episode.role() == proto::Role::User {
                    "user"
                } else {
                    "assistant"
                }
            }
        })
        .collect();
    let mut sorted = kinds.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["assistant", "memory", "user"], "{kinds:?}");
    let tenant = ok!(memory.search_memory(SearchMemoryRequest {
        query: "zyzzyva",
        limit: 10
    }))
    .hits;
    assert_eq!(
        tenant.len(),
        4,
        "messages of both sessions, and no session's memory: {tenant:?}"
    );
    let without = ok!(memory.search_memory(SearchMemoryRequest {
        query: "zyzzyva",
        episodes: Some(false)
    }))
    .hits;
    assert!(without.is_empty());
}

#[tokio::test]
async fn limits_are_told_and_change_nothing() {
    let gateway = Gateway::with(config("memory_scope_limit = 3\nmemory_tenant_limit = 4\n"));
    let mut memory = memory(&gateway.address).await;
    for name in ["a", "b", "c"] {
        remember(&mut memory, "full", name, name).await;
    }
    let full = call!(memory.remember(RememberRequest {
        namespace: "full",
        content: "d"
    }));
    let details = refused(full, Code::ResourceExhausted, "MEMORY_FULL");
    assert_eq!(fact(&details, "limit"), "3");
    // What is there may still change.
    remember(&mut memory, "full", "a", "a changed").await;
    remember(&mut memory, "other", "", "d").await;
    let full = call!(memory.remember(RememberRequest {
        namespace: "third",
        content: "e"
    }));
    assert_eq!(
        fact(&refused(full, Code::ResourceExhausted, "MEMORY_FULL"), "of"),
        "tenant"
    );
    for (request, fields) in [
        (
            proto::RememberRequest {
                content: " ".into(),
                ..Default::default()
            },
            &["content"][..],
        ),
        (
            proto::RememberRequest {
                content: "x".repeat(32 * 1024 + 1),
                ..Default::default()
            },
            &["content"],
        ),
        (
            proto::RememberRequest {
                content: "x".into(),
                key: "k".repeat(257),
                ..Default::default()
            },
            &["key"],
        ),
        (
            proto::RememberRequest {
                content: "x".into(),
                tags: vec!["t".into(); 33],
                ..Default::default()
            },
            &["tags"],
        ),
        (
            proto::RememberRequest {
                content: "x".into(),
                tags: vec![" ".into()],
                ..Default::default()
            },
            &["tags[0]"],
        ),
        (
            proto::RememberRequest {
                content: "x".into(),
                kind: 9,
                bucket: 9,
                ..Default::default()
            },
            &["bucket", "kind"],
        ),
        (
            proto::RememberRequest {
                content: "x".into(),
                namespace: "a/b".into(),
                ..Default::default()
            },
            &["namespace"],
        ),
        (
            proto::RememberRequest {
                content: "x".into(),
                expire_time: Some(prost_types::Timestamp {
                    seconds: 1,
                    nanos: 0,
                }),
                ..Default::default()
            },
            &["expire_time"],
        ),
    ] {
        invalid(memory.remember(request).await, fields);
    }
    invalid(
        call!(memory.search_memory(SearchMemoryRequest { limit: 101 })),
        &["limit"],
    );
    invalid(
        call!(memory.search_memory(SearchMemoryRequest { limit: -1 })),
        &["limit"],
    );
    for mode in [proto::SearchMode::Vector, proto::SearchMode::Hybrid] {
        refused(
            call!(memory.search_memory(SearchMemoryRequest {
                mode: mode,
                query: "x"
            })),
            Code::FailedPrecondition,
            "EMBEDDING_MISSING",
        );
    }
}

#[tokio::test]
async fn a_list_is_paged_and_complete() {
    let (server, _) = shared().await;
    let mut memory = memory(server.address()).await;
    for number in 0..7 {
        remember(
            &mut memory,
            "pages",
            &format!("k{number}"),
            &format!("v{number}"),
        )
        .await;
    }
    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let page = ok!(memory.list_memories(ListMemoriesRequest {
            namespace: "pages",
            page_size: 3,
            page_token: token
        }));
        assert!(page.memories.len() <= 3);
        seen.extend(page.memories.into_iter().map(|m| m.content));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["v6", "v5", "v4", "v3", "v2", "v1", "v0"]);
    let page = ok!(memory.list_memories(ListMemoriesRequest {
        namespace: "pages",
        page_size: 3
    }));
    invalid(
        call!(memory.list_memories(ListMemoriesRequest {
            namespace: "scripts",
            page_token: page.next_page_token
        })),
        &["page_token"],
    );
}

#[tokio::test]
async fn a_rebuild_runs_beside_searches_and_tells_how_far_it_is() {
    let (server, _) = shared().await;
    let mut memory = memory(server.address()).await;
    remember(&mut memory, "rebuild", "", "quagga before").await;
    let started = ok!(memory.rebuild_memory(RebuildMemoryRequest {}))
        .rebuild
        .expect("started");
    assert!(!started.rebuild_id.is_empty());
    assert_eq!(
        found(&mut memory, "rebuild", "quagga").await.len(),
        1,
        "searches go on"
    );
    remember(&mut memory, "rebuild", "", "quagga meanwhile").await;
    soon(async {
        loop {
            let status = ok!(memory.get_memory_status(GetMemoryStatusRequest {}));
            let rebuild = status.rebuild.expect("told");
            assert!(rebuild.items_done <= rebuild.items_total);
            if rebuild.end_time.is_some() && rebuild.rebuild_id == started.rebuild_id {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(found(&mut memory, "rebuild", "quagga").await.len(), 2);
}

#[tokio::test]
async fn a_memory_ends_when_its_time_is_over() {
    let (server, _) = shared().await;
    let mut memory = memory(server.address()).await;
    let soon_over = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
    let item = ok!(memory.remember(RememberRequest {
        namespace: "expiry",
        key: "k",
        content: "for a moment",
        expire_time: Some(prost_types::Timestamp::from(soon_over))
    }))
    .memory
    .expect("there");
    soon(async {
        while !found(&mut memory, "expiry", "moment").await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(listed(&mut memory, "expiry").await.is_empty());
    let next = remember(&mut memory, "expiry", "k", "for a moment").await;
    assert_ne!(next.id, item.id, "what is over is not touched back to life");
}

#[tokio::test]
async fn an_import_keeps_source_and_times_and_is_whole() {
    let (server, _) = shared().await;
    let mut memory = memory(server.address()).await;
    let item = |content: &str| proto::MemoryItem {
        namespace: "import".into(),
        key: content.into(),
        content: content.into(),
        source: proto::MemorySource::Auto.into(),
        create_time: Some(prost_types::Timestamp {
            seconds: 1_600_000_000,
            nanos: 0,
        }),
        update_time: Some(prost_types::Timestamp {
            seconds: 1_650_000_000,
            nanos: 0,
        }),
        ..Default::default()
    };
    let done = ok!(memory.import_memories(ImportMemoriesRequest {
        memories: vec![item("one"), item("two"), item("one")]
    }));
    assert_eq!((done.created, done.touched, done.superseded), (2, 1, 0));
    let listed_now = listed(&mut memory, "import").await;
    let times: Vec<_> = listed_now
        .iter()
        .map(|m| (m.source(), m.update_time.expect("set").seconds))
        .collect();
    assert_eq!(times, [(proto::MemorySource::Auto, 1_650_000_000); 2]);
    let mut bad = item("three");
    bad.content = String::new();
    invalid(
        call!(memory.import_memories(ImportMemoriesRequest {
            memories: vec![item("four"), bad]
        })),
        &["memories[1].content"],
    );
    assert_eq!(listed(&mut memory, "import").await.len(), 2, "all or none");
}

/// A secret is in no index, list, result, and nowhere in the open on the disk; by its id it is read.
#[tokio::test]
async fn a_secret_is_read_by_its_id_alone() {
    let mut gateway = Gateway::with(config("log = \"debug\"\n"));
    let mut memory = memory(&gateway.address).await;
    let canary = "hunter2-Zq9xWv7";
    let secret = |content: &str| proto::RememberRequest {
        namespace: "vault".into(),
        key: "wifi".into(),
        content: content.into(),
        kind: Kind::Secret.into(),
        request_id: format!("secret-{}", content.len()),
        ..Default::default()
    };
    let item = inner(memory.remember(secret(canary)).await)
        .expect("remembered")
        .memory
        .expect("there");
    assert_eq!(
        (item.content.as_str(), item.bucket()),
        ("", proto::MemoryBucket::Archival)
    );
    ok!(memory.remember(RememberRequest {
        namespace: "vault",
        content: format!("{canary}keyless"),
        kind: Kind::Secret
    }));
    for query in [canary, "hunter2", "wifi", "", "zq9xwv7"] {
        assert!(
            found(&mut memory, "vault", query).await.is_empty(),
            "{query}"
        );
    }
    assert!(
        listed(&mut memory, "vault")
            .await
            .iter()
            .all(|m| m.content.is_empty())
    );
    let hidden = ok!(memory.get_memory(GetMemoryRequest {
        id: item.id.clone()
    }));
    assert_eq!(hidden.memory.expect("there").content, "");
    let shown = ok!(memory.get_memory(GetMemoryRequest {
        id: item.id.clone(),
        reveal: true
    }));
    assert_eq!(shown.memory.expect("there").content, canary);
    // The same again is known as the same, without being kept in the open.
    let again = proto::RememberRequest {
        request_id: String::new(),
        ..secret(canary)
    };
    assert_eq!(
        inner(memory.remember(again).await)
            .expect("remembered")
            .outcome(),
        Outcome::Touched
    );
    // What becomes a secret loses its past.
    let open = remember(&mut memory, "vault", "pin", &format!("pin {canary} open")).await;
    ok!(memory.remember(RememberRequest {
        namespace: "vault",
        key: "pin",
        content: "pin 1234",
        kind: Kind::Secret
    }));
    let past = ok!(memory.get_memory(GetMemoryRequest {
        id: open.id,
        reveal: true
    }));
    assert!(past.history.is_empty());
    assert!(found(&mut memory, "vault", "pin").await.is_empty());

    gateway.check_store();
    let mut looked = 0;
    for entry in std::fs::read_dir(gateway.data()).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            assert!(
                !bytes
                    .windows(canary.len() + 7)
                    .any(|w| w == format!("{canary}keyless").as_bytes()),
                "{path:?}"
            );
            looked += 1;
        }
    }
    assert!(looked >= 2, "the database was looked at");
    gateway.restart();
    let mut memory = self::memory(&gateway.address).await;
    let shown = ok!(memory.get_memory(GetMemoryRequest {
        id: item.id.clone(),
        reveal: true
    }));
    assert_eq!(shown.memory.expect("there").content, canary);
    // Another key than it was sealed with is told, and is no bug.
    gateway.terminate();
    gateway.wait();
    std::fs::write(gateway.data().join("memory.key"), "ab".repeat(32)).expect("writable");
    gateway.restart();
    let mut memory = self::memory(&gateway.address).await;
    refused(
        call!(memory.get_memory(GetMemoryRequest {
            id: item.id,
            reveal: true
        })),
        Code::FailedPrecondition,
        "SECRET_UNREADABLE",
    );
}

#[tokio::test]
async fn a_session_says_what_memory_it_reaches() {
    let (server, mut client) = shared().await;
    let _ = &server;
    let made = ok!(client.create_session(CreateSessionRequest {
        session_key: "mem-reach",
        memory_namespaces: vec!["@session".to_owned(), "team".to_owned()]
    }));
    let session = made.session.expect("there");
    assert_eq!(session.memory_namespaces, ["@session", "team"]);
    let changed = ok!(client.update_session(UpdateSessionRequest {
        session_key: "mem-reach",
        session: Some(proto::SessionSnapshot {
            memory_namespaces: vec!["@tenant".into()],
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["memory_namespaces".into()]
        })
    }));
    let session = changed.session.expect("there");
    assert_eq!(session.memory_namespaces, ["@tenant"]);
    let fork = ok!(client.fork_session(ForkSessionRequest {
        session_key: "mem-reach",
        new_session_key: "mem-reach-fork"
    }));
    let fork = fork.session.expect("there");
    assert_eq!(fork.memory_namespaces, ["@tenant"]);
    invalid(
        call!(client.create_session(CreateSessionRequest {
            session_key: "mem-reach2",
            memory_namespaces: vec!["@other".to_owned(), "a".to_owned(), "a".to_owned()]
        })),
        &["memory_namespaces[0]", "memory_namespaces[2]"],
    );
    let first = ok!(client.enqueue(EnqueueRequest {
        session_key: "mem-reach3",
        text: "hi",
        memory_namespaces: vec!["team".to_owned()]
    }));
    await_turn(
        &mut client,
        "mem-reach3",
        &first.turn.expect("a turn").turn_id,
    )
    .await;
    let session = ok!(client.get_session(GetSessionRequest {
        session_key: "mem-reach3"
    }))
    .session;
    assert_eq!(session.expect("there").memory_namespaces, ["team"]);
}
