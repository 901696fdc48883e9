//! One log record: made of a tracing event and the spans around it, redacted, escaped and cut before anyone sees it.

use super::{
    audit,
    limit::{Cause, Limit},
    redact::{MASK, escape, is_secret_name, redact},
};
use crate::{
    clock,
    domain::{ids::Time, limits::cut},
};
use std::{
    borrow::Cow,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

/// Longest message, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 4 * 1024;
/// Longest value of a field, in bytes.
pub const FIELD_MAX_BYTES: usize = 1024;
/// Fields of a record; those of the event come first, then those of the spans from the inside out.
pub const FIELDS_MAX: usize = 32;
/// Bytes of a value that are looked at: a credential that begins before the cut is seen whole, and no value costs more.
const RAW_MAX_BYTES: usize = 16 * 1024;
/// Fields that only the export of traces is for begin so.
const TRACE_FIELDS: [&str; 4] = ["otel.", "rpc.", "gen_ai.", "error."];

/// A record. All of its texts are fit to be shown.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it was made.
    pub time: Time,
    /// How grave it is.
    pub level: Level,
    /// Part of the program, such as `quarterdeck::session::actor`, or `audit`.
    pub target: Cow<'static, str>,
    /// What happened.
    pub message: String,
    /// Facts, each name once.
    pub fields: Vec<(Cow<'static, str>, String)>,
}

/// Takes records.
pub trait Sink: Send + Sync + 'static {
    /// Must not log, and must not wait for long.
    fn take(&self, record: Record);
}

/// The layer that makes records for a sink.
pub(super) struct RecordLayer<S> {
    sink: S,
    /// Holds warnings back that come too often. A lock: it is held for a look into a map, by warnings alone.
    limit: Mutex<Limit>,
    /// Whether any was held back that was not told yet.
    held_back: AtomicBool,
}

/// Fields of a span, kept beside it. Two layers share them: the first one that meets the span fills them.
#[derive(Default)]
struct SpanFields(Vec<(Cow<'static, str>, String)>);

/// Gathers fields.
#[derive(Default)]
struct Gather {
    message: String,
    target: Option<String>,
    fields: Vec<(Cow<'static, str>, String)>,
}

/// A text that takes no more than [`RAW_MAX_BYTES`].
struct Bounded(String);

// === impl Record ===

impl Record {
    /// Value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Says how many more like it were left out before it.
    fn repeated(&mut self, left_out: u64) {
        self.fields.truncate(FIELDS_MAX - 1);
        self.fields
            .push((Cow::Borrowed("left_out"), left_out.to_string()));
    }

    /// Bytes that it holds, roughly.
    pub(super) fn bytes(&self) -> usize {
        let fields = self.fields.iter();
        let fields: usize = fields
            .map(|(name, value)| size_of::<(Cow<'_, str>, String)>() + name.len() + value.len())
            .sum();
        size_of::<Self>() + self.target.len() + self.message.len() + fields
    }
}

// === impl RecordLayer ===

impl<S: Sink> RecordLayer<S> {
    pub(super) fn new(sink: S) -> Self {
        Self {
            sink,
            limit: Mutex::default(),
            held_back: AtomicBool::new(false),
        }
    }

    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what was held back, where its second is over.
    fn catch_up(&self, now: Instant) {
        if !self.held_back.load(Ordering::Relaxed) {
            return;
        }
        let overdue = {
            let mut limit = self.limit();
            let overdue = limit.overdue(now);
            let more = limit.holds_back();
            self.held_back.store(more, Ordering::Relaxed);
            overdue
        };
        for (mut record, left_out) in overdue {
            record.time = clock::wall();
            record.repeated(left_out);
            self.sink.take(record);
        }
    }
}

/// What a warning is about; `None` for what is said each time.
fn cause<C>(event: &Event<'_>, context: &Context<'_, C>) -> Option<Cause>
where
    C: Subscriber + for<'l> LookupSpan<'l>,
{
    let metadata = event.metadata();
    if *metadata.level() > Level::WARN || metadata.target() == audit::TARGET {
        return None;
    }
    let mut session = None;
    for span in context.event_scope(event).into_iter().flatten() {
        if let Some(SpanFields(fields)) = span.extensions().get::<SpanFields>() {
            let value = |name: &str| {
                let found = fields.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            };
            if let Some(key) = value("session_key") {
                session = Some((value("tenant").unwrap_or_default(), key));
                break;
            }
        }
    }
    Some(Cause {
        place: metadata.callsite(),
        session,
    })
}

impl<C, S> Layer<C> for RecordLayer<S>
where
    C: Subscriber + for<'l> LookupSpan<'l>,
    S: Sink,
{
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, C>,
    ) {
        let span = context.span(id).expect("it is being made");
        let mut extensions = span.extensions_mut();
        if extensions.get_mut::<SpanFields>().is_none() {
            let mut gather = Gather::default();
            attributes.record(&mut gather);
            extensions.insert(SpanFields(gather.fields));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, C>) {
        let span = context.span(id).expect("it lives");
        let mut extensions = span.extensions_mut();
        if let Some(SpanFields(fields)) = extensions.get_mut::<SpanFields>() {
            let mut gather = Gather::default();
            values.record(&mut gather);
            for (name, value) in gather.fields {
                match fields.iter_mut().find(|(known, _)| *known == name) {
                    Some(known) => known.1 = value,
                    None => fields.push((name, value)),
                }
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, C>) {
        let now = Instant::now();
        // Before anything is made of it: what is held back costs next to nothing.
        let cause = cause(event, &context);
        let said = match &cause {
            Some(cause) => self.limit().ask(cause, now),
            None => Some(0),
        };
        if said.is_none() {
            self.held_back.store(true, Ordering::Relaxed);
        }
        self.catch_up(now);
        let Some(left_out) = said else {
            return;
        };
        let mut gather = Gather::default();
        event.record(&mut gather);
        let Gather {
            message,
            target,
            mut fields,
        } = gather;
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(more)) = span.extensions().get::<SpanFields>() {
                for (name, value) in more {
                    if !fields.iter().any(|(known, _)| known == name) {
                        fields.push((name.clone(), value.clone()));
                    }
                }
            }
        }
        fields.truncate(FIELDS_MAX);
        let metadata = event.metadata();
        let mut record = Record {
            time: clock::wall(),
            level: *metadata.level(),
            target: target.map_or_else(|| Cow::Borrowed(metadata.target()), Cow::Owned),
            message,
            fields,
        };
        if let Some(cause) = &cause {
            self.limit().said(cause, record.clone());
        }
        if left_out > 0 {
            record.repeated(left_out);
        }
        self.sink.take(record);
    }
}

// === impl Gather ===

impl Gather {
    fn take(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = shown(value, MESSAGE_MAX_BYTES),
            // Records of the `log` crate carry what tracing knows of its own ones as fields.
            "log.target" => self.target = Some(shown(value, FIELD_MAX_BYTES)),
            name if name.starts_with("log.")
                || TRACE_FIELDS.iter().any(|it| name.starts_with(it)) => {}
            name if self.fields.len() < FIELDS_MAX => {
                let value = if is_secret_name(name) {
                    MASK.to_owned()
                } else {
                    shown(value, FIELD_MAX_BYTES)
                };
                self.fields.push((Cow::Borrowed(name), value));
            }
            _ => {}
        }
    }
}

impl Visit for Gather {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, cut(value, RAW_MAX_BYTES));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Bounded(String::new());
        // Ends early where the bound is reached.
        let _ = fmt::write(&mut text, format_args!("{value:?}"));
        self.take(field, &text.0);
    }
}

/// A text as it may be shown: redacted before it is cut, so that no half of a credential stays.
fn shown(text: &str, max: usize) -> String {
    let redacted = redact(text);
    let escaped = escape(&redacted);
    if escaped.len() <= max {
        return escaped.into_owned();
    }
    format!("{}…", cut(&escaped, max - '…'.len_utf8()))
}

// === impl Bounded ===

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = RAW_MAX_BYTES - self.0.len();
        self.0.push_str(cut(text, room));
        if text.len() <= room {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Record>>>);

    impl Sink for Kept {
        fn take(&self, record: Record) {
            self.0.lock().unwrap().push(record);
        }
    }

    fn records(work: impl FnOnce()) -> Vec<Record> {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(RecordLayer::new(kept.clone()));
        tracing::subscriber::with_default(subscriber, work);
        std::mem::take(&mut *kept.0.lock().unwrap())
    }

    #[test]
    fn a_record_has_the_fields_of_its_spans_and_no_credential() {
        let records = records(|| {
            let outer = tracing::error_span!(
                "call",
                principal = "default/local",
                rpc.method = "x",
                late = tracing::field::Empty
            );
            outer.record("late", 7);
            let _outer = outer.enter();
            let _inner =
                tracing::error_span!("turn", principal = "inner", token = "CANARY").entered();
            tracing::info!(count = 1, password = "CANARY", "said {}", "Bearer CANARY\n");
        });
        let [record] = &records[..] else {
            panic!("{records:?}")
        };
        assert_eq!(record.message, "said Bearer [redacted]\\n");
        let fields: Vec<(&str, &str)> = record.fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(
            fields,
            [
                ("count", "1"),
                ("password", "[redacted]"),
                ("principal", "inner"),
                ("token", "[redacted]"),
                ("late", "7")
            ]
        );
    }

    #[test]
    fn texts_are_cut_after_they_are_redacted() {
        let jwt = format!(
            "eyJ{}.{}.{}",
            "A".repeat(300),
            "B".repeat(300),
            "C".repeat(300)
        );
        let near_the_cut = format!("{} {jwt}", "x".repeat(FIELD_MAX_BYTES - 100));
        let records = records(|| {
            tracing::info!(value = %near_the_cut, huge = ?"y".repeat(1 << 20), "{}", "z".repeat(1 << 20));
        });
        let value = records[0].field("value").unwrap();
        assert!(value.ends_with(&format!("x {MASK}")), "{value}");
        assert_eq!(records[0].field("huge").unwrap().len(), FIELD_MAX_BYTES);
        assert_eq!(records[0].message.len(), MESSAGE_MAX_BYTES);
    }
}
