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
                sub_agent: Ok("!subagent=scout done"),
                recall: |_| ("!history".into(), "1".into()),
            },
            child: Err("echo runs in process"),
        }
    }

    conformance!(row);
}

/// Any of them, on a worker: the gateway's half, a real socket, and a worker program: ours on the echo driver, and the one that
/// stands in the Python client's examples, of which nothing is ours but the protocol.
mod worker {
    use super::{
        conformance::{Prompts, Row, conformance},
        support,
    };
    use quarterdeck::{
        agent::{Driver as _, echo::Echo, fence::Fence},
        client::{Client, ClientOptions},
        domain::access::Identity,
        grpc::workers::WorkerCalls,
        proto::worker_service_server::WorkerServiceServer,
        session::handle::Directories,
        wire::page::PageTokens,
        worker::{self, WorkerOptions},
        workers::{
            LeaseRules,
            driver::WorkerDriver,
            hub::{Hub, Selector},
        },
    };
    use std::{
        collections::{BTreeMap, BTreeSet},
        future::pending,
        path::Path,
        sync::Arc,
        time::Duration,
    };
    use tokio_stream::wrappers::TcpListenerStream;
    use tokio_util::sync::CancellationToken;
    use tonic::{Request, transport::Server};

    /// A gateway's half, which ends with the test's runtime: where it is, and its driver.
    fn gateway() -> (String, Arc<WorkerDriver>) {
        let identity = Arc::new(Identity::unauthenticated());
        let hub = Hub::new(LeaseRules::default());
        let selector = Selector {
            agent: "echo".into(),
            labels: BTreeMap::new(),
            principals: BTreeSet::from([identity.principal.to_string()]),
        };
        let calls = WorkerCalls {
            hub: hub.clone(),
            labels: BTreeMap::new(),
            pages: Arc::new(PageTokens::new(b"no secret")),
            ending: CancellationToken::new(),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("it can be asked");
        let listener = tokio::net::TcpListener::from_std(listener).expect("it listens");
        let service = WorkerServiceServer::with_interceptor(calls, move |mut it: Request<()>| {
            it.extensions_mut().insert(identity.clone());
            Ok(it)
        });
        let server = Server::builder().tcp_nodelay(true).add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (
            format!("http://{address}"),
            Arc::new(WorkerDriver::new(hub, selector)),
        )
    }

    /// With a worker of our own, which ends with the test's runtime, too.
    fn row() -> Row {
        let (address, driver) = gateway();
        let directory = tempfile::TempDir::new().expect("there is room for a directory");
        let options = WorkerOptions {
            name: "one".into(),
            labels: BTreeMap::new(),
            capacity: 4,
            drivers: BTreeMap::from([("echo".to_owned(), Arc::new(Echo) as Arc<_>)]),
            capabilities: BTreeMap::from([("echo".to_owned(), Echo.capabilities())]),
            directories: Directories::new(directory.path(), None),
            fence: Fence::create(directory.path()).expect("it is written"),
            client: Client::new(ClientOptions::new(address)).expect("a client"),
            once: false,
            agent_idle_timeout: Duration::from_secs(60),
        };
        tokio::spawn(async move {
            let _directory = directory;
            worker::run(options, pending()).await
        });
        Row {
            driver,
            prompts: Prompts {
                say: |text| text.to_owned(),
                endless: "!delay=1ms !repeat=400000 word".into(),
                hang: "!hang".into(),
                stubborn: Ok("!stubborn !hang".into()),
                fail: ("!fail=broken".into(), "broken"),
                tool: ("!tool=hammer a nail".into(), "hammer"),
                ask: "!ask=hammer a nail",
                sub_agent: Err("a connection does not tell of sub-agents"),
                recall: |_| ("!history".into(), "1".into()),
            },
            child: Err("what runs on a worker is its own driver's to end"),
        }
    }

    conformance!(row);

    mod in_python {
        use super::*;

        /// With the example, killed with the test's runtime.
        fn row() -> Option<Row> {
            let python = support::python_client()?;
            let (address, driver) = gateway();
            let script = "clients/python/examples/worker.py";
            let child = tokio::process::Command::new(python)
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
                .arg("echo")
                .env("QUARTERDECK_ADDR", address)
                .env_remove("QUARTERDECK_KEY")
                .kill_on_drop(true)
                .spawn();
            let mut child = child.expect("it starts");
            tokio::spawn(async move { child.wait().await });
            Some(Row {
                driver,
                prompts: Prompts {
                    say: |text| text.to_owned(),
                    endless: "!endless".into(),
                    hang: "!hang".into(),
                    stubborn: Err("a task of its loop can't ignore that it is cancelled"),
                    fail: ("!fail broken".into(), "broken"),
                    tool: ("!tool hammer".into(), "hammer"),
                    ask: "!ask hammer",
                    sub_agent: Err("a connection does not tell of sub-agents"),
                    recall: |_| ("!history".into(), "1".into()),
                },
                child: Err("its agent is a task of its loop"),
            })
        }

        conformance!(optional row);
    }
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
            models: vec![],
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
                sub_agent: Err("its loop gives no tasks to others"),
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
