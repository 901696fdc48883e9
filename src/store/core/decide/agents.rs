//! Agents: which there are, and what is asked of them that they can't.

use super::super::facts::{Context, Decision};
use crate::domain::{
    agent::Capability,
    refusal::Refusal,
    tool_policy::{ToolAction, ToolRule},
    turn::{Attachment, AttachmentRef},
};

/// Refuses an agent that is not configured.
pub(super) fn require_agent(ctx: &Context<'_>, agent: &str) -> Decision<()> {
    if ctx.rules.agents.contains_key(agent) {
        return Ok(());
    }
    let known: Vec<&str> = ctx.rules.agents.keys().map(String::as_str).collect();
    let problem = format!("no such agent; configured are: {}", known.join(", "));
    Err(Refusal::field("agent", problem).into())
}

/// Refuses what the agent is known not to be able to; one that is not configured any more can nothing.
pub(super) fn require(ctx: &Context<'_>, agent: &str, capability: Capability) -> Decision<()> {
    match ctx.rules.agents.get(agent) {
        Some(rule) => Ok(rule.known.require(agent, capability)?),
        None => Err(Refusal::UnsupportedByAgent {
            agent: agent.to_owned(),
            what: capability.what(),
        }
        .into()),
    }
}

/// Refuses images for an agent that takes none.
pub(super) fn require_input(
    ctx: &Context<'_>,
    agent: &str,
    attachments: &[Attachment],
) -> Decision<()> {
    let references = attachments.iter().map(|it| &it.reference);
    if references.into_iter().any(AttachmentRef::is_image) {
        require(ctx, agent, Capability::Images)?;
    }
    Ok(())
}

/// Refuses rules for tools that the agent does not keep to.
pub(super) fn require_policy(ctx: &Context<'_>, agent: &str, rules: &[ToolRule]) -> Decision<()> {
    if rules.iter().any(|rule| rule.action == ToolAction::Deny) {
        require(ctx, agent, Capability::Denials)?;
    }
    Ok(())
}
