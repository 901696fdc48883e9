//! ForkSession: what may be copied, and the session that is made of it.

use super::{
    super::{
        commands::{Caller, Fork, NewSession},
        draft::Draft,
        facts::{Context, Decision, Facts},
        snapshot::Snapshot,
    },
    Decided, Done,
    access::{self, Need},
    agents,
    requests::{WhenGone, once, require_generation},
    sessions,
};
use crate::domain::{
    access::Scopes, agent::Capability, event::ForkOrigin, ids::SessionRow, memory::Reach,
    refusal::Refusal, session::Session,
};

/// The two sessions of a fork, as far as they are.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    /// What is copied.
    pub(crate) source: Option<&'a Snapshot>,
    /// What has the key of the copy.
    pub(crate) target: Option<&'a Snapshot>,
}

/// What was copied.
pub(crate) struct Copied<'a> {
    /// The source as it was when the copy began.
    pub(crate) source: &'a Session,
    /// The same, with the counts of what was copied.
    pub(crate) counted: &'a Session,
    /// Where the copy comes from.
    pub(crate) origin: &'a ForkOrigin,
    /// Row of the new session.
    pub(crate) row: SessionRow,
    /// Bytes that were copied.
    pub(crate) bytes: i64,
}

/// The session that is copied, if it may be, and the key is free.
pub(crate) fn begin(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Found<'_>,
    command: &Fork,
) -> Decision<Session> {
    let caller = &command.caller;
    let source = access::authorize(facts, caller, Need::Write, found.source)?;
    let source = access::usable(facts, caller, source)?.session;
    require_generation(caller, source.generation)?;
    agents::require(ctx, &source.agent, Capability::Fork)?;
    require_free(facts, found, command)?;
    Ok(source)
}

/// Makes the session of what was copied.
pub(crate) fn finish(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Found<'_>,
    command: &Fork,
    copied: &Copied<'_>,
) -> Decision<Decided> {
    let Copied {
        source,
        counted,
        origin,
        row,
        bytes,
    } = copied;
    let caller = &command.caller;
    let rights = (Need::Write, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found.source, |_, draft| {
        let now = access::usable(facts, caller, draft)?.session;
        if now.row != source.row {
            // Deleted and made again meanwhile: what was copied may be less than all.
            return Err(Refusal::SessionDeleted {
                key: source.key.as_str().to_owned(),
            }
            .into());
        }
        require_free(facts, found, command)?;
        let maker = maker(command);
        let settings = NewSession {
            agent: source.agent.clone(),
            model: source.model.clone(),
            thinking_level: source.thinking_level.clone(),
            options: source.options.clone(),
            labels: source.labels.clone(),
            cwd: source.cwd.clone(),
            cwd_refused: None,
            display_name: source.display_name.clone(),
            expire_after_idle: source.expire_after_idle,
            memory_namespaces: inherited_memory(&maker, source),
            no_approver: source.no_approver,
            question_ttl: source.question_ttl,
            tool_policy: source.tool_policy.clone(),
            // Copied with the messages.
            client_tools: Vec::new(),
        };
        let origin = sessions::Origin::Fork((*origin).clone(), *row);
        let mut draft: Draft = sessions::make(ctx, facts, &maker, &settings, origin)?;
        draft.stored(*bytes);
        draft.session.message_count = counted.message_count;
        draft.session.user_message_count = counted.user_message_count;
        let preview = &mut draft.session.last_message_preview;
        preview.clone_from(&counted.last_message_preview);
        Ok(Done::of(draft.finish(caller.now)))
    })
}

fn require_free(facts: &Facts, found: Found<'_>, command: &Fork) -> Decision<()> {
    let taken = access::authorize(facts, &maker(command), Need::Make, found.target)?;
    sessions::require_free(taken.as_ref())
}

/// Who makes the copy.
fn maker(command: &Fork) -> Caller {
    Caller {
        key: command.new_key.clone(),
        request: None,
        expected_generation: None,
        ..command.caller.clone()
    }
}

/// The memory that a fork takes over: what its maker might have set. A reader of a session that reaches the tenant's
/// memory does not get there by a fork.
fn inherited_memory(maker: &Caller, source: &Session) -> Vec<Reach> {
    if maker.identity.scopes.includes(Scopes::MEMORY) {
        source.memory_namespaces.clone()
    } else {
        Vec::new()
    }
}
