//! Sums are what the events say, whatever they are asked by; and they stay when the sessions go.

use crate::{
    Admin, add, admin, grouped,
    llm_support::Model,
    reports, start,
    support::{Client, Gateway, log, run},
};
use proto::{UsageBy, UsageFilter, UsageGranularity, UsageSource};
use quarterdeck::proto;
use std::{collections::BTreeMap, process::Command};

/// What was used, by session, agent, model and label.
type Told = BTreeMap<Vec<String>, proto::Usage>;

/// The same numbers at every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

async fn label(client: &mut Client, key: &str, team: &str) {
    let request = proto::UpdateSessionRequest {
        session_key: key.into(),
        session: Some(proto::SessionSnapshot {
            labels: [("team".to_owned(), team.to_owned())].into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["labels".into()],
        }),
        ..Default::default()
    };
    client
        .update_session(request)
        .await
        .expect("it is labelled");
}

/// Holds every way to group against what the events said.
async fn check(admin: &mut Admin, told: &Told) {
    let ways: [(&[UsageBy], &[usize]); 6] = [
        (&[], &[]),
        (&[UsageBy::Session], &[0]),
        (&[UsageBy::Agent], &[1]),
        (&[UsageBy::Model, UsageBy::Session], &[2, 0]),
        (&[UsageBy::Label], &[3]),
        (
            &[
                UsageBy::Session,
                UsageBy::Agent,
                UsageBy::Model,
                UsageBy::Label,
            ],
            &[0, 1, 2, 3],
        ),
    ];
    for (by, places) in ways {
        let mut expected: Told = BTreeMap::new();
        let mut total = proto::Usage::default();
        for (keys, usage) in told {
            let name = places.iter().map(|&at| keys[at].clone()).collect();
            add(expected.entry(name).or_default(), usage);
            add(&mut total, usage);
        }
        let (rows, sum) = grouped(admin, UsageFilter::default(), by).await;
        assert_eq!(sum, total, "{by:?}");
        let found: Vec<_> = rows
            .into_iter()
            .map(|row| (row.keys, row.usage.expect("a sum")))
            .collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{by:?}");
    }
}

/// §13: one `usage_recorded` a call, written with its sums: whatever is asked for is the sum of the events, also after a
/// crash, and after the sessions are gone.
/// DEFECTS 39: running totals were added again at each end. FEATURES 6.2 13.
#[tokio::test]
async fn every_sum_is_what_the_events_say() {
    let mut gateway = start("");
    let mut client = gateway.client().await;
    let mut admin_client = admin(&gateway).await;
    let mut dice = Dice(7);
    let models = ["", ",own/unknown", ",openai/gpt-5-mini"];
    let keys = ["a", "b", "c"];
    let mut teams: BTreeMap<&str, &str> = BTreeMap::new();
    let mut told: Told = BTreeMap::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for round in 0..40 {
        let key = keys[dice.roll(3) as usize];
        if dice.roll(4) == 0 && teams.contains_key(key) {
            let team = ["", "red", "blue"][dice.roll(3) as usize];
            label(&mut client, key, team).await;
            teams.insert(key, team);
        }
        teams.entry(key).or_insert("");
        let calls: String = (0..dice.roll(4))
            .map(|_| {
                let model = models[dice.roll(3) as usize];
                format!("!usage={},{}{model} ", dice.roll(2000), dice.roll(200))
            })
            .collect();
        run(&mut client, key, &format!("{calls}round {round}")).await;
        let events = log(&mut client, key).await;
        let all = reports(&events);
        for report in &all[*seen.get(key).unwrap_or(&0)..] {
            let name = [key, "echo", &report.model, teams[key]].map(str::to_owned);
            add(
                told.entry(name.into()).or_default(),
                &report.usage.expect("numbers"),
            );
        }
        seen.insert(key, all.len());
        if round == 20 {
            gateway.kill();
            gateway.restart();
            client = gateway.client().await;
            admin_client = admin(&gateway).await;
        }
    }
    check(&mut admin_client, &told).await;
    // The session's own sum is the same, and its context is that of the newest call.
    for key in keys {
        let session = client
            .get_session(proto::GetSessionRequest {
                session_key: key.into(),
                ..Default::default()
            })
            .await;
        let session = session
            .expect("it is there")
            .into_inner()
            .session
            .expect("a session");
        let mut sum = proto::Usage::default();
        told.iter()
            .filter(|(name, _)| name[0] == key)
            .for_each(|(_, usage)| add(&mut sum, usage));
        assert_eq!(session.usage, Some(sum), "{key}");
    }
    let gone = proto::DeleteSessionRequest {
        session_key: "a".into(),
        ..Default::default()
    };
    client.delete_session(gone).await.expect("it goes");
    check(&mut admin_client, &told).await;
    let of_a = UsageFilter {
        session_key: "a".into(),
        ..Default::default()
    };
    let (rows, _) = grouped(&mut admin_client, of_a, &[UsageBy::Principal, UsageBy::Day]).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].keys[0], "default/local");
    let day = &rows[0].keys[1];
    assert!(day.len() == 10 && day.starts_with("20"), "{day}");
    let yesterday = UsageFilter {
        end_time: Some(prost_types::Timestamp {
            seconds: 86_400,
            nanos: 0,
        }),
        ..Default::default()
    };
    let (rows, _) = grouped(&mut admin_client, yesterday, &[]).await;
    assert_eq!(rows, []);
    gateway.check_store();
}

/// A cost is reported, or estimated by a table that says which it is, or unknown, which is never 0 dollars.
#[tokio::test]
async fn a_cost_says_where_it_comes_from() {
    let gateway = start("");
    let mut client = gateway.client().await;
    let prompt = "!usage=1000,100 !usage=1000,100,openai/gpt-5-mini !usage=1000,100,own/unknown hi";
    let turn = run(&mut client, "s", prompt).await;
    let events = log(&mut client, "s").await;
    let reports = reports(&events);
    let parts: Vec<_> = reports
        .iter()
        .map(|it| {
            let usage = it.usage.expect("numbers");
            assert_eq!(it.granularity(), UsageGranularity::Call);
            let cost = (usage.cost_micros, usage.unpriced_calls);
            (
                it.provider.as_str(),
                it.source(),
                it.price_version.as_str(),
                cost,
            )
        })
        .collect();
    let shipped = quarterdeck::domain::prices::SHIPPED_VERSION;
    assert_eq!(
        parts,
        [
            ("echo", UsageSource::Estimated, "configured", (1200, 0)),
            ("openai", UsageSource::Estimated, shipped, (450, 0)),
            ("own", UsageSource::Unspecified, "", (0, 1)),
        ]
    );
    let usage = turn.usage.expect("numbers");
    assert_eq!(
        (usage.cost_micros, usage.unpriced_calls, usage.model_calls),
        (1650, 1, 3)
    );
}

/// Every dialect's own counts become one form: input without what was cached, output with reasoning.
#[tokio::test]
async fn a_model_of_our_own_loop_is_counted_call_by_call() {
    let model = Model::start();
    let config = format!(
        "[agents.chat]\ndriver = \"llm\"\nmodel = \"local/fake-1\"\nbase_url = \"{}\"\napi = \"chat\"\n",
        model.base_url()
    );
    let gateway = start(&config);
    let mut client = gateway.client().await;
    let made = proto::CreateSessionRequest {
        session_key: "s".into(),
        agent: "chat".into(),
        ..Default::default()
    };
    client.create_session(made).await.expect("it is made");
    run(&mut client, "s", "SAY hi").await;
    let events = log(&mut client, "s").await;
    let report = reports(&events).remove(0);
    let usage = report.usage.expect("numbers");
    assert_eq!(
        (
            usage.input_tokens,
            usage.cache_read_tokens,
            usage.output_tokens
        ),
        (60, 40, 20)
    );
    // 60 at 1, 40 at 0.5 and 20 at 2 dollars a million.
    assert_eq!(
        (usage.cost_micros, report.provider.as_str()),
        (120, "local")
    );
    let session = proto::GetSessionRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    let session = client
        .get_session(session)
        .await
        .expect("there")
        .into_inner()
        .session;
    assert_eq!(session.expect("a session").context_tokens, 120);
}

fn quarterdeck(gateway: &Gateway, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(words)
        .args(["--addr", &gateway.address])
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {errors}");
    String::from_utf8(output.stdout).expect("text") + &errors
}

#[tokio::test]
async fn the_command_line_tells_what_it_cost() {
    let gateway = start("");
    let mut client = gateway.client().await;
    assert!(quarterdeck(&gateway, &["usage"]).contains("nothing was used"));
    run(
        &mut client,
        "s",
        "!usage=1000,100 !usage=10,1,own/unknown hi",
    )
    .await;
    let told = quarterdeck(
        &gateway,
        &["usage", "--by", "session,model", "--since", "1day"],
    );
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("SESSION") && lines[0].contains("DOLLARS"),
        "{told}"
    );
    assert!(
        lines[1].contains("echo/plain") && lines[1].ends_with("0.001200"),
        "{told}"
    );
    assert!(
        lines[2].ends_with("0.000000 and 1 call without a price"),
        "{told}"
    );
    let set = [
        "budgets",
        "set",
        "principal",
        "local",
        "--period",
        "day",
        "--hard-dollars",
        "0.0012",
    ];
    let told = quarterdeck(&gateway, &set);
    assert!(
        told.contains("default/local") && told.contains("used up"),
        "{told}"
    );
    assert!(quarterdeck(&gateway, &["budgets", "list"]).contains("0.001200"));
    quarterdeck(
        &gateway,
        &["budgets", "delete", "principal", "local", "--period", "day"],
    );
    assert!(quarterdeck(&gateway, &["budgets", "list"]).contains("no budgets"));
}

/// The lines of the docs, as they stand.
#[tokio::test]
async fn what_the_docs_say_works() {
    let gateway = start("");
    let mut client = gateway.client().await;
    run(&mut client, "s", "!usage=1000,100 hi").await;
    let page = include_str!("../../docs/pages/usage.md");
    let (_, lines) = page.split_once("```sh\n").expect("commands");
    let (lines, _) = lines.split_once("```").expect("their end");
    assert!(lines.lines().count() >= 5, "{lines}");
    for line in lines.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], "quarterdeck", "{line}");
        quarterdeck(&gateway, &words[1..]);
    }
}
