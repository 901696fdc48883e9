//! Long jobs of the writer: what is large is cut, so nobody waits for another's.

use crate::{
    support::{Client, Gateway, check, reason, run},
    tools::{count, with_attachments, with_long_turns},
    world::{PATIENCE, Site, dice, eventually, figure, prompt},
};
use quarterdeck::proto::{self, memory_service_client::MemoryServiceClient};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

fn fork(source: &str, new: &str) -> proto::ForkSessionRequest {
    proto::ForkSessionRequest {
        session_key: source.into(),
        new_session_key: new.into(),
        ..Default::default()
    }
}

fn delete(key: &str) -> proto::DeleteSessionRequest {
    proto::DeleteSessionRequest {
        session_key: key.into(),
        ..Default::default()
    }
}

async fn exists(client: &mut Client, key: &str) -> bool {
    let request = proto::GetSessionRequest {
        session_key: key.into(),
        ..Default::default()
    };
    match client.get_session(request).await {
        Ok(_) => true,
        Err(status) => {
            let reason = reason(&status);
            assert!(reason.starts_with("SESSION_"), "{status:?}");
            false
        }
    }
}

/// Makes sessions, one commit after the other, until it is told to stop; returns how long each took.
fn others(mut client: Client, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<Vec<Duration>> {
    tokio::spawn(async move {
        let mut waits = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let session = proto::CreateSessionRequest {
                session_key: format!("other-{}", waits.len()),
                ..Default::default()
            };
            let began = Instant::now();
            client.create_session(session).await.expect("made");
            waits.push(began.elapsed());
        }
        waits
    })
}

/// A fork of many bytes costs rows; the bytes go with the last session that names them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_shares_the_bytes_of_attachments() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    let attachments = figure(6, 80);
    with_attachments(&mut client, "source", attachments).await;
    // Not the files' sizes: what still stands in the log is moved into the database meanwhile, and counts in both.
    let pages = || {
        count(
            &gateway.data(),
            "SELECT page_count FROM pragma_page_count()",
        )
    };
    let before = pages();
    let began = Instant::now();
    for number in 0..4 {
        let forked = client
            .fork_session(fork("source", &format!("fork-{number}")))
            .await;
        let session = forked
            .expect("forked")
            .into_inner()
            .session
            .expect("a session");
        assert_eq!(
            session.message_count,
            2 * i64::try_from(attachments).unwrap()
        );
    }
    println!(
        "four forks of {} MiB took {:?}",
        attachments * 8,
        began.elapsed()
    );
    let grown = (pages() - before) * 4096;
    assert!(grown < 8 << 20, "four forks took {grown} bytes of the disk");
    client
        .delete_session(delete("source"))
        .await
        .expect("deleted");
    let request = proto::ListMessagesRequest {
        session_key: "fork-3".into(),
        ..Default::default()
    };
    let page = client
        .list_messages(request)
        .await
        .expect("a page")
        .into_inner();
    let id = page
        .messages
        .iter()
        .flat_map(|message| &message.parts)
        .find_map(|part| match &part.part {
            Some(proto::message_part::Part::Attachment(reference)) => {
                Some(reference.attachment_id.clone())
            }
            Some(_) | None => None,
        });
    let request = proto::GetAttachmentRequest {
        session_key: "fork-3".into(),
        attachment_id: id.expect("an attachment"),
    };
    let kept = client
        .get_attachment(request)
        .await
        .expect("the fork keeps it");
    let kept = kept.into_inner().attachment.expect("an attachment");
    assert_eq!(kept.data.len(), 8 << 20);
    for number in 0..4 {
        let key = format!("fork-{number}");
        client.delete_session(delete(&key)).await.expect("deleted");
    }
    let left = count(&gateway.data(), "SELECT count(*) FROM content");
    assert_eq!(left, 0, "nobody names any bytes");
    gateway.check_store();
}

/// Others' commits come between the slices of a Delete, and its caller is answered when it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_anothers_delete_or_fork() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    let attachments = figure(12, 80);
    with_attachments(&mut client, "large", attachments).await;
    with_long_turns(&mut client, "long", 2 * attachments).await;

    let stop = Arc::new(AtomicBool::new(false));
    let beside = others(gateway.client().await, stop.clone());
    client
        .fork_session(fork("long", "copy"))
        .await
        .expect("forked");
    stop.store(true, Ordering::Relaxed);
    let forking = beside.await.expect("no panic");

    let stop = Arc::new(AtomicBool::new(false));
    let other = gateway.client().await;
    let gone = count(
        &gateway.data(),
        "SELECT count(*) FROM session WHERE key LIKE 'other%'",
    );
    for number in 0..gone {
        let key = format!("other-{number}");
        client.delete_session(delete(&key)).await.expect("deleted");
    }
    let beside = others(other, stop.clone());
    client
        .delete_session(delete("large"))
        .await
        .expect("deleted");
    stop.store(true, Ordering::Relaxed);
    let deleting = beside.await.expect("no panic");
    for (what, waits) in [("fork", &forking), ("delete", &deleting)] {
        let longest = waits.iter().max();
        println!(
            "{what}: {} commits of others meanwhile, the longest took {longest:?}",
            waits.len()
        );
    }
    // A slice takes one attachment of this size, and at most five messages.
    assert!(
        forking.len() as u64 > attachments / 4,
        "others waited for a fork: {forking:?}"
    );
    assert!(
        deleting.len() as u64 > attachments / 2,
        "others waited for a Delete: {deleting:?}"
    );
    assert!(!exists(&mut client, "large").await);
    gateway.check_store();
}

/// Forks that may pass until something else's words go into the index in the middle of one.
const ROUNDS_MAX: usize = 60;

/// Messages whose words are not in memory's index.
const NOT_FOUND_YET: &str = "SELECT count(*) FROM message JOIN session ON session.row = message.session \
                             WHERE role IN (1, 2) AND message.row NOT IN (SELECT row FROM episode_length)";

/// Has memory put what was said into its index, as a search does. It looks for a word that nobody says: what it finds is not
/// the question, and ranking ten thousand answers would take longer than what it is to come between.
async fn search(gateway: &Gateway) {
    search_at(&gateway.address).await;
}

async fn search_at(address: &str) {
    let mut memory = MemoryServiceClient::connect(address.to_owned())
        .await
        .expect("it accepts");
    let request = proto::SearchMemoryRequest {
        query: "aardvark".into(),
        episodes: Some(true),
        ..Default::default()
    };
    memory.search_memory(request).await.expect("an answer");
}

/// A fork of many words is put into the index in one go. Others' commits come between its slices, and no slice is a large
/// part of it: their words are cut beside the writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_messages_to_be_found() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    // One token to the agent, and 1 500 words to the index.
    let text = "0123456789-".repeat(1_500);
    for _ in 0..figure(25, 100) {
        let turn = run(&mut client, "words", &text).await;
        assert_eq!(turn.state(), proto::TurnState::Completed);
    }
    let data = gateway.data();
    eventually("all of it is found", async || {
        search(&gateway).await;
        (count(&data, NOT_FOUND_YET) == 0).then_some(())
    })
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let beside = others(gateway.client().await, stop.clone());
    client
        .fork_session(fork("words", "again"))
        .await
        .expect("forked");
    let began = Instant::now();
    eventually("the fork is found", async || {
        search(&gateway).await;
        (count(&data, NOT_FOUND_YET) == 0).then_some(())
    })
    .await;
    let all = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let waits = beside.await.expect("no panic");
    let longest = waits.iter().max().expect("some");
    println!(
        "it took {all:?}; {} commits of others meanwhile, the longest took {longest:?}",
        waits.len()
    );
    assert!(*longest * 3 < all, "one waited {longest:?} of {all:?}");
    gateway.check_store();
}

/// What is said elsewhere while a Fork copies goes into the index before the fork does; the fork's words are found all the
/// same once it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_is_found_by_its_words_whatever_was_said_meanwhile() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    with_long_turns(&mut client, "long", figure(24, 60)).await;
    let overtaken = "SELECT count(*) FROM fork WHERE (SELECT min(row) FROM message WHERE session = fork.session) <= \
                     (SELECT value FROM memory_state WHERE name = 'episodes_through')";
    let mut overtaken_by = 0;
    for _ in 0..ROUNDS_MAX {
        // Nothing waits for the index, so what is said now is the next to go into it.
        eventually("all before is found", async || {
            search(&gateway).await;
            (count(&gateway.data(), NOT_FOUND_YET) == 0).then_some(())
        })
        .await;
        let (mut forker, mut talker) = (gateway.client().await, gateway.client().await);
        let forking = tokio::spawn(async move { forker.fork_session(fork("long", "copy")).await });
        let talking = tokio::spawn(async move {
            loop {
                run(&mut talker, "other", "digits").await;
            }
        });
        let address = gateway.address.clone();
        let searching = tokio::spawn(async move {
            loop {
                search_at(&address).await;
            }
        });
        while !forking.is_finished() {
            overtaken_by += count(&gateway.data(), overtaken);
            tokio::task::yield_now().await;
        }
        talking.abort();
        searching.abort();
        forking.await.expect("no panic").expect("forked");
        if overtaken_by > 0 {
            break;
        }
        // Nobody came between: once more.
        client
            .delete_session(delete("copy"))
            .await
            .expect("deleted");
    }
    assert!(
        overtaken_by > 0,
        "nobody came between in {ROUNDS_MAX} forks"
    );
    eventually("every word is found", async || {
        search(&gateway).await;
        (count(&gateway.data(), NOT_FOUND_YET) == 0).then_some(())
    })
    .await;
    gateway.check_store();
}

/// Bytes that a process has written, to files and sockets.
fn written(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("a process");
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.expect("a count").parse().expect("a number")
}

/// What ends a turn writes its row, and not its prompt once more: a full queue of long ones is cleared in one commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_cleared_without_writing_its_prompts_again() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    let text = "x".repeat(500_000);
    let enqueue = |text: &str| proto::EnqueueRequest {
        session_key: "full".into(),
        text: text.into(),
        ..Default::default()
    };
    client.enqueue(enqueue("!hang")).await.expect("accepted");
    for _ in 0..30 {
        client.enqueue(enqueue(&text)).await.expect("accepted");
    }
    let before = written(gateway.pid());
    let began = Instant::now();
    let cleared = client.clear_queue(proto::ClearQueueRequest {
        session_key: "full".into(),
        ..Default::default()
    });
    let cleared = cleared.await.expect("cleared").into_inner();
    let took = began.elapsed();
    let bytes = written(gateway.pid()) - before;
    println!("30 turns of 500 kB took {took:?} and {bytes} bytes");
    assert_eq!(cleared.turns.len(), 30);
    assert!(bytes < 4 << 20, "{bytes} bytes were written");
    // A prompt is still there to be read.
    let turn = client.get_turn(proto::GetTurnRequest {
        session_key: "full".into(),
        turn_id: cleared.turns[7].turn_id.clone(),
    });
    let turn = turn.await.expect("there").into_inner();
    let turn = turn.turn.expect("a turn");
    assert_eq!(turn.state(), proto::TurnState::Rejected);
    assert_eq!(turn.text, text);
    gateway.check_store();
}

/// Others' commits come between the memories of an import.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_anothers_import() {
    let mut gateway = Gateway::start();
    let mut memory = MemoryServiceClient::connect(gateway.address.clone())
        .await
        .expect("it accepts");
    let memories: Vec<_> = (0..1000)
        .map(|number| proto::MemoryItem {
            key: format!("key-{number}"),
            content: format!("{number} words that stand in the index ").repeat(20),
            ..Default::default()
        })
        .collect();
    let request = proto::ImportMemoriesRequest {
        memories,
        request_id: "once".into(),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let beside = others(gateway.client().await, stop.clone());
    let began = Instant::now();
    let done = memory.import_memories(request.clone()).await.expect("done");
    let all = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    assert_eq!(done.into_inner().created, 1000);
    let waits = beside.await.expect("no panic");
    let longest = waits.iter().max().expect("some");
    println!(
        "it took {all:?}; {} commits of others meanwhile, the longest took {longest:?}",
        waits.len()
    );
    assert!(*longest * 3 < all, "one waited {longest:?} of {all:?}");
    let again = memory.import_memories(request).await.expect("answered");
    let again = again.into_inner();
    assert!(again.replayed && again.created == 1000, "{again:?}");
    gateway.check_store();
}

/// R12: a Fork or a Delete that is killed at any moment is whole or not there, and nothing is left of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_fork_or_delete_that_is_killed_is_finished_or_undone() {
    let mut dice = dice(12);
    let mut site = Site::start(String::new());
    let mut client = site.gateway.client().await;
    let turns = 12;
    with_long_turns(&mut client, "source", turns).await;
    let (mut made, mut cut) = (0, 0);
    for round in 0..figure(6, 100) {
        let key = format!("fork-{round}");
        let mut client = site.gateway.client().await;
        let (caller_key, mut caller) = (key.clone(), client.clone());
        let call = tokio::spawn(async move {
            let answer = caller.fork_session(fork("source", &caller_key)).await;
            answer.is_ok() && caller.delete_session(delete(&caller_key)).await.is_ok()
        });
        tokio::time::sleep(dice.millis(1, 120)).await;
        if exists(&mut client, &key).await {
            made += 1;
        }
        site.crash();
        let done = call.await.expect("no panic");
        let mut client = site.gateway.client().await;
        eventually("nothing of a cut fork", async || {
            (count(&site.gateway.data(), "SELECT count(*) FROM fork") == 0).then_some(())
        })
        .await;
        if exists(&mut client, &key).await {
            let request = proto::GetSessionRequest {
                session_key: key.clone(),
                ..Default::default()
            };
            let session = client
                .get_session(request)
                .await
                .expect("there")
                .into_inner();
            let count = session.session.expect("a session").message_count;
            assert_eq!(count, 2 * i64::try_from(turns).unwrap(), "a fork is whole");
            assert!(!done, "what was deleted does not come back");
            client.delete_session(delete(&key)).await.expect("deleted");
        } else if !done {
            cut += 1;
        }
    }
    println!("{made} forks were seen, {cut} were cut");
    site.gateway.check_store();
    let strays = "SELECT count(*) FROM message WHERE session NOT IN (SELECT row FROM session)";
    assert_eq!(count(&site.gateway.data(), strays), 0);
}

/// A prompt with a picture of so many bytes.
fn with_picture(key: &str, request_id: &str, bytes: usize) -> proto::EnqueueRequest {
    let mut data = vec![b'x'; bytes];
    data[..request_id.len()].copy_from_slice(request_id.as_bytes());
    proto::EnqueueRequest {
        attachments: vec![proto::Attachment {
            name: "picture".into(),
            media_type: "image/png".into(),
            data: data.into(),
        }],
        ..prompt(key, "look", request_id)
    }
}

/// What of attachments is stored and named by none.
fn loose(data: &Path) -> i64 {
    count(data, "SELECT count(*) FROM loose_content")
}

/// Others' commits come between the pieces of a large attachment, and none is larger than a slice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_anothers_attachment() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    let stop = Arc::new(AtomicBool::new(false));
    let beside = others(gateway.client().await, stop.clone());
    let began = Instant::now();
    let pictures = figure(6, 60);
    for number in 0..pictures {
        let request = with_picture("s", &number.to_string(), 8 << 20);
        client.enqueue(request).await.expect("accepted");
    }
    let all = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let waits = beside.await.expect("no panic");
    let longest = waits.iter().max().expect("some");
    println!(
        "{pictures} of 8 MiB took {all:?}; {} commits of others meanwhile, the longest took {longest:?}",
        waits.len()
    );
    // Not one of them for each picture alone.
    assert!(waits.len() as u64 > 2 * pictures, "{} commits", waits.len());
    let data = gateway.data();
    let whole = "SELECT count(*) FROM content WHERE octet_length(data) > 0";
    assert_eq!(count(&data, whole), 0);
    let largest = "SELECT max(octet_length(data)) FROM content_piece";
    assert_eq!(count(&data, largest), 256 << 10);
    assert_eq!(loose(&data), 0);
    client.delete_session(delete("s")).await.expect("deleted");
    assert_eq!(count(&data, "SELECT count(*) FROM content_piece"), 0);
    gateway.check_store();
}

/// What is refused writes nothing, and what is sent twice at once is done once; nothing is left of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attachment_of_a_command_that_is_not_done_is_not_kept() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client().await;
    let data = gateway.data();
    let before = count(&data, "SELECT page_count FROM pragma_page_count()");
    let unknown = proto::EnqueueRequest {
        agent: "nobody".into(),
        ..with_picture("s", "refused", 8 << 20)
    };
    let refused = client.enqueue(unknown).await.expect_err("refused");
    assert_eq!(reason(&refused), "INVALID_FIELD");
    let after = count(&data, "SELECT page_count FROM pragma_page_count()");
    assert!(
        after - before < 100,
        "{} pages were written",
        after - before
    );
    for round in 0..figure(4, 40) {
        let request = with_picture("s", &format!("round-{round}"), 4 << 20);
        let (mut one, mut other) = (gateway.client().await, gateway.client().await);
        let (one, other) = tokio::join!(one.enqueue(request.clone()), other.enqueue(request));
        let (one, other) = (one.expect("accepted"), other.expect("accepted"));
        let turn = |answer: &proto::EnqueueResponse| answer.turn.clone().expect("a turn").turn_id;
        let (one, other) = (one.into_inner(), other.into_inner());
        assert_eq!(turn(&one), turn(&other));
        assert!(one.replayed != other.replayed, "one of them did it");
        assert_eq!(loose(&data), 0);
        let contents = count(&data, "SELECT count(*) FROM content");
        assert_eq!(contents, i64::try_from(round).unwrap() + 1);
    }
    gateway.check_store();
}

/// Killed before its last commit, a command has not happened: its bytes are taken back, and it is done when it is sent again.
#[cfg_attr(
    not(debug_assertions),
    ignore = "a release has no places to be killed at"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attachment_that_was_cut_is_taken_back_and_sent_again() {
    let mut gateway = Gateway::start();
    gateway.kill();
    gateway.set_environment("QUARTERDECK_TEST_KILL_AT", "staged");
    gateway.restart();
    let request = with_picture("s", "once", 8 << 20);
    let mut client = gateway.client().await;
    client.enqueue(request.clone()).await.expect_err("killed");
    gateway.ended(PATIENCE).await;
    let data = gateway.data();
    assert_eq!(loose(&data), 1, "it was cut");
    check(&data);
    gateway.set_environment("QUARTERDECK_TEST_KILL_AT", "");
    gateway.restart();
    eventually("nothing of what was cut", async || {
        (count(
            &data,
            "SELECT (SELECT count(*) FROM content) + (SELECT count(*) FROM content_piece)",
        ) == 0)
            .then_some(())
    })
    .await;
    let mut client = gateway.client().await;
    let answer = client.enqueue(request.clone()).await.expect("accepted");
    let answer = answer.into_inner();
    assert!(!answer.replayed);
    let turn = answer.turn.expect("a turn");
    let attachment = client
        .get_attachment(proto::GetAttachmentRequest {
            session_key: "s".into(),
            attachment_id: turn.attachments[0].attachment_id.clone(),
        })
        .await
        .expect("there")
        .into_inner();
    let kept = attachment.attachment.expect("an attachment").data;
    assert!(kept == request.attachments[0].data, "every byte is there");
    gateway.check_store();
}
