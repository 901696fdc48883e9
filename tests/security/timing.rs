//! Whether the time of a refusal tells that an API key's id is known.

use crate::support::{Client, Gateway, Options};
use quarterdeck::{auth::key_text::KeyText, proto};
use std::time::{Duration, Instant};
use tonic::{Code, Request};

/// Digits of the server's texts, in their order.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key with this id, a secret that nobody made, and the checksum that belongs to them.
fn forged(id: &str, number: usize) -> String {
    let body = format!("qdk_{id}_{number:032}");
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut checksum = [b'0'; 6];
    for digit in checksum.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    format!("{body}_{}", String::from_utf8_lossy(&checksum))
}

#[test]
fn a_forged_key_is_well_formed() {
    let key = forged("0123456789ab", 7);
    assert_eq!(
        KeyText::parse(&key).expect("its checksum is right").id,
        "0123456789ab"
    );
}

/// Percentiles 10, 50 and 90 of samples.
fn percentiles<'s>(samples: impl Iterator<Item = &'s Duration>) -> [Duration; 3] {
    let mut samples: Vec<Duration> = samples.copied().collect();
    samples.sort_unstable();
    [1, 5, 9].map(|tenth| samples[samples.len() * tenth / 10])
}

async fn refused(client: &mut Client, key: &str) -> Duration {
    let mut request = Request::new(proto::GetSessionRequest::default());
    let value = format!("Bearer {key}").parse().expect("visible");
    request.metadata_mut().insert("authorization", value);
    let began = Instant::now();
    let answer = client.get_session(request).await;
    let took = began.elapsed();
    assert_eq!(
        answer.expect_err("it is wrong").code(),
        Code::Unauthenticated
    );
    took
}

/// SECURITY.md, API keys: a known id with a wrong secret takes as long as an unknown one.
///
/// Runs where `QUARTERDECK_TEST_TIMING` names the samples of each kind (SECURITY.md: 100000, with `--release`): the noise
/// of a busy machine makes no gate. Both kinds are taken in turns. Their medians may differ by three times what the
/// medians of one kind's halves differ by, and by a hundredth of the median where that is more.
#[tokio::test]
async fn a_known_id_is_refused_no_sooner_and_no_later() {
    let Ok(samples) = std::env::var("QUARTERDECK_TEST_TIMING") else {
        eprintln!("QUARTERDECK_TEST_TIMING is not set: no time is measured");
        return;
    };
    let samples: usize = samples.parse().expect("a number of samples");
    let environment = [("NO_AUTH", "false"), ("AUTH_FAILURES_PER_MINUTE", "0")];
    let server = Gateway::with(Options {
        environment: environment
            .map(|(name, value)| (format!("QUARTERDECK_{name}"), value.to_owned()))
            .to_vec(),
        ..Options::default()
    });
    let known = std::fs::read_to_string(server.data().join("admin.key")).expect("it was made");
    let known = KeyText::parse(known.trim()).expect("a key").id.to_owned();
    let unknown: String = known.chars().rev().collect();
    let mut client = server.client().await;
    let mut took = [Vec::new(), Vec::new()];
    for number in 0..2 * samples {
        let kind = number % 2;
        let id = [&known, &unknown][kind];
        took[kind].push(refused(&mut client, &forged(id, number)).await);
    }
    let [of_known, of_unknown] = took.each_ref().map(|all| percentiles(all.iter()));
    let noise = took.each_ref().map(|all| {
        let [_, even, _] = percentiles(all.iter().step_by(2));
        let [_, odd, _] = percentiles(all.iter().skip(1).step_by(2));
        even.abs_diff(odd)
    });
    let bound = (3 * noise[0].max(noise[1])).max(of_known[1] / 100);
    let difference = of_known[1].abs_diff(of_unknown[1]);
    eprintln!(
        "10, 50, 90 %: known {of_known:?}, unknown {of_unknown:?}; {difference:?} of {bound:?}"
    );
    assert!(difference <= bound, "{difference:?} is more than {bound:?}");
}
