//! The pi driver against a scripted pi: what a child can do wrong, and what must be left of it (nothing).

mod agent_pi_support;
#[path = "agent_support/mod.rs"]
mod support;

use agent_pi_support::{Place, outcome, processes, said, scripted, streamed};
use quarterdeck::{
    agent::{AgentCommand, AgentEvent, Outcome, pi::PiOptions},
    domain::{
        question::{Answer, QuestionKind},
        turn::StopReason,
    },
};
use serde_json::Value;
use std::{path::Path, time::Duration};
use support::eventually;

const COMPLETED: Outcome = Outcome::Completed(StopReason::Stop);
const SECRET: &str = "a-very-secret-key";

/// A scripted pi that behaves as these words say, and what the command line of its tools is.
fn options(words: &str) -> (PiOptions, String) {
    let (mut options, marker) = scripted(words);
    let key = ("FAKE_API_KEY".into(), SECRET.into());
    options.environment.push(key);
    (options, format!("sleep {marker}"))
}

fn place(words: &str) -> (Place, String) {
    let (options, sleep) = options(words);
    (Place::new(options), sleep)
}

#[tokio::test]
async fn turns_stream_in_both_dialects_and_the_conversation_survives_its_process() {
    for words in ["", "old"] {
        let (place, _) = place(words);
        let (mut session, model) = place.open().await;
        assert_eq!(model, "fake/fake-1");
        let (end, text, events) = session.ask("line\u{2028}one two").await;
        assert_eq!(end, COMPLETED);
        assert_eq!(text, "Echo: line\u{2028}one two");
        assert_eq!(streamed(&events), text);
        drop(session);
        let (mut session, _) = place.open().await;
        assert_eq!(
            session.ask("history").await.1,
            "1 ['\"line\\\\u2028one two\"']"
        );
    }
}

#[tokio::test]
async fn garbage_and_lines_that_are_too_long_are_skipped() {
    let (place, _) = place("");
    let (mut session, _) = place.open().await;
    for prompt in ["garbage in", "long lines", "garble the end", "go on"] {
        let (end, text, _) = session.ask(prompt).await;
        assert_eq!(end, COMPLETED, "{prompt}");
        assert_eq!(text, format!("Echo: {prompt}"));
    }
}

#[tokio::test]
async fn a_crash_ends_the_turn_with_the_status_and_the_last_words_but_no_secret() {
    let (place, _) = place("");
    let (mut session, _) = place.open().await;
    session.ask("first").await;
    session.start("crash").await;
    let events = session.turn().await;
    assert_eq!(streamed(&events), "half");
    let Some(AgentEvent::Exited { message }) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(
        message,
        "pi ended (exit status: 3): panic: the key is [secret]"
    );
    session.assert_closed().await;
    // It continues where its file ends.
    let (mut session, _) = place.open().await;
    assert_eq!(session.ask("history").await.1, "1 ['\"first\"']");
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    let (place, _) = self::place("die");
    let error = place.try_open().await.err().unwrap().to_string();
    assert_eq!(
        error,
        "pi did not start (exit status: 1): pi: unknown provider; key [secret]"
    );

    let (mut options, _) = options("silent");
    options.start_timeout = Duration::from_secs(1);
    let silent = Place::new(options.clone());
    let error = silent.try_open().await.err().unwrap().to_string();
    assert!(
        error.contains("did not answer within its start limit"),
        "{error}"
    );
    let session_id = silent.request.session_id.to_string();
    assert_eq!(processes(&session_id), Vec::<String>::new());

    options.thinking_level = "bogus".into();
    let error = Place::new(options.clone())
        .try_open()
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no thinking level \"bogus\""), "{error}");
    options.command = vec![];
    let error = Place::new(options.clone())
        .try_open()
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("command of pi is empty"), "{error}");
    options.command = vec!["/no/such/program".into()];
    options.thinking_level.clear();
    let error = Place::new(options)
        .try_open()
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("/no/such/program"), "{error}");
}

#[tokio::test]
async fn every_owner_has_a_pi_directory_of_its_own_and_choices_stand_on_the_command_line() {
    let template = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(template.path().join(name), text).unwrap();
    write("models.json", "models 1");
    write("settings.json", "settings 1");
    write("auth.json", "auth 1");
    let (mut options, _) = options("");
    options.template_directory = Some(template.path().into());
    options.model = "default/model".into();
    options.thinking_level = "low".into();
    options.arguments = vec!["--no-extensions".into()];
    let mut place = Place::new(options);
    place.request.thinking_level = "high".into();
    let (mut session, _) = place.open().await;
    let said = session.ask("args").await.1;
    let said: Value = serde_json::from_str(&said).unwrap();
    let directory = place.request.session_directory.display();
    let file = format!("{directory}/{}.jsonl", place.request.session_id);
    let gateway = place.request.gateway_directory.display();
    let extension = format!("{gateway}/quarterdeck-memory.js");
    let directory = directory.to_string();
    let wanted = [
        "--mode",
        "rpc",
        "--session-dir",
        &directory,
        "--session",
        &file,
        "--model",
        "default/model",
        "--thinking",
        "high",
        "--extension",
        &extension,
        "--no-extensions",
    ];
    assert_eq!(said["argv"], serde_json::json!(wanted));
    let pi = place.request.owner_directory.join("pi");
    assert_eq!(said["env"]["PI_CODING_AGENT_DIR"], pi.to_str().unwrap());
    assert_eq!(said["env"]["PI_OFFLINE"], "1");
    let own = [
        ("HOME", &place.request.home_directory),
        ("TMPDIR", &place.request.temporary_directory),
    ];
    for (name, directory) in own {
        assert_eq!(said["env"][name], directory.to_str().unwrap(), "{name}");
    }
    assert_eq!(
        said["env"]["CARGO_MANIFEST_DIR"],
        Value::Null,
        "the gateway's own stays here"
    );
    drop(session);

    // Models and logins follow the template; a tenant's settings are its own.
    write("models.json", "models 2");
    write("settings.json", "settings 2");
    write("auth.json", "auth 2");
    place.open().await;
    let read = |name: &str| std::fs::read_to_string(pi.join(name)).unwrap();
    assert_eq!(read("models.json"), "models 2");
    assert_eq!(read("settings.json"), "settings 1");
    assert_eq!(read("auth.json"), "auth 2");
    assert_eq!(std::fs::read_dir(&pi).unwrap().count(), 3);
    // A login is a copy, which pi may refresh: it stays, and the template is nobody's to write.
    std::fs::write(pi.join("auth.json"), "refreshed").unwrap();
    place.open().await;
    assert_eq!(read("auth.json"), "refreshed");
    assert!(!pi.join("auth.json").is_symlink());
    let kept = std::fs::read_to_string(template.path().join("auth.json")).unwrap();
    assert_eq!(kept, "auth 2");
}

/// R19: wherever the server writes for an agent, that agent may have put a link to what it wants written.
#[tokio::test]
async fn what_an_agent_plants_does_not_lead_the_server_outside() {
    let template = tempfile::tempdir().unwrap();
    for name in ["models.json", "settings.json", "auth.json"] {
        std::fs::write(template.path().join(name), "of the template").unwrap();
    }
    let (mut options, _) = options("");
    options.template_directory = Some(template.path().into());
    let place = Place::new(options);
    drop(place.open().await);
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let untouched = || {
        let names = std::fs::read_dir(outside.path()).unwrap();
        let names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
        names == ["secret"] && std::fs::read_to_string(&secret).unwrap() == "secret"
    };
    let pi = place.request.owner_directory.join("pi");
    let gateway = &place.request.gateway_directory;
    let files = [
        gateway.join("quarterdeck-memory.js"),
        gateway.join("quarterdeck-memory.txt"),
        pi.join("models.json"),
        pi.join("settings.json"),
        pi.join("auth.json"),
    ];
    let plants: [&dyn Fn(&Path); 3] = [
        &|file| std::os::unix::fs::symlink(&secret, file).unwrap(),
        &|file| std::fs::hard_link(&secret, file).unwrap(),
        // Who opens it for writing waits for a reader, for ever.
        &|file| {
            let fifo = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, file, fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        },
    ];
    for plant in plants {
        for file in &files {
            let _ = std::fs::remove_file(file);
            plant(file);
        }
        let (mut session, _) = place.open().await;
        session.start_with_memory("hello", "a memory").await;
        assert_eq!(outcome(&session.turn().await), COMPLETED);
        assert!(untouched());
    }
    // The whole directory as a link: nothing is written there, and the start says what is wrong.
    std::fs::remove_dir_all(&pi).unwrap();
    std::os::unix::fs::symlink(outside.path(), &pi).unwrap();
    let error = place.try_open().await.err().unwrap().to_string();
    assert!(error.contains("symbolic links are not followed"), "{error}");
    assert!(untouched());
}

#[tokio::test]
async fn a_soft_cancel_ends_all_that_the_turn_started_and_nothing_else() {
    for words in ["sitter", "sitter old"] {
        let (place, sleep) = place(words);
        let (mut session, _) = place.open().await;
        eventually("the sitter runs", || processes(&sleep).len() == 1).await;
        session.start("tool").await;
        eventually("the tool runs", || processes(&sleep).len() == 3).await;
        session.send(AgentCommand::Cancel).await;
        let events = session.turn().await;
        assert_eq!(outcome(&events), Outcome::Stopped);
        assert_eq!(
            processes(&sleep).len(),
            1,
            "the sitter is older than the turn"
        );
        assert_eq!(session.ask("go on").await.1, "Echo: go on");
        // Outside a turn there is nothing to stop.
        session.send(AgentCommand::Cancel).await;
        session.send(AgentCommand::Kill).await;
        assert_eq!(session.ask("go on").await.1, "Echo: go on");
        drop(session);
        eventually("all is gone", || processes(&sleep).is_empty()).await;
    }
}

#[tokio::test]
async fn a_child_that_ignores_an_abort_is_killed_with_all_below_it() {
    let (place, sleep) = place("");
    let (mut session, _) = place.open().await;
    session.start("deaf").await;
    eventually("the tool runs", || processes(&sleep).len() == 2).await;
    session.send(AgentCommand::Cancel).await;
    session.send(AgentCommand::Kill).await;
    let events = session.turn().await;
    assert!(
        matches!(events.last(), Some(AgentEvent::Exited { message }) if message.contains("pi was killed"))
    );
    session.assert_closed().await;
    assert_eq!(processes(&sleep), Vec::<String>::new());
    let session_id = place.request.session_id.to_string();
    assert_eq!(processes(&session_id), Vec::<String>::new());
}

#[tokio::test]
async fn a_kill_is_heard_while_nobody_reads_the_events() {
    let (place, _) = place("");
    let (mut session, _) = place.open().await;
    session.start("flood").await;
    session
        .until(|event| matches!(event, AgentEvent::TextDelta { .. }))
        .await;
    session.send(AgentCommand::Kill).await;
    let session_id = place.request.session_id.to_string();
    eventually("pi is gone", || processes(&session_id).is_empty()).await;
    let events = session.turn().await;
    assert!(matches!(events.last(), Some(AgentEvent::Exited { .. })));
    session.assert_closed().await;
}

#[tokio::test]
async fn a_steer_is_applied_in_its_turn_or_never() {
    let (place, _) = place("");
    let (mut session, _) = place.open().await;
    // Its run lasts until somebody answers.
    session.start("dialog").await;
    let asked = session
        .until(|event| matches!(event, AgentEvent::Asked { .. }))
        .await;
    let steer_id = session.steer("left").await;
    session.send(confirmed(&asked, "yes")).await;
    let events = session.turn().await;
    let applied = events
        .iter()
        .position(|it| *it == AgentEvent::SteerApplied { steer_id });
    assert_eq!(said(&events[applied.unwrap()..]), "Steered: left");
}

#[tokio::test]
async fn a_steer_that_came_too_late_does_not_reach_the_next_turn() {
    for (words, survives) in [("", true), ("old", false)] {
        let (place, _) = place(words);
        let (mut session, _) = place.open().await;
        session.start("late").await;
        session
            .until(|event| matches!(event, AgentEvent::TextDelta { .. }))
            .await;
        let steer_id = session.steer("too late").await;
        let events = session.turn().await;
        assert_eq!(outcome(&events), COMPLETED);
        assert!(!events.contains(&AgentEvent::SteerApplied { steer_id }));
        if !survives {
            // It can't be taken back, so this process must not get another prompt, nor lose one.
            assert!(session.agent.commands.is_closed());
            assert!(matches!(session.next().await, AgentEvent::Exited { .. }));
            session.assert_closed().await;
            session = place.open().await.0;
        }
        assert_eq!(session.ask("go on").await.1, "Echo: go on");
    }
}

/// The answer to the confirmation that was asked for last.
fn confirmed(events: &[AgentEvent], option_id: &str) -> AgentCommand {
    let Some(AgentEvent::Asked { ask_id, ask }) = events.last() else {
        panic!("nothing was asked: {events:?}")
    };
    assert_eq!(ask.kind, QuestionKind::Permission);
    assert_eq!(ask.title, "Really? ?");
    AgentCommand::Answer {
        ask_id: ask_id.clone(),
        answer: Box::new(Answer {
            option_id: option_id.into(),
            declined: option_id == "no",
            ..Answer::default()
        }),
    }
}

#[tokio::test]
async fn a_dialog_of_an_extension_is_a_question() {
    let (place, _) = place("");
    let (mut session, _) = place.open().await;
    for (option_id, told) in [("yes", "confirmed"), ("no", "denied")] {
        session.start("dialog").await;
        let asked = session
            .until(|event| matches!(event, AgentEvent::Asked { .. }))
            .await;
        session.send(confirmed(&asked, option_id)).await;
        let events = session.turn().await;
        assert_eq!(said(&events), told);
        assert_eq!(outcome(&events), COMPLETED);
        let ask_id = "d1".to_owned();
        assert!(events.contains(&AgentEvent::AnswerDelivered { ask_id }));
    }
    // One that is open when the turn is stopped is cancelled.
    session.start("dialog").await;
    session
        .until(|event| matches!(event, AgentEvent::Asked { .. }))
        .await;
    session.send(AgentCommand::Cancel).await;
    let events = session.turn().await;
    // The extension hears of it, and may yet end its run before the abort reaches that.
    let ended = outcome(&events);
    assert!(
        ended == Outcome::Stopped || said(&events) == "cancelled",
        "{ended:?}"
    );
    assert_eq!(session.ask("go on").await.1, "Echo: go on");
}

#[tokio::test]
async fn two_sessions_at_once_do_not_mix() {
    let (one, _) = place("");
    let (two, _) = place("old");
    let ((mut one, _), (mut two, _)) = tokio::join!(one.open(), two.open());
    for round in 0..5 {
        let (a, b) = (format!("a {round}"), format!("b {round}"));
        let (first, second) = tokio::join!(one.ask(&a), two.ask(&b));
        assert_eq!(first.1, format!("Echo: {a}"));
        assert_eq!(second.1, format!("Echo: {b}"));
    }
}

// --- commands ---

#[tokio::test]
async fn a_prompt_that_begins_with_a_slash_is_a_text_and_a_command_is_one() {
    let mut options = scripted("").0;
    // In the workspace: an agent that is isolated writes nowhere else.
    let file = ("FAKE_PI_PROMPTS".into(), "prompts".into());
    options.environment.push(file);
    let place = Place::new(options);
    let prompts = place.request.working_directory.join("prompts");
    std::fs::write(&prompts, "").unwrap();
    let (mut session, _) = place.open().await;
    let (end, text, events) = session.ask("/note this").await;
    let text_of_it = "\u{200b}/note this";
    assert_eq!((end, text), (COMPLETED, format!("Echo: {text_of_it}")));
    let told = events.iter().find_map(|event| match event {
        AgentEvent::CommandsChanged { commands } => Some(commands),
        _ => None,
    });
    let names: Vec<&str> = told.unwrap().iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["skill:review", "note"]);
    session.start_command("note", "/note this").await;
    assert_eq!(outcome(&session.turn().await), COMPLETED);
    let given = std::fs::read_to_string(&prompts).unwrap();
    assert_eq!(given, format!("{text_of_it}\n/note this\n"));
}

#[tokio::test]
async fn a_compaction_on_request_is_a_turn() {
    for words in ["", "old"] {
        let place = Place::new(scripted(words).0);
        let (mut session, _) = place.open().await;
        session.start_command("compact", "/compact the names").await;
        let events = session.turn().await;
        assert_eq!(outcome(&events), COMPLETED);
        let summary = events.iter().find_map(|event| match event {
            AgentEvent::CompactionCompleted { summary, .. } => Some(summary.as_str()),
            _ => None,
        });
        assert_eq!(summary, Some("kept: the names"));
        session.start_command("compact", "/compact nothing").await;
        let refused = Outcome::Failed("Nothing to compact".into());
        assert_eq!(outcome(&session.turn().await), refused);
        assert_eq!(session.ask("say on").await.1, "on");
    }
}

#[tokio::test]
async fn a_pi_without_a_conversation_says_so() {
    let place = Place::new(scripted("").0);
    let (mut session, _) = place.open().await;
    assert!(!session.agent.remembers);
    session.ask("say it").await;
    drop(session);
    let file = place
        .request
        .session_directory
        .join(format!("{}.jsonl", place.request.session_id));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("{{\"type\":\"session\",\"cwd\":\"/\"}}\n{text}"),
    )
    .unwrap();
    let (session, _) = place.open().await;
    assert!(session.agent.remembers);
}
