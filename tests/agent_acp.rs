//! The ACP driver against a scripted agent: what agents do in their own ways, and what must be left of them (nothing).

mod agent_acp_support;
#[path = "agent_support/mod.rs"]
mod support;

use agent_acp_support::{
    COMPLETED, Place, Session, completed, marked, outcome, said, scripted, started, usages,
};
use quarterdeck::{
    agent::{AgentCommand, AgentEvent, Outcome},
    domain::{
        event::{PlanEntry, PlanStatus},
        question::{Answer, OptionEffect, QuestionKind},
        turn::{Attachment, StopReason},
    },
};
use serde_json::{Value, json};
use std::{fs, time::Duration};
use support::eventually;

const SECRET: &str = "a-very-secret-key";

fn with_secret(words: &str) -> Place {
    let mut options = scripted(words).0;
    let key = ("FAKE_API_KEY".into(), SECRET.into());
    options.environment.push(key);
    Place::new(options)
}

async fn asked_in(words: &str, prompt: &str) -> (Place, Session) {
    let place = Place::scripted(words);
    let session = place.open().await;
    session.start(prompt).await;
    (place, session)
}

fn failure(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(message) => message,
        other => panic!("{other:?}"),
    }
}

// --- opening ---

#[tokio::test]
async fn a_conversation_goes_on_in_the_way_that_its_agent_offers() {
    for (words, method) in [("", "session/resume"), ("load noisy", "session/load")] {
        let place = Place::scripted(words);
        let mut session = place.open().await;
        assert_eq!(session.ask("the first").await.1, "Echo: the first");
        session.close().await;
        let mut session = place.open().await;
        // What is told once more is nobody's answer.
        let (end, text, _) = session.ask("history").await;
        assert_eq!(
            (end, text.as_str()),
            (COMPLETED, "1 ['\"the first\"']"),
            "{words}"
        );
        let opened = session.ask_json("opened").await;
        assert_eq!(opened["opened"][0]["method"], method);
    }
}

#[tokio::test]
async fn an_agent_that_lost_its_conversation_begins_another_one() {
    for words in ["lost", "forgets"] {
        let place = Place::scripted(words);
        let mut session = place.open().await;
        session.ask("the first").await;
        session.close().await;
        let mut session = place.open().await;
        assert_eq!(session.ask("history").await.1, "0 []", "{words}");
        // The new one is what it goes on with, and so on.
        let opened = session.ask_json("opened").await;
        let last = opened["opened"].as_array().unwrap().last().unwrap();
        assert_eq!(last["method"], "session/new");
    }
}

#[tokio::test]
async fn a_generation_has_a_conversation_of_its_own_and_a_link_in_its_place_is_not_followed() {
    let mut place = Place::scripted("");
    place.open().await.ask("the first").await;
    place.request.session_id = uuid::Uuid::now_v7();
    assert_eq!(place.open().await.ask("history").await.1, "0 []");
    let name = format!("{}.acp.json", place.request.session_id);
    let file = place.request.session_directory.join(name);
    let elsewhere = place.request.session_directory.join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    let refusal = place.refusal().await;
    assert!(refusal.contains("which conversation"), "{refusal}");
}

#[tokio::test]
async fn what_is_chosen_reaches_the_agent_before_a_turn_and_goes_back_to_what_it_began_with() {
    let mut options = scripted("").0;
    options.thinking_level = "low".into();
    options.mode = "trust".into();
    let place = Place::new(options);
    let mut session = place.open().await;
    assert!(session.agent.capabilities.models && session.agent.capabilities.thinking);
    assert!(session.agent.capabilities.options && session.agent.takes_choices);
    session.choices.model = "fake-2".into();
    session.choices.thinking_level = "high".into();
    let opened = session.ask_json("opened").await;
    let chosen = json!({ "mode": "trust", "model": "fake-2", "effort": "high" });
    assert_eq!(opened["chosen"], chosen);
    let calls = opened["opened"].as_array().unwrap().iter();
    let settings: Vec<&Value> = calls.filter_map(|it| it.get("configId")).collect();
    assert_eq!(settings, ["mode", "model", "effort"]);
    // In the same process, in the middle of its conversation; and with nothing chosen.
    session.choices.options = [("mode".to_owned(), "ask".to_owned())].into();
    session.choices.thinking_level = "low".into();
    let chosen = json!({ "mode": "ask", "model": "fake-2", "effort": "low" });
    assert_eq!(session.ask_json("opened").await["chosen"], chosen);
    session.choices = Default::default();
    let began = json!({ "mode": "trust", "model": "fake-1", "effort": "low" });
    assert_eq!(session.ask_json("opened").await["chosen"], began);
    assert_eq!(session.ask("history").await.1.split(' ').next(), Some("3"));

    // A choice that is given back while no process runs is given back all the same.
    session.choices.model = "fake-2".into();
    session.ask("a").await;
    session.close().await;
    let mut session = place.open().await;
    assert_eq!(
        session.ask_json("opened").await["chosen"]["model"],
        "fake-1"
    );
}

/// Agents that have lists in place of options.
#[tokio::test]
async fn models_and_modes_of_lists_are_chosen_by_their_own_words() {
    let mut options = scripted("lists").0;
    options.mode = "trust".into();
    let place = Place::new(options);
    let mut session = place.open().await;
    assert!(session.agent.capabilities.models && !session.agent.capabilities.thinking);
    session.choices.model = "fake-2".into();
    session.choices.options = [("mode".to_owned(), "ask".to_owned())].into();
    let chosen = session.ask_json("opened").await["chosen"].clone();
    assert_eq!(
        (&chosen["mode"], &chosen["model"]),
        (&json!("ask"), &json!("fake-2"))
    );
    session.choices = Default::default();
    let chosen = session.ask_json("opened").await["chosen"].clone();
    assert_eq!(
        (&chosen["mode"], &chosen["model"]),
        (&json!("trust"), &json!("fake-1"))
    );
}

/// A choice that fails ends the turn, with its reason, and the next one goes on in the same process.
#[tokio::test]
async fn a_choice_that_can_not_be_made_fails_the_turn_and_says_why() {
    for (words, model, level, option, why) in [
        (
            "",
            "broken",
            "",
            "",
            "offers: fake-1, fake-2: Unknown model: broken",
        ),
        (
            "",
            "",
            "extreme",
            "",
            "does not take the thinking level \"extreme\"; it offers: low, high",
        ),
        ("", "", "", "mood", "offers no option mood"),
        ("lists", "", "high", "", "offers no thinking level"),
        ("bare", "fake-2", "", "", "lets nobody choose a model"),
    ] {
        let place = Place::scripted(words);
        let mut session = place.open().await;
        session.choices.model = model.into();
        session.choices.thinking_level = level.into();
        if !option.is_empty() {
            session.choices.options = [(option.to_owned(), "x".to_owned())].into();
        }
        match session.ask("hi").await.0 {
            Outcome::Failed(reason) => assert!(reason.contains(why), "{reason}"),
            other => panic!("{other:?}"),
        }
        session.choices = Default::default();
        assert_eq!(session.ask("history").await.1.split(' ').next(), Some("0"));
    }
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    let refusal = with_secret("die").refusal().await;
    assert_eq!(
        refusal,
        "the agent did not start (exit status: 1): fake: unknown provider; key [secret]"
    );
    for (words, why) in [
        ("version2", "speaks version 2 of the Agent Client Protocol"),
        (
            "signedout",
            "not signed in to its model provider (Authentication required)",
        ),
    ] {
        let (options, marker) = scripted(words);
        let refusal = Place::new(options).refusal().await;
        assert!(refusal.contains(why), "{refusal}");
        assert_eq!(marked(&marker), [0; 0]);
    }
    let (mut options, marker) = scripted("silent");
    options.start_timeout = Duration::from_secs(1);
    let refusal = Place::new(options.clone()).refusal().await;
    assert!(refusal.contains("start limit of 1 s"), "{refusal}");
    assert_eq!(marked(&marker), [0; 0]);
    options.command = vec![];
    let refusal = Place::new(options.clone()).refusal().await;
    assert!(
        refusal.contains("command of the agent is empty"),
        "{refusal}"
    );
    options.command = vec!["/no/such/program".into()];
    let refusal = Place::new(options).refusal().await;
    assert!(refusal.contains("/no/such/program"), "{refusal}");
}

#[tokio::test]
async fn every_session_has_a_home_of_its_own_that_begins_with_the_template() {
    let template = tempfile::tempdir().unwrap();
    fs::create_dir(template.path().join(".config")).unwrap();
    fs::write(
        template.path().join(".config/settings"),
        "from the template",
    )
    .unwrap();
    let mut options = scripted("").0;
    options.template_directory = Some(template.path().into());
    options.arguments = vec!["--flag".into()];
    let place = Place::new(options);
    let mut session = place.open().await;
    let told = session.ask_json("args").await;
    assert_eq!(told["argv"], json!(["--flag"]));
    for (name, directory) in [
        ("HOME", &place.request.home_directory),
        ("TMPDIR", &place.request.temporary_directory),
    ] {
        assert_eq!(told["env"][name], directory.to_str().unwrap());
    }
    assert_eq!(told["env"]["TRACEPARENT"], place.request.trace_context);
    assert_eq!(told["env"]["CARGO_MANIFEST_DIR"], Value::Null);
    let (_, text, _) = session.ask("shell cat ~/.config/settings").await;
    assert_eq!(text, "from the template");
}

// --- what a turn says ---

#[tokio::test]
async fn another_name_is_another_message_and_thinking_stands_before_its_text() {
    let place = Place::scripted("");
    let (end, text, events) = place.open().await.ask("warn").await;
    assert_eq!(end, COMPLETED);
    assert_eq!(text, "Warning: nobody knows this model|The answer|and more");
    let thoughts: Vec<(i32, &str)> = events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::ThinkingCompleted {
                content_index,
                text,
            } => Some((*content_index, text.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(thoughts, [(0, "I think"), (1, "more")]);
}

#[tokio::test]
async fn output_that_comes_whole_or_in_pieces_ends_as_the_same() {
    let place = Place::scripted("");
    let (end, _, events) = place.open().await.ask("outputs").await;
    assert_eq!(end, COMPLETED);
    let names: Vec<(&str, &str)> = started(&events).iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(
        names,
        [
            ("c1", "sh"),
            ("c2", "bash"),
            ("c3", "mcp__out__search"),
            ("c4", "Write")
        ]
    );
    // Known once it is written whole.
    assert_eq!(started(&events)[1].2, r#"{"command":"b"}"#);
    let results = completed(&events);
    let first = json!({ "content": [], "output": "one\ntwo\n", "exitCode": 7 });
    assert_eq!(results[0], ("c1", first, false));
    let second = json!({ "content": [{ "type": "text", "text": "one\ntwo\n" }] });
    assert_eq!(results[1], ("c2", second, false));
    let third = json!({ "content": [], "rawOutput": { "error": "nothing" } });
    assert_eq!(results[2], ("c3", third, true));
    let (_, fourth, _) = &results[3];
    assert_eq!(fourth["content"][0]["newText"], "x");
    assert_eq!(fourth["locations"][0]["path"], "/w");
    let partial = |call: &str| {
        let updates = events.iter().filter_map(move |event| match event {
            AgentEvent::ToolUpdate {
                tool_call_id,
                partial_result_json,
            } if tool_call_id == call => Some(partial_result_json.as_str()),
            _ => None,
        });
        updates
            .map(|it| serde_json::from_str::<Value>(it).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(partial("c1")[0]["output"], "one\n");
    assert_eq!(partial("c1")[1]["output"], "one\ntwo\n");
    assert_eq!(partial("c2")[1]["content"][0]["text"], "one\ntwo\n");
}

#[tokio::test]
async fn a_picture_of_a_large_result_is_kept_beside_it() {
    let place = Place::scripted("");
    let (_, _, events) = place.open().await.ask("picture").await;
    let pictures = events.iter().find_map(|event| match event {
        AgentEvent::ToolCompleted { pictures, .. } => Some(pictures),
        _ => None,
    });
    let pictures = pictures.expect("the tool ended");
    assert_eq!(pictures.len(), 1);
    assert_eq!(pictures[0].data.len(), 256 * 1024);
    let (_, result, _) = &completed(&events)[0];
    assert_eq!(
        result["content"][1]["attachmentId"],
        pictures[0].reference.attachment_id
    );
}

#[tokio::test]
async fn a_plan_comes_from_its_update_and_from_a_tool() {
    let place = Place::scripted("");
    let (_, _, events) = place.open().await.ask("plan").await;
    let plans = events.iter().filter_map(|event| match event {
        AgentEvent::PlanUpdated { entries } => Some(entries.as_slice()),
        _ => None,
    });
    let plans: Vec<Vec<(String, PlanStatus, String)>> = plans
        .map(|entries| {
            let step = |it: &PlanEntry| (it.text.clone(), it.status, it.priority.clone());
            entries.iter().map(step).collect()
        })
        .collect();
    let step = |text: &str, status, priority: &str| (text.to_owned(), status, priority.to_owned());
    let first = vec![
        step("look", PlanStatus::Completed, "high"),
        step("leap", PlanStatus::InProgress, "low"),
    ];
    let second = vec![step("rest", PlanStatus::Pending, "")];
    assert_eq!(plans, [first, second]);
}

#[tokio::test]
async fn what_nobody_knows_is_passed_over() {
    let place = Place::scripted("");
    let mut session = place.open().await;
    let (end, text, events) = session.ask("odd").await;
    assert_eq!((end, text.as_str()), (COMPLETED, "-32601"));
    assert_eq!(started(&events), []);
    assert_eq!(session.ask("go on").await.1, "Echo: go on");
}

/// An agent was seen whose killed tool tells its end within the next turn.
#[tokio::test]
async fn the_late_end_of_a_tool_is_no_part_of_the_next_turn() {
    let place = Place::scripted("");
    let mut session = place.open().await;
    let (_, _, events) = session.ask("late").await;
    let (call, _, is_error) = &completed(&events)[0];
    assert_eq!((*call, *is_error), ("c7", true));
    let (end, _, events) = session.ask("go on").await;
    assert_eq!(end, COMPLETED);
    assert_eq!((started(&events), completed(&events)), (vec![], vec![]));
}

#[tokio::test]
async fn two_calls_of_one_name_are_two_and_an_open_one_is_closed() {
    let place = Place::scripted("");
    let mut session = place.open().await;
    let (_, _, events) = session.ask("twice").await;
    let ids: Vec<&str> = started(&events).iter().map(|it| it.0).collect();
    assert_eq!(ids, ["c1", "c1#2"]);
    let ids: Vec<&str> = completed(&events).iter().map(|it| it.0).collect();
    assert_eq!(ids, ["c1", "c1#2"]);
    let (end, _, events) = session.ask("open").await;
    assert_eq!(end, COMPLETED);
    assert_eq!(started(&events), [("c1", "bash", r#"{"command":"x"}"#)]);
    assert!(completed(&events)[0].2);
}

#[tokio::test]
async fn memory_stands_beside_the_prompt_and_images_go_where_they_can() {
    let image = Attachment::new("a.png".into(), "image/png".into(), vec![1, 2, 3].into());
    let file = Attachment::new("b.txt".into(), "text/plain".into(), "words".into());
    let blocks = |place: Place, attachments: Vec<Attachment>| async move {
        let mut session = place.open().await;
        let images = session.agent.capabilities.images;
        session
            .start_with("prompt", "<memory>blue</memory>", attachments)
            .await;
        let blocks: Value = serde_json::from_str(&said(&session.turn().await)).unwrap();
        (images, blocks)
    };
    let (images, told) = blocks(Place::scripted(""), vec![]).await;
    assert!(images);
    assert_eq!(told[0]["type"], "resource");
    assert_eq!(told[0]["resource"]["text"], "<memory>blue</memory>");
    assert_eq!(told[1], json!({ "type": "text", "text": "prompt" }));
    // An agent was seen that drops an image beside a resource.
    let (_, told) = blocks(Place::scripted(""), vec![image.clone(), file]).await;
    assert_eq!(
        told[0],
        json!({ "type": "text", "text": "<memory>blue</memory>" })
    );
    let text = told[1]["text"].as_str().unwrap();
    assert_eq!(text, "prompt\n\n<file name=\"b.txt\">\nwords\n</file>");
    assert_eq!(
        told[2],
        json!({ "type": "image", "data": "AQID", "mimeType": "image/png" })
    );
}

/// A prompt is what its caller said, never a command to the agent.
#[tokio::test]
async fn a_prompt_that_begins_with_a_slash_is_a_text_like_any_other() {
    let place = Place::scripted("");
    let mut session = place.open().await;
    for (prompt, given) in [("/compact now", "\u{200b}/compact now"), ("a/b", "a/b")] {
        let (end, text, _) = session.ask(prompt).await;
        assert_eq!((end, text), (COMPLETED, format!("Echo: {given}")));
    }
}

#[tokio::test]
async fn an_agent_that_takes_little_is_given_little() {
    let image = Attachment::new("a.png".into(), "image/png".into(), vec![1, 2, 3].into());
    let place = Place::scripted("plain");
    let mut session = place.open().await;
    let can = session.agent.capabilities;
    assert_eq!((can.images, can.steer, can.resume), (false, false, true));
    session
        .start_with("say it", "<memory>blue</memory>", vec![image])
        .await;
    assert_eq!(outcome(&session.turn().await), COMPLETED);
    session.start("hang").await;
    let steer_id = session.steer("no").await;
    let returned = AgentEvent::SteerReturned { steer_id };
    session.until(|event| *event == returned).await;
    session.send(AgentCommand::Cancel).await;
    assert_eq!(outcome(&session.turn().await), Outcome::Stopped);
}

// --- how a turn ends ---

#[tokio::test]
async fn every_reason_to_stop_has_a_meaning() {
    let place = Place::scripted("");
    let mut session = place.open().await;
    for (reason, expected) in [
        ("end_turn", StopReason::Stop),
        ("max_tokens", StopReason::Length),
        ("max_turn_requests", StopReason::Length),
        ("something_new", StopReason::Stop),
    ] {
        let (end, _, _) = session.ask(&format!("stop {reason}")).await;
        assert_eq!(end, Outcome::Completed(expected), "{reason}");
    }
    for (reason, why) in [("refusal", "refused to answer"), ("cancelled", "by itself")] {
        let (end, _, _) = session.ask(&format!("stop {reason}")).await;
        let message = failure(end);
        assert!(message.contains(why), "{message}");
    }
}

/// A provider's error is never a success, in whatever way the agent tells it.
#[tokio::test]
async fn an_error_of_the_provider_fails_the_turn() {
    let place = with_secret("");
    let mut session = place.open().await;
    for (prompt, why) in [
        ("fail the model is busy", "the model is busy"),
        ("leak", "the key [secret] is wrong"),
        ("refused", "400: the model is not known"),
        ("nothing", "without an answer of its model"),
    ] {
        let (end, _, _) = session.ask(prompt).await;
        let message = failure(end);
        assert!(message.contains(why), "{message}");
        assert!(!message.contains(SECRET), "{message}");
    }
    let (end, _, _) = session.ask("stop end_turn").await;
    assert_eq!(end, COMPLETED);
}

#[tokio::test]
async fn usage_is_in_one_form_and_a_cost_is_what_came_on_top() {
    let place = Place::scripted("");
    let mut session = place.open().await;
    let reply = json!({ "usage": { "inputTokens": 609, "outputTokens": 37, "thoughtTokens": 20, "totalTokens": 1066,
        "cachedReadTokens": 400 } });
    let (_, _, events) = session.ask(&format!("usage cost=0.5 {reply}")).await;
    let used = usages(&events)[0];
    assert_eq!((used.input_tokens, used.output_tokens), (609, 57));
    assert_eq!((used.cache_read_tokens, used.cost_micros), (400, 500_000));
    let (_, _, events) = session.ask(&format!("usage cost=0.75 {reply}")).await;
    assert_eq!(usages(&events)[0].cost_micros, 250_000);
    session.close().await;
    // It goes on from there after a restart.
    let mut session = place.open().await;
    let (_, _, events) = session.ask("usage cost=0.8 {}").await;
    assert_eq!(usages(&events)[0].cost_micros, 50_000);
    let (_, _, events) = session.ask("usage none {}").await;
    assert_eq!(usages(&events), []);
}

#[tokio::test]
async fn a_crash_ends_the_turn_with_the_last_words_but_no_secret() {
    let place = with_secret("");
    let mut session = place.open().await;
    session.start("crash").await;
    let events = session.turn().await;
    let Some(AgentEvent::Exited { message }) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(
        message,
        "the agent ended (exit status: 3): panic: the key is [secret]"
    );
    assert_eq!(session.next_or_end().await, None);
}

/// R7: what a stopped turn started is gone with its end, and the agent that left it takes no other turn.
#[tokio::test]
async fn what_a_stopped_turn_left_is_gone_and_so_is_its_agent() {
    let (options, marker) = scripted("");
    let place = Place::new(options);
    let mut session = place.open().await;
    let idle = marked(&marker).len();
    session.start("tool").await;
    eventually("the turn spreads", || marked(&marker).len() > idle).await;
    session.send(AgentCommand::Cancel).await;
    let events = session.turn().await;
    assert_eq!(outcome(&events), Outcome::Stopped);
    assert!(completed(&events)[0].2, "{events:?}");
    assert!(marked(&marker).len() <= idle, "the end is the proof");
    assert!(session.agent.commands.is_closed());
    match session.next().await {
        AgentEvent::Exited { message } => assert!(message.contains("left processes"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(marked(&marker), [0; 0]);
    let mut session = place.open().await;
    assert_eq!(session.ask("history").await.1, "1 ['\"tool\"']");
}

// --- questions ---

#[tokio::test]
async fn a_permission_names_its_tool_and_is_answered_by_what_an_option_does() {
    let (_place, mut session) = asked_in(
        "",
        "ask reject_once allow_always allow_once allow_always something_else reject_always",
    )
    .await;
    let (ask_id, ask) = session.asked().await;
    assert_eq!(ask.kind, QuestionKind::Permission);
    assert_eq!(
        (ask.title.as_str(), ask.tool_name.as_str()),
        ("touch a", "Bash")
    );
    assert_eq!(
        (ask.tool_call_id.as_str(), ask.args.text.as_str()),
        ("c1", r#"{"command":"touch a"}"#)
    );
    let options: Vec<(&str, Option<OptionEffect>)> = (ask.options.iter())
        .map(|it| (it.option_id.as_str(), it.effect))
        .collect();
    // The second of a kind and what is of no known kind are not offered.
    assert_eq!(
        options,
        [
            ("reject_once-0", Some(OptionEffect::DenyOnce)),
            ("allow_always-1", Some(OptionEffect::AllowAlways)),
            ("allow_once-2", Some(OptionEffect::AllowOnce)),
            ("reject_always-5", Some(OptionEffect::DenyAlways)),
        ]
    );
    session.choose(&ask_id, "allow_once-2").await;
    let events = session.turn().await;
    assert_eq!(events[0], AgentEvent::AnswerDelivered { ask_id });
    assert_eq!(
        (outcome(&events), said(&events).as_str()),
        (COMPLETED, "allow_once-2")
    );
}

#[tokio::test]
async fn a_denial_is_told_and_ends_no_turn_as_an_abort() {
    for (prompt, says) in [
        ("ask", "reject_once-2"),
        ("deny cancelled", ""),
        ("deny end_turn", ""),
        ("ask allow_once", "cancelled"),
    ] {
        let (_place, mut session) = asked_in("words", prompt).await;
        let (ask_id, _) = session.asked().await;
        session.decline(&ask_id).await;
        let events = session.turn().await;
        assert_eq!(
            (outcome(&events), said(&events).as_str()),
            (COMPLETED, says),
            "{prompt}"
        );
        assert!(completed(&events)[0].2, "{prompt}");
    }
    // The choice of an option is the same, and what was never offered is no permission.
    for (option, says) in [
        ("reject_once-2", "reject_once-2"),
        ("trust me", "reject_once-2"),
    ] {
        let (_place, mut session) = asked_in("", "ask").await;
        let (ask_id, _) = session.asked().await;
        session.choose(&ask_id, option).await;
        assert_eq!(said(&session.turn().await), says);
    }
}

#[tokio::test]
async fn two_permissions_are_open_at_once_and_answered_in_any_order() {
    let (_place, mut session) = asked_in("", "two").await;
    let (first, _) = session.asked().await;
    let (second, ask) = session.asked().await;
    assert_eq!(
        (ask.title.as_str(), ask.tool_name.as_str()),
        ("touch 2", "")
    );
    session.choose(&second, "reject_once-2").await;
    session.choose(&first, "allow_once-0").await;
    let events = session.turn().await;
    assert_eq!(said(&events), "allow_once-0 reject_once-2");
}

#[tokio::test]
async fn a_call_is_known_by_its_permission_alone() {
    let (_place, mut session) = asked_in("", "bare_ask").await;
    let events = session
        .until(|event| matches!(event, AgentEvent::Asked { .. }))
        .await;
    assert_eq!(started(&events)[0].0, "g1");
    let Some(AgentEvent::Asked { ask_id, ask }) = events.last() else {
        unreachable!();
    };
    // A title is no name: a model may have written it.
    assert_eq!(ask.tool_name, "");
    assert!(ask.args.text.contains("colour"), "{}", ask.args.text);
    // Nor is it left out of what is answered: with some agents the command stands there alone.
    assert!(
        ask.args.text.contains("search (a server)"),
        "{}",
        ask.args.text
    );
    session.choose(ask_id, "allow_once-1").await;
    let events = session.turn().await;
    assert_eq!(completed(&events)[0].0, "g1");
    assert_eq!(said(&events), "allow_once-1");
}

#[tokio::test]
async fn a_sub_agents_permission_says_whose_it_is_and_its_words_are_not_the_turns() {
    let (_place, mut session) = asked_in("", "sub").await;
    let (ask_id, ask) = session.asked().await;
    assert_eq!(ask.agent_path, ["sub-1"]);
    session.choose(&ask_id, "allow_once-0").await;
    let events = session.turn().await;
    assert_eq!(
        (said(&events).as_str(), started(&events)),
        ("allow_once-0", vec![])
    );
}

#[tokio::test]
async fn a_stop_answers_what_is_open_and_so_does_the_turns_end() {
    for prompt in ["ask", "two", "form", "link"] {
        let (_place, mut session) = asked_in("", prompt).await;
        let (ask_id, _) = session.asked().await;
        session.send(AgentCommand::Cancel).await;
        // It comes too late, and nobody hears of it.
        session.choose(&ask_id, "allow_once-0").await;
        let events = session.turn().await;
        assert_eq!(outcome(&events), Outcome::Stopped, "{prompt}");
        let delivered = |event: &AgentEvent| matches!(event, AgentEvent::AnswerDelivered { .. });
        assert!(!events.iter().any(delivered));
        assert_eq!(session.ask("go on").await.1, "Echo: go on");
    }
    let (_place, mut session) = asked_in("", "stray_ask").await;
    assert_eq!(outcome(&session.turn().await), COMPLETED);
    assert_eq!(session.ask("answered").await.1, "cancelled");
}

#[tokio::test]
async fn more_permissions_than_a_turn_may_have_are_refused_at_once() {
    let (_place, mut session) = asked_in("", "many").await;
    let events = session.turn().await;
    assert_eq!(said(&events), "8 {'cancelled'}");
    let asked = |event: &&AgentEvent| matches!(event, AgentEvent::Asked { .. });
    assert_eq!(events.iter().filter(asked).count(), 32);
}

#[tokio::test]
async fn forms_and_links_are_answered_or_declined() {
    let form = Answer {
        content_json: r#"{"colour":"blue"}"#.into(),
        ..Answer::default()
    };
    let broken = Answer {
        content_json: "no json".into(),
        ..Answer::default()
    };
    let done = Answer {
        option_id: "done".into(),
        ..Answer::default()
    };
    let declined = Answer {
        declined: true,
        ..Answer::default()
    };
    let accepted = json!({ "action": "accept", "content": { "colour": "blue" } });
    for (prompt, answer, told) in [
        ("form", &form, &accepted),
        ("form", &broken, &json!({ "action": "decline" })),
        ("form", &declined, &json!({ "action": "decline" })),
        ("link", &done, &json!({ "action": "accept" })),
        ("link", &declined, &json!({ "action": "decline" })),
    ] {
        let (_place, mut session) = asked_in("words", prompt).await;
        let (ask_id, ask) = session.asked().await;
        if prompt == "form" {
            assert_eq!(
                (ask.kind, ask.title.as_str()),
                (QuestionKind::Form, "Which one?")
            );
            let schema: Value = serde_json::from_str(&ask.schema_json).unwrap();
            assert_eq!(schema["required"], json!(["colour"]));
        } else {
            assert_eq!(
                (ask.kind, ask.url.as_str()),
                (QuestionKind::Link, "https://example.org/login")
            );
            assert_eq!(ask.options[0].option_id, "done");
        }
        session.answer(&ask_id, answer.clone()).await;
        let events = session.turn().await;
        assert_eq!(outcome(&events), COMPLETED);
        let said: Value = serde_json::from_str(&said(&events)).unwrap();
        assert_eq!(said, *told);
    }
}

#[tokio::test]
async fn a_question_that_is_taken_back_is_withdrawn() {
    for (prompt, says) in [
        ("withdraw", "cancelled"),
        ("done", "{\"action\": \"cancel\"}"),
    ] {
        let (_place, mut session) = asked_in("words", prompt).await;
        let (asked, _) = session.asked().await;
        let events = session.turn().await;
        assert_eq!(events[0], AgentEvent::AskWithdrawn { ask_id: asked });
        assert_eq!(said(&events), says);
    }
}

// --- commands ---

/// Runs a turn that is a command.
async fn run(session: &mut Session, command: &str, text: &str) -> (Outcome, Vec<AgentEvent>) {
    session.start_command(command, text).await;
    let events = session.turn().await;
    (outcome(&events), events)
}

/// What it tells in its first turn, before anything of the turn.
fn commands(events: &[AgentEvent]) -> Vec<String> {
    let told = events.iter().find_map(|event| match event {
        AgentEvent::CommandsChanged { commands } => Some(commands),
        _ => None,
    });
    let told = told.expect("it tells its commands").iter();
    told.map(|it| it.name.clone()).collect()
}

#[tokio::test]
async fn an_agents_command_is_run_as_such_and_only_one_that_it_has() {
    let place = Place::scripted("");
    let mut session = place.open().await;
    let (end, _, events) = session.ask("hello").await;
    assert_eq!(
        (end, commands(&events)),
        (COMPLETED, vec!["compact".to_owned()])
    );
    // It asks no model, which is no failure of a command.
    let (end, events) = run(&mut session, "compact", "/compact the names").await;
    assert_eq!(end, COMPLETED);
    let shortened: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::CompactionStarted { reason } => Some(reason.as_str()),
            AgentEvent::CompactionCompleted { error_message, .. } => Some(error_message.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(shortened, ["manual", ""]);
    let (end, events) = run(&mut session, "fix", "/fix it").await;
    assert!(failure(end).contains("no command fix"), "{events:?}");
    // It goes on all the same.
    assert_eq!(session.ask("hello").await.0, COMPLETED);
}

#[tokio::test]
async fn an_agent_that_lost_its_conversation_says_so_until_it_was_told() {
    let place = Place::scripted("lost");
    let session = place.open().await;
    assert!(!session.agent.remembers, "there was none");
    session.close().await;
    let mut session = place.open().await;
    assert!(!session.agent.remembers);
    session
        .start_reminded("prompt", "<conversation>blue</conversation>")
        .await;
    let said: Value = serde_json::from_str(&said(&session.turn().await)).unwrap();
    assert_eq!(said[0]["text"], "<conversation>blue</conversation>");
    assert_eq!(said[1]["text"], "prompt");
    session.close().await;
    // An agent that finds it again needs nothing.
    let place = Place::scripted("load");
    let mut session = place.open().await;
    session.ask("hello").await;
    session.close().await;
    assert!(place.open().await.agent.remembers);
}
