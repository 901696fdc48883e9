//! Every driver passes the same suite. A driver is one row: how it is set up, and what to say to it.

mod conformance;
mod llm_support;
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
                ask: "!ask=hammer a nail",
                recall: |_| ("!history".into(), "1".into()),
            },
            child: Err("echo runs in process"),
        }
    }

    conformance!(row);
}

/// A scripted model of each dialect, called over HTTP.
mod llm {
    use super::{
        conformance::{Prompts, Row, conformance},
        llm_support::{Model, Shed},
        support,
    };
    use quarterdeck::agent::{
        llm::{Api, Endpoint, LlmDriver, LlmOptions, McpOptions, McpPlace, ModelName},
        process::ProcessLimits,
    };
    use std::{
        sync::{Arc, LazyLock},
        time::Duration,
    };

    /// One for all entries: what it answers depends on the conversation alone.
    static MODEL: LazyLock<Model> = LazyLock::new(Model::start);
    static SHED: LazyLock<Shed> = LazyLock::new(|| Shed::start(&[]));

    fn row(api: Api) -> Row {
        let options = LlmOptions {
            model: ModelName::parse("local/fake-1").expect("a model"),
            endpoint: Endpoint {
                api,
                base_url: MODEL.base_url(),
                key: "no-key".into(),
            },
            thinking_level: String::new(),
            instructions: String::new(),
            max_output_tokens: 0,
            memory_tools: true,
            mcp_servers: vec![McpOptions {
                name: "shed".into(),
                at: McpPlace::Http {
                    url: SHED.url(),
                    headers: vec![],
                },
                timeout: Duration::from_secs(20),
            }],
            limits: ProcessLimits::default(),
        };
        Row {
            driver: Arc::new(LlmDriver::new(options, support::host()).expect("a client")),
            prompts: Prompts {
                say: |text| format!("SAY {text}"),
                endless: "ENDLESS".into(),
                hang: "HANG".into(),
                stubborn: Err("nothing ignores that its stream is closed"),
                fail: ("FAIL".into(), "told to fail"),
                tool: ("CALL mcp__shed__hammer {}".into(), "mcp__shed__hammer"),
                ask: "CALL mcp__shed__hammer {}",
                recall: |text| ("TOLD".into(), text.into()),
            },
            child: Err("a model is no process"),
        }
    }

    macro_rules! dialect {
        ($name:ident, $api:expr) => {
            mod $name {
                fn row() -> super::super::conformance::Row {
                    super::row($api)
                }
                super::conformance!(row);
            }
        };
    }
    dialect!(chat, quarterdeck::agent::llm::Api::ChatCompletions);
    dialect!(responses, quarterdeck::agent::llm::Api::Responses);
    dialect!(anthropic, quarterdeck::agent::llm::Api::Anthropic);
    dialect!(gemini, quarterdeck::agent::llm::Api::Gemini);
}
