//! What a turn is to answer with, where its caller gave a schema: how often an agent may try, and what it is told.

use super::Outcome;
use crate::domain::schema;
use serde_json::Value;

/// Tries of one turn: outputs that do not meet the schema, the last of which fails the turn.
pub(super) const TRIES_MAX: u32 = 3;
/// Largest output, in bytes.
pub const OUTPUT_MAX_BYTES: usize = 256 * 1024;

/// An output that is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    schema_json: String,
    schema: Value,
    /// Tries that were wrong.
    wrong: u32,
    /// What was wrong with the last one.
    problem: String,
    /// The newest that was right.
    taken: bool,
}

// === impl Wanted ===

impl Wanted {
    /// What a turn wants; `None` where it wants nothing.
    pub(super) fn of(schema_json: &str) -> Option<Self> {
        if schema_json.is_empty() {
            return None;
        }
        Some(Self {
            schema_json: schema_json.to_owned(),
            // It was read when the turn was taken.
            schema: serde_json::from_str(schema_json).unwrap_or_default(),
            wrong: 0,
            problem: String::new(),
            taken: false,
        })
    }

    /// The schema.
    pub(super) fn schema(&self) -> &Value {
        &self.schema
    }

    /// The schema as it was given.
    pub(super) fn schema_json(&self) -> &str {
        &self.schema_json
    }

    /// Takes an output, JSON text, and gives it back where it is right.
    ///
    /// # Errors
    /// What is wrong with it, for the model.
    pub(super) fn offer(&mut self, output: &str) -> Result<String, String> {
        let output = output.trim();
        match self.judge(output) {
            Ok(()) => {
                self.taken = true;
                Ok(output.to_owned())
            }
            Err(problem) => {
                self.wrong += 1;
                self.problem.clone_from(&problem);
                Err(problem)
            }
        }
    }

    fn judge(&self, output: &str) -> Result<(), String> {
        if output.len() > OUTPUT_MAX_BYTES {
            return Err(format!("it has more than {OUTPUT_MAX_BYTES} bytes"));
        }
        let value = serde_json::from_str(output).map_err(|it| format!("it is no JSON: {it}"))?;
        schema::check(&self.schema, &value)
    }

    /// Whether it has one that is right.
    pub(super) fn is_taken(&self) -> bool {
        self.taken
    }

    /// Whether there are no more tries.
    pub(super) fn is_spent(&self) -> bool {
        self.wrong >= TRIES_MAX
    }

    /// How a turn ends that came to no right one.
    pub(super) fn failure(&self) -> Outcome {
        let problem = match self.problem.as_str() {
            "" => "the agent gave no output for the output_schema".to_owned(),
            problem => format!("the output does not meet the output_schema: {problem}"),
        };
        Outcome::OutputInvalid(problem)
    }
}

/// JSON that a model wrote as its reply, without the fence that some put around it.
pub(super) fn unfenced(reply: &str) -> &str {
    let reply = reply.trim();
    let within = reply
        .strip_prefix("```json")
        .or_else(|| reply.strip_prefix("```"))
        .and_then(|it| it.strip_suffix("```"));
    within.unwrap_or(reply).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tries_and_the_last_words_count() {
        let mut wanted = Wanted::of(r#"{"type":"object","required":["n"]}"#).expect("a schema");
        assert!(wanted.offer("no").is_err());
        assert!(wanted.offer("[]").is_err());
        assert!(!wanted.is_spent() && !wanted.is_taken());
        assert!(wanted.offer("{}").expect_err("wrong").contains("'n'"));
        assert!(wanted.is_spent());
        let Outcome::OutputInvalid(problem) = wanted.failure() else {
            panic!("it fails")
        };
        assert!(problem.contains("'n'"), "{problem}");
        let right = wanted.offer(unfenced("```json\n{\"n\": 1}\n```"));
        assert_eq!(right.as_deref(), Ok("{\"n\": 1}"));
        let long = format!("{{\"n\":\"{}\"}}", "x".repeat(OUTPUT_MAX_BYTES));
        assert!(wanted.offer(&long).is_err());
        assert!(Wanted::of("").is_none());
    }
}
