//! Commands: what a session is told by a name instead of by a prompt. A turn that runs one has the text `/name arguments`.

use super::limits::cut;

/// Commands that are kept of an agent; what it tells beyond is passed over.
pub const COMMANDS_MAX: usize = 240;
/// Longest name, in bytes.
pub const NAME_MAX_BYTES: usize = 128;
/// Longest description, in bytes.
pub const DESCRIPTION_MAX_BYTES: usize = 1024;
/// Longest hint at what goes after the name, in bytes.
pub const HINT_MAX_BYTES: usize = 256;
/// What a session's `compact` is called, also where its agent has one of that name: to shorten the conversation.
pub const COMPACT: &str = "compact";
/// In `commands_allowed`: every command.
pub const EVERY: &str = "*";

/// A command of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name without the slash; it may hold blanks.
    pub name: String,
    /// What it does, for people.
    pub description: String,
    /// What goes after its name, for people.
    pub input_hint: String,
}

// === impl Command ===

impl Command {
    /// A command with its texts cut where they are too long; `None` where that can be no name of one.
    pub fn bounded(name: &str, description: &str, input_hint: &str) -> Option<Self> {
        is_name(name).then(|| Self {
            name: name.to_owned(),
            description: cut(description, DESCRIPTION_MAX_BYTES).to_owned(),
            input_hint: cut(input_hint, HINT_MAX_BYTES).to_owned(),
        })
    }

    /// Bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        self.name.len() + self.description.len() + self.input_hint.len()
    }
}

/// Whether it can be the name of a command.
pub fn is_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= NAME_MAX_BYTES;
    fits && name.trim() == name && !name.starts_with('/') && !name.contains(char::is_control)
}

/// The text of a turn that runs a command.
pub fn text(name: &str, arguments: &str) -> String {
    let arguments = arguments.trim();
    if arguments.is_empty() {
        format!("/{name}")
    } else {
        format!("/{name} {arguments}")
    }
}

/// What goes after the name in such a text.
pub fn arguments<'t>(text: &'t str, name: &str) -> &'t str {
    let rest = text.strip_prefix('/').unwrap_or(text);
    rest.strip_prefix(name).unwrap_or(rest).trim()
}

/// Whether `commands_allowed` names a command.
pub fn allows(allowed: &[String], name: &str) -> bool {
    allowed.iter().any(|it| it == name || it == EVERY)
}

/// The command that a prompt is by `commands_allowed`; a prompt that is none is a text, whatever it begins with.
pub fn of_prompt<'t>(allowed: &[String], prompt: &'t str) -> Option<&'t str> {
    let rest = prompt.strip_prefix('/')?;
    let ends = |at: usize| rest[at..].is_empty() || rest[at..].starts_with(char::is_whitespace);
    let named = allowed.iter().filter(|it| rest.starts_with(it.as_str()));
    let longest = named.map(String::len).filter(|at| ends(*at)).max();
    let every = || {
        let every = allowed.iter().any(|it| it == EVERY);
        every.then(|| rest.find(char::is_whitespace).unwrap_or(rest.len()))
    };
    let name = &rest[..longest.or_else(every)?];
    is_name(name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_a_command_only_where_its_agent_allows_it() {
        let allowed = ["review", "memory", "memory show"].map(String::from);
        for (prompt, command) in [
            ("/review", Some("review")),
            ("/review the tests", Some("review")),
            ("/memory show all", Some("memory show")),
            ("/memory showing", Some("memory")),
            ("/reviews", None),
            ("/usr/bin/env", None),
            (" /review", None),
            ("review", None),
            ("/", None),
        ] {
            assert_eq!(of_prompt(&allowed, prompt), command, "{prompt:?}");
            assert_eq!(of_prompt(&[], prompt), None, "{prompt:?}");
        }
        let every = [EVERY.to_owned()];
        assert_eq!(of_prompt(&every, "/usr/bin x"), Some("usr/bin"));
        assert_eq!(of_prompt(&every, "/ x"), None);
        assert!(allows(&every, "review") && !allows(&allowed, "reviews"));
    }

    #[test]
    fn a_text_holds_name_and_arguments() {
        let text = text("memory show", " all of it ");
        assert_eq!(text, "/memory show all of it");
        assert_eq!(arguments(&text, "memory show"), "all of it");
        assert_eq!(arguments(&super::text("x", ""), "x"), "");
        for name in ["", "/x", " x", "x\n", &"n".repeat(NAME_MAX_BYTES + 1)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
