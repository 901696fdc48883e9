//! Reads: pages, positions, filters, walls.

use super::harness::{Engine, World, attachment, id, key, name, other_viewer, viewer};
use quarterdeck::{
    domain::{EventKind, turn::TurnState},
    store::{EventsRange, TurnsFilter},
};

pub async fn events_are_read_by_range_kind_and_turn<E: Engine>() {
    let world = World::<E>::new();
    let first = world.enqueue("s", "1").await;
    world.complete("s", "ok").await;
    world.enqueue("s", "2").await;
    world.complete("s", "ok").await;
    let session = world.session("s").await;
    let read = async |range: EventsRange, limit, max_bytes| {
        world
            .store
            .events(session.row, range, limit, max_bytes)
            .await
            .unwrap()
    };
    let through = session.head;
    let all = EventsRange {
        through,
        ..EventsRange::default()
    };
    let page = read(all.clone(), 3, 1 << 20).await;
    assert_eq!(page.events.len(), 3);
    assert_eq!((page.looked, page.first_seq), (3, 1));
    let small = read(all.clone(), 99, 1).await;
    assert_eq!(small.events.len(), 1, "one at least");
    assert_eq!(small.looked, 1);
    let rest = EventsRange {
        after: 3,
        ..all.clone()
    };
    let page = read(rest, 99, 1 << 20).await;
    assert_eq!(page.events[0].seq, 4);
    assert_eq!(page.looked, through);
    let ends = EventsRange {
        kinds: vec![EventKind::TURN_ENDED],
        ..all.clone()
    };
    let page = read(ends, 99, 1 << 20).await;
    assert!(page.events.iter().all(|event| name(event) == "turn_ended"));
    assert_eq!((page.events.len(), page.looked), (2, through));
    let of_turn = EventsRange {
        turn_id: Some(id(&first)),
        ..all.clone()
    };
    let page = read(of_turn, 99, 1 << 20).await;
    assert_eq!(page.events.len(), 6);
    assert_eq!(name(&page.events[0]), "turn_queued");
    assert_eq!(name(&page.events[5]), "turn_ended");
    let earlier = EventsRange { through: 4, ..all };
    assert_eq!(read(earlier, 99, 1 << 20).await.looked, 4);
    let beyond = EventsRange {
        through: i64::MAX,
        ..EventsRange::default()
    };
    let looked = read(beyond, 99, 1 << 20).await.looked;
    assert_eq!(looked, through, "nothing beyond the head was looked at");
    let first_seq = world.store.turn_first_seq(session.row, id(&first)).await;
    assert_eq!(first_seq.unwrap(), 2);
    world.done().await;
}

pub async fn messages_are_paged_from_the_newest<E: Engine>() {
    let world = World::<E>::new();
    for text in ["1", "2", "3"] {
        world.enqueue("s", text).await;
        world.complete("s", text).await;
    }
    let row = world.session("s").await.row;
    let read = async |through, before, limit| {
        world
            .store
            .messages(row, 1, through, before, limit)
            .await
            .unwrap()
    };
    let newest = read(None, None, 4).await;
    let seqs: Vec<i64> = newest.messages.iter().map(|message| message.seq).collect();
    assert!(seqs.is_sorted(), "oldest first inside a page");
    assert_eq!(newest.messages.len(), 4);
    let older = read(None, newest.next, 4).await;
    assert_eq!((older.messages.len(), older.next), (2, None));
    assert!(older.messages[1].seq < seqs[0]);
    let seen = read(Some(seqs[0]), None, 99).await;
    assert_eq!(
        seen.messages.last().unwrap().seq,
        seqs[0],
        "later ones are hidden"
    );
    let other = world.store.messages(row, 2, None, None, 9).await.unwrap();
    assert!(other.messages.is_empty());
    world.done().await;
}

pub async fn turns_are_listed_by_session_tenant_and_state<E: Engine>() {
    let world = World::<E>::new();
    for session in ["s", "t"] {
        for text in ["1", "2", "3"] {
            world.enqueue(session, text).await;
        }
        world.complete(session, "ok").await;
    }
    world.run("t").await;
    let list = async |key: Option<&str>, states: &[TurnState], after, limit| {
        let filter = TurnsFilter {
            viewer: viewer(),
            key: key.map(super::harness::key),
            states: states.to_vec(),
        };
        let page = world.store.list_turns(filter, after, limit).await.unwrap();
        let turns: Vec<String> = page
            .turns
            .iter()
            .map(|turn| format!("{}{}", turn.session_key, turn.text))
            .collect();
        (turns, page.next)
    };
    let (page, next) = list(None, &[], None, 4).await;
    assert_eq!(page, ["t3", "t2", "t1", "s3"], "newest first");
    assert_eq!(list(None, &[], next, 4).await.0, ["s2", "s1"]);
    assert_eq!(list(Some("s"), &[], None, 9).await.0, ["s3", "s2", "s1"]);
    let unfinished = [TurnState::Queued, TurnState::Running];
    assert_eq!(
        list(None, &unfinished, None, 9).await.0,
        ["t3", "t2", "s3", "s2"]
    );
    assert_eq!(
        list(None, &[TurnState::Completed], None, 9).await.0,
        ["t1", "s1"]
    );
    assert_eq!(
        list(Some("t"), &[TurnState::Running], None, 9).await.0,
        ["t2"]
    );
    let filter = TurnsFilter {
        viewer: viewer(),
        key: Some(key("no")),
        states: Vec::new(),
    };
    let missing = world.store.list_turns(filter, None, 9).await;
    assert_eq!(missing.unwrap_err().reason(), "SESSION_NOT_FOUND");
    world.done().await;
}

pub async fn attachments_are_stored_once<E: Engine>() {
    let world = World::<E>::new();
    let mut first = world.enqueue_of("s", "1");
    first.attachments = vec![attachment("a", "same"), attachment("b", "same")];
    let committed = world.store.enqueue(first).await.unwrap();
    let references = &committed.turn.as_ref().unwrap().attachments;
    assert_eq!(references[0].attachment_id, references[1].attachment_id);
    assert_eq!(
        (references[0].name.as_str(), references[1].name.as_str()),
        ("a", "b")
    );
    let row = committed.session.row;
    let kept = world
        .store
        .attachment(row, &references[0].attachment_id)
        .await;
    assert_eq!(&kept.unwrap().data[..], b"same");
    let missing = world.store.attachment(row, "no").await;
    assert_eq!(missing.unwrap_err().reason(), "ATTACHMENT_NOT_FOUND");
    let other = world.enqueue("t", "1").await.session.row;
    let foreign = world
        .store
        .attachment(other, &references[0].attachment_id)
        .await;
    assert_eq!(foreign.unwrap_err().reason(), "ATTACHMENT_NOT_FOUND");
    world.done().await;
}

pub async fn what_waits_is_found_oldest_first<E: Engine>() {
    let world = World::<E>::new();
    for session in ["a", "b", "c", "d"] {
        world.enqueue(session, "1").await;
    }
    world.run("b").await;
    world.enqueue("b", "2").await;
    world.enqueue("a", "2").await;
    world.delete("d").await;
    let runnable = async |limit| {
        let sessions = world.runnable(limit).await;
        let keys: Vec<String> = sessions.iter().map(|s| s.key.to_string()).collect();
        keys
    };
    assert_eq!(
        runnable(9).await,
        ["d", "a", "c"],
        "deletes first, none that is active"
    );
    assert_eq!(runnable(2).await, ["d", "a"]);
    let first = world.store.queue(&viewer(), &key("a")).await.unwrap()[0].turn_id;
    world
        .store
        .remove_queued(world.caller("a"), first)
        .await
        .unwrap();
    assert_eq!(
        runnable(9).await,
        ["d", "c", "a"],
        "by its oldest waiting turn"
    );
    world.store.ping().await.unwrap();
    world.done().await;
}

pub async fn tenants_see_nothing_of_each_other<E: Engine>() {
    let world = World::<E>::new();
    world.enqueue("s", "1").await;
    let mut command = world.enqueue_of("s", "2");
    command.caller.identity = other_viewer("other", "local");
    let other = world.store.enqueue(command).await.unwrap();
    assert_eq!(other.receipt.seq, 2, "a session of its own");
    let missing = world.store.turn(&viewer(), &key("s"), id(&other)).await;
    assert_eq!(missing.unwrap_err().reason(), "TURN_NOT_FOUND");
    let filter = TurnsFilter {
        viewer: other_viewer("other", "local"),
        key: None,
        states: Vec::new(),
    };
    let turns = world.store.list_turns(filter, None, 9).await.unwrap().turns;
    assert_eq!(turns.len(), 1);
    let sessions = world
        .store
        .list_sessions(&other_viewer("other", "local"), Default::default(), None, 9)
        .await;
    assert_eq!(sessions.unwrap().sessions.len(), 1);
    world.done().await;
}
