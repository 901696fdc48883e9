//! Which tools an agent may run without asking, and which it may not run at all.

use super::question::{Ask, OptionEffect, QuestionKind};
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

/// Rules of one policy.
pub const RULES_MAX: usize = 64;
/// Longest pattern, in bytes.
pub const PATTERN_MAX_BYTES: usize = 256;

/// The gateway's own tools: they need nobody's permission, unless a rule says otherwise.
const OWN_TOOLS: [&str; 4] = [
    "memory_search",
    "memory_remember",
    "memory_forget",
    SUBMIT_RESULT,
];

/// How agents begin the names of tools of the server that the gateway gives them.
const OWN_SERVER_TOOLS: &str = "mcp__quarterdeck__";

/// The tool by which an agent gives what its turn is to answer with.
pub const SUBMIT_RESULT: &str = "submit_result";

/// What a rule says. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ToolAction {
    /// It runs without anybody being asked.
    Allow = 1,
    /// Somebody is asked.
    Ask = 2,
    /// It does not run.
    Deny = 3,
}

/// One rule: what is said of the tools of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRule {
    /// Names of tools: `*` stands for any characters, `?` for one.
    pub tool: String,
    /// What is said of them.
    pub action: ToolAction,
}

/// What a policy makes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The tool runs, by the option of this id.
    Allow {
        /// The option.
        option_id: String,
        /// The rule.
        rule: String,
    },
    /// The tool does not run.
    Deny {
        /// The rule.
        rule: String,
    },
    /// Somebody is asked.
    Ask,
}

// === impl ToolAction ===

impl ToolAction {
    const ALL: [Self; 3] = [Self::Allow, Self::Ask, Self::Deny];

    /// The action with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|it| *it as i64 == number)
    }

    /// The word for it in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

// === impl ToolRule ===

impl ToolRule {
    /// Reads `ACTION PATTERN`, such as `deny bash`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || format!("{text:?}: expected allow, ask or deny, a blank, and a tool's name");
        let (action, tool) = text.split_once(' ').ok_or_else(expected)?;
        let action = ToolAction::ALL.into_iter().find(|it| it.as_str() == action);
        let rule = Self {
            tool: tool.trim().to_owned(),
            action: action.ok_or_else(expected)?,
        };
        match rule.problem() {
            Some(problem) => Err(format!("{text:?}: {problem}")),
            None => Ok(rule),
        }
    }

    /// Why it can't be a rule; `None` where it can.
    pub fn problem(&self) -> Option<&'static str> {
        let bad = self.tool.is_empty()
            || self.tool.len() > PATTERN_MAX_BYTES
            || self
                .tool
                .chars()
                .any(|it| it.is_control() || it.is_whitespace());
        bad.then_some(
            "a tool's name has 1 to 256 bytes and no blanks; `*` and `?` stand for others",
        )
    }

    fn matches(&self, tool_name: &str) -> bool {
        WildMatch::new(&self.tool).matches(tool_name)
    }
}

impl std::fmt::Display for ToolRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.action.as_str(), self.tool)
    }
}

/// What an agent's rules and those of its session make of a question: the agent's DENY binds, then the session's rules,
/// then the agent's others; the first that matches counts. Where none does, the gateway's own tools may run. Only structured names are looked at, never titles: a call
/// without a name can't be allowed here.
pub fn verdict(agent: &[ToolRule], session: &[ToolRule], ask: &Ask) -> Verdict {
    // Whom a tool belongs to runs it, and is not asked whether it may; a rule can only keep it from being called.
    let callers = match ask.kind {
        QuestionKind::Permission => false,
        QuestionKind::ToolCall => true,
        QuestionKind::Form | QuestionKind::Link | QuestionKind::Budget => return Verdict::Ask,
    };
    let denies = |rule: &&ToolRule| rule.action == ToolAction::Deny;
    let rules = agent.iter().filter(denies).chain(session).chain(agent);
    let found = rules.into_iter().find(|rule| rule.matches(&ask.tool_name));
    let own = || ToolRule {
        tool: ask.tool_name.clone(),
        action: ToolAction::Allow,
    };
    let Some(rule) = found.cloned().or_else(|| is_own(&ask.tool_name).then(own)) else {
        return Verdict::Ask;
    };
    match rule.action {
        ToolAction::Deny => Verdict::Deny {
            rule: rule.to_string(),
        },
        ToolAction::Ask => Verdict::Ask,
        ToolAction::Allow if callers => Verdict::Ask,
        ToolAction::Allow => {
            let once = |effect| effect == Some(OptionEffect::AllowOnce);
            let option = ask.options.iter().find(|option| once(option.effect));
            match option.filter(|_| !ask.tool_name.is_empty()) {
                Some(option) => Verdict::Allow {
                    option_id: option.option_id.clone(),
                    rule: rule.to_string(),
                },
                None => Verdict::Ask,
            }
        }
    }
}

/// Whether a tool of that name is the gateway's own: as it is called, or as agents call it that name its server too.
pub fn is_own(tool_name: &str) -> bool {
    OWN_TOOLS.contains(
        &tool_name
            .strip_prefix(OWN_SERVER_TOOLS)
            .unwrap_or(tool_name),
    )
}

/// Whether a policy only makes another one stricter: the other's rules stand behind further ones that allow nothing.
pub fn is_stricter(before: &[ToolRule], after: &[ToolRule]) -> bool {
    let Some(added) = after.len().checked_sub(before.len()) else {
        return false;
    };
    let (front, rest) = after.split_at(added);
    rest == before && front.iter().all(|rule| rule.action != ToolAction::Allow)
}

#[cfg(test)]
mod tests {
    use super::{super::event::Json, super::question::QuestionOption, *};

    fn ask(tool_name: &str) -> Ask {
        let option = |id: &str, effect| QuestionOption {
            option_id: id.into(),
            label: id.into(),
            effect: Some(effect),
        };
        Ask {
            kind: QuestionKind::Permission,
            title: "bash".into(),
            tool_call_id: "c".into(),
            tool_name: tool_name.into(),
            args: Json::default(),
            options: vec![
                option("always", OptionEffect::AllowAlways),
                option("once", OptionEffect::AllowOnce),
            ],
            schema_json: String::new(),
            url: String::new(),
            agent_path: vec![],
        }
    }

    fn rules(texts: &[&str]) -> Vec<ToolRule> {
        let parsed = texts.iter().map(|text| ToolRule::parse(text));
        parsed.collect::<Result<_, _>>().expect("rules")
    }

    #[test]
    fn the_agents_denials_bind_then_the_session_counts_then_the_agent() {
        let agent = rules(&["allow read*", "deny bash", "ask write"]);
        let session = rules(&["allow bash", "deny read_secret", "allow write"]);
        let said = |tool: &str| verdict(&agent, &session, &ask(tool));
        let allow = |rule: &str| Verdict::Allow {
            option_id: "once".into(),
            rule: rule.into(),
        };
        let deny = |rule: &str| Verdict::Deny { rule: rule.into() };
        assert_eq!(said("bash"), deny("deny bash"));
        assert_eq!(said("read_secret"), deny("deny read_secret"));
        assert_eq!(said("read_file"), allow("allow read*"));
        assert_eq!(said("write"), allow("allow write"));
        assert_eq!(said("edit"), Verdict::Ask);
    }

    #[test]
    fn the_gateways_own_tools_run_unless_a_rule_says_otherwise() {
        assert!(matches!(
            verdict(&[], &[], &ask("mcp__quarterdeck__submit_result")),
            Verdict::Allow { .. }
        ));
        assert_eq!(
            verdict(&[], &[], &ask("mcp__other__submit_result")),
            Verdict::Ask
        );
        let said = |rule: &str| verdict(&rules(&[rule]), &[], &ask("memory_search"));
        assert!(matches!(said("ask bash"), Verdict::Allow { .. }));
        assert_eq!(said("ask *"), Verdict::Ask);
        assert!(matches!(said("deny memory_*"), Verdict::Deny { .. }));
    }

    #[test]
    fn what_has_no_name_is_never_allowed_and_titles_decide_nothing() {
        let all = rules(&["allow *"]);
        assert_eq!(verdict(&all, &[], &ask("")), Verdict::Ask);
        assert_eq!(verdict(&rules(&["deny bash"]), &[], &ask("")), Verdict::Ask);
        assert!(matches!(
            verdict(&rules(&["deny *"]), &[], &ask("")),
            Verdict::Deny { .. }
        ));
        let mut always = ask("bash");
        always.options.pop();
        assert_eq!(verdict(&all, &[], &always), Verdict::Ask);
        let mut form = ask("bash");
        form.kind = QuestionKind::Form;
        assert_eq!(verdict(&rules(&["deny *"]), &[], &form), Verdict::Ask);
    }

    #[test]
    fn a_tool_that_the_caller_runs_is_asked_of_it_unless_a_rule_denies_it() {
        let mut call = ask("weather");
        call.kind = QuestionKind::ToolCall;
        let said = |rule: &str| verdict(&rules(&[rule]), &[], &call);
        for rule in ["allow *", "ask weather", "deny bash"] {
            assert_eq!(said(rule), Verdict::Ask, "{rule}");
        }
        assert!(matches!(said("deny wea*"), Verdict::Deny { .. }));
    }

    #[test]
    fn stricter_is_what_adds_no_permission_in_front() {
        let before = rules(&["allow read"]);
        assert!(is_stricter(
            &before,
            &rules(&["deny bash", "ask x", "allow read"])
        ));
        assert!(is_stricter(&before, &before));
        assert!(!is_stricter(&before, &rules(&["allow bash", "allow read"])));
        assert!(!is_stricter(&rules(&["deny bash"]), &[]));
    }

    #[test]
    fn a_rule_is_an_action_and_a_name() {
        for bad in ["bash", "permit bash", "deny ", "deny a b", "deny \t"] {
            assert!(ToolRule::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(rules(&["deny mcp__*"])[0].to_string(), "deny mcp__*");
    }
}
