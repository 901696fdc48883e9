//! The client of an embedding endpoint, against a scripted one on a real socket; and a backup of what it made.

mod support;

use quarterdeck::{
    domain::refusal::Refusal,
    memory::{
        embed::Embedder,
        openai::{OpenAiEmbedder, OpenAiOptions, TRIES},
    },
    proto::{self, memory_service_client::MemoryServiceClient},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{Gateway, Options};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// One request as it came.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    authorization: Option<String>,
    body: Value,
}

/// An endpoint that answers each request by the next of its answers, and by vectors once they are used up.
struct Endpoint {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What an endpoint does with a request.
#[derive(Clone)]
enum Do {
    /// Status, further head lines, body.
    Answer(u16, String, String),
    Hang,
    Close,
}

impl Endpoint {
    async fn start(script: Vec<Do>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter()));
        let noted = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, script) = (noted.clone(), script.clone());
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(seen) = read(&mut stream).await {
                        noted.lock().unwrap().push(seen.clone());
                        let next = script.lock().unwrap().next();
                        match next.unwrap_or_else(|| vectors(&seen.body)) {
                            Do::Answer(status, head, body) => {
                                let length = body.len();
                                let answer = format!(
                                    "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{head}\r\n{body}"
                                );
                                stream.write_all(answer.as_bytes()).await.unwrap();
                            }
                            Do::Hang => std::future::pending().await,
                            Do::Close => return,
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    fn client(&self, key: &str, batch_texts: usize) -> OpenAiEmbedder {
        OpenAiEmbedder::new(OpenAiOptions {
            url: format!("http://{}/v1/embeddings", self.address)
                .parse()
                .unwrap(),
            model: "small".into(),
            key: SecretString::from(key),
            batch_texts,
            timeout: Duration::from_secs(20),
        })
        .unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let field = |name: &str| {
        head.iter().find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let mut body = vec![0; field("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        line: head[0].clone(),
        authorization: field("authorization"),
        body: serde_json::from_slice(&body).unwrap(),
    })
}

/// For each text its length and its first byte; in another order than asked.
fn vectors(body: &Value) -> Do {
    let texts = body["input"].as_array().unwrap();
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let text = text.as_str().unwrap();
            json!({ "index": index, "embedding": [text.len(), text.as_bytes()[0]] })
        })
        .rev()
        .collect();
    Do::Answer(200, String::new(), json!({ "data": data }).to_string())
}

fn failure(status: u16, message: &str) -> Do {
    let body = json!({ "error": { "message": message } });
    Do::Answer(status, String::new(), body.to_string())
}

async fn problem(client: &OpenAiEmbedder) -> String {
    match client.embed(vec!["a".into()]).await {
        Err(Refusal::EmbeddingUnavailable { problem }) => problem,
        other => panic!("{other:?}"),
    }
}

/// Each text gets its own vector, whatever the order of the answer, in batches of the configured size.
#[tokio::test]
async fn texts_become_vectors_in_their_order() {
    let endpoint = Endpoint::start(vec![]).await;
    let client = endpoint.client("s3cret", 2);
    assert_eq!(client.model(), "small");
    let texts = ["abc", "b", "é ☕"].map(str::to_owned).to_vec();
    let vectors = client.embed(texts).await.unwrap();
    assert_eq!(vectors, [[3.0, 97.0], [1.0, 98.0], [6.0, 195.0]]);
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].line.starts_with("POST /v1/embeddings "));
    assert_eq!(seen[0].body["model"], "small");
    assert_eq!(seen[0].body["input"], json!(["abc", "b"]));
    assert_eq!(seen[1].body["input"], json!(["é ☕"]));
    assert_eq!(seen[0].authorization.as_deref(), Some("Bearer s3cret"));

    assert_eq!(client.embed(vec![]).await.unwrap(), Vec::<Vec<f32>>::new());
    let open = endpoint.client("", 32);
    open.embed(vec!["a".into()]).await.unwrap();
    assert_eq!(endpoint.seen().last().unwrap().authorization, None);
}

/// What may pass is tried again, within a bound; what won't is told at once.
#[tokio::test]
async fn failures_are_repeated_where_that_can_help_and_never_for_ever() {
    let busy = Do::Answer(429, "retry-after: 0\r\n".into(), String::new());
    let endpoint = Endpoint::start(vec![busy, failure(503, "starting")]).await;
    let client = endpoint.client("", 32);
    assert_eq!(client.embed(vec!["a".into()]).await.unwrap().len(), 1);
    assert_eq!(endpoint.seen().len(), 3);

    let endpoint = Endpoint::start(vec![failure(500, "broken"); 9]).await;
    assert_eq!(problem(&endpoint.client("", 32)).await, "HTTP 500: broken");
    assert_eq!(endpoint.seen().len(), TRIES as usize);

    let endpoint = Endpoint::start(vec![failure(400, "no such model")]).await;
    let told = problem(&endpoint.client("", 32)).await;
    assert_eq!(told, "HTTP 400: no such model");
    assert_eq!(endpoint.seen().len(), 1);

    let endpoint = Endpoint::start(vec![Do::Close; 9]).await;
    let told = problem(&endpoint.client("", 32)).await;
    assert_eq!(told, "the connection was lost");
    assert!(
        (3..=6).contains(&endpoint.seen().len()),
        "{:?}",
        endpoint.seen()
    );
}

/// An endpoint that hangs costs the configured time and no more.
#[tokio::test]
async fn an_endpoint_that_says_nothing_is_given_up() {
    let endpoint = Endpoint::start(vec![Do::Hang; 9]).await;
    let client = OpenAiEmbedder::new(OpenAiOptions {
        url: format!("http://{}/", endpoint.address).parse().unwrap(),
        model: "small".into(),
        key: SecretString::from(""),
        batch_texts: 32,
        timeout: Duration::from_millis(50),
    });
    assert_eq!(problem(&client.unwrap()).await, "no answer in time");
    assert_eq!(endpoint.seen().len(), TRIES as usize);
}

/// Vectors that don't belong to the texts, or are none, are never taken.
#[tokio::test]
async fn answers_that_make_no_sense_are_refused() {
    for (answer, wanted) in [
        ("", "no list of embeddings"),
        ("{\"data\": [{\"index\": 0}]}", "no list of embeddings"),
        ("{\"data\": []}", "not one embedding for each"),
        (
            "{\"data\": [{\"index\": 1, \"embedding\": [1]}]}",
            "not one embedding for each",
        ),
        (
            "{\"data\": [{\"index\": 0, \"embedding\": []}]}",
            "have 0 numbers",
        ),
        (
            "{\"data\": [{\"index\": 0, \"embedding\": [1e60]}]}",
            "numbers that are none",
        ),
    ] {
        let endpoint = Endpoint::start(vec![Do::Answer(200, String::new(), answer.into())]).await;
        let told = problem(&endpoint.client("", 32)).await;
        assert!(told.contains(wanted), "{answer}: {told}");
        assert_eq!(endpoint.seen().len(), 1);
    }
    let one = |numbers: Value| {
        let body = json!({ "data": [{ "index": 0, "embedding": numbers }] });
        Do::Answer(200, String::new(), body.to_string())
    };
    let endpoint = Endpoint::start(vec![one(json!([1, 2])), one(json!([1]))]).await;
    let texts = vec!["a".into(), "b".into()];
    assert!(endpoint.client("", 1).embed(texts).await.is_err());
}

/// The key goes to the configured endpoint alone, and into no text.
#[tokio::test]
async fn the_key_is_shown_to_nobody_else() {
    let elsewhere = Endpoint::start(vec![]).await;
    let moved = format!("location: http://{}/\r\n", elsewhere.address);
    let told = failure(401, "wrong key s3cret\n");
    let endpoint = Endpoint::start(vec![Do::Answer(307, moved, String::new()), told]).await;
    let client = endpoint.client("s3cret", 32);
    assert_eq!(problem(&client).await, "HTTP 307");
    assert!(elsewhere.seen().is_empty());
    assert_eq!(problem(&client).await, "HTTP 401: wrong key (key) ");
    assert!(!format!("{client:?}").contains("s3cret"));
}

/// Items and vectors come back from a backup as they were; secrets too, but nobody reads them without the key's file,
/// which a backup leaves out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_has_memories_and_vectors_and_no_key_to_its_secrets() {
    let endpoint = Endpoint::start(vec![]).await;
    let environment = vec![
        (
            "QUARTERDECK_EMBEDDINGS_URL".to_owned(),
            format!("http://{}/v1/embeddings", endpoint.address),
        ),
        ("QUARTERDECK_EMBEDDINGS_MODEL".into(), "small".into()),
    ];
    let mut gateway = Gateway::with(Options {
        environment,
        ..Options::default()
    });
    let mut memory = MemoryServiceClient::connect(gateway.address.clone())
        .await
        .unwrap();
    let remember = |content: &str, kind: proto::MemoryKind| proto::RememberRequest {
        content: content.into(),
        kind: kind.into(),
        ..Default::default()
    };
    let fact = remember("the boat is called Ana", proto::MemoryKind::Fact);
    memory.remember(fact).await.unwrap();
    let secret = remember("4711", proto::MemoryKind::Secret);
    let secret = memory.remember(secret).await.unwrap().into_inner();
    let secret = secret.memory.expect("it was kept").id;
    let embedded = async {
        loop {
            let request = proto::GetMemoryStatusRequest::default();
            let status = memory.get_memory_status(request).await.unwrap();
            if status.into_inner().pending_embedding_count == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(support::SOON, embedded).await.unwrap();

    let backup = gateway.directory.path().join("backup");
    run(&[
        "backup".as_ref(),
        backup.as_ref(),
        "--data-dir".as_ref(),
        gateway.data().as_ref(),
    ]);
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    let lost = gateway.directory.path().join("lost");
    std::fs::rename(gateway.data(), &lost).unwrap();
    run(&[
        "restore".as_ref(),
        backup.as_ref(),
        "--data-dir".as_ref(),
        gateway.data().as_ref(),
    ]);
    assert!(!gateway.data().join("memory.key").exists());
    let texts_before = endpoint.seen().len();
    // Without its key the server starts only when that is said.
    let mut gateway = Gateway::with_data(gateway, &["--lose-secrets"]);

    let mut memory = MemoryServiceClient::connect(gateway.address.clone())
        .await
        .unwrap();
    let search = proto::SearchMemoryRequest {
        query: "what is the boat called".into(),
        mode: proto::SearchMode::Vector.into(),
        ..Default::default()
    };
    let hits = memory
        .search_memory(search)
        .await
        .unwrap()
        .into_inner()
        .hits;
    assert_eq!(hits.len(), 1, "{hits:?}");
    assert!(hits[0].snippet.contains("Ana"), "{hits:?}");
    let asked = endpoint.seen().split_off(texts_before);
    assert_eq!(asked.len(), 1, "only the query is embedded: {asked:?}");
    let reveal = || proto::GetMemoryRequest {
        id: secret.clone(),
        reveal: true,
    };
    let refused = memory.get_memory(reveal()).await.unwrap_err();
    assert_eq!(support::reason(&refused), "SECRET_UNREADABLE");
    gateway.check_store();

    // With the key's file it is readable again.
    std::fs::copy(lost.join("memory.key"), gateway.data().join("memory.key")).unwrap();
    gateway.restart();
    let mut memory = MemoryServiceClient::connect(gateway.address.clone())
        .await
        .unwrap();
    let shown = memory.get_memory(reveal()).await.unwrap().into_inner();
    assert_eq!(shown.memory.unwrap().content, "4711");
    gateway.check_store();
}

/// A command that succeeds.
fn run(arguments: &[&std::ffi::OsStr]) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(arguments)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
}
