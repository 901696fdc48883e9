//! The behaviour driver of the Rust client: what it speaks stands in `clients/behaviour/README.md`.

mod answers;
mod calls;
mod lists;
mod streams;

use answers::Failure;
use quarterdeck::client::{Client, ClientOptions};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};
use streams::Subscription;
use tokio::io::{AsyncBufReadExt, BufReader};

/// What was made so far, by name.
#[derive(Default)]
struct Driver {
    clients: Mutex<HashMap<String, Client>>,
    subscriptions: Mutex<HashMap<String, Subscription>>,
}

/// A request, and where pieces of its answer go.
struct Request {
    id: Value,
    fields: Value,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let driver = Arc::new(Driver::default());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let fields: Value = serde_json::from_str(&line)?;
        let request = Request {
            id: fields["id"].clone(),
            fields,
        };
        let driver = driver.clone();
        tokio::spawn(async move {
            let answer = match driver.answer(&request).await {
                Ok(ok) => json!({"id": request.id, "ok": ok}),
                Err(failure) => json!({"id": request.id, "error": failure.to_json()}),
            };
            say(&answer);
        });
    }
    // What is still asked is nobody's any more.
    std::process::exit(0)
}

/// Writes a line; a reader that is gone will end this program's input too.
fn say(line: &Value) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

// === impl Driver ===

impl Driver {
    async fn answer(&self, request: &Request) -> Result<Value, Failure> {
        match request.text("op").as_str() {
            "connect" => self.connect(request),
            "subscribe" => self.subscribe(request),
            "subscribe_many" => self.subscribe_many(request),
            "next" => self.subscription(request)?.next(request).await,
            "read_slowly" => self.subscription(request)?.read_slowly(request).await,
            "cursor" => Ok(self.subscription(request)?.cursor().await),
            "close" => {
                let mut subscriptions = self.subscriptions.lock().expect("no panic");
                subscriptions.remove(&request.text("subscription"));
                Ok(json!({}))
            }
            "chat" => streams::chat(&self.client(request)?, request).await,
            "ask" => streams::ask(&self.client(request)?, request).await,
            "run" => streams::run(&self.client(request)?, request).await,
            op if lists::OPS.contains(&op) => lists::call(&self.client(request)?, request).await,
            _ => calls::call(&self.client(request)?, request).await,
        }
    }

    fn connect(&self, request: &Request) -> Result<Value, Failure> {
        let mut options = ClientOptions::new(request.text("address"));
        if let Some(key) = request.fields["key"].as_str() {
            options = options.key(key);
        }
        if let Some(ca) = request.fields["ca"].as_str() {
            options = options.ca(ca);
        }
        let client = Client::new(options)?;
        let mut clients = self.clients.lock().expect("no panic");
        clients.insert(request.text("client"), client);
        Ok(json!({}))
    }

    fn client(&self, request: &Request) -> Result<Client, Failure> {
        let clients = self.clients.lock().expect("no panic");
        let client = clients.get(&request.text("client")).cloned();
        let client = client.ok_or_else(|| Failure::protocol("no such client"))?;
        Ok(match request.fields["deadline_ms"].as_u64() {
            Some(deadline) => client.with_deadline(Duration::from_millis(deadline)),
            None => client,
        })
    }

    fn subscription(&self, request: &Request) -> Result<Subscription, Failure> {
        let subscriptions = self.subscriptions.lock().expect("no panic");
        let subscription = subscriptions.get(&request.text("subscription")).cloned();
        subscription.ok_or_else(|| Failure::protocol("no such subscription"))
    }

    fn subscribe(&self, request: &Request) -> Result<Value, Failure> {
        let subscription = Subscription::one(&self.client(request)?, request);
        self.keep(request, subscription)
    }

    fn subscribe_many(&self, request: &Request) -> Result<Value, Failure> {
        let subscription = Subscription::many(&self.client(request)?, request);
        self.keep(request, subscription)
    }

    fn keep(&self, request: &Request, subscription: Subscription) -> Result<Value, Failure> {
        let mut subscriptions = self.subscriptions.lock().expect("no panic");
        subscriptions.insert(request.text("subscription"), subscription);
        Ok(json!({}))
    }
}

// === impl Request ===

impl Request {
    /// A field that is text; empty where it is not given.
    fn text(&self, name: &str) -> String {
        self.fields[name].as_str().unwrap_or_default().to_owned()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.fields[name].as_i64()
    }

    fn flag(&self, name: &str) -> bool {
        self.fields[name].as_bool().unwrap_or(false)
    }
}
