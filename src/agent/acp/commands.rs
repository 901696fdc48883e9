//! The commands that an agent has of its own. It tells them once its session is there (`available_commands_update`), some of
//! them more than once. One is run by a prompt that is `/name arguments` and nothing else.

use super::text;
use crate::domain::command::{self, COMMANDS_MAX, Command};
use serde_json::Value;

/// The commands; `None` before the agent told them.
#[derive(Debug, Default)]
pub(super) struct Commands(Option<Vec<Command>>);

// === impl Commands ===

impl Commands {
    /// Takes an `available_commands_update`. Returns the commands where they are others than before.
    pub(super) fn hear(&mut self, update: &Value) -> Option<Vec<Command>> {
        let listed = update["availableCommands"].as_array()?.iter();
        let commands = listed.filter_map(|one| {
            Command::bounded(
                text(&one["name"]),
                text(&one["description"]),
                text(&one["input"]["hint"]),
            )
        });
        let commands: Vec<Command> = commands.take(COMMANDS_MAX).collect();
        let changed = self.0.as_ref() != Some(&commands);
        self.0 = Some(commands);
        self.0.clone().filter(|_| changed)
    }

    /// Whether it may have the command: it did not tell them yet, or names it.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let known = self.0.as_ref();
        known.is_none_or(|known| known.iter().any(|it| it.name == name))
    }

    /// Why a turn can't run a command; `None` where it can.
    pub(super) fn refusal(&self, name: &str) -> Option<String> {
        if self.may_have(name) {
            None
        } else if name == command::COMPACT {
            Some("the agent can't shorten its conversation when it is told to".into())
        } else {
            Some(format!("the agent has no command {name} any more"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_told_twice_changes_nothing() {
        let mut commands = Commands::default();
        assert!(commands.may_have("review") && commands.may_have(command::COMPACT));
        let update = json!({ "availableCommands": [
            { "name": "review", "description": "Reviews", "input": { "hint": "what" } },
            { "name": "memory show", "input": null },
            { "name": "" },
            {},
        ] });
        let told = commands.hear(&update).expect("they are new");
        let named: Vec<(&str, &str, &str)> = told
            .iter()
            .map(|it| (&*it.name, &*it.description, &*it.input_hint))
            .collect();
        assert_eq!(
            named,
            [("review", "Reviews", "what"), ("memory show", "", "")]
        );
        assert_eq!(commands.hear(&update), None);
        assert_eq!(commands.hear(&json!({})), None);
        assert!(!commands.may_have(command::COMPACT));
        assert_eq!(commands.refusal("review"), None);
        assert!(commands.refusal("other").is_some());
        assert_eq!(
            commands.hear(&json!({ "availableCommands": [] })),
            Some(vec![])
        );
    }
}
