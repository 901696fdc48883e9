//! R15: a data directory of an earlier version opens with all that was in it, and one of a later version is not touched.
//!
//! `tests/fixtures/stores` holds directories that servers of then left when they were killed, and what they had answered
//! to reads. Each read is asked again of the present server: whatever was answered then is answered now, and fields that
//! the contract has got since may stand beside it.

mod support;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use quarterdeck::proto;
use serde::{Deserialize, de::DeserializeSeed as _};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use support::{DATA, Gateway, Options, SOON, raw::Raw};
use tonic::{Request, Status, client::Grpc, transport::Channel};

/// What a server of then was told and answered.
#[derive(Deserialize)]
struct Kept {
    /// Keys of callers by their names; empty where the server asked for none.
    callers: BTreeMap<String, String>,
    reads: Vec<Read>,
}

/// A read, and the answer of then.
#[derive(Deserialize)]
struct Read {
    caller: String,
    method: String,
    request: Value,
    response: Value,
}

/// A directory of then, unpacked.
struct Golden {
    directory: tempfile::TempDir,
    kept: Kept,
}

/// The present contract.
struct Contract(DescriptorPool);

// === impl Golden ===

impl Golden {
    fn unpack(archive: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let unpacked = Command::new("tar")
            .args(["--no-same-owner", "-xzf"])
            .arg(archive)
            .arg("-C")
            .arg(directory.path())
            .status()
            .expect("tar runs");
        assert!(unpacked.success());
        let at = directory.path();
        fs::rename(at.join("data"), at.join(DATA)).expect("it was in it");
        let kept = fs::read(at.join("reads.json")).expect("it was in it");
        let kept = serde_json::from_slice(&kept).expect("what make.py writes");
        Self { directory, kept }
    }
}

// === impl Contract ===

impl Contract {
    fn present() -> Self {
        Self(DescriptorPool::decode(proto::DESCRIPTORS).expect("the contract"))
    }

    /// What a method of the present takes and gives.
    fn method(&self, path: &str) -> (MessageDescriptor, MessageDescriptor) {
        let (service, name) = path[1..].split_once('/').expect("a path");
        let service = self.0.get_service_by_name(service).expect("still there");
        let method = service.methods().find(|method| method.name() == name);
        let method = method.unwrap_or_else(|| panic!("{path} is gone"));
        (method.input(), method.output())
    }
}

/// A message of then as the present contract reads it.
fn message(descriptor: MessageDescriptor, json: &Value) -> DynamicMessage {
    descriptor
        .deserialize(json)
        .unwrap_or_else(|error| panic!("the contract can't read {json}: {error}"))
}

fn json(message: &DynamicMessage) -> Value {
    serde_json::to_value(message).expect("every message has a JSON form")
}

/// Calls a method with a key.
async fn call(
    gateway: &Gateway,
    key: &str,
    path: &str,
    request: &DynamicMessage,
) -> Result<Vec<u8>, Status> {
    let channel = Channel::from_shared(gateway.address.clone()).expect("an address");
    let mut grpc = Grpc::new(channel.connect().await.expect("it accepts"));
    grpc.ready().await.expect("it is open");
    let mut request = Request::new(request.encode_to_vec());
    if !key.is_empty() {
        let value = format!("Bearer {key}").parse().expect("a header's value");
        request.metadata_mut().insert("authorization", value);
    }
    let path = path.parse().expect("a path");
    let answer = tokio::time::timeout(SOON, grpc.unary(request, path, Raw)).await;
    answer.expect("it answers").map(tonic::Response::into_inner)
}

/// Says where something of then is not there now; what is only there now is fine.
fn lost(then: &Value, now: &Value, at: &str, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (name, value) in then {
                let at = format!("{at}.{name}");
                match now.get(name) {
                    Some(now) => lost(value, now, &at, found),
                    None => found.push(format!("{at}: {value} is gone")),
                }
            }
        }
        // The key of a first start listed all scopes of its version; since schema 5 it holds all that there are.
        (Value::Array(then), Value::Array(now))
            if at.ends_with(".scopes") && *now == ["*"] && then.contains(&"admin.keys".into()) => {}
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            for (place, (then, now)) in then.iter().zip(now).enumerate() {
                lost(then, now, &format!("{at}[{place}]"), found);
            }
        }
        _ if then == now => {}
        _ => found.push(format!("{at}: {then} is {now}")),
    }
}

/// Every directory that is kept.
fn archives() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores");
    let mut archives: Vec<_> = fs::read_dir(directory)
        .expect("the fixtures")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|end| end == "gz"))
        .collect();
    archives.sort();
    archives
}

fn check(data: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .arg("check")
        .arg("--data-dir")
        .arg(data)
        .current_dir(data.parent().expect("it has one"))
        .output()
        .expect("the binary runs")
}

/// Every plain file below a directory with its bytes; not the lock, which names its holder, nor the index of the log, which is
/// made anew whenever the log is opened.
fn bytes_of(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().and_then(|name| name.to_str());
        if path.is_dir() {
            files.extend(bytes_of(&path));
        } else if path.is_file() && !matches!(name, Some("lock" | "quarterdeck.db-shm")) {
            files.insert(path.clone(), fs::read(&path).expect("readable"));
        }
    }
    files
}

#[tokio::test]
async fn r15_what_an_earlier_version_left_is_all_there_and_goes_on() {
    let contract = Contract::present();
    let archives = archives();
    assert!(archives.len() >= 5, "{archives:?}");
    for archive in archives {
        let name = archive.display();
        let Golden { directory, kept } = Golden::unpack(&archive);
        let options = Options {
            environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
            // The events of then are as old as the fixtures are.
            config: "retention_age = \"3650days\"\n".into(),
            ..Options::default()
        };
        let mut gateway = Gateway::on(directory, options);
        let key = |caller: &str| match kept.callers[caller].as_str() {
            // It asked for none: the present server made the key of a first start.
            "" => fs::read_to_string(gateway.data().join("admin.key"))
                .expect("a key")
                .trim()
                .to_owned(),
            key => key.to_owned(),
        };

        let mut problems = Vec::new();
        for read in &kept.reads {
            let (input, output) = contract.method(&read.method);
            let request = message(input, &read.request);
            let then = json(&message(output.clone(), &read.response));
            let at = format!("{} {} as {}", read.method, read.request, read.caller);
            match call(&gateway, &key(&read.caller), &read.method, &request).await {
                Ok(now) => {
                    let now = DynamicMessage::decode(output, now.as_slice()).expect("an answer");
                    lost(&then, &json(&now), &at, &mut problems);
                }
                Err(status) => problems.push(format!("{at}: {status}")),
            }
        }
        assert!(problems.is_empty(), "{name}: {problems:#?}");

        // The turn that ran when it was killed was interrupted, those behind it run, and a request of then is known.
        let say = async |path: &str, request: Value| {
            let (input, output) = contract.method(path);
            let request = message(input, &request);
            let answer = call(&gateway, &key("admin"), path, &request).await;
            let answer = answer.unwrap_or_else(|status| panic!("{name}: {path}: {status}"));
            json(&DynamicMessage::decode(output, answer.as_slice()).expect("an answer"))
        };
        let again = serde_json::json!({"sessionKey": "busy", "text": "waits second", "requestId": "waiting"});
        let again = say("/quarterdeck.v1.GatewayService/Enqueue", again).await;
        assert_eq!(again["replayed"], true, "{name}: {again}");
        let one_more = serde_json::json!({"sessionKey": "busy", "text": "one more"});
        let one_more = say("/quarterdeck.v1.GatewayService/Enqueue", one_more).await;
        let wait = serde_json::json!({"sessionKey": "busy", "turnId": one_more["turn"]["turnId"]});
        let ended = say("/quarterdeck.v1.GatewayService/AwaitTurn", wait).await;
        assert_eq!(ended["turn"]["state"], "TURN_STATE_COMPLETED", "{name}");
        let turns = serde_json::json!({"sessionKey": "busy"});
        let turns = say("/quarterdeck.v1.GatewayService/ListTurns", turns).await;
        let ends: Vec<_> = turns["turns"]
            .as_array()
            .expect("turns")
            .iter()
            .map(|turn| (&turn["text"], &turn["state"]))
            .collect();
        let (interrupted, completed) = ("TURN_STATE_INTERRUPTED", "TURN_STATE_COMPLETED");
        for (text, state) in [
            ("!hang holds", interrupted),
            ("waits first", completed),
            ("waits second", completed),
            ("one more", completed),
        ] {
            assert!(
                ends.contains(&(&text.into(), &state.into())),
                "{name}: {text}: {ends:?}"
            );
        }

        gateway.terminate();
        assert_eq!(gateway.ended(SOON).await, Some(0), "{name}");
        let checked = check(&gateway.data());
        assert!(checked.status.success(), "{name}: {checked:?}");
        gateway.check_store();
    }
}

#[test]
fn r15_a_directory_of_a_later_version_is_refused_and_not_a_byte_of_it_changes() {
    let newest = archives().pop().expect("there are some");
    let Golden { directory, .. } = Golden::unpack(&newest);
    // The present version has it first, so that nothing is missing there but what a later one may add.
    let mut gateway = Gateway::on(directory, Options::default());
    gateway.kill();
    let later = tempfile::tempdir().expect("a directory");
    let data = later.path().join(DATA);
    // As a later version leaves it when it is killed: its last writes stand in the log.
    let file = gateway.data().join("quarterdeck.db");
    let connection = rusqlite::Connection::open(file).expect("a store");
    connection
        .pragma_update(None, "wal_autocheckpoint", 0)
        .expect("set");
    connection
        .pragma_update(None, "user_version", 9_999)
        .expect("set");
    let copied = Command::new("cp")
        .args(["-a"])
        .args([&gateway.data(), &data])
        .status()
        .expect("cp runs");
    assert!(copied.success());
    drop(connection);
    assert!(data.join("quarterdeck.db-wal").exists());

    let before = bytes_of(&data);
    for verb in ["serve", "check"] {
        let refused = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args([verb, "--data-dir"])
            .arg(&data)
            .current_dir(later.path())
            .output()
            .expect("the binary runs");
        let told = String::from_utf8_lossy(&refused.stderr).into_owned()
            + &String::from_utf8_lossy(&refused.stdout);
        assert!(!refused.status.success(), "{verb}: {told}");
        assert!(told.contains("newer version"), "{verb}: {told}");
        assert!(told.contains("9999"), "{verb}: {told}");
        let after = bytes_of(&data);
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&after), names(&before), "{verb}");
        for (path, bytes) in &before {
            assert!(after[path] == *bytes, "{verb}: {} changed", path.display());
        }
    }
}
