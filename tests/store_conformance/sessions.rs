//! Sessions: made, changed, forked, listed.

use super::harness::{Engine, World, attachment, id, key, viewer};
use quarterdeck::{
    domain::{
        Refusal,
        session::{SessionFilter, SessionState},
    },
    proto::gateway_event::Kind,
    store::{Fork, NewSession, UpdateSession},
};
use std::collections::BTreeMap;
use uuid::Uuid;

pub async fn settings_change_and_agents_wait_for_the_reset<E: Engine>() {
    let world = World::<E>::new();
    let made = world
        .store
        .create_session(
            world.caller("s"),
            NewSession {
                model: "m2".into(),
                ..NewSession::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(world.kinds("s").await, ["session_created"]);
    assert_eq!(made.receipt.seq, 1);
    let taken = world
        .store
        .create_session(world.caller("s"), NewSession::default())
        .await;
    assert_eq!(
        taken.unwrap_err(),
        Refusal::SessionExists { key: "s".into() }
    );
    let update = |agent: Option<&str>| UpdateSession {
        no_approver: None,
        question_ttl: None,
        tool_policy: None,
        memory_namespaces: None,
        caller: world.caller("s"),
        display_name: Some("name".into()),
        labels: Some(BTreeMap::from([("k".into(), "v".into())])),
        agent: agent.map(str::to_owned),
        cwd: None,
        cwd_refused: None,
        expire_after_idle: Some(Some(5_000_000)),
        shares: None,
    };
    world.enqueue("s", "waits").await;
    let updated = world
        .store
        .update_session(update(Some("plain")))
        .await
        .unwrap();
    let session = updated.session;
    assert_eq!(
        (session.agent.as_str(), session.next_agent.as_str()),
        ("a", "plain")
    );
    assert_eq!(session.expire_after_idle, Some(5_000_000));
    assert_eq!(world.session("s").await, session);
    let again = world
        .store
        .update_session(update(Some("plain")))
        .await
        .unwrap();
    assert_eq!(
        again.session.head, session.head,
        "nothing changed, no event"
    );
    let unknown = world.store.update_session(update(Some("no"))).await;
    assert_eq!(unknown.unwrap_err().reason(), "INVALID_FIELD");
    let turn = world.complete("s", "ok").await;
    assert_eq!((turn.agent.as_str(), turn.model.as_str()), ("a", "m2"));
    let reset = world.reset("s").await.session;
    assert_eq!(
        (reset.agent.as_str(), reset.next_agent.as_str()),
        ("plain", "")
    );
    assert_eq!(reset.display_name, "name", "settings stay");
    let log = world.log("s").await;
    let Kind::SessionReset(event) = super::harness::decode(log.last().unwrap()) else {
        panic!()
    };
    assert_eq!((event.agent.as_str(), event.generation), ("plain", 2));
    world.done().await;
}

pub async fn a_fork_has_the_messages_up_to_its_turn<E: Engine>() {
    let world = World::<E>::new();
    let mut command = world.enqueue_of("s", "one");
    command.attachments.push(attachment("f", "content"));
    let first = world.store.enqueue(command).await.unwrap();
    let attachment_id = first.turn.as_ref().unwrap().attachments[0]
        .attachment_id
        .clone();
    world.complete("s", "1").await;
    let second = world.enqueue("s", "two").await;
    world.complete("s", "2").await;
    world.enqueue("s", "three").await;
    world.run("s").await;
    let fork = |new_key: &str, turn_id: Option<Uuid>| Fork {
        caller: world.caller("s"),
        new_key: key(new_key),
        turn_id,
    };
    let forked = world
        .store
        .fork_session(fork("f1", Some(id(&first))))
        .await
        .unwrap();
    assert_eq!(forked.session.key, key("f1"));
    assert_eq!(
        (
            forked.session.message_count,
            forked.session.user_message_count
        ),
        (2, 1)
    );
    assert_eq!(forked.session.last_message_preview, "1");
    assert_eq!((forked.session.generation, forked.session.head), (1, 1));
    let source = world.session("s").await;
    let log = world.log("f1").await;
    let Kind::SessionCreated(created) = super::harness::decode(&log[0]) else {
        panic!()
    };
    let origin = created.forked_from.unwrap();
    assert_eq!(origin.session_key, "s");
    assert_eq!(origin.log_id, source.log_id.to_string());
    assert_eq!(origin.turn_id, id(&first).to_string());
    let copied = world
        .store
        .messages(forked.session.row, 1, None, None, 9)
        .await
        .unwrap();
    let original = world
        .store
        .messages(source.row, 1, None, None, 9)
        .await
        .unwrap();
    for (copy, of) in copied.messages.iter().zip(&original.messages) {
        assert_eq!(
            (copy.item_id, &copy.parts, copy.seq),
            (of.item_id, &of.parts, 0)
        );
    }
    let kept = world
        .store
        .attachment(forked.session.row, &attachment_id)
        .await;
    assert_eq!(&kept.unwrap().data[..], b"content");

    let newest = world.store.fork_session(fork("f2", None)).await.unwrap();
    assert_eq!(newest.session.message_count, 4, "the newest finished turn");
    let log = world.log("f2").await;
    let Kind::SessionCreated(created) = super::harness::decode(&log[0]) else {
        panic!()
    };
    assert_eq!(
        created.forked_from.unwrap().turn_id,
        id(&second).to_string()
    );
    // A fork goes on by itself, and can be forked.
    world.enqueue("f2", "more").await;
    assert_eq!(world.run("f2").await.1.user_messages_before, 2);
    let again = world.store.fork_session(Fork {
        caller: world.caller("f2"),
        new_key: key("f3"),
        turn_id: None,
    });
    let again = again.await.unwrap().session;
    assert_eq!(
        again.message_count, 4,
        "no turn of the fork itself is finished"
    );
    world.done().await;
}

pub async fn a_fork_needs_a_free_key_and_an_agent_that_can<E: Engine>() {
    let world = World::<E>::new();
    let active = world.enqueue("s", "one").await;
    world.run("s").await;
    let fork = |of: &str, new_key: &str, turn_id: Option<Uuid>| {
        world.store.fork_session(Fork {
            caller: world.caller(of),
            new_key: key(new_key),
            turn_id,
        })
    };
    assert_eq!(
        fork("s", "s", None).await.unwrap_err().reason(),
        "SESSION_EXISTS"
    );
    let unfinished = fork("s", "f", Some(id(&active))).await;
    assert_eq!(unfinished.unwrap_err().reason(), "INVALID_FIELD");
    let unknown = fork("s", "f", Some(Uuid::now_v7())).await;
    assert_eq!(unknown.unwrap_err().reason(), "TURN_NOT_FOUND");
    let missing = fork("no", "f", None).await;
    assert_eq!(missing.unwrap_err().reason(), "SESSION_NOT_FOUND");
    let new = NewSession {
        agent: "plain".into(),
        ..NewSession::default()
    };
    world
        .store
        .create_session(world.caller("p"), new)
        .await
        .unwrap();
    assert_eq!(
        fork("p", "f", None).await.unwrap_err().reason(),
        "UNSUPPORTED_BY_AGENT"
    );
    world.done().await;
}

pub async fn lists_are_paged_and_filtered<E: Engine>() {
    let world = World::<E>::new();
    for number in 0..5 {
        let new = NewSession {
            agent: if number == 2 {
                "plain".into()
            } else {
                String::new()
            },
            labels: BTreeMap::from([("n".to_owned(), (number % 2).to_string())]),
            ..NewSession::default()
        };
        let caller = world.caller(&format!("s{number}"));
        world.store.create_session(caller, new).await.unwrap();
    }
    let list = async |filter: SessionFilter, after, limit| {
        let page = world
            .store
            .list_sessions(&viewer(), filter, after, limit)
            .await
            .unwrap();
        let keys: Vec<String> = page.sessions.iter().map(|s| s.key.to_string()).collect();
        (keys, page.next)
    };
    let all = SessionFilter::default();
    let (first, next) = list(all.clone(), None, 2).await;
    assert_eq!(first, ["s4", "s3"]);
    let (second, next) = list(all.clone(), next, 2).await;
    assert_eq!(second, ["s2", "s1"]);
    let (third, next) = list(all.clone(), next, 2).await;
    assert_eq!((third, next), (vec!["s0".to_owned()], None));
    let odd = SessionFilter {
        labels: BTreeMap::from([("n".into(), "1".into())]),
        ..all.clone()
    };
    assert_eq!(list(odd, None, 9).await.0, ["s3", "s1"]);
    let plain = SessionFilter {
        agent: "plain".into(),
        ..all.clone()
    };
    assert_eq!(list(plain, None, 9).await.0, ["s2"]);
    world.enqueue("s1", "x").await;
    world.run("s1").await;
    let running = SessionFilter {
        states: vec![SessionState::Running],
        ..all.clone()
    };
    assert_eq!(list(running, None, 9).await.0, ["s1"]);
    world.delete("s3").await;
    assert_eq!(
        list(all, None, 9).await.0.len(),
        4,
        "being deleted is not found"
    );
    world.done().await;
}

pub async fn a_key_made_again_has_another_log<E: Engine>() {
    let world = World::<E>::new();
    let old = world.enqueue("s", "1").await.session;
    world.enqueue("s", "2").await;
    world.delete("s").await;
    let (fence, _) = world.store.claim(old.row).await.unwrap();
    world.store.finish_delete(fence, world.now()).await.unwrap();
    world.store.purge_session(fence, world.now()).await.unwrap();
    let new = world.enqueue("s", "3").await;
    assert_eq!(new.receipt.seq, 2, "the log begins again");
    assert_ne!(new.session.log_id, old.log_id);
    assert_ne!(new.session.row, old.row, "rows are never used again");
    assert_eq!(new.receipt.queue_position, 0);
    let late = world.store.claim(old.row).await;
    assert_eq!(late.unwrap_err().reason(), "SESSION_DELETED");
    world.done().await;
}
