//! What an agent can reach on the network where only some ports are its own.

use crate::{
    credential::{Credential, run, start_agent},
    world::Caller,
};
use quarterdeck::proto;
use serde_json::{Value, json};
use std::net::TcpListener;

/// Tries each port, and binds; what it got by name.
const SCRIPT: &str = r#"
import json, socket, sys
def tried(what):
    try:
        what()
        return "yes"
    except OSError as error:
        return str(error.errno)
def bind(port):
    with socket.socket() as one:
        one.bind(("127.0.0.1", port))
targets = json.loads(sys.argv[1])
found = {name: tried(lambda: socket.create_connection(("127.0.0.1", port), 10).close()) for name, port in targets.items()}
found["bind a port that the system chooses"] = tried(lambda: bind(0))
found["bind the port that was left"] = tried(lambda: bind(targets["free"]))
found["udp"] = tried(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)))
print(json.dumps(found))
"#;

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("it is bound").port()
}

#[tokio::test]
async fn an_agent_with_ports_reaches_these_and_its_own_door_alone() {
    for rung in ["namespace", "landlock"] {
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let (model, metrics) = (listen(), listen());
        let free = port(&listen());
        let gateway = start_agent(
            &format!("isolation = {rung:?}"),
            &format!("network = {{ ports = [{}] }}\n", port(&model)),
        );
        let caller = Caller::admin(&gateway).await;
        let door = Credential::of(&caller, "one").await;
        let last = |address: &str| -> u16 {
            let port = address.rsplit(':').next();
            port.and_then(|port| port.parse().ok()).expect("a port")
        };
        let targets = json!({
            "model": port(&model),
            "door": last(&door.address),
            "gateway": last(&gateway.address),
            "metrics": port(&metrics),
            "free": free,
        });
        let said = run(
            &caller,
            "one",
            &format!(
                "shell cat > try.py <<'END'\n{SCRIPT}END\n/usr/bin/python3 try.py '{targets}'"
            ),
        )
        .await;
        let found: Value = serde_json::from_str(&said).expect(&said);
        let denied = "13";
        let expected = json!({
            "model": "yes",
            "door": "yes",
            "gateway": denied,
            "metrics": denied,
            "free": denied,
            "bind a port that the system chooses": "yes",
            "bind the port that was left": denied,
            "udp": "yes",
        });
        assert_eq!(found, expected, "on {rung}");

        let mut service = caller.service();
        let told = service
            .get_server_info(proto::GetServerInfoRequest {})
            .await;
        let agents = told.expect("told").into_inner().agents;
        let pi = agents
            .iter()
            .find(|agent| agent.name == "pi")
            .expect("it is there");
        let ports = format!("tcp {}, {}", port(&model), last(&door.address));
        assert_eq!(pi.network, ports);
    }
}
