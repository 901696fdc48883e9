//! Streams of each dialect as their providers send them, and requests as they want them.

use super::*;
use crate::agent::llm::conversation::{Image, ToolResult};
use bytes::Bytes;
use serde_json::json;

const ALL: [Api; 4] = [
    Api::ChatCompletions,
    Api::Responses,
    Api::Anthropic,
    Api::Gemini,
];

/// Thinking, words, and two calls at once; the second one's arguments come in pieces.
fn stream(api: Api) -> Vec<Value> {
    match api {
        Api::ChatCompletions => vec![
            json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}),
            json!({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": null}]}),
            json!({"choices": [{"index": 0, "delta": {"content": "I "}, "finish_reason": null}]}),
            json!({"choices": [{"index": 0, "delta": {"content": "look"}, "finish_reason": null}]}),
            json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "read", "arguments": "{}"}}]}}]}),
            json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "find", "arguments": ""}}]}}]}),
            json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 1, "function": {"arguments": "{\"q\":"}}]}}]}),
            json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 1, "function": {"arguments": "1}"}}]}}]}),
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
            json!({"choices": [], "usage": {"prompt_tokens": 1009, "completion_tokens": 57, "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens_details": {"reasoning_tokens": 20}}}),
        ],
        Api::Responses => vec![
            json!({"type": "response.created", "response": {"status": "in_progress"}}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"id": "rs", "type": "reasoning", "summary": []}}),
            json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "hm"}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": {"id": "rs", "type": "reasoning", "summary": [], "encrypted_content": "sealed"}}),
            json!({"type": "response.output_item.added", "output_index": 1, "item": {"id": "m", "type": "message", "role": "assistant", "content": []}}),
            json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "I "}),
            json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "look"}),
            json!({"type": "response.output_item.done", "output_index": 1, "item": {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look", "annotations": []}]}}),
            json!({"type": "response.output_item.added", "output_index": 2, "item": {"id": "f1", "type": "function_call", "call_id": "a", "name": "read", "arguments": ""}}),
            json!({"type": "response.output_item.done", "output_index": 2, "item": {"id": "f1", "type": "function_call", "call_id": "a", "name": "read", "arguments": "{}"}}),
            json!({"type": "response.output_item.added", "output_index": 3, "item": {"id": "f2", "type": "function_call", "call_id": "b", "name": "find", "arguments": ""}}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "{\"q\":"}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "1}"}),
            json!({"type": "response.output_item.done", "output_index": 3, "item": {"id": "f2", "type": "function_call", "call_id": "b", "name": "find", "arguments": "{\"q\":1}"}}),
            json!({"type": "response.completed", "response": {"status": "completed", "usage": {"input_tokens": 1009, "input_tokens_details": {"cached_tokens": 400}, "output_tokens": 57, "output_tokens_details": {"reasoning_tokens": 20}}}}),
        ],
        Api::Anthropic => vec![
            json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 609, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 11, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "signed"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "ping"}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "I "}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "look"}}),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "a", "name": "read", "input": {}}}),
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
            json!({"type": "content_block_start", "index": 3, "content_block": {"type": "tool_use", "id": "b", "name": "find", "input": {}}}),
            json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "{\"q\":"}}),
            json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "1}"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 57}}),
            json!({"type": "message_stop"}),
        ],
        Api::Gemini => {
            let usage = json!({"promptTokenCount": 1009, "cachedContentTokenCount": 400, "candidatesTokenCount": 37, "thoughtsTokenCount": 20});
            let chunk = |parts: Value, finish: Value| {
                let content = json!({ "role": "model", "parts": parts });
                json!({ "candidates": [{ "content": content, "finishReason": finish }], "usageMetadata": usage })
            };
            vec![
                chunk(json!([{ "text": "hm", "thought": true }]), Value::Null),
                chunk(json!([{ "text": "I " }]), Value::Null),
                chunk(json!([{ "text": "look" }]), Value::Null),
                chunk(
                    json!([
                        { "functionCall": { "name": "read", "args": {}, "id": "a" }, "thoughtSignature": "signed" },
                        { "functionCall": { "name": "find", "args": { "q": 1 }, "id": "b" } },
                    ]),
                    json!("STOP"),
                ),
            ]
        }
    }
}

/// Reads a stream: its pieces, and what came of it.
fn read(api: Api, events: &[Value]) -> (Vec<Piece>, Result<Reply, Fault>) {
    let mut decoder = api.decoder("m-1");
    let mut pieces = vec![];
    for event in events {
        if let Err(fault) = decoder.take(event, &mut pieces) {
            return (pieces, Err(fault));
        }
    }
    (pieces, decoder.finish())
}

fn prompt(items: &[Item]) -> Prompt<'_> {
    Prompt {
        model: "m-1",
        instructions: "be brief",
        items,
        tools: &[],
        thinking_level: "low",
        max_output_tokens: 500,
        output_schema: None,
    }
}

#[test]
fn each_dialect_tells_the_same_reply() {
    for api in ALL {
        let (pieces, reply) = read(api, &stream(api));
        let reply = reply.unwrap_or_else(|fault| panic!("{api:?}: {fault:?}"));
        let call = |call_id: &str, name: &str, arguments: &str| ToolCall {
            call_id: call_id.into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        assert_eq!(reply.thinking, [(0, "hm".into())], "{api:?}");
        assert_eq!(reply.texts, [(1, "I look".into())], "{api:?}");
        let calls = [call("a", "read", "{}"), call("b", "find", "{\"q\":1}")];
        assert_eq!(reply.calls, calls, "{api:?}");
        assert_eq!(reply.stop, Stop::End);
        let text: String = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Text { index: 1, delta } => Some(delta.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(text, "I look", "{api:?}");
        let usage = reply.usage.expect("it is told");
        let written = if api == Api::Anthropic { 11 } else { 0 };
        let expected = Usage {
            input_tokens: 609,
            output_tokens: 57,
            cache_read_tokens: 400,
            cache_write_tokens: written,
            model_calls: 1,
            reasoning_tokens: if api == Api::Anthropic { 0 } else { 20 },
            ..Usage::default()
        };
        assert_eq!(usage, expected, "{api:?}");
    }
}

/// Wherever a stream breaks off, there is no reply, and it may be tried again.
#[test]
fn no_part_of_a_stream_is_a_reply() {
    for api in ALL {
        let whole = stream(api);
        // Without the last event that it needs; chat completions count after their end.
        let last = if api == Api::ChatCompletions { 2 } else { 1 };
        for length in 0..=whole.len() - last {
            let (_, reply) = read(api, &whole[..length]);
            let fault = reply.expect_err("it is cut");
            assert_eq!(fault.kind, FaultKind::Again(None), "{api:?} {length}");
        }
    }
}

#[test]
fn a_reply_goes_back_as_it_came_to_the_model_that_wrote_it() {
    for (api, sealed) in [
        (Api::Responses, "sealed"),
        (Api::Anthropic, "signed"),
        (Api::Gemini, "signed"),
    ] {
        let (_, reply) = read(api, &stream(api));
        let reply = reply.expect("it is whole");
        let said = Item::Assistant {
            texts: vec!["I look".into()],
            calls: reply.calls,
            record: reply.record,
        };
        let body = api.request(&prompt(std::slice::from_ref(&said))).body;
        assert!(body.to_string().contains(sealed), "{api:?}: {body}");
        let mut other = prompt(std::slice::from_ref(&said));
        other.model = "m-2";
        let body = api.request(&other).body.to_string();
        assert!(!body.contains(sealed), "{api:?}: {body}");
        assert!(body.contains("I look") && body.contains("find"), "{body}");
    }
}

#[test]
fn each_dialect_writes_the_same_conversation() {
    let image = Image {
        media_type: "image/png".into(),
        data: Bytes::from_static(b"png"),
    };
    let items = [
        Item::User {
            texts: vec!["memory".into(), "look".into()],
            images: vec![image],
        },
        Item::Assistant {
            texts: vec!["I look".into()],
            calls: vec![ToolCall {
                call_id: "a".into(),
                name: "read".into(),
                arguments: "{\"q\":1}".into(),
            }],
            record: None,
        },
        Item::Results(vec![ToolResult {
            call_id: "a".into(),
            name: "read".into(),
            text: "42".into(),
            is_error: true,
        }]),
    ];
    let of = |api: Api| {
        let request = api.request(&prompt(&items));
        (request.path, request.body)
    };
    let (path, body) = of(Api::ChatCompletions);
    assert_eq!(path, "/chat/completions");
    let url = "data:image/png;base64,cG5n";
    let expected = json!([
        { "role": "system", "content": "be brief" },
        { "role": "user", "content": [
            { "type": "text", "text": "memory" },
            { "type": "text", "text": "look" },
            { "type": "image_url", "image_url": { "url": url } },
        ] },
        { "role": "assistant", "content": "I look", "tool_calls": [
            { "id": "a", "type": "function", "function": { "name": "read", "arguments": "{\"q\":1}" } },
        ] },
        { "role": "tool", "tool_call_id": "a", "content": "42" },
    ]);
    assert_eq!(body["messages"], expected);
    assert_eq!(body["reasoning_effort"], "low");
    let (path, body) = of(Api::Responses);
    assert_eq!(path, "/responses");
    let expected = json!([
        { "role": "user", "content": [
            { "type": "input_text", "text": "memory" },
            { "type": "input_text", "text": "look" },
            { "type": "input_image", "image_url": url },
        ] },
        { "type": "message", "role": "assistant", "content": [
            { "type": "output_text", "text": "I look", "annotations": [] },
        ] },
        { "type": "function_call", "call_id": "a", "name": "read", "arguments": "{\"q\":1}" },
        { "type": "function_call_output", "call_id": "a", "output": "42" },
    ]);
    assert_eq!(body["input"], expected);
    assert_eq!(
        (&body["store"], &body["instructions"]),
        (&json!(false), &json!("be brief"))
    );
    let (path, body) = of(Api::Anthropic);
    assert_eq!(path, "/messages");
    let cached = json!({ "type": "ephemeral" });
    let source = json!({ "type": "base64", "media_type": "image/png", "data": "cG5n" });
    let expected = json!([
        { "role": "user", "content": [
            { "type": "image", "source": source },
            { "type": "text", "text": "memory" },
            { "type": "text", "text": "look" },
        ] },
        { "role": "assistant", "content": [
            { "type": "text", "text": "I look" },
            { "type": "tool_use", "id": "a", "name": "read", "input": { "q": 1 } },
        ] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "a", "content": "42", "is_error": true, "cache_control": cached },
        ] },
    ]);
    assert_eq!(body["messages"], expected);
    assert_eq!(body["max_tokens"], 500 + 2048);
    let (path, body) = of(Api::Gemini);
    assert_eq!(path, "/models/m-1:streamGenerateContent?alt=sse");
    let expected = json!([
        { "role": "user", "parts": [
            { "text": "memory" },
            { "text": "look" },
            { "inlineData": { "mimeType": "image/png", "data": "cG5n" } },
        ] },
        { "role": "model", "parts": [
            { "text": "I look" },
            { "functionCall": { "name": "read", "args": { "q": 1 } } },
        ] },
        { "role": "user", "parts": [
            { "functionResponse": { "name": "read", "response": { "error": "42" } } },
        ] },
    ]);
    assert_eq!(body["contents"], expected);
}

#[test]
fn what_a_status_means_and_whether_it_may_pass() {
    let after = Some(Duration::from_secs(3));
    let kind =
        |status, body: Value| Fault::of_status(status, body.to_string().as_bytes(), after).kind;
    let said = |message: &str| json!({ "error": { "message": message } });
    for status in [401, 403, 404] {
        assert_eq!(kind(status, said("no")), FaultKind::Never, "{status}");
    }
    for status in [400, 422] {
        assert_eq!(kind(status, said("no")), FaultKind::Refused, "{status}");
    }
    for status in [408, 429, 500, 502, 503, 529] {
        assert_eq!(
            kind(status, said("later")),
            FaultKind::Again(after),
            "{status}"
        );
    }
    let gemini =
        json!({ "error": { "code": 429, "message": "x", "details": [{ "retryDelay": "2.5s" }] } });
    let own = FaultKind::Again(Some(Duration::from_millis(2500)));
    assert_eq!(kind(429, gemini), own);
    let spent = json!({ "error": { "message": "x", "code": "insufficient_quota" } });
    assert_eq!(kind(429, spent), FaultKind::Never);
    for long in [
        "This model's maximum context length is 128000 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
    ] {
        assert_eq!(kind(400, said(long)), FaultKind::Overflow, "{long}");
    }
    let fault = Fault::of_status(401, b"<html>", None);
    assert_eq!(fault.message, "the provider refused the key (HTTP 401)");
    let long = said(&"x".repeat(10_000)).to_string();
    assert!(Fault::of_status(400, long.as_bytes(), None).message.len() < 600);
}
