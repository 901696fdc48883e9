//! Chats, runs and subscriptions.

use crate::{
    Request,
    answers::{self, Failure, event},
    calls::prompt,
    say,
};
use quarterdeck::{
    client::{
        Client, Cursors, Start, Update,
        answers::{allow, content, decline, deny, tool_failed},
    },
    proto::{
        Answer, AnswerQuestionRequest, Cursor, EnqueueRequest, Question, RunRequest, SessionCursor,
        SubscribeManyRequest, SubscribeRequest,
    },
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Mutex, mpsc};
use tonic::Status;

/// What comes, and where one is after what was read of it.
struct Updates {
    receiver: mpsc::Receiver<Result<Update, Status>>,
    cursors: Cursors,
    /// The session, where there is only one.
    session_key: Option<String>,
}

/// A client's subscription; one reads it at a time.
#[derive(Clone)]
pub struct Subscription(Arc<Mutex<Updates>>);

pub async fn chat(client: &Client, request: &Request) -> Result<Value, Failure> {
    let handler = Handler::new(client, request);
    let answering = handler.clone();
    let mut chat = client
        .chat_with(prompt(request))
        .on_question(move |question| answering.clone().answer(question));
    let (mut text, mut pieces) = (String::new(), 0);
    while let Some(piece) = chat.next().await {
        let piece = piece?;
        say(&json!({"id": request.id, "piece": piece}));
        text.push_str(&piece);
        pieces += 1;
    }
    Ok(json!({"text": text, "pieces": pieces, "questions": handler.questions()}))
}

pub async fn ask(client: &Client, request: &Request) -> Result<Value, Failure> {
    let prompt = EnqueueRequest {
        output_schema: request.fields["output_schema"].to_string(),
        ..prompt(request)
    };
    let output: Value = client.ask(prompt).await?;
    Ok(json!({ "output": output }))
}

pub async fn run(client: &Client, request: &Request) -> Result<Value, Failure> {
    let updates = client.run(RunRequest {
        enqueue: Some(prompt(request)),
        ..RunRequest::default()
    });
    let handler = Handler::new(client, request);
    let answering = handler.clone();
    let mut updates = client.answering(updates, move |question| answering.clone().answer(question));
    let mut events = Vec::new();
    while let Some(update) = updates.recv().await {
        if let Update::Event(it) = update? {
            events.push(event(&it));
        }
    }
    Ok(json!({"events": events, "questions": handler.questions()}))
}

/// Answers questions as the request's `answers` say, and notes which came.
#[derive(Clone)]
struct Handler {
    client: Client,
    wanted: Value,
    asked: Arc<std::sync::Mutex<Vec<Value>>>,
}

impl Handler {
    fn new(client: &Client, request: &Request) -> Self {
        Self {
            client: client.clone(),
            wanted: request.fields["answers"].clone(),
            asked: Arc::default(),
        }
    }

    fn questions(&self) -> Value {
        self.asked.lock().expect("no panic").clone().into()
    }

    async fn answer(self, question: Question) -> Option<Answer> {
        let shown = answers::question(&question);
        let wanted = shown["kind"].as_str().map(|kind| &self.wanted[kind])?;
        self.asked.lock().expect("no panic").push(shown.clone());
        match wanted.as_str() {
            Some("allow") => allow(&question),
            Some("deny") => Some(deny(&question)),
            Some("decline") => Some(decline()),
            Some("race") => {
                // Somebody else is faster.
                let faster = AnswerQuestionRequest {
                    session_key: question.session_key.clone(),
                    question_id: question.question_id.clone(),
                    answer: allow(&question),
                    ..AnswerQuestionRequest::default()
                };
                self.client.answer_question(faster).await.ok()?;
                Some(deny(&question))
            }
            _ if wanted["content"].is_null() => None,
            _ if wanted["is_error"] == true => Some(tool_failed(wanted["content"].to_string())),
            _ => Some(content(wanted["content"].to_string())),
        }
    }
}

// === impl Subscription ===

impl Subscription {
    pub fn one(client: &Client, request: &Request) -> Self {
        let start = match request.number("after_seq") {
            Some(after_seq) => Start::After(Cursor {
                log_id: request.text("log_id"),
                after_seq,
            }),
            None if request.flag("from_oldest") => Start::Oldest,
            None => Start::Now,
        };
        let asked = SubscribeRequest {
            session_key: request.text("session_key"),
            ..SubscribeRequest::default()
        };
        let session_key = Some(request.text("session_key"));
        Self::new(client.follow(asked, start), session_key)
    }

    pub fn many(client: &Client, request: &Request) -> Self {
        let keys = request.fields["session_keys"].as_array();
        let keys = keys.into_iter().flatten().filter_map(|key| key.as_str());
        let cursors = keys.map(|key| SessionCursor {
            session_key: key.to_owned(),
            from_oldest: true,
            ..SessionCursor::default()
        });
        let asked = SubscribeManyRequest {
            cursors: cursors.collect(),
            ..SubscribeManyRequest::default()
        };
        Self::new(client.follow_many(asked), None)
    }

    fn new(receiver: mpsc::Receiver<Result<Update, Status>>, session_key: Option<String>) -> Self {
        let cursors = Cursors::default();
        Self(Arc::new(Mutex::new(Updates {
            receiver,
            cursors,
            session_key,
        })))
    }

    pub async fn cursor(&self) -> Value {
        let updates = self.0.lock().await;
        let shown = |it: &Cursor| json!({"log_id": it.log_id, "after_seq": it.after_seq});
        match &updates.session_key {
            Some(key) => json!({"cursor": updates.cursors.of(key).map(shown)}),
            None => {
                let cursors = updates.cursors.all();
                let cursors = cursors.map(|(key, it)| (key.to_owned(), shown(it)));
                json!({"cursors": cursors.collect::<serde_json::Map<_, _>>()})
            }
        }
    }

    /// Reads until the events of a kind have come so often.
    pub async fn next(&self, request: &Request) -> Result<Value, Failure> {
        let (until, times) = (request.text("until"), request.number("times").unwrap_or(1));
        let mut updates = self.0.lock().await;
        let (mut events, mut seen) = (Vec::new(), 0);
        while seen < times {
            let Some(it) = read(&mut updates).await? else {
                return Ok(json!({"events": events, "ended": true}));
            };
            seen += i64::from(it["kind"] == until);
            events.push(it);
        }
        Ok(json!({"events": events}))
    }

    pub async fn read_slowly(&self, request: &Request) -> Result<Value, Failure> {
        let until = request.text("until");
        let pause_ms = request.number("pause_ms").unwrap_or_default();
        let pause = Duration::from_millis(pause_ms.unsigned_abs());
        let mut updates = self.0.lock().await;
        let (mut events, mut durable, mut peak) = (0, 0, 0);
        while let Some(it) = read(&mut updates).await? {
            events += 1;
            durable += i64::from(it["seq"].as_i64() > Some(0));
            if it["kind"] == until {
                break;
            }
            tokio::time::sleep(pause).await;
            peak = peak.max(updates.receiver.len());
        }
        Ok(json!({"events": events, "durable": durable, "peak_buffered": peak}))
    }
}

/// The next event; `None` where the subscription ended.
async fn read(updates: &mut Updates) -> Result<Option<Value>, Failure> {
    while let Some(update) = updates.receiver.recv().await {
        let update = update?;
        updates.cursors.note(&update);
        match update {
            Update::Event(it) => return Ok(Some(event(&it))),
            Update::Cut(_) => {}
            Update::Resynced(resync) => return Err(Failure::Void(resync)),
        }
    }
    Ok(None)
}
