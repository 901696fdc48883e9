//! Every driver passes the same suite. A driver is one row: how it is set up, and what to say to it.

mod conformance;
#[path = "agent_support/mod.rs"]
mod support;

/// In process: what needs a child does not apply.
mod echo {
    use super::conformance::{Prompts, Row, conformance};
    use quarterdeck::agent::echo::Echo;
    use std::sync::Arc;

    fn row() -> Row {
        Row {
            driver: Arc::new(Echo),
            prompts: Prompts {
                say: |text| text.to_owned(),
                endless: "!delay=1ms !repeat=400000 word".into(),
                hang: "!hang".into(),
                stubborn: Ok("!stubborn !hang".into()),
                fail: ("!fail=broken".into(), "broken"),
                tool: ("!tool=hammer a nail".into(), "hammer"),
                recall: |_| ("!history".into(), "1".into()),
            },
            child: Err("echo runs in process"),
        }
    }

    conformance!(row);
}
