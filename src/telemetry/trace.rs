//! W3C trace context: where a call, and the turn that it makes, stand in a trace that began elsewhere.
//!
//! Accepted from callers as `traceparent`, kept with turns and steers, handed to agents. A call without one begins a
//! trace of its own, so that its records and its turn's can be found together. `tracestate` is not kept.

use std::fmt;
use tracing::Span;
use uuid::Uuid;

/// Name of the header, and in capitals of the variable of agents' processes.
pub const HEADER: &str = "traceparent";
/// Length of version 00.
const LENGTH: usize = 55;
/// Flag of traces that are recorded.
const SAMPLED: u8 = 1;

/// A place in a trace. Its text form is `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The span in it; never 0.
    pub span_id: u64,
    /// Bit 0: recorded.
    pub flags: u8,
}

// === impl TraceContext ===

impl TraceContext {
    /// Reads `traceparent`; `None` for what is none, which is to be ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let version = hex(bytes.get(..2)?)?;
        let fits = match version {
            0 => bytes.len() == LENGTH,
            // Not a version.
            0xff => false,
            // Later ones may have more behind.
            _ => bytes.len() == LENGTH || bytes.get(LENGTH) == Some(&b'-'),
        };
        let dashes = [2, 35, 52]
            .iter()
            .all(|place| bytes.get(*place) == Some(&b'-'));
        if !fits || !dashes {
            return None;
        }
        let context = Self {
            trace_id: hex(bytes.get(3..35)?)?,
            span_id: u64::try_from(hex(bytes.get(36..52)?)?).ok()?,
            flags: u8::try_from(hex(bytes.get(53..55)?)?).ok()? & SAMPLED,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// A new trace.
    pub fn begin() -> Self {
        Self {
            trace_id: Uuid::new_v4().as_u128(),
            span_id: span_id(),
            flags: 0,
        }
    }

    /// A span below this one.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span_id: span_id(),
            ..self
        }
    }

    /// The trace, as records name it.
    pub fn trace_id_text(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
        } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

/// Puts a span below its remote parent, where traces are exported; gives the context for what is below the span.
/// `ours` is the span's own where they are not.
pub fn join(span: &Span, parent: Option<TraceContext>, ours: TraceContext) -> TraceContext {
    #[cfg(feature = "otlp")]
    if let Some(exported) = super::otlp::join(span, parent) {
        return exported;
    }
    // Used by the export alone.
    let _ = (span, parent);
    ours
}

fn span_id() -> u64 {
    let (_, low) = Uuid::new_v4().as_u64_pair();
    low
}

/// Lower-case hexadecimal digits as a number.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |sum, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_again() {
        let context = TraceContext::parse(GOOD).unwrap();
        assert_eq!(context.to_string(), GOOD);
        assert_eq!(context.trace_id_text(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let child = context.child();
        assert_eq!(child.trace_id, context.trace_id);
        assert_ne!(child.span_id, context.span_id);
        let later = format!("01{}-more", &GOOD[2..]);
        assert_eq!(TraceContext::parse(&later), Some(context));
        let begun = TraceContext::begin();
        assert_eq!(TraceContext::parse(&begun.to_string()), Some(begun));
    }

    #[test]
    fn what_is_malformed_is_none() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47ä-00f067aa0ba902b7-01xx",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad:?}");
        }
    }
}
