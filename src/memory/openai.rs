//! Embeddings from any endpoint that speaks OpenAI's `/v1/embeddings`.
//!
//! Calls are repeated where that can help (no connection, too slow, 408, 429, 5xx), at most [`TRIES`] times. Redirects
//! are not followed: the key is for the configured endpoint alone. What the endpoint says is shown cut and without the
//! key.

use super::embed::Embedder;
use crate::domain::refusal::Refusal;
use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, Url, header, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tracing::debug;

/// Tries of one call, the first one included.
pub const TRIES: u32 = 3;
/// Pause before the second try; doubles for the next.
const BACKOFF: Duration = Duration::from_millis(250);
/// Longest pause that the endpoint may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// Largest answer, in bytes: 32 texts, 8192 numbers each, with room.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Longest vector.
const DIMENSIONS_MAX: usize = 8192;
/// Bytes that are shown of what the endpoint says of an error.
const PROBLEM_MAX_BYTES: usize = 200;
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the model is, and how it is asked.
#[derive(Clone, Debug)]
pub struct OpenAiOptions {
    /// The whole address, such as `http://127.0.0.1:8080/v1/embeddings`.
    pub url: Url,
    /// Name of the model.
    pub model: String,
    /// Sent as bearer token; empty sends none.
    pub key: SecretString,
    /// Texts of one request.
    pub batch_texts: usize,
    /// Time for one try.
    pub timeout: Duration,
}

/// A client of one endpoint.
#[derive(Clone, Debug)]
pub struct OpenAiEmbedder {
    options: OpenAiOptions,
    client: Client,
}

/// The client can't be made.
#[derive(Debug, thiserror::Error)]
#[error("can't prepare calls to the embedding model: {0}")]
pub struct BadClient(#[source] reqwest::Error);

#[derive(Serialize)]
struct Asked<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f32>,
}

/// What came of one try.
enum Tried {
    Vectors(Vec<Vec<f32>>),
    /// The same may succeed later.
    Again {
        problem: String,
        after: Option<Duration>,
    },
    Never(String),
}

// === impl OpenAiEmbedder ===

impl OpenAiEmbedder {
    /// A client; connects when it is first used.
    ///
    /// # Errors
    /// The system's certificates can't be read.
    pub fn new(options: OpenAiOptions) -> Result<Self, BadClient> {
        // One of the process: whoever came first chose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(options.timeout)
            .build()
            .map_err(BadClient)?;
        Ok(Self { options, client })
    }

    async fn batch(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Refusal> {
        let asked = Asked {
            model: &self.options.model,
            input: texts,
            encoding_format: "float",
        };
        let body = serde_json::to_vec(&asked).expect("texts are JSON");
        let mut pause = BACKOFF;
        let mut tries = 1;
        loop {
            let (problem, after) = match self.once(body.clone(), texts.len()).await {
                Tried::Vectors(vectors) => return Ok(vectors),
                Tried::Never(problem) => (problem, None),
                Tried::Again { problem, after } if tries < TRIES => {
                    debug!(problem, tries, "the embedding model is asked again");
                    tokio::time::sleep(after.unwrap_or(pause).min(RETRY_AFTER_MAX)).await;
                    pause *= 2;
                    tries += 1;
                    continue;
                }
                Tried::Again { problem, after } => (problem, after),
            };
            debug!(problem, ?after, tries, "the embedding model is given up");
            return Err(Refusal::EmbeddingUnavailable { problem });
        }
    }

    async fn once(&self, body: Vec<u8>, texts: usize) -> Tried {
        let mut request = self
            .client
            .post(self.options.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        let key = self.options.key.expose_secret();
        if !key.is_empty() {
            request = request.bearer_auth(key);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return Tried::Again {
                    problem: transport(&error).into(),
                    after: None,
                };
            }
        };
        let status = response.status();
        let after = retry_after(&response);
        let body = match read(response).await {
            Ok(body) => body,
            Err(tried) => return tried,
        };
        if status.is_success() {
            return match parse(&body, texts) {
                Ok(vectors) => Tried::Vectors(vectors),
                Err(problem) => Tried::Never(problem),
            };
        }
        let problem = format!("HTTP {}{}", status.as_u16(), self.said(&body));
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Tried::Again { problem, after }
            }
            status if status.is_server_error() => Tried::Again { problem, after },
            _ => Tried::Never(problem),
        }
    }

    /// What an endpoint says of an error, for people.
    fn said(&self, body: &[u8]) -> String {
        #[derive(Deserialize)]
        struct Failed {
            error: Said,
        }
        #[derive(Deserialize)]
        struct Said {
            message: String,
        }
        let Ok(failed) = serde_json::from_slice::<Failed>(body) else {
            return String::new();
        };
        let mut message = failed.error.message.replace(char::is_control, " ");
        let key = self.options.key.expose_secret();
        if !key.is_empty() {
            message = message.replace(key, "(key)");
        }
        message.truncate(message.floor_char_boundary(PROBLEM_MAX_BYTES));
        format!(": {message}")
    }
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
    fn model(&self) -> &str {
        &self.options.model
    }

    async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Refusal> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(self.options.batch_texts.max(1)) {
            vectors.extend(self.batch(batch).await?);
        }
        let length = vectors.first().map(Vec::len);
        if vectors.iter().any(|vector| Some(vector.len()) != length) {
            let problem = "its vectors are of different lengths".into();
            return Err(Refusal::EmbeddingUnavailable { problem });
        }
        Ok(vectors)
    }
}

/// A sentence without the address, which may hold a secret.
fn transport(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection was lost"
    }
}

/// The endpoint's wish, in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    let seconds = value.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Reads the body as far as the bound.
async fn read(mut response: Response) -> Result<Vec<u8>, Tried> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_MAX_BYTES => {
                let problem = format!("its answer has more than {ANSWER_MAX_BYTES} bytes");
                return Err(Tried::Never(problem));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => {
                return Err(Tried::Again {
                    problem: transport(&error).into(),
                    after: None,
                });
            }
        }
    }
}

/// One vector for each text, in order.
fn parse(body: &[u8], texts: usize) -> Result<Vec<Vec<f32>>, String> {
    let Answer { mut data } = serde_json::from_slice(body)
        .map_err(|_| "its answer is no list of embeddings".to_owned())?;
    data.sort_by_key(|embedding| embedding.index);
    let in_order = data.iter().map(|embedding| embedding.index).eq(0..texts);
    if !in_order {
        return Err("its answer has not one embedding for each text".into());
    }
    let vectors: Vec<Vec<f32>> = data.into_iter().map(|it| it.embedding).collect();
    for vector in &vectors {
        if vector.is_empty() || vector.len() > DIMENSIONS_MAX {
            let length = vector.len();
            return Err(format!(
                "its vectors have {length} numbers; 1 to {DIMENSIONS_MAX} are taken"
            ));
        }
        if !vector.iter().all(|number| number.is_finite()) {
            return Err("its vectors have numbers that are none".into());
        }
    }
    Ok(vectors)
}
