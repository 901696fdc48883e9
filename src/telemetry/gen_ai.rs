//! Spans of what agents do, named by OpenTelemetry's conventions for generative AI (semantic-conventions-genai 0.1.0, all
//! of it still "Development"): `invoke_agent` is a turn, `chat` a call of a model by our own loop, `execute_tool` a tool of
//! any agent. What was said, and what tools were given and gave, is never in them.

use super::trace::{self, TraceContext};
use crate::domain::{turn::Usage, usage::UsageReport};
use std::collections::HashMap;
use tracing::{Span, error_span, field::Empty};
use uuid::Uuid;

/// Tools of one turn that are spans at a time; more run without.
const OPEN_TOOLS_MAX: usize = 256;
/// Providers whose name in the conventions is not ours.
const PROVIDERS: [(&str, &str); 1] = [("gemini", "gcp.gemini")];

/// A turn: what its agent is, and the session's conversation. Further facts are added when it ends, see [`ended`].
pub fn invoke_agent(
    tenant: &str,
    session_key: &dyn std::fmt::Display,
    turn_id: Uuid,
    agent: &str,
    conversation: Uuid,
) -> Span {
    // Errors carry it too, whatever is logged.
    error_span!(
        "turn",
        tenant,
        session_key = %session_key,
        %turn_id,
        trace_id = Empty,
        otel.name = format!("invoke_agent {agent}"),
        otel.kind = "internal",
        otel.status_code = Empty,
        gen_ai.operation.name = "invoke_agent",
        gen_ai.agent.name = agent,
        gen_ai.conversation.id = %conversation,
        gen_ai.response.model = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.usage.cache_write.input_tokens = Empty,
        gen_ai.usage.reasoning.output_tokens = Empty,
        error.type = Empty,
    )
}

/// Notes how a turn or a model call ended: what it used, by which model, and why it failed; empty where it did not.
pub fn ended(span: &Span, model: &str, usage: &Usage, error: &str) {
    if !model.is_empty() {
        span.record("gen_ai.response.model", model);
    }
    let Usage {
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        reasoning_tokens,
        ..
    } = usage;
    // Theirs has the cached ones in it.
    let input = input_tokens + cache_read_tokens + cache_write_tokens;
    for (name, tokens) in [
        ("gen_ai.usage.input_tokens", input),
        ("gen_ai.usage.output_tokens", *output_tokens),
        ("gen_ai.usage.cache_read.input_tokens", *cache_read_tokens),
        ("gen_ai.usage.cache_write.input_tokens", *cache_write_tokens),
        ("gen_ai.usage.reasoning.output_tokens", *reasoning_tokens),
    ] {
        // What nobody told is not zero.
        if tokens > 0 {
            span.record(name, tokens);
        }
    }
    if !error.is_empty() {
        span.record("error.type", error);
        span.record("otel.status_code", "ERROR");
    }
}

/// A call of a model by our own loop, a span of its turn's trace while this lives.
#[derive(Debug)]
pub struct Chat(Span);

/// The tools of a turn that run, each a span of the present one.
#[derive(Debug, Default)]
pub struct Tools(HashMap<String, Span>);

// === impl Chat ===

impl Chat {
    /// It begins. `traceparent` is the turn's.
    pub fn begin(traceparent: &str, provider: &str, model: &str) -> Self {
        let known = PROVIDERS.iter().find(|(ours, _)| *ours == provider);
        let provider = known.map_or(provider, |(_, theirs)| *theirs);
        let span = error_span!(
            parent: None,
            "chat",
            otel.name = format!("chat {model}"),
            otel.kind = "client",
            otel.status_code = Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = provider,
            gen_ai.request.model = model,
            gen_ai.response.model = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.cache_write.input_tokens = Empty,
            gen_ai.usage.reasoning.output_tokens = Empty,
            error.type = Empty,
        );
        let parent = TraceContext::parse(traceparent);
        let ours = parent.map_or_else(TraceContext::begin, TraceContext::child);
        trace::join(&span, parent, ours);
        Self(span)
    }

    /// It ended so.
    pub fn used(&self, report: &UsageReport) {
        ended(&self.0, &report.model, &report.usage, "");
    }

    /// It failed so.
    pub fn failed(&self, error: &str) {
        ended(&self.0, "", &Usage::default(), error);
    }
}

// === impl Tools ===

impl Tools {
    /// A tool runs.
    pub fn started(&mut self, call_id: &str, name: &str) {
        if self.0.len() < OPEN_TOOLS_MAX {
            let span = error_span!(
                "tool",
                otel.name = format!("execute_tool {name}"),
                otel.kind = "internal",
                otel.status_code = Empty,
                gen_ai.operation.name = "execute_tool",
                gen_ai.tool.name = name,
                gen_ai.tool.call.id = call_id,
                error.type = Empty,
            );
            self.0.insert(call_id.to_owned(), span);
        }
    }

    /// It ended.
    pub fn completed(&mut self, call_id: &str, is_error: bool) {
        if let Some(span) = self.0.remove(call_id)
            && is_error
        {
            span.record("error.type", "tool_error");
            span.record("otel.status_code", "ERROR");
        }
    }
}
