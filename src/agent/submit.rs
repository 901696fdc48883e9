//! What a turn's agent answers its `output_schema` with, where it has no way of its own to be held to one: the agent calls the
//! gateway's tool `submit_result`, at the agents' own door, and is told there what is wrong. The turn's prompt says so.
//!
//! The session's actor opens a [`Submission`] for a turn; its drop closes it. A call that comes for another turn is refused.

use super::{Outcome, output::Wanted};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// The turns that wait for an output, by their ids; as many as run.
#[derive(Debug, Default)]
pub struct Submissions(Mutex<HashMap<Uuid, Waiting>>);

/// One of them; its drop ends it.
#[derive(Debug)]
pub struct Submission {
    all: Arc<Submissions>,
    turn_id: Uuid,
    schema_json: String,
}

/// What an agent has given so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Given {
    /// What meets the schema.
    Output(String),
    /// Nothing that does; and how the turn ends where that is all.
    Nothing {
        /// There are no more tries.
        spent: bool,
        /// The end.
        failure: Outcome,
    },
}

#[derive(Debug)]
struct Waiting {
    wanted: Wanted,
    output_json: Option<String>,
}

// === impl Submissions ===

impl Submissions {
    /// Takes outputs of a turn from now on.
    pub fn open(self: &Arc<Self>, turn_id: Uuid, schema_json: &str) -> Option<Submission> {
        let waiting = Waiting {
            wanted: Wanted::of(schema_json)?,
            output_json: None,
        };
        self.lock().insert(turn_id, waiting);
        Some(Submission {
            all: Arc::clone(self),
            turn_id,
            schema_json: schema_json.to_owned(),
        })
    }

    /// Takes what a turn's agent called the tool with.
    ///
    /// # Errors
    /// What is wrong with it, for the model.
    pub fn offer(&self, turn_id: Uuid, result: &Value) -> Result<(), String> {
        let mut all = self.lock();
        let Some(waiting) = all.get_mut(&turn_id) else {
            return Err("nobody asked for a result in this turn: answer in words".to_owned());
        };
        if waiting.wanted.is_spent() {
            return Err("no more results are taken in this turn".to_owned());
        }
        let text = match result {
            // Some models write the JSON out as a text.
            Value::String(text)
                if serde_json::from_str::<Value>(text).is_ok_and(|it| !it.is_string()) =>
            {
                text.clone()
            }
            value => value.to_string(),
        };
        waiting.output_json = Some(waiting.wanted.offer(&text)?);
        Ok(())
    }

    /// A lock, since it is held for one look into a map, and one check of a bounded value.
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Submission ===

impl Submission {
    /// What its agent has given.
    pub fn given(&self) -> Given {
        let all = self.all.lock();
        let waiting = all
            .get(&self.turn_id)
            .expect("it stands there until this is dropped");
        match &waiting.output_json {
            Some(output_json) => Given::Output(output_json.clone()),
            None => Given::Nothing {
                spent: waiting.wanted.is_spent(),
                failure: waiting.wanted.failure(),
            },
        }
    }

    /// What stands behind the prompt.
    pub fn instructions(&self) -> String {
        format!(
            "\n\nWhen you are done, give your final result by one call of the tool submit_result (of the server quarterdeck), whose \
             argument `result` is JSON that meets this JSON Schema. Where the call says what is wrong, mend that and call it \
             again.\n\n{}",
            self.schema_json
        )
    }

    /// What an agent is told once that ended without a result.
    pub fn reminder(&self) -> String {
        format!("You have not given your result.{}", self.instructions())
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        self.all.lock().remove(&self.turn_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SCHEMA: &str =
        r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}"#;

    #[test]
    fn an_output_is_taken_for_its_turn_alone_and_three_tries_are_all() {
        let all = Arc::new(Submissions::default());
        let turn_id = Uuid::now_v7();
        assert!(all.open(turn_id, "").is_none(), "nothing is wanted");
        let submission = all.open(turn_id, SCHEMA).expect("it has a schema");
        assert!(
            all.offer(Uuid::now_v7(), &json!({"n": 1})).is_err(),
            "another turn"
        );
        assert!(
            all.offer(turn_id, &json!({"n": "one"}))
                .expect_err("wrong")
                .contains("integer")
        );
        assert!(matches!(
            submission.given(),
            Given::Nothing { spent: false, .. }
        ));
        assert_eq!(
            all.offer(turn_id, &json!("{\"n\": 2}")),
            Ok(()),
            "as a text"
        );
        assert_eq!(submission.given(), Given::Output("{\"n\": 2}".into()));
        assert_eq!(
            all.offer(turn_id, &json!({"n": 3})),
            Ok(()),
            "the newest counts"
        );
        assert_eq!(submission.given(), Given::Output("{\"n\":3}".into()));
        drop(submission);
        assert!(all.offer(turn_id, &json!({"n": 1})).is_err(), "it is over");
        let submission = all.open(turn_id, SCHEMA).expect("it has a schema");
        for _ in 0..3 {
            assert!(all.offer(turn_id, &json!([])).is_err());
        }
        assert!(
            all.offer(turn_id, &json!({"n": 1})).is_err(),
            "there are no more tries"
        );
        let Given::Nothing {
            spent: true,
            failure: Outcome::OutputInvalid(why),
        } = submission.given()
        else {
            panic!("it failed")
        };
        assert!(why.contains("does not meet the output_schema"), "{why}");
    }
}
