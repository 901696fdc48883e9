//! One try of one delivery: a POST, and what its answer means. Redirects are not followed, no proxy is used, and nothing of
//! the answer's body is kept.

use super::{
    payload::{Payload, Proof},
    reach::Reach,
};
use crate::domain::webhooks_out::{DeliveryState, Tried};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Client, redirect::Policy};
use std::{
    error::Error as _,
    time::{Duration, SystemTime},
};

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for one try, its answer included.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read, so that its connection can be used again.
const ANSWER_MAX_BYTES: usize = 16 * 1024;
/// Connections to one host that are kept for the next delivery, and how long.
const IDLE_MAX: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Tells a server that it would be told of a turn which a webhook of its own made.
pub const LOOP_HEADER: HeaderName = HeaderName::from_static("quarterdeck-webhook-loop");

/// Sends deliveries.
pub(super) struct Sender {
    client: Client,
    reach: Reach,
}

/// The client can't be made.
#[derive(Debug, thiserror::Error)]
#[error("can't prepare webhooks: {0}")]
pub struct BadClient(#[source] reqwest::Error);

// === impl Sender ===

impl Sender {
    /// Connects when it first sends.
    ///
    /// # Errors
    /// The system's certificates can't be read.
    pub(super) fn new(reach: Reach) -> Result<Self, BadClient> {
        // One of the process: whoever came first chose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(std::sync::Arc::new(reach.clone()))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TRY_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("quarterdeck/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(BadClient)?;
        Ok(Self { client, reach })
    }

    /// Tries once.
    pub(super) async fn send(
        &self,
        url: &str,
        payload: &Payload,
        proof: &Proof,
        loop_of: Option<&str>,
        second: i64,
    ) -> Tried {
        let failed = |problem: String| Tried {
            state: DeliveryState::Failed,
            status: 0,
            problem,
            retry_after: None,
        };
        // Also what was allowed when it was made: the configuration may be another one now.
        let url = match self.reach.parse(url) {
            Ok(url) => url,
            Err(problem) => return failed(format!("url {problem}")),
        };
        let mut headers = payload.headers.clone();
        headers.extend(proof.headers(payload, second));
        if let Some(store_id) = loop_of
            && let Ok(value) = HeaderValue::from_str(store_id)
        {
            headers.insert(LOOP_HEADER, value);
        }
        let request = self.client.post(url).headers(headers);
        let answer = match request.body(payload.body.clone()).send().await {
            Ok(answer) => answer,
            Err(error) => return failed(problem_of(&error)),
        };
        let status = answer.status();
        let retry_after = retry_after(answer.headers(), SystemTime::now());
        drain(answer).await;
        let (state, problem) = match status {
            it if it.is_success() => (DeliveryState::Delivered, String::new()),
            StatusCode::LOOP_DETECTED if loop_of.is_some() => (
                DeliveryState::Skipped,
                "the address is this server, whose webhook made the turn".to_owned(),
            ),
            it if it.is_redirection() => (
                DeliveryState::Failed,
                "the address answered with a redirect, which is not followed".to_owned(),
            ),
            _ => (DeliveryState::Failed, String::new()),
        };
        Tried {
            state,
            status: status.as_u16(),
            problem,
            retry_after,
        }
    }
}

/// Reads a short answer to its end.
async fn drain(mut answer: reqwest::Response) {
    let mut read = 0;
    while let Ok(Some(piece)) = answer.chunk().await {
        read += piece.len();
        if read > ANSWER_MAX_BYTES {
            return;
        }
    }
}

/// When the address wants to be asked again: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let left = at.as_second().checked_sub_unsigned(now.as_secs())?;
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
}

/// Why there was no answer, in our own words: without the address, which may hold a secret.
fn problem_of(error: &reqwest::Error) -> String {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(refused) = inner.downcast_ref::<super::reach::NotPublic>() {
            return refused.to_string();
        }
        source = inner.source();
    }
    if error.is_timeout() {
        "no answer in time".into()
    } else if error.is_connect() {
        "no connection".into()
    } else {
        "the connection was lost".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_when_by_seconds_or_by_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(text))]);
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        let date = read("Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(date, Some(Duration::from_secs(60)));
        let past = read("Sun, 06 Nov 1994 08:00:00 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
