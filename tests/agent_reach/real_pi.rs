//! The same with real pi and a scripted model. Runs where `QUARTERDECK_TEST_PI` lists pi commands, see
//! `.ci/install-pi`; without it these tests say so and pass.

use crate::{
    credential::run,
    world::{self, Caller},
};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// A scripted model; ended with the test.
struct Model(Child);

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Model {
    /// Starts; with its port.
    fn start() -> (Self, u16) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fake_llm.py");
        let mut process = Command::new("python3")
            .arg(script)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let output = BufReader::new(process.stdout.take().unwrap());
        let port = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ")?.trim().parse().ok());
        (Self(process), port.expect("it says where it listens"))
    }
}

/// pi's extension gives the model the session's memory tools, and they work.
#[tokio::test]
async fn real_pi_uses_the_memory_tools_of_its_session() {
    let commands = std::env::var("QUARTERDECK_TEST_PI").unwrap_or_default();
    if commands.is_empty() {
        eprintln!("QUARTERDECK_TEST_PI is not set: real pi is not tested");
    }
    for command in commands.split(':').filter(|it| !it.is_empty()) {
        eprintln!("== {command}");
        let (_model, port) = Model::start();
        let template = tempfile::tempdir().unwrap();
        let models = serde_json::json!({ "providers": { "fake": {
            "baseUrl": format!("http://127.0.0.1:{port}/v1"),
            "api": "openai-completions",
            "apiKey": "no-key",
            "compat": { "supportsDeveloperRole": false, "supportsReasoningEffort": false, "supportsStore": false },
            "models": [{ "id": "fake-1", "contextWindow": 32768, "maxTokens": 4096 }],
        } } });
        std::fs::write(template.path().join("models.json"), models.to_string()).unwrap();
        // The command is a script that names the directories beside its own.
        let tools = std::path::Path::new(command)
            .ancestors()
            .nth(2)
            .expect("it is in .tools/bin");
        let tools = tools.canonicalize().expect("it is there");
        let config = format!(
            "default_agent = \"pi\"\nisolation_read = [{tools:?}]\n[agents.pi]\ncommand = [{command:?}]\nargs = [\"-ne\", \"-ns\", \"-np\", \"-nc\"]\n\
             template_dir = {:?}\nmodel = \"fake/fake-1\"\nthinking_level = \"off\"\nstart_timeout = \"120s\"\n",
            template.path()
        );
        let gateway = world::start_with(&[], &config);
        let caller = Caller::admin(&gateway).await;
        let call = r#"CALL memory_remember {"content": "the anchor weighs 300 kilos"}"#;
        let said = run(&caller, "s", call).await;
        assert!(said.contains("Got: Remembered."), "{said}");
        let call = r#"CALL memory_search {"query": "anchor"}"#;
        let said = run(&caller, "s", call).await;
        assert!(said.contains("300 kilos"), "{said}");
        // A refusal reaches the model as one.
        let said = run(&caller, "s", r#"CALL memory_remember {"content": " "}"#).await;
        assert!(said.contains("blank"), "{said}");
    }
}
