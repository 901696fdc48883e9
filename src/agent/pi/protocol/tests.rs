use super::*;
use crate::agent::input::text_with_files;
use crate::domain::turn::{Attachment, AttachmentRef};

fn parse(line: &str) -> Incoming {
    let mut records = Incoming::parse(line.as_bytes(), 0).unwrap();
    assert_eq!(records.len(), 1, "{line}");
    records.remove(0)
}

fn is_none(line: &[u8]) -> bool {
    Incoming::parse(line, 0).is_err()
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
        r#"{"type":"message_start","message":{"role":"hologram"}}"#,
        r#"{"type":"message_start","message":null}"#,
        r#"{"type":3}"#,
    ] {
        assert_eq!(parse(line), Incoming::Other, "{line}");
    }
    let images = r#"{"type":"message_update","assistantMessageEvent":{"type":"image_start"}}"#;
    assert!(matches!(parse(images), Incoming::Update(_)));
    for line in [
        "",
        "garbage",
        "null",
        "[1]",
        "{}",
        "{\"type\":null}",
        "x {\"type\":\"text\",\"text\":\"agent_end\"}",
        "{\"type\":\"agent_end\"",
    ] {
        assert!(is_none(line.as_bytes()), "{line}");
    }
    let bytes = b"{\"type\":\"compaction_start\",\"reason\":\"\xff\"}";
    let Incoming::CompactionStart { reason } = &Incoming::parse(bytes, 0).unwrap()[0] else {
        panic!("no compaction");
    };
    assert_eq!(reason, "\u{fffd}");
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
    let attachments = [
        attachment("a.png", "image/png", b"\x89P"),
        attachment("b.txt", "text/plain", b"hello"),
        attachment("c.bin", "application/x", b"\xff"),
    ];
    let text = text_with_files("look\nhere".into(), &attachments);
    let line = message("prompt", "1", &text, &attachments);
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
                assert!(is_none(torn.as_bytes()));
            }
            for whole in [&nested, &state(&nested)] {
                let _ = Incoming::parse(whole.as_bytes(), 0);
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

#[test]
fn the_largest_input_is_a_line_that_a_child_takes() {
    use crate::{
        agent::process::WRITES_MAX_BYTES,
        domain::limits::{ATTACHMENT_MAX_BYTES, TEXT_MAX_BYTES},
    };
    let attachments = |media_type: &str, byte: u8| {
        let data = bytes::Bytes::from(vec![byte; ATTACHMENT_MAX_BYTES]);
        let attachment = Attachment::new("a".into(), media_type.into(), data);
        [attachment.clone(), attachment]
    };
    for (attachments, shown) in [
        (attachments("image/png", 0xff), false),
        // Six bytes for each of theirs: there is no room.
        (attachments("text/plain", 0x1b), true),
    ] {
        let text = text_with_files("\u{1}".repeat(TEXT_MAX_BYTES), &attachments);
        assert_eq!(text.contains("no room"), shown);
        let line = message("steer", "q1", &text, &attachments);
        assert!(line.len() < WRITES_MAX_BYTES, "{}", line.len());
    }
}

#[test]
fn bytes_beside_a_record_are_passed_over() {
    let record = r#"{"type":"agent_end","messages":[{"type":"text"}],"willRetry":true}"#;
    let end = Incoming::AgentEnd { will_retry: true };
    for junk in [
        "\u{1b}]0;title\u{7}",
        "\u{1b}[2K\rworking {1 of \"2\"} ",
        "{\"a\":1}",
        "{\"type\":\"text\",\"text\":\"x\"} ",
        "{\"type\":\"mess",
        "null",
    ] {
        for line in [format!("{junk}{record}"), format!("{junk}{record}{junk}")] {
            assert_eq!(parse(&line), end, "{line}");
        }
    }
    let before = [b"\xff\x80".as_slice(), record.as_bytes()].concat();
    assert_eq!(Incoming::parse(&before, 0).unwrap(), [end]);
    let two = format!("{record}{}", r#"{"type":"agent_settled"}"#);
    let two = Incoming::parse(two.as_bytes(), 0).unwrap();
    assert_eq!(two.len(), 2);
}

#[test]
fn what_is_bookkeeping_may_have_any_shape() {
    let message = |usage: &str, content: &str| {
        let line = format!(
            r#"{{"type":"message_end","message":{{"role":"assistant","content":{content},"usage":{usage},"stopReason":"stop","errorMessage":null}}}}"#
        );
        match parse(&line) {
            Incoming::MessageEnd(message) => *message,
            other => panic!("{other:?}"),
        }
    };
    let parts = r#"[{"type":"text","text":"said"}]"#;
    for (usage, input, cost) in [
        (r#"{"input":12.5,"cost":{"total":null}}"#, 12, 0),
        (
            r#"{"input":"7","output":null,"cost":{"total":"0.5"}}"#,
            7,
            500_000,
        ),
        (r#"{"input":3,"cost":1}"#, 3, 0),
        (r#"{"input":1e300,"cost":[]}"#, i64::MAX, 0),
    ] {
        let message = message(usage, parts);
        assert_eq!(message.texts, [(0, "said".to_owned())], "{usage}");
        let usage = message.usage.expect("it says something");
        assert_eq!((usage.input_tokens, usage.cost_micros), (input, cost));
    }
    for usage in ["null", "[]", "\"many\"", "12"] {
        assert_eq!(message(usage, parts).usage, None);
        assert_eq!(message(usage, parts).stop_reason, "stop");
    }
    for content in [
        r#""said""#,
        r#"["said"]"#,
        r#"{"type":"text","text":"said"}"#,
        r#"[{"type":"text","text":"said"},{"type":7},null,{"type":"image","data":3}]"#,
    ] {
        assert_eq!(
            message("null", content).texts,
            [(0, "said".to_owned())],
            "{content}"
        );
    }
    assert!(message("null", "null").texts.is_empty());
    // By what a run ended is taken at its word.
    let odd = r#"{"type":"message_end","message":{"role":"assistant","content":[],"stopReason":{"a":1},"errorMessage":{"message":"why"}}}"#;
    let Incoming::MessageEnd(odd) = parse(odd) else {
        panic!("no end");
    };
    assert_eq!(
        (odd.stop_reason.as_str(), odd.error_message.as_str()),
        (r#"{"a":1}"#, "why")
    );
    let refused = r#"{"type":"response","id":7,"command":"prompt","success":false,"error":{"message":"no key"}}"#;
    let Incoming::Response(refused) = parse(refused) else {
        panic!("no response");
    };
    assert_eq!(
        (refused.id.as_deref(), refused.error.as_deref()),
        (Some("7"), Some("no key"))
    );
}

#[test]
fn pictures_of_a_large_result_are_taken_out_and_those_of_a_small_one_are_not() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let end = |result: &str, cut: usize| {
        let line = format!(
            r#"{{"type":"tool_execution_end","toolCallId":"c","toolName":"t","result":{result},"isError":false}}"#
        );
        match Incoming::parse(line.as_bytes(), cut).unwrap().remove(0) {
            Incoming::ToolEnd {
                result,
                is_error: false,
                ..
            } => *result,
            other => panic!("{other:?}"),
        }
    };
    let picture = |bytes: &[u8]| {
        format!(
            r#"{{"type":"image","data":"{}","mimeType":"image/png"}}"#,
            STANDARD.encode(bytes)
        )
    };
    let small = format!(r#"{{"content":[{}]}}"#, picture(b"small"));
    assert_eq!(end(&small, 0).json, small);
    let large = vec![9; 300 * 1024];
    let result = format!(
        r#"{{"content":[{{"type":"text","text":"two"}},{},{},{{"type":"image","data":"?","mimeType":"a/b"}}],"details":{{"n":1.0}}}}"#,
        picture(&large),
        picture(b"small"),
    );
    let output = end(&result, 0);
    let kept: Vec<&[u8]> = output.pictures.iter().map(|it| &it.data[..]).collect();
    assert_eq!(kept, [&large[..], b"small"]);
    let json: serde_json::Value = serde_json::from_str(&output.json).unwrap();
    assert_eq!(json["content"][0]["text"], "two");
    assert_eq!(
        json["content"][1]["attachmentId"],
        output.pictures[0].reference.attachment_id
    );
    assert_eq!(json["content"][1]["size"], 300 * 1024);
    assert!(json["content"][3]["omitted"].is_string());
    assert!(output.json.contains(r#""n":1.0"#), "{}", output.json);
    assert_eq!(output.full_size, None);
    // What a line shows that was too long is no picture any more, unless it is short.
    let output = end(&result, 1000);
    assert_eq!(output.pictures.len(), 1);
    assert!(
        output
            .full_size
            .is_some_and(|size| size == result.len() + 1000)
    );
    // Too large for anything, and no object: it stays what it is.
    let text = format!("\"\\\"image\\\"{}\"", "x".repeat(300 * 1024));
    assert_eq!(end(&text, 0).json, text);
}
