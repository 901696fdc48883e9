use super::*;
use crate::domain::turn::{Attachment, AttachmentRef};

fn parse(line: &str) -> Incoming {
    Incoming::parse(line.as_bytes()).unwrap()
}

#[test]
fn both_dialects_of_an_update_read_alike() {
    let old = r#"{"type":"message_update","message":{"role":"assistant"},"assistantMessageEvent":{"type":"toolcall_start","contentIndex":1,"partial":{"content":[{"type":"text","text":"x"},{"type":"toolCall","id":"c1","name":"bash","arguments":{}}]}}}"#;
    let new = r#"{"type":"message_update","usage":{},"assistantMessageEvent":{"type":"toolcall_start","contentIndex":1,"id":"c1","toolName":"bash"}}"#;
    assert_eq!(parse(old), parse(new));
    let (id, name) = ("c1".to_owned(), "bash".to_owned());
    let change = Change::ToolStart { id, name };
    assert_eq!(
        parse(new),
        Incoming::Update(Update {
            content_index: 1,
            change
        })
    );
}

#[test]
fn tool_json_is_passed_on_as_it_was_written() {
    let line = r#"{"type":"tool_execution_start","toolCallId":"c","toolName":"t","args":{"z":1.0,"a":12345678901234567890}}"#;
    assert_eq!(
        parse(line),
        Incoming::ToolStart {
            id: "c".into(),
            name: "t".into(),
            arguments: r#"{"z":1.0,"a":12345678901234567890}"#.into(),
        }
    );
}

#[test]
fn line_separators_inside_strings_do_not_matter() {
    let line = "{\"type\":\"message_update\",\"assistantMessageEvent\":{\"type\":\"text_delta\",\"contentIndex\":0,\"delta\":\"a\u{2028}b\u{2029}\"}}\r";
    let Incoming::Update(update) = parse(line) else {
        panic!("no update");
    };
    assert_eq!(update.change, Change::Text("a\u{2028}b\u{2029}".into()));
}

#[test]
fn what_is_not_known_is_ignored_and_what_is_no_record_is_an_error() {
    for line in [
        r#"{"type":"entry_appended","entry":{"id":"x"}}"#,
        r#"{"type":"bash_execution_update","id":"b","delta":"x"}"#,
        r#"{"type":"message_end","message":{"role":"system","content":""}}"#,
        r#"{"type":"message_end","message":{"role":"user","content":"plain"}}"#,
        r#"{"type":"extension_ui_request","id":"n","method":"notify","message":"hi"}"#,
        r#"{"type":"message_update"}"#,
    ] {
        assert_eq!(parse(line), Incoming::Other, "{line}");
    }
    let unknown = r#"{"type":"message_start","message":{"role":"hologram"}}"#;
    assert_eq!(parse(unknown), Incoming::MessageStart(Role::Other));
    let images = r#"{"type":"message_update","assistantMessageEvent":{"type":"image_start"}}"#;
    assert!(matches!(parse(images), Incoming::Update(_)));
    for line in [
        "",
        "garbage",
        "null",
        "[1]",
        "{}",
        "{\"type\":3}",
        "{\"type\":\"agent_end\"",
    ] {
        assert!(Incoming::parse(line.as_bytes()).is_err(), "{line}");
    }
    assert!(Incoming::parse(b"{\"type\":\"agent_end\",\"reason\":\"\xff\"}").is_err());
}

#[test]
fn a_response_without_an_id_still_names_its_command() {
    // 0.73.1 answers an unknown command without its id.
    let line = r#"{"type":"response","command":"clear_queue","success":false,"error":"Unknown command: clear_queue"}"#;
    let Incoming::Response(response) = parse(line) else {
        panic!("no response");
    };
    assert_eq!(response.id, None);
    assert_eq!(response.command, "clear_queue");
    assert_eq!(
        response.error.as_deref(),
        Some("Unknown command: clear_queue")
    );
}

#[test]
fn usage_is_recorded_where_there_is_any() {
    let message = |usage: &str| {
        let line = format!(
            r#"{{"type":"message_end","message":{{"role":"assistant","content":[],"provider":"p","model":"m/1","usage":{usage},"stopReason":"stop"}}}}"#
        );
        match parse(&line) {
            Incoming::MessageEnd(message) => message,
            other => panic!("{other:?}"),
        }
    };
    let some = message(
        r#"{"input":100,"output":20,"cacheRead":3,"cacheWrite":4,"cost":{"total":0.0012345}}"#,
    );
    let usage = some.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (100, 20));
    assert_eq!((usage.cache_read_tokens, usage.cache_write_tokens), (3, 4));
    assert_eq!((usage.cost_micros, usage.model_calls), (1235, 1));
    assert_eq!(some.model.full(), "p/m/1");
    assert_eq!(message(r#"{"input":0,"output":0}"#).usage, None);
}

#[test]
fn images_go_beside_the_text_and_text_files_into_it() {
    let attachment = |name: &str, media_type: &str, data: &'static [u8]| Attachment {
        reference: AttachmentRef {
            attachment_id: String::new(),
            name: name.into(),
            media_type: media_type.into(),
            size: 0,
        },
        data: bytes::Bytes::from_static(data),
    };
    let line = message(
        "prompt",
        "1",
        "look\nhere",
        &[
            attachment("a.png", "image/png", b"\x89P"),
            attachment("b.txt", "text/plain", b"hello"),
            attachment("c.bin", "application/x", b"\xff"),
        ],
    );
    assert!(!line.contains(&b'\n'));
    let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(line["images"][0]["data"], "iVA=");
    assert_eq!(line["images"].as_array().unwrap().len(), 1);
    let text = line["message"].as_str().unwrap();
    assert!(text.starts_with("look\nhere"));
    assert!(text.contains("<file name=\"b.txt\">\nhello\n</file>"));
    assert!(text.contains("not shown"));
}

/// SECURITY.md, JSON depth: nesting without end takes no stack, on a thread that has little. What is only handed on is
/// handed on as text, since nobody here looks into it.
#[test]
fn nesting_without_end_takes_no_stack() {
    let parse_all = || {
        let depth = 100_000;
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let torn = open.repeat(depth);
            let nested = format!("{torn}1{}", close.repeat(depth));
            let tool = |args: &str| {
                format!(
                    r#"{{"type":"tool_execution_start","toolCallId":"c","toolName":"t","args":{args}}}"#
                )
            };
            let state = |data: &str| {
                format!(
                    r#"{{"id":"1","type":"response","command":"get_state","success":true,"data":{{"model":{data}}}}}"#
                )
            };
            for torn in [torn.clone(), tool(&torn), state(&torn)] {
                assert!(Incoming::parse(torn.as_bytes()).is_err());
            }
            for whole in [&nested, &state(&nested)] {
                let _ = Incoming::parse(whole.as_bytes());
            }
            assert!(
                matches!(parse(&tool(&nested)), Incoming::ToolStart { arguments, .. } if arguments == nested)
            );
        }
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1024);
    let thread = thread.spawn(parse_all).expect("it starts");
    thread.join().expect("it did not overflow");
}
