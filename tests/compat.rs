//! The source systems' HTTP routes below `/compat/pi`, row by row of their table of features, by plain HTTP against the
//! real server. Each test names its row; the defects that it must not have are named where they are looked at.
//!
//! Rows without a test here: 4 is the webhooks', 31, 33 to 36 are no routes and are pinned where the store and the life
//! of sessions are, 37 is the list of origins' (`tests/web.rs`).

mod support;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use support::{Gateway, Options, SOON};
use tokio::time::timeout;

/// A client of the source systems, which needs nothing but another prefix.
struct Pi {
    address: String,
    client: Client,
}

/// Reads `data:` lines.
struct Events {
    response: Response,
    read: Vec<u8>,
}

impl Pi {
    fn of(gateway: &Gateway) -> Self {
        // Asked for even where nothing is encrypted; another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            address: format!("{}/compat/pi", gateway.address),
            client: Client::builder().timeout(SOON).build().unwrap(),
        }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.address))
    }

    fn with(&self, method: Method, path: &str, body: &Value) -> RequestBuilder {
        let request = self.ask(method, path).body(body.to_string());
        request.header(header::CONTENT_TYPE, "application/json")
    }

    #[track_caller]
    fn get(&self, path: &str) -> impl Future<Output = (u16, Value)> + use<> {
        told(self.ask(Method::GET, path))
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> impl Future<Output = (u16, Value)> + use<> {
        told(self.with(Method::POST, path, body))
    }

    /// As their clients send what needs no body.
    #[track_caller]
    fn bare(&self, path: &str) -> impl Future<Output = (u16, Value)> + use<> {
        told(self.ask(Method::POST, path))
    }

    /// Says something and waits for the end.
    async fn say(&self, key: &str, text: &str) -> Value {
        let path = format!("/sessions/{key}/messages");
        self.post(&path, &json!({ "text": text })).await.1
    }

    async fn events(&self, key: &str, last: Option<&str>) -> Events {
        let request = self.ask(Method::GET, &format!("/sessions/{key}/events"));
        let request = match last {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let kind = &response.headers()[header::CONTENT_TYPE];
        assert_eq!(kind, "text/event-stream");
        Events {
            response,
            read: Vec::new(),
        }
    }
}

impl Events {
    /// The next event and its id.
    async fn next(&mut self) -> Option<(Option<String>, Value)> {
        loop {
            if let Some(end) = self.read.windows(2).position(|it| it == b"\n\n") {
                let block: Vec<u8> = self.read.drain(..end + 2).collect();
                let text = String::from_utf8(block).unwrap();
                let line = |name: &str| text.lines().find_map(|it| it.strip_prefix(name));
                if let Some(data) = line("data: ") {
                    let id = line("id: ").map(str::to_owned);
                    return Some((id, serde_json::from_str(data).unwrap()));
                }
                continue;
            }
            match timeout(SOON, self.response.chunk()).await.expect("news") {
                Ok(Some(chunk)) => self.read.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// All up to the first of a type.
    async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let (_, event) = self.next().await.expect("it goes on");
            let found = event["type"] == kind;
            all.push(event);
            if found {
                return all;
            }
        }
    }
}

#[track_caller]
fn told(request: RequestBuilder) -> impl Future<Output = (u16, Value)> + use<> {
    let caller = std::panic::Location::caller();
    async move {
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{caller}: {text:?}"));
        (status.as_u16(), json)
    }
}

/// The shape of an object: its names, sorted.
fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object
        .as_object()
        .unwrap_or_else(|| panic!("{object}"))
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

/// Rows 1, 2 and 3: health asks for nothing, all else for the token (DEFECTS 10: an empty one opens nothing).
#[tokio::test]
async fn rows_1_to_3_health_is_open_and_the_rest_wants_its_token() {
    let gateway = Gateway::with(Options {
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let pi = Pi::of(&gateway);
    let key = std::fs::read_to_string(gateway.data().join("admin.key")).unwrap();
    let healthy = json!({ "ok": true, "ready": true });
    assert_eq!(pi.get("/health").await, (200, healthy));
    let refused = (401, json!({ "error": "Unauthorized" }));
    for path in ["/ready", "/sessions", "/models", "/channels/status"] {
        assert_eq!(pi.get(path).await, refused, "{path}");
    }
    for token in ["Bearer", "Bearer wrong", ""] {
        let request = pi
            .ask(Method::GET, "/sessions")
            .header("authorization", token);
        assert_eq!(told(request).await, refused, "{token:?}");
    }
    let request = pi.ask(Method::GET, "/ready").bearer_auth(key.trim());
    // The primary session is always there.
    let ready = json!({ "ok": true, "ready": true, "sessions": 1 });
    assert_eq!(told(request).await, (200, ready));
}

/// Rows 5, 6 and 30: lists show what is there, and reading makes and touches nothing (DEFECTS 19, 22).
#[tokio::test]
async fn rows_5_and_6_sessions_are_shown_and_reading_makes_none() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    for path in ["", "/history", "/state", "/events"] {
        let (status, error) = pi.get(&format!("/sessions/nobody{path}")).await;
        let told = json!({ "error": "Session not found: nobody" });
        assert_eq!((status, error), (404, told), "{path}");
    }
    let (_, primary) = pi.get("/sessions").await;
    let primary = &primary["sessions"];
    assert_eq!(
        (primary.as_array().unwrap().len(), &primary[0]["sessionKey"]),
        (1, &json!("main"))
    );
    pi.say("a:b", "hello there").await;
    let (_, one) = pi.get("/sessions/a:b").await;
    let session = &one["session"];
    assert_eq!(
        names(session),
        [
            "createdAt",
            "lastActiveAt",
            "lastMessagePreview",
            "messageCount",
            "processing",
            "queueDepth",
            "sessionId",
            "sessionKey",
            "updatedAt"
        ]
    );
    assert_eq!(session["sessionKey"], "a:b");
    assert_eq!(session["messageCount"], 2);
    assert_eq!(session["lastMessagePreview"], "hello there");
    assert_eq!(
        (&session["processing"], &session["queueDepth"]),
        (&json!(false), &json!(0))
    );
    assert!(session["createdAt"].as_i64().unwrap() > 1_700_000_000_000);
    let (_, all) = pi.get("/sessions").await;
    assert_eq!(all["sessions"], json!([session, primary[0]]));
    let (_, again) = pi.get("/sessions/a:b").await;
    assert_eq!(again["session"]["lastActiveAt"], session["lastActiveAt"]);
}

/// Row 7: a name is the session's own and shows (DEFECTS 24).
#[tokio::test]
async fn row_7_a_name_is_set_and_shown() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    let patch = |key: &str, body: Value| {
        let path = format!("/sessions/{key}");
        told(pi.with(Method::PATCH, &path, &body))
    };
    assert_eq!(patch("s", json!({ "name": "x" })).await.0, 404);
    pi.say("s", "hi").await;
    let ok = (200, json!({ "ok": true }));
    assert_eq!(patch("s", json!({ "name": "Trip" })).await, ok);
    assert_eq!(pi.get("/sessions/s").await.1["session"]["name"], "Trip");
    assert_eq!(patch("s", json!({ "name": 7 })).await.0, 400);
    assert_eq!(patch("s", json!({})).await, ok);
    assert_eq!(pi.get("/sessions/s").await.1["session"]["name"], "Trip");
}

/// Rows 8 and 33: what is deleted is gone, but the primary session stays (DEFECTS 4, 5, 23).
#[tokio::test]
async fn row_8_a_session_is_deleted_with_all_that_it_had() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    let delete = |key: &str| told(pi.ask(Method::DELETE, &format!("/sessions/{key}")));
    pi.say("main", "hi").await;
    let primary = json!({ "error": "Cannot delete primary session" });
    assert_eq!(delete("main").await, (400, primary));
    assert_eq!(delete("nobody").await.0, 404);
    pi.say("s", "secret").await;
    assert_eq!(delete("s").await, (200, json!({ "ok": true })));
    assert_eq!(pi.get("/sessions/s").await.0, 404);
    assert_eq!(delete("s").await.0, 404);
    assert_eq!(pi.say("s", "!history new").await["response"], "0");
}

/// Rows 9, 28 and 29: the stream begins with `hello`, tells what happens in their words, and resumes (DEFECTS 11, 14).
#[tokio::test]
async fn row_9_events_begin_with_hello_and_miss_nothing() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    pi.say("s", "first").await;
    let mut events = pi.events("s", None).await;
    let (_, hello) = events.next().await.unwrap();
    assert_eq!(
        (&hello["type"], &hello["snapshot"]["messageCount"]),
        (&json!("hello"), &json!(2))
    );
    assert_eq!(hello["sessionKey"], "s");
    pi.say("s", "!think=hm !tool=calculator !delay=10ms one two")
        .await;
    let all = events.until("turn_end").await;
    let of = |kind: &str| {
        let found = all.iter().filter(|it| it["type"] == kind);
        found.collect::<Vec<_>>()
    };
    for kind in [
        "turn_start",
        "message_start",
        "thinking",
        "tool_start",
        "tool_complete",
        "message_complete",
        "turn_end",
    ] {
        assert!(!of(kind).is_empty(), "no {kind} in {all:#?}");
    }
    let text: String = of("token")
        .iter()
        .map(|it| it["delta"].as_str().unwrap())
        .collect();
    assert_eq!(text, "one two");
    assert_eq!(of("message_complete").last().unwrap()["text"], "one two");
    assert_eq!(
        names(of("tool_start")[0]),
        ["args", "sessionKey", "toolCallId", "toolName", "type"]
    );
    assert_eq!(
        names(of("tool_complete")[0]),
        [
            "isError",
            "result",
            "sessionKey",
            "toolCallId",
            "toolName",
            "type"
        ]
    );
    assert!(
        of("session_state")
            .iter()
            .all(|it| it["snapshot"]["sessionKey"] == "s")
    );
    // What fails is an error, what is stopped is aborted.
    pi.say("s", "!fail=no_luck").await;
    let error = events.until("error").await.pop().unwrap();
    assert!(
        error["error"].as_str().unwrap().contains("no_luck"),
        "{error}"
    );
    events.until("turn_end").await;
    let (_, stopped) = tokio::join!(events.until("turn_start"), async {
        let said = pi.say("s", "!hang x");
        let stop =
            async { while pi.bare("/sessions/s/abort").await != (200, json!({ "ok": true })) {} };
        tokio::join!(said, stop).0
    });
    assert_eq!(stopped["ok"], false);
    events.until("aborted").await;
    // Who comes back goes on where it was.
    let mut resumed = pi.events("s", None).await;
    resumed.next().await.unwrap();
    pi.say("s", "later").await;
    let id = loop {
        if let (Some(id), event) = resumed.next().await.unwrap()
            && event["type"] == "turn_start"
        {
            break id;
        }
    };
    drop(resumed);
    let mut resumed = pi.events("s", Some(&id)).await;
    let rest = resumed.until("turn_end").await;
    assert!(
        rest.iter()
            .any(|it| it["type"] == "message_complete" && it["text"] == "later")
    );
    assert!(!rest.iter().any(|it| it["type"] == "turn_start"));
    let wrong = pi
        .ask(Method::GET, "/sessions/s/events")
        .header("last-event-id", "7");
    assert_eq!(told(wrong).await.0, 400);
}

/// Rows 10, 26, 27 and 28: an answer is the turn's own, a failure is one, a full queue says so (DEFECTS 1, 2, 18, 30).
#[tokio::test]
async fn row_10_messages_are_answered_with_what_their_turn_said() {
    let gateway = Gateway::with(Options {
        config: "queue_limit_turns = 1\n".into(),
        ..Options::default()
    });
    let pi = Pi::of(&gateway);
    let say = |body: Value| pi.post("/sessions/s/messages", &body);
    let answer = json!({ "ok": true, "response": "hello", "sessionKey": "s" });
    assert_eq!(say(json!({ "text": "hello" })).await, (200, answer));
    let (status, failed) = say(json!({ "text": "!fail=no_luck" })).await;
    assert_eq!(
        (status, &failed["ok"], &failed["response"]),
        (500, &json!(false), &json!(""))
    );
    assert!(
        failed["error"].as_str().unwrap().contains("no_luck"),
        "{failed}"
    );
    for blank in [json!({ "text": "  " }), json!({}), json!({ "text": 7 })] {
        assert_eq!(say(blank).await, (400, json!({ "error": "Missing text" })));
    }
    // What their types have and their routes did not take.
    let whole = json!({
        "text": "look", "metadata": { "n": 1, "s": "t" },
        "images": [{ "type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png" }],
    });
    let once = || {
        let request = pi.with(Method::POST, "/sessions/picture/messages", &whole);
        told(request.header("idempotency-key", "once"))
    };
    assert_eq!(once().await, once().await);
    let (_, history) = pi.get("/sessions/picture/history").await;
    let messages = history["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2, "{history}");
    assert_eq!(messages[0]["parts"][1]["mimeType"], "image/png");
    // One runs, one waits; there is no room for a third.
    let (running, waiting, full) = tokio::join!(
        say(json!({ "text": "!hang x" })),
        async {
            until_processing(&pi, "s").await;
            say(json!({ "text": "second" })).await
        },
        async {
            let is_full = |it: &Value| it["processing"] == true && it["queueDepth"] == 1;
            until(&pi, "s", is_full).await;
            let full = say(json!({ "text": "third" })).await;
            assert_eq!(
                pi.bare("/sessions/s/abort").await,
                (200, json!({ "ok": true }))
            );
            full
        }
    );
    assert_eq!((running.0, &running.1["ok"]), (500, &json!(false)));
    assert!(running.1["error"].as_str().unwrap().starts_with("aborted"));
    // What waits stays, and runs next.
    assert_eq!((waiting.0, &waiting.1["response"]), (200, &json!("second")));
    assert_eq!(full.0, 429);
    assert_eq!(
        full.1,
        json!({ "ok": false, "response": "", "error": "Queue full (1 pending).", "sessionKey": "s" })
    );
}

/// Waits for a state of a session.
async fn until(pi: &Pi, key: &str, is: impl Fn(&Value) -> bool) {
    let wait = async {
        loop {
            let (status, body) = pi.get(&format!("/sessions/{key}")).await;
            if status == 200 && is(&body["session"]) {
                return;
            }
        }
    };
    timeout(SOON, wait).await.expect("it comes");
}

async fn until_processing(pi: &Pi, key: &str) {
    until(pi, key, |it| it["processing"] == true).await;
}

/// Row 11: the turn as an AI SDK stream; the official client reads the same in `tests/edges.rs` (DEFECTS 34).
#[tokio::test]
async fn row_11_chat_streams_the_turn_of_what_the_user_said() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    let messages = json!({ "messages": [
        { "role": "user", "content": "old" },
        { "role": "assistant", "content": "x" },
        { "role": "user", "parts": [{ "type": "file" }, { "type": "text", "text": "hi you" }] },
    ] });
    for body in [
        json!({ "text": "hi you" }),
        json!({ "prompt": "hi you" }),
        messages,
    ] {
        let request = pi.with(Method::POST, "/sessions/s/chat", &body);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-vercel-ai-ui-message-stream"], "v1");
        let text = response.text().await.unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|it| it.strip_prefix("data: "))
            .collect();
        assert_eq!(lines.last(), Some(&"[DONE]"));
        let chunks: Vec<Value> = lines[..lines.len() - 1]
            .iter()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        let deltas = chunks.iter().filter(|it| it["type"] == "text-delta");
        let said: String = deltas.map(|it| it["delta"].as_str().unwrap()).collect();
        assert_eq!(said, "hi you");
        assert_eq!(chunks.last().unwrap()["finishReason"], "stop");
    }
    let nothing = json!({ "messages": [{ "role": "assistant", "content": "x" }] });
    let error = json!({ "error": "Missing user message text" });
    assert_eq!(pi.post("/sessions/s/chat", &nothing).await, (400, error));
}

/// Rows 12 and 13: abort and reset concern what is there (DEFECTS 4, 7, 17).
#[tokio::test]
async fn rows_12_and_13_abort_and_reset() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    for what in ["abort", "reset"] {
        let path = format!("/sessions/nobody/{what}");
        let error = json!({ "error": "Session not found: nobody" });
        assert_eq!(pi.bare(&path).await, (404, error), "{what}");
    }
    pi.say("s", "one").await;
    let idle = json!({ "ok": false });
    assert_eq!(pi.bare("/sessions/s/abort").await, (200, idle));
    let (said, reset) = tokio::join!(pi.say("s", "!hang x"), async {
        until_processing(&pi, "s").await;
        pi.bare("/sessions/s/reset").await
    });
    assert_eq!(said["ok"], false);
    assert_eq!(reset, (200, json!({ "ok": true })));
    let (_, history) = pi.get("/sessions/s/history").await;
    assert_eq!(history, json!({ "messages": [] }));
    assert_eq!(pi.say("s", "!history new").await["response"], "0");
}

/// Row 14: a steer reaches the turn that runs, or waits its turn (DEFECTS 3).
#[tokio::test]
async fn row_14_a_steer_says_what_became_of_it() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    let steer = || pi.post("/sessions/s/steer", &json!({ "text": "more" }));
    let error = json!({ "error": "Session not found: s" });
    assert_eq!(steer().await, (404, error));
    pi.say("s", "one").await;
    let queued = json!({ "ok": true, "mode": "queued" });
    assert_eq!(steer().await, (200, queued));
    until(&pi, "s", |it| it["messageCount"] == 4).await;
    let (said, steered) = tokio::join!(pi.say("s", "!delay=20ms !repeat=40 tick"), async {
        until_processing(&pi, "s").await;
        steer().await
    });
    assert_eq!(steered, (200, json!({ "ok": true, "mode": "steer" })));
    assert!(
        said["response"].as_str().unwrap().contains("more"),
        "{said}"
    );
}

/// Rows 15, 16 and 34: messages in their shape, with ids that stay, over restarts too (DEFECTS 14, 28).
#[tokio::test]
async fn rows_15_and_16_history_and_state() {
    let mut gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    pi.say("s", "!think=hm !tool=calculator hello").await;
    let (_, history) = pi.get("/sessions/s/history").await;
    let messages = history["messages"].as_array().unwrap();
    for message in messages {
        assert_eq!(names(message), ["id", "parts", "role", "timestamp"]);
    }
    let of = |role: &str| messages.iter().find(|it| it["role"] == role).unwrap();
    let user = &of("user")["parts"][0];
    assert_eq!(user["type"], "text");
    let tool = &of("toolResult")["parts"][0];
    assert_eq!(
        names(tool),
        ["args", "result", "state", "toolCallId", "toolName", "type"]
    );
    assert_eq!(
        (&tool["type"], &tool["toolName"], &tool["state"]),
        (
            &json!("tool-invocation"),
            &json!("calculator"),
            &json!("result")
        )
    );
    let said: Vec<&Value> = messages
        .iter()
        .filter(|it| it["role"] == "assistant")
        .flat_map(|it| it["parts"].as_array().unwrap())
        .collect();
    assert!(
        said.iter()
            .any(|it| **it == json!({ "type": "reasoning", "text": "hm" }))
    );
    assert!(
        said.iter()
            .any(|it| **it == json!({ "type": "text", "text": "hello" }))
    );
    let (_, newest) = pi.get("/sessions/s/history?limit=1").await;
    assert_eq!(newest["messages"], json!([messages.last().unwrap()]));
    for limit in ["0", "-1", "5abc", ""] {
        let error = json!({ "error": "History limit must be a positive integer" });
        let path = format!("/sessions/s/history?limit={limit}");
        assert_eq!(pi.get(&path).await, (400, error), "{limit:?}");
    }
    let (_, state) = pi.get("/sessions/s/state").await;
    assert_eq!(names(&state), ["messages", "session"]);
    assert_eq!(state["messages"], history["messages"]);
    // What is being said is there as well, under the id that it keeps.
    let mut events = pi.events("s", None).await;
    let (said, draft) = tokio::join!(pi.say("s", "!delay=20ms !repeat=40 tick"), async {
        events.until("token").await;
        let (_, state) = pi.get("/sessions/s/state").await;
        let draft = state["messages"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        draft["id"].clone()
    });
    assert_eq!(said["ok"], true);
    let (_, history) = pi.get("/sessions/s/history").await;
    let last = history["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(last["id"], draft);
    gateway.kill();
    gateway.restart();
    let pi = Pi::of(&gateway);
    assert_eq!(pi.get("/sessions/s/history").await.1, history);
}

/// Rows 17, 18 and 19: models are listed and chosen, a reload concerns one session (DEFECTS 31, 33).
#[tokio::test]
async fn rows_17_to_19_models_and_reload() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    pi.say("s", "hi").await;
    let (status, listed) = pi.get("/models?sessionKey=s").await;
    assert_eq!((status, names(&listed)), (200, vec!["current", "models"]));
    let models = listed["models"].as_array().unwrap();
    let model = models.last().expect("echo has models");
    assert_eq!(
        names(model),
        ["capabilities", "displayName", "modelId", "provider"]
    );
    let set = |model: &Value| {
        let body = json!({ "provider": model["provider"], "modelId": model["modelId"] });
        pi.post("/sessions/s/model", &body)
    };
    let (status, answer) = set(model).await;
    assert_eq!(
        (status, &answer["ok"], &answer["model"]["modelId"]),
        (200, &json!(true), &model["modelId"])
    );
    let (_, session) = pi.get("/sessions/s").await;
    assert_eq!(session["session"]["modelId"], model["modelId"]);
    let (status, error) = set(&json!({ "provider": "echo", "modelId": "nothing" })).await;
    assert_eq!(
        (status, error),
        (404, json!({ "error": "Model not found: echo/nothing" }))
    );
    assert_eq!(set(&json!({})).await.0, 400);
    assert_eq!(pi.get("/models").await.0, 200);
    assert_eq!(
        pi.bare("/sessions/s/reload").await,
        (200, json!({ "ok": true }))
    );
    assert_eq!(pi.bare("/sessions/nobody/reload").await.0, 404);
}

/// Rows 20 to 23: settings by a list of those that may be seen and changed (DEFECTS 25), channels, the log.
#[tokio::test]
async fn rows_20_to_23_config_channels_and_logs() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    let (_, config) = pi.get("/config").await;
    assert!(config["queue_limit_turns"].is_number(), "{config}");
    assert!(config["turn_timeout"].is_string(), "{config}");
    let patch = |body: Value| told(pi.with(Method::PATCH, "/config", &body));
    let ok = (200, json!({ "ok": true }));
    assert_eq!(patch(json!({ "queue_limit_turns": 3 })).await, ok);
    assert_eq!(pi.get("/config").await.1["queue_limit_turns"], 3);
    assert_eq!(patch(json!({ "queue_limit_turns": null })).await, ok);
    assert_eq!(pi.get("/config").await.1, config);
    for refused in [
        json!({ "listen": "0.0.0.0:1" }),
        json!({ "shellPath": "/bin/sh" }),
        json!({ "queue_limit_turns": "many" }),
    ] {
        assert_eq!(patch(refused.clone()).await.0, 400, "{refused}");
    }
    let channels = json!({ "channels": [] });
    assert_eq!(pi.get("/channels/status").await, (200, channels));
    pi.say("s", "words that nobody should find").await;
    let (_, logs) = pi.get("/logs").await;
    let lines = logs["logs"].as_array().unwrap();
    assert!(!lines.is_empty() && lines.len() <= 200);
    assert!(lines.iter().all(Value::is_string));
    // DEFECTS 26: the log has nothing of what is said.
    assert!(!logs.to_string().contains("nobody should find"));
}

/// Row 24: memory in all its calls.
#[tokio::test]
async fn row_24_memory_is_kept_found_and_forgotten() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    let (_, status) = pi.get("/memory/status").await;
    assert_eq!(
        names(&status["memory"]),
        [
            "archivalCount",
            "coreCount",
            "enabled",
            "episodeCount",
            "identity",
            "lastEpisodeAt",
            "lastMemoryWriteAt",
            "legacyImportComplete",
            "ready",
            "storagePath"
        ]
    );
    let tea = json!({ "content": "Likes green tea", "kind": "preference", "key": "tea" });
    let (code, remembered) = pi.post("/memory/remember", &tea).await;
    assert_eq!((code, &remembered["ok"]), (200, &json!(true)));
    let memory = &remembered["memory"];
    assert_eq!(
        names(memory),
        [
            "bucket",
            "content",
            "createdAt",
            "id",
            "key",
            "kind",
            "lastAccessedAt",
            "source",
            "updatedAt"
        ]
    );
    assert_eq!(
        (&memory["bucket"], &memory["source"]),
        (&json!("core"), &json!("manual"))
    );
    let (_, core) = pi.get("/memory/core").await;
    assert_eq!(core["memories"][0]["id"], memory["id"]);
    let ask = json!({ "query": "  green \n tea " });
    let (_, found) = pi.post("/memory/search", &ask).await;
    assert_eq!(found["query"], "green tea");
    let hit = &found["results"][0];
    assert_eq!(
        (&hit["sourceType"], &hit["content"]),
        (&json!("memory"), &json!("Likes green tea"))
    );
    for wrong in [
        json!({ "content": " " }),
        json!({ "content": "x", "kind": "rumour" }),
        json!({ "content": "x", "bucket": "attic" }),
    ] {
        assert_eq!(pi.post("/memory/remember", &wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(pi.post("/memory/forget", &json!({})).await.0, 400);
    let forget = || {
        pi.post(
            "/memory/forget",
            &json!({ "id": memory["id"], "key": "other" }),
        )
    };
    assert_eq!(
        forget().await,
        (200, json!({ "ok": true, "forgotten": true }))
    );
    let (_, core) = pi.get("/memory/core").await;
    assert_eq!(core, json!({ "memories": [] }));
    let (code, rebuilt) = pi.bare("/memory/rebuild").await;
    assert_eq!(
        (code, names(&rebuilt)),
        (200, vec!["episodeRows", "memoryRows", "ok"])
    );
    // A session's own, which reading does not make.
    let (code, _) = pi.get("/memory/status?sessionKey=elsewhere").await;
    assert!(code == 200 || code == 404);
    assert_eq!(pi.get("/sessions/elsewhere").await.0, 404);
}

/// Row 25: what is no route, no verb and no JSON (DEFECTS 27).
#[tokio::test]
async fn row_25_paths_verbs_and_bodies_that_are_wrong() {
    let gateway = Gateway::start();
    let pi = Pi::of(&gateway);
    let nothing = json!({ "error": "Not found" });
    assert_eq!(pi.get("/nothing").await, (404, nothing.clone()));
    assert_eq!(pi.get("/sessions/s/nothing").await, (404, nothing));
    let verb = (405, json!({ "error": "Method not allowed" }));
    assert_eq!(pi.bare("/sessions").await, verb);
    assert_eq!(pi.get("/sessions/s/abort").await, verb);
    let wrong = json!({ "error": "Invalid JSON body" });
    for body in ["{", "null", "[]", "7"] {
        let request = pi.ask(Method::POST, "/sessions/s/messages").body(body);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        assert_eq!(told(request).await, (400, wrong.clone()), "{body}");
    }
    // No page can send this without being asked for its origin, which is the rule of all routes.
    let text = pi
        .ask(Method::POST, "/sessions/s/messages")
        .body("{\"text\":\"x\"}");
    assert_eq!(told(text).await.0, 415);
    assert_eq!(pi.get("/sessions/%zz").await.0, 400);
    let (_, all) = pi.get("/sessions").await;
    assert_eq!(all["sessions"].as_array().unwrap().len(), 1);
}
