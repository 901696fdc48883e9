//! Plays one scenario with one client.

use crate::{
    driver::{Driver, Program, Progress},
    events::{Readers, check_run},
    expect::{Variables, at, differences, fill, shown},
    scenario::{Action, Scenario, Step, Wanted},
    stage::Stage,
};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};
use tokio::{sync::watch, time::timeout};

/// Bound of a whole scenario.
const SCENARIO_BOUND: Duration = Duration::from_secs(180);
/// The newest lines of a driver's standard error that are shown.
const STDERR_LINES: usize = 30;

struct Play<'a> {
    scenario: &'a Scenario,
    stage: Stage,
    driver: Driver,
    variables: Variables,
    readers: Readers,
    /// What was started and not awaited yet, by name.
    started: HashMap<String, (Value, watch::Receiver<Progress>)>,
}

/// Plays it; an error tells the step, what was expected and what came.
pub async fn play(program: &Program, scenario: &Scenario) -> Result<(), String> {
    let (stage, variables, secrets) = Stage::set(scenario).await?;
    let driver = Driver::start(program, secrets)?;
    let mut play = Play {
        scenario,
        stage,
        driver,
        variables,
        readers: Readers::default(),
        started: HashMap::new(),
    };
    let result = match timeout(SCENARIO_BOUND, play.steps()).await {
        Ok(result) => result,
        Err(_) => Err(format!("not done within {SCENARIO_BOUND:?}")),
    };
    result.map_err(|problem| {
        let stderr = play.driver.stderr();
        let lines: Vec<_> = stderr.lines().collect();
        let lines = &lines[lines.len().saturating_sub(STDERR_LINES)..];
        let (said, log) = (lines.join("\n    "), play.stage.log());
        let log = match std::env::var_os("QUARTERDECK_TEST_TALK") {
            Some(_) => format!("\n  the server's log:\n{log}"),
            None => String::new(),
        };
        match said.is_empty() {
            true => format!("{problem}{log}"),
            false => format!("{problem}\n  the driver's standard error:\n    {said}{log}"),
        }
    })
}

// === impl Play ===

impl Play<'_> {
    async fn steps(&mut self) -> Result<(), String> {
        for (client, address) in [("a", "$address"), ("direct", "$direct")] {
            let mut request =
                json!({"op": "connect", "client": client, "address": address, "key": "$key"});
            if self.scenario.tls {
                request["ca"] = "$ca".into();
            }
            self.connect(&request)
                .await
                .map_err(|problem| format!("connect {client}: {problem}"))?;
        }
        for (index, step) in self.scenario.steps.iter().enumerate() {
            for _ in 0..step.repeat {
                self.step(step).await.map_err(|problem| {
                    let number = index + 1;
                    format!("step {number}, {}:\n  {problem}", title(&step.action))
                })?;
            }
        }
        self.driver.end().await
    }

    async fn connect(&mut self, request: &Value) -> Result<(), String> {
        let request = fill(request, &self.variables)?;
        let answer = self.driver.send(&request).await?;
        let bound = Duration::from_secs(30);
        let progress = self.driver.wait(answer, bound, answered).await?;
        let answer = progress.answer.unwrap_or_default();
        match answer["ok"].is_object() {
            true => Ok(()),
            false => Err(shown(&answer)),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let wanted = match &step.wanted {
            Wanted::Ok(wanted) | Wanted::Error(wanted) => fill(wanted, &self.variables)?,
        };
        let came = match &step.action {
            Action::Op { request, start } => {
                let mut request = fill(request, &self.variables)?;
                if request.get("client").is_none() {
                    request["client"] = "a".into();
                }
                if request["op"] == "subscribe" || request["op"] == "subscribe_many" {
                    self.readers.begin(&request);
                }
                let answer = self.driver.send(&request).await?;
                if let Some(name) = start {
                    self.started.insert(name.clone(), (request, answer));
                    return Ok(());
                }
                self.answer(request, answer, step).await?
            }
            Action::Await(name) => {
                let (request, answer) = self.take(name)?;
                self.answer(request, answer, step).await?
            }
            Action::Pieces { name, at_least } => {
                let (_, answer) = self.started.get(name).ok_or("nothing was started so")?;
                let enough =
                    |progress: &Progress| progress.pieces.len() >= *at_least || answered(progress);
                let progress = self.driver.wait(answer.clone(), step.bound, enough).await?;
                if progress.pieces.len() < *at_least {
                    let (came, answer) = (progress.pieces.len(), progress.answer);
                    return Err(format!(
                        "expected {at_least} pieces, got {came} and then {}",
                        shown(&answer.unwrap_or_default())
                    ));
                }
                return Ok(());
            }
            Action::Server { what, fields } => {
                let fields = fill(fields, &self.variables)?;
                json!({"ok": self.stage.server(what, &fields, &wanted).await?})
            }
            Action::Proxy { what, fields } => {
                let fields = fill(fields, &self.variables)?;
                json!({"ok": self.stage.proxy(what, &fields).await?})
            }
        };
        let side = match &step.wanted {
            Wanted::Ok(_) => "ok",
            Wanted::Error(_) => "error",
        };
        let Some(part) = came.get(side) else {
            let wanted = shown(&wanted);
            return Err(format!("expected `{side}` {wanted}, got {}", shown(&came)));
        };
        let found = differences(&wanted, part);
        if !found.is_empty() {
            let found = found.join("\n  ");
            return Err(format!("{found}\n  in {}", shown(&came)));
        }
        for (name, path) in &step.capture {
            let value = at(part, path).ok_or_else(|| format!("nothing at {path} to capture"))?;
            self.variables.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    fn take(&mut self, name: &str) -> Result<(Value, watch::Receiver<Progress>), String> {
        let started = self.started.remove(name);
        started.ok_or_else(|| format!("the scenario started nothing as {name:?}"))
    }

    /// The answer to a request, held against what always holds.
    async fn answer(
        &mut self,
        request: Value,
        answer: watch::Receiver<Progress>,
        step: &Step,
    ) -> Result<Value, String> {
        let progress = self.driver.wait(answer, step.bound, answered).await?;
        let answer = progress.answer.unwrap_or_default();
        let events = answer["ok"]["events"].as_array();
        let events = events.or_else(|| answer["events"].as_array());
        match request["op"].as_str() {
            Some("next") => {
                let events = events.ok_or("`next` answers without events");
                let events = match answer["error"].is_object() {
                    true => events.map_or(&[][..], |events| events),
                    false => events?,
                };
                self.readers.read(&request, events)?;
            }
            Some("run") => check_run(events.map_or(&[][..], |events| events))?,
            Some("chat") if answer["ok"].is_object() => {
                let joined = progress.pieces.concat();
                let count = json!(progress.pieces.len());
                let found = differences(&json!({"text": joined, "pieces": count}), &answer["ok"]);
                if !found.is_empty() {
                    return Err(format!(
                        "the pieces that came are not what the answer says: {}",
                        found.join("; ")
                    ));
                }
            }
            _ => {}
        }
        Ok(answer)
    }
}

fn answered(progress: &Progress) -> bool {
    progress.answer.is_some()
}

fn title(action: &Action) -> String {
    match action {
        Action::Op { request, .. } => shown(request),
        Action::Await(name) => format!("await {name}"),
        Action::Pieces { name, at_least } => format!("{at_least} pieces of {name}"),
        Action::Server { what, .. } => format!("server: {what}"),
        Action::Proxy { what, .. } => format!("proxy: {what}"),
    }
}
