//! What an operator is promised: everything wrong at once and where it stands, later sources win, secrets stay secret.

use super::*;
use std::fs;

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn problems(result: Result<Config, ConfigErrors>) -> String {
    result.expect_err("something is wrong").to_string()
}

#[test]
fn the_printed_defaults_are_read_back_as_the_defaults() {
    let defaults = Config::with_builtin_agents();
    let text = defaults.to_toml();
    assert_eq!(Config::parse("printed", &text), Ok(defaults));
    for key in KEYS {
        assert!(text.contains(&format!("\n{} = ", key.name)), "{}", key.name);
        assert!(key.doc.iter().all(|line| !line.trim().is_empty()));
    }
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("q.toml");
    let text = "listen = \"nowhere\"\nqueue_limit_turns = 0\nlisten_adress = 1\n\n[agents.claude]\nmodel = \"x\"\n\n\
                [agents.pi]\ncommand = []\ncwd_roots = [\"relative\"]\nturn_timeout = \"1h\"\n";
    fs::write(&file, text).expect("written");
    let result = Config::load(Sources {
        file: Some(file.clone()),
        environment: environment(&[
            ("QUARTERDECK_TURN_TIMEOUT", "soon"),
            ("QUARTERDECK_TYPO", "1"),
            ("QUARTERDECK_AGENTS__PI__MAX_ATTEMPTS", "0"),
            ("QUARTERDECK_KEY", "a client's"),
            ("QUARTERDECK_PORT_7777_TCP_ADDR", "10.0.0.1"),
            ("QUARTERDECK_SERVICE_PORT", "7777"),
            ("PATH", "/bin"),
        ]),
        flags: vec![("default_agent".into(), "nobody".into())],
        allow_cwd: vec![],
    });
    let file = file.display();
    let found = problems(result).replace(&file.to_string(), "FILE");
    let expected = [
        "FILE:1: listen: expected an address and port",
        "FILE:2: queue_limit_turns: must be from 1 to 10000, found 0",
        "FILE:3: listen_adress: there is no such key",
        "FILE:5: agents.claude: needs a `driver`",
        "FILE:9: agents.pi.command: must begin with a program",
        "FILE:10: agents.pi.cwd_roots: must be absolute paths",
        "FILE:11: agents.pi.turn_timeout: there is no such key",
        "variable QUARTERDECK_TURN_TIMEOUT: turn_timeout: expected a duration",
        "variable QUARTERDECK_TYPO: typo: there is no such key",
        "variable QUARTERDECK_AGENTS__PI__MAX_ATTEMPTS: agents.pi.max_attempts: must be from 1 to 100",
        "flag --default-agent: default_agent: no agent is called `nobody`",
    ];
    for line in expected {
        assert!(found.contains(line), "{line}\n---\n{found}");
    }
    assert_eq!(found.lines().count(), expected.len(), "{found}");
}

#[test]
fn later_sources_win() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("q.toml");
    fs::write(
        &file,
        "queue_limit_turns = 1\nlog = \"warn\"\nprimary_session = \"from-file\"\n[agents.echo]\non_interrupt = \"retry\"\n",
    )
    .expect("written");
    let config = Config::load(Sources {
        file: None,
        environment: environment(&[
            ("QUARTERDECK_CONFIG", &file.display().to_string()),
            ("QUARTERDECK_QUEUE_LIMIT_TURNS", "2"),
            ("QUARTERDECK_LOG", "debug"),
            ("QUARTERDECK_AGENTS__MINE__DRIVER", "pi"),
            ("QUARTERDECK_AGENTS__MINE__COMMAND", r#"["node", "pi.js"]"#),
        ]),
        flags: vec![("queue_limit_turns".into(), "3".into())],
        allow_cwd: vec!["somewhere".into()],
    })
    .expect("all is right");
    assert_eq!(config.queue_limit_turns, 3);
    assert_eq!(config.log, "debug");
    assert_eq!(config.primary_session, "from-file");
    assert_eq!(config.turn_timeout, HOUR);
    let echo = &config.agents["echo"];
    assert_eq!(echo.driver, DriverKind::Echo);
    assert_eq!(echo.on_interrupt, OnInterrupt::Retry);
    assert_eq!(config.agents["mine"].command, ["node", "pi.js"]);
    for agent in config.agents.values() {
        assert!(agent.cwd_roots[0].ends_with("somewhere") && agent.cwd_roots[0].is_absolute());
    }
}

#[test]
fn secrets_are_never_shown() {
    let text = "[agents.pi.environment]\nOPENAI_API_KEY = \"hunter2\"\n";
    let config = Config::parse("file", text).expect("all is right");
    assert_eq!(
        config.agents["pi"].environment.0["OPENAI_API_KEY"],
        "hunter2"
    );
    let shown = format!("{config:?}{}", config.to_toml());
    assert!(!shown.contains("hunter2"));
    assert!(shown.contains("\"OPENAI_API_KEY\" = \"(set)\""));
    let wrong =
        "[agents.pi]\nenvironment = [\"hunter2\"]\n[agents.echo.environment]\nA = [\"hunter2\"]";
    assert!(!problems(Config::parse("file", wrong)).contains("hunter2"));
}

#[test]
fn a_wide_open_address_is_refused_where_it_stands() {
    let found = problems(Config::parse("file", "listen = \"0.0.0.0:7777\"\n"));
    assert!(
        found.starts_with("file:1: listen: 0.0.0.0:7777 is reachable"),
        "{found}"
    );
    let text = "listen = \"0.0.0.0:7777\"\ninsecure_behind_proxy = true\n";
    assert!(Config::parse("file", text).is_ok());
    assert!(Config::parse("file", "listen = \"[::1]:0\"\n").is_ok());
    let text = format!("{text}no_auth = true\n");
    let found = problems(Config::parse("file", &text));
    assert!(
        found.starts_with("file:3: no_auth: with insecure_behind_proxy"),
        "{found}"
    );
}

#[test]
fn tls_settings_that_mean_nothing_alone_are_refused() {
    for (text, expected) in [
        (
            "tls_certificate = \"c\"",
            "file:1: tls_certificate: means nothing without tls_key",
        ),
        (
            "tls_key = \"k\"",
            "file:1: tls_key: means nothing without tls_certificate",
        ),
        (
            "tls_client_ca = \"c\"",
            "file:1: tls_client_ca: means nothing without tls_certificate",
        ),
        (
            "tls_client_required = true",
            "file:1: tls_client_required: means nothing without tls_client_ca",
        ),
    ] {
        let found = problems(Config::parse("file", text));
        assert!(found.starts_with(expected), "{found}");
    }
    let all = "tls_certificate = \"c\"\ntls_key = \"k\"\ntls_client_ca = \"a\"\ntls_client_required = true";
    assert!(Config::parse("file", all).is_ok());
}

#[test]
fn allowed_hosts_are_names_without_ports() {
    let allowed = r#"allowed_hosts = ["example.org", "*.example.org", "printer", "192.0.2.1", "2001:db8::1"]"#;
    assert!(Config::parse("file", allowed).is_ok());
    for wrong in ["", "a:1", "http://a", "*", "*.", "a..b", "a b", "[::1]"] {
        let text = format!("allowed_hosts = [\"{wrong}\"]");
        assert!(Config::parse("file", &text).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_named_file_must_exist_and_toml_errors_have_lines() {
    let missing = Config::load(Sources {
        file: Some("no/such/file.toml".into()),
        ..Sources::default()
    });
    assert!(problems(missing).starts_with("no/such/file.toml: can't be read"));
    let found = problems(Config::parse("file", "log = \"info\"\nlisten = \n"));
    assert!(found.starts_with("file:2: "), "{found}");
}

#[test]
fn the_memory_key_is_whole_and_the_only_one_and_never_shown() {
    let key = "5e".repeat(32);
    let load = |value: &str, text: &str| {
        let mut loader = Loader::new();
        loader.toml("q.toml", text);
        loader.variable("MEMORY_KEY", value);
        loader.finish()
    };
    let config = load(&key, "").expect("64 digits");
    assert!(!config.to_toml().contains(&key) && !format!("{config:?}").contains(&key));
    assert!(config.to_toml().contains("memory_key = \"(set)\""));
    for wrong in [&key[1..], &"5g".repeat(32), &key.repeat(2)] {
        let problem = problems(load(wrong, ""));
        let expected =
            "variable QUARTERDECK_MEMORY_KEY: memory_key: the memory key must be 32 bytes as 64";
        assert!(problem.starts_with(expected), "{problem}");
        assert!(!problem.contains(wrong), "{problem}");
    }
    let both = problems(load(&key, "memory_key_file = \"/run/key\""));
    assert!(both.contains("give one of them"), "{both}");
    assert!(!both.contains(&key), "{both}");
}

#[test]
fn an_agents_environment_is_free_but_for_the_servers_own_marks() {
    use crate::agent::process::{KEEPER_VARIABLE, NODE_VARIABLE, PROCESS_VARIABLE};
    assert_eq!(
        checks::MARKS,
        [NODE_VARIABLE, PROCESS_VARIABLE, KEEPER_VARIABLE]
    );
    for mark in checks::MARKS {
        let text = format!("[agents.pi.environment]\n{mark} = \"x\"\n");
        let problem = problems(Config::parse("q.toml", &text));
        assert!(problem.contains(mark), "{problem}");
    }
    let text = "[agents.pi.environment]\nNODE_OPTIONS = \"x\"\nQUARTERDECK_KEY = \"x\"\n";
    let config = Config::parse("q.toml", text).expect("who names the program may name these");
    assert_eq!(config.agents["pi"].environment.0.len(), 2);
}

#[test]
fn a_bound_of_an_agents_processes_may_be_none_but_not_so_small_that_nothing_runs() {
    let parse = |text: &str| Config::parse("q.toml", &format!("[agents.pi]\n{text}\n"));
    let config = parse("max_memory_bytes = \"1GiB\"\nmax_processes = 0").expect("both are allowed");
    let agent = &config.agents["pi"];
    assert_eq!(
        (agent.max_memory_bytes, agent.max_processes),
        (Size(1 << 30), 0)
    );
    for wrong in [
        "max_memory_bytes = 1024",
        "max_open_files = 3",
        "max_file_bytes = 1",
    ] {
        assert!(
            problems(parse(wrong)).contains("or 0 for no bound"),
            "{wrong}"
        );
    }
}

#[test]
fn an_agent_of_the_agent_client_protocol_names_its_program_and_alone_has_a_mode() {
    let found = problems(Config::parse("file", "[agents.mine]\ndriver = \"acp\"\n"));
    assert!(
        found.contains("agents.mine.command: names the program"),
        "{found}"
    );
    let found = problems(Config::parse("file", "[agents.pi]\nmode = \"trust\"\n"));
    assert!(
        found.contains("file:2: agents.pi.mode: means nothing without driver = \"acp\""),
        "{found}"
    );
    let text =
        "[agents.mine]\ndriver = \"acp\"\ncommand = [\"agent\", \"acp\"]\nmode = \"trust\"\n";
    let config = Config::parse("file", text).expect("all is right");
    assert_eq!(config.agents["mine"].mode, "trust");
    let printed = config.to_toml();
    let again = Config::parse("printed", &printed).expect("what is printed is read");
    assert_eq!(again.agents, config.agents);
}

#[test]
fn auto_is_no_agents_name() {
    let found = problems(Config::parse("file", "[agents.auto]\ndriver = \"echo\"\n"));
    assert!(
        found.starts_with("file:1: no agent may be called `auto`"),
        "{found}"
    );
    let config = Config::parse("file", "default_agent = \"auto\"\n").expect("it is right");
    assert_eq!(config.default_agent, AUTO_AGENT);
}

/// CONTRACT-2 §10: a denial that the agent does not keep is a fault of the configuration.
#[test]
fn a_denial_that_the_driver_can_not_keep_is_refused_where_it_stands() {
    let text = "[agents.pi]\ntool_policy = [\"ask read\", \"deny bash\"]\n";
    let found = problems(Config::parse("file", text));
    assert!(
        found.starts_with("file:2: agents.pi.tool_policy: `deny bash` can't be kept"),
        "{found}"
    );
    for kept in [
        "[agents.pi]\ntool_policy = [\"ask read\"]\n",
        "[agents.echo]\ntool_policy = [\"deny bash\"]\n",
        "[agents.a]\ndriver = \"acp\"\ncommand = [\"a\"]\ntool_policy = [\"deny bash\"]\n",
    ] {
        Config::parse("file", kept).expect("it can be kept");
    }
}
