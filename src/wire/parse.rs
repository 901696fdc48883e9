//! Requests → domain. Every wrong field is named, all of them at once.

use crate::{
    domain::{
        access::{SessionAccess, Shares},
        client_tool::{CLIENT_TOOLS_MAX, CLIENT_TOOLS_MAX_BYTES, ClientTool},
        event::EventKind,
        ids::{SessionKey, Time},
        limits::{
            ATTACHMENT_MAX_BYTES, ATTACHMENTS_MAX, ATTACHMENTS_MAX_BYTES, CWD_MAX_BYTES,
            DISPLAY_NAME_MAX_BYTES, GRACE_DEFAULT, GRACE_MAX, LABEL_VALUE_MAX_BYTES,
            MAP_KEY_MAX_BYTES, MAP_MAX_ENTRIES, METADATA_VALUE_MAX_BYTES, NAME_MAX_BYTES,
            NOT_BEFORE_MAX, PAGE_DEFAULT, PAGE_MAX, REQUEST_ID_MAX_BYTES, SHARES_MAX,
            TEXT_MAX_BYTES,
        },
        question::{self, NoApprover, QuestionState},
        refusal::Refusal,
        schema,
        session::{SessionFilter, SessionState},
        tool_policy::{self, ToolAction, ToolRule},
        turn::{AbortMode, Attachment, OnBusy, OnInterrupt, TurnState},
    },
    proto,
};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub struct Fields {
    wrong: Vec<(String, String)>,
}

// === impl Fields ===

impl Fields {
    /// Notes that a field is wrong.
    pub fn wrong(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.wrong.push((field.into(), problem.into()));
    }

    /// The value, if nothing was wrong.
    ///
    /// # Errors
    /// `INVALID_FIELD` with all that was noted.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Refusal> {
        match value {
            Some(value) if self.wrong.is_empty() => Ok(value),
            _ => Err(Refusal::InvalidField { fields: self.wrong }),
        }
    }

    /// Refuses if something was wrong.
    ///
    /// # Errors
    /// `INVALID_FIELD` with all that was noted.
    pub fn check(self) -> Result<(), Refusal> {
        self.finish(Some(()))
    }

    /// Whether nothing is wrong.
    pub(super) fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Adds what is wrong with a part.
    pub(super) fn take(&mut self, part: Self) {
        self.wrong.extend(part.wrong);
    }

    /// A session key.
    pub fn session_key(&mut self, field: &str, text: &str) -> Option<SessionKey> {
        SessionKey::parse(text)
            .map_err(|problem| self.wrong(field, problem))
            .ok()
    }

    /// A turn's id.
    pub fn turn_id(&mut self, field: &str, text: &str) -> Option<Uuid> {
        let parsed = Uuid::parse_str(text).ok();
        if parsed.is_none() {
            self.wrong(field, "must be the UUID of a turn");
        }
        parsed
    }

    /// A question's id.
    pub fn question_id(&mut self, field: &str, text: &str) -> Option<Uuid> {
        let parsed = Uuid::parse_str(text).ok();
        if parsed.is_none() {
            self.wrong(field, "must be the UUID of a question");
        }
        parsed
    }

    /// What to do where nobody is there to answer; unset is the agent's own setting.
    pub fn no_approver(&mut self, field: &str, number: i32) -> Option<NoApprover> {
        let parsed = NoApprover::from_number(number.into());
        if parsed.is_none() && number != 0 {
            self.wrong(field, "must be WAIT or DENY");
        }
        parsed
    }

    /// How long a question waits, in microseconds; unset is the agent's own setting.
    pub fn question_ttl(
        &mut self,
        field: &str,
        span: Option<prost_types::Duration>,
    ) -> Option<i64> {
        self.span(field, span, Duration::from_secs(1), question::TTL_MAX)
            .map(|span| i64::try_from(span.as_micros()).expect("bounded"))
    }

    /// What an agent may run without asking, or not at all.
    pub fn tool_policy(&mut self, field: &str, rules: &[proto::ToolRule]) -> Vec<ToolRule> {
        if rules.len() > tool_policy::RULES_MAX {
            let problem = format!("must have at most {} rules", tool_policy::RULES_MAX);
            self.wrong(field, problem);
        }
        let mut parsed = Vec::new();
        for (at, rule) in rules.iter().enumerate().take(tool_policy::RULES_MAX) {
            let Some(action) = ToolAction::from_number(rule.action.into()) else {
                self.wrong(
                    format!("{field}[{at}].action"),
                    "must be ALLOW, ASK or DENY",
                );
                continue;
            };
            let rule = ToolRule {
                tool: rule.tool.clone(),
                action,
            };
            if let Some(problem) = rule.problem() {
                self.wrong(format!("{field}[{at}].tool"), problem);
            }
            parsed.push(rule);
        }
        parsed
    }

    /// Tools that the caller runs.
    pub fn client_tools(&mut self, field: &str, tools: Vec<proto::ClientTool>) -> Vec<ClientTool> {
        if tools.len() > CLIENT_TOOLS_MAX {
            let problem = format!("must have at most {CLIENT_TOOLS_MAX} tools");
            self.wrong(field, problem);
            return Vec::new();
        }
        let mut parsed: Vec<ClientTool> = Vec::with_capacity(tools.len());
        for (at, tool) in tools.into_iter().enumerate() {
            let proto::ClientTool {
                name,
                description,
                schema_json,
            } = tool;
            let tool = ClientTool {
                name,
                description,
                schema_json,
            };
            if let Some((part, problem)) = tool.problem() {
                self.wrong(format!("{field}[{at}].{part}"), problem);
            } else if parsed.iter().any(|it| it.name == tool.name) {
                self.wrong(format!("{field}[{at}].name"), "is there twice");
            }
            parsed.push(tool);
        }
        let bytes: usize = parsed.iter().map(ClientTool::bytes).sum();
        if bytes > CLIENT_TOOLS_MAX_BYTES {
            let problem = format!("must be at most {CLIENT_TOOLS_MAX_BYTES} bytes together");
            self.wrong(field, problem);
        }
        parsed
    }

    /// The schema of what a turn is to answer with; empty for none.
    pub fn output_schema(&mut self, field: &str, schema_json: &str) {
        if !schema_json.is_empty()
            && let Err(problem) = schema::usable(schema_json)
        {
            self.wrong(field, problem);
        }
    }

    /// A turn's id that may be left out.
    pub fn optional_turn_id(&mut self, field: &str, text: &str) -> Option<Uuid> {
        if text.is_empty() {
            None
        } else {
            self.turn_id(field, text)
        }
    }

    /// A client-made id of a request; empty means none.
    pub fn request_id(&mut self, text: &str) {
        let visible = text.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if !visible || text.len() > REQUEST_ID_MAX_BYTES {
            self.wrong(
                "request_id",
                format!("must be 1 to {REQUEST_ID_MAX_BYTES} visible ASCII characters"),
            );
        }
    }

    /// The text of a prompt or steer, and what goes with it.
    pub fn input(&mut self, prefix: &str, text: &str, attachments: &[proto::Attachment]) {
        if text.trim().is_empty() && attachments.is_empty() {
            self.wrong(
                format!("{prefix}text"),
                "must not be blank without attachments",
            );
        }
        if text.len() > TEXT_MAX_BYTES {
            self.wrong(
                format!("{prefix}text"),
                format!("must be at most {TEXT_MAX_BYTES} bytes, has {}", text.len()),
            );
        }
        if attachments.len() > ATTACHMENTS_MAX {
            self.wrong(
                format!("{prefix}attachments"),
                format!("must be at most {ATTACHMENTS_MAX}"),
            );
        }
        let total: usize = attachments.iter().map(|a| a.data.len()).sum();
        if total > ATTACHMENTS_MAX_BYTES {
            self.wrong(
                format!("{prefix}attachments"),
                format!("must be at most {ATTACHMENTS_MAX_BYTES} bytes together"),
            );
        }
        for (at, attachment) in attachments.iter().enumerate().take(ATTACHMENTS_MAX) {
            let field = |name: &str| format!("{prefix}attachments[{at}].{name}");
            if attachment.data.is_empty() {
                self.wrong(field("data"), "must not be empty");
            }
            if attachment.data.len() > ATTACHMENT_MAX_BYTES {
                self.wrong(
                    field("data"),
                    format!("must be at most {ATTACHMENT_MAX_BYTES} bytes"),
                );
            }
            self.text(&field("name"), &attachment.name, DISPLAY_NAME_MAX_BYTES);
            self.text(&field("media_type"), &attachment.media_type, NAME_MAX_BYTES);
        }
    }

    /// A short free text without control characters.
    pub fn text(&mut self, field: &str, text: &str, max: usize) {
        if text.len() > max {
            self.wrong(field, format!("must be at most {max} bytes"));
        }
        if text.chars().any(char::is_control) {
            self.wrong(field, "must not contain control characters");
        }
    }

    /// Labels or metadata.
    pub fn map(&mut self, field: &str, map: &BTreeMap<String, String>, value_max: usize) {
        if map.len() > MAP_MAX_ENTRIES {
            self.wrong(
                field,
                format!("must have at most {MAP_MAX_ENTRIES} entries"),
            );
        }
        for (key, value) in map.iter().take(MAP_MAX_ENTRIES) {
            let named = format!(
                "{field}[{}]",
                crate::domain::limits::cut(key, MAP_KEY_MAX_BYTES)
            );
            if key.is_empty() || key.len() > MAP_KEY_MAX_BYTES || key.chars().any(char::is_control)
            {
                self.wrong(
                    &named,
                    format!(
                        "its key must be 1 to {MAP_KEY_MAX_BYTES} bytes without control characters"
                    ),
                );
            }
            if value.len() > value_max {
                self.wrong(&named, format!("must be at most {value_max} bytes"));
            }
        }
    }

    /// Labels.
    pub fn labels(&mut self, field: &str, labels: &BTreeMap<String, String>) {
        self.map(field, labels, LABEL_VALUE_MAX_BYTES);
    }

    /// Who else may use a session of a tenant.
    pub fn shares(&mut self, field: &str, tenant: &str, given: &[proto::SessionShare]) -> Shares {
        if given.len() > SHARES_MAX {
            self.wrong(field, format!("must be at most {SHARES_MAX}"));
        }
        let mut shares = Shares::new();
        for (at, share) in given.iter().enumerate().take(SHARES_MAX) {
            let access = match share.access() {
                proto::ShareAccess::Read => Some(SessionAccess::Read),
                proto::ShareAccess::Write => Some(SessionAccess::Write),
                proto::ShareAccess::Unspecified => None,
            };
            let Some(access) = access else {
                self.wrong(format!("{field}[{at}].access"), "must be READ or WRITE");
                continue;
            };
            let subject = share
                .principal
                .strip_prefix(tenant)
                .and_then(|rest| rest.strip_prefix('/'))
                .filter(|subject| SessionKey::parse(subject).is_ok());
            let Some(subject) = subject else {
                self.wrong(
                    format!("{field}[{at}].principal"),
                    "must be a principal of the session's tenant, written `tenant/subject`",
                );
                continue;
            };
            if shares.insert(subject.to_owned(), access).is_some() {
                self.wrong(format!("{field}[{at}].principal"), "is named twice");
            }
        }
        shares
    }

    /// Metadata.
    pub fn metadata(&mut self, field: &str, metadata: &BTreeMap<String, String>) {
        self.map(field, metadata, METADATA_VALUE_MAX_BYTES);
    }

    /// Settings of a new session but its agent and directory.
    pub fn settings(
        &mut self,
        prefix: &str,
        model: &str,
        thinking_level: &str,
        display_name: &str,
    ) {
        self.text(&format!("{prefix}model"), model, NAME_MAX_BYTES);
        self.text(
            &format!("{prefix}thinking_level"),
            thinking_level,
            NAME_MAX_BYTES,
        );
        self.text(
            &format!("{prefix}display_name"),
            display_name,
            DISPLAY_NAME_MAX_BYTES,
        );
    }

    /// A working directory's path, before it is resolved.
    pub fn cwd(&mut self, field: &str, cwd: &str) {
        self.text(field, cwd, CWD_MAX_BYTES);
        if !cwd.is_empty() && !cwd.starts_with('/') {
            self.wrong(field, "must be an absolute path");
        }
    }

    /// A span within bounds; `None` where it is left out.
    pub fn span(
        &mut self,
        field: &str,
        span: Option<prost_types::Duration>,
        min: Duration,
        max: Duration,
    ) -> Option<Duration> {
        let span = span?;
        match Duration::try_from(span) {
            Ok(span) if span >= min && span <= max => Some(span),
            _ => {
                self.wrong(field, format!("must be between {min:?} and {max:?}"));
                None
            }
        }
    }

    /// `not_before`; `None` where it has passed.
    pub fn not_before(
        &mut self,
        field: &str,
        time: Option<prost_types::Timestamp>,
        wall: Time,
    ) -> Option<Time> {
        let time = self.time(field, time)?;
        let latest = i64::try_from(NOT_BEFORE_MAX.as_micros()).expect("90 days");
        if time > wall.plus_micros(latest) {
            let days = NOT_BEFORE_MAX.as_secs() / 86_400;
            self.wrong(field, format!("must be at most {days} days from now"));
        }
        (time > wall).then_some(time)
    }

    /// `turn_timeout`, at most as long as the server's configuration says.
    pub fn turn_timeout(
        &mut self,
        field: &str,
        span: Option<prost_types::Duration>,
        default: Duration,
        max: Duration,
    ) -> Duration {
        let Some(given) = span else {
            return default;
        };
        match Duration::try_from(given) {
            Ok(span) if span >= Duration::from_millis(1) && span <= max => span,
            Ok(_) | Err(_) => {
                let problem = format!(
                    "must be between 1ms and {max:?} (max_turn_timeout of the server's configuration)"
                );
                self.wrong(field, problem);
                default
            }
        }
    }

    /// `grace`.
    pub fn grace(&mut self, span: Option<prost_types::Duration>) -> Duration {
        self.span("grace", span, Duration::ZERO, GRACE_MAX)
            .unwrap_or(GRACE_DEFAULT)
    }

    /// `on_busy`.
    pub fn on_busy(&mut self, field: &str, number: i32) -> OnBusy {
        match proto::OnBusy::try_from(number) {
            Ok(proto::OnBusy::Unspecified | proto::OnBusy::Enqueue) => OnBusy::Enqueue,
            Ok(proto::OnBusy::Reject) => OnBusy::Reject,
            Ok(proto::OnBusy::Interrupt) => OnBusy::Interrupt,
            Ok(proto::OnBusy::SteerOrEnqueue) => OnBusy::SteerOrEnqueue,
            Err(_) => {
                self.wrong(field, "is no value of OnBusy");
                OnBusy::Enqueue
            }
        }
    }

    /// `on_interrupt`.
    pub fn on_interrupt(&mut self, field: &str, number: i32) -> Option<OnInterrupt> {
        match proto::OnInterrupt::try_from(number) {
            Ok(proto::OnInterrupt::Unspecified) => None,
            Ok(proto::OnInterrupt::Mark) => Some(OnInterrupt::Mark),
            Ok(proto::OnInterrupt::Retry) => Some(OnInterrupt::Retry),
            Err(_) => {
                self.wrong(field, "is no value of OnInterrupt");
                None
            }
        }
    }

    /// `mode` of Abort.
    pub fn abort_mode(&mut self, number: i32) -> AbortMode {
        match proto::AbortMode::try_from(number) {
            Ok(proto::AbortMode::Unspecified | proto::AbortMode::Cancel) => AbortMode::Cancel,
            Ok(proto::AbortMode::Kill) => AbortMode::Kill,
            Err(_) => {
                self.wrong("mode", "is no value of AbortMode");
                AbortMode::Cancel
            }
        }
    }

    /// Names of event kinds.
    pub fn kinds(&mut self, field: &str, names: &[String]) -> Vec<EventKind> {
        let mut kinds = Vec::with_capacity(names.len().min(64));
        for (at, name) in names.iter().enumerate().take(64) {
            match EventKind::parse(name) {
                Some(kind) => kinds.push(kind),
                None => self.wrong(
                    format!("{field}[{at}]"),
                    "is no kind of event; kinds are the field names of GatewayEvent's oneof",
                ),
            }
        }
        if names.len() > 64 {
            self.wrong(field, "must be at most 64");
        }
        kinds
    }

    /// A number that must not be negative.
    pub fn not_negative(&mut self, field: &str, number: i64) {
        if number < 0 {
            self.wrong(field, "must not be negative");
        }
    }

    /// Rows of a page.
    pub fn page_size(&mut self, size: i32) -> usize {
        match usize::try_from(size) {
            Ok(0) => PAGE_DEFAULT,
            Ok(size) => size.min(PAGE_MAX),
            Err(_) => {
                self.wrong("page_size", "must not be negative");
                PAGE_DEFAULT
            }
        }
    }

    /// States of turns.
    pub fn turn_states(&mut self, field: &str, numbers: &[i32]) -> Vec<TurnState> {
        let mut states = Vec::new();
        for (at, number) in numbers.iter().enumerate().take(TurnState::ALL.len()) {
            match TurnState::from_number((*number).into()) {
                Some(state) => states.push(state),
                None => self.wrong(format!("{field}[{at}]"), "is no state of a turn"),
            }
        }
        states
    }

    /// States of questions.
    pub fn question_states(&mut self, field: &str, numbers: &[i32]) -> Vec<QuestionState> {
        let mut states = Vec::new();
        for (at, number) in numbers.iter().enumerate().take(QuestionState::ALL.len()) {
            match QuestionState::from_number((*number).into()) {
                Some(state) => states.push(state),
                None => self.wrong(format!("{field}[{at}]"), "is no state of a question"),
            }
        }
        states
    }

    /// Which sessions are meant.
    pub fn filter(&mut self, field: &str, filter: Option<proto::SessionFilter>) -> SessionFilter {
        let proto::SessionFilter {
            labels,
            agent,
            states,
            key_prefix,
        } = filter.unwrap_or_default();
        self.labels(&format!("{field}.labels"), &labels);
        self.text(&format!("{field}.agent"), &agent, NAME_MAX_BYTES);
        self.text(&format!("{field}.key_prefix"), &key_prefix, NAME_MAX_BYTES);
        let mut parsed = Vec::new();
        for (at, number) in states.iter().enumerate().take(16) {
            match SessionState::from_number((*number).into()) {
                Some(state) => parsed.push(state),
                None => self.wrong(format!("{field}.states[{at}]"), "is no state of a session"),
            }
        }
        SessionFilter {
            labels,
            agent,
            states: parsed,
            key_prefix,
        }
    }
}

/// Attachments with their ids. Hashes the contents: keep it off a serving thread where they are large.
pub fn attachments(attachments: Vec<proto::Attachment>) -> Vec<Attachment> {
    attachments
        .into_iter()
        .map(|a| Attachment::new(a.name, a.media_type, a.data))
        .collect()
}

/// Hash of a request for its `request_id`; the caller clears that field before.
pub fn request_hash(request: &impl prost::Message) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(request.encode_to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_wrong_fields_come_at_once() {
        let mut fields = Fields::default();
        fields.session_key("session_key", "a b");
        fields.request_id("x y");
        fields.input("", " ", &[]);
        let Err(Refusal::InvalidField { fields }) = fields.check() else {
            panic!("it is wrong");
        };
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["session_key", "request_id", "text"]);
    }
}
