//! `default_agent = "auto"`: chosen of what is installed, kept over restarts, and never an agent with processes that nobody
//! asked for.

use crate::{
    support::{Gateway, Options},
    world::Caller,
};
use quarterdeck::proto;
use std::{os::unix::fs::PermissionsExt as _, path::Path};

/// Puts a program there that does nothing.
fn install(directory: &Path, program: &str) {
    let file = directory.join(program);
    std::fs::write(&file, "#!/bin/sh\nexit 3\n").expect("written");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).expect("ours");
}

fn start(path: &Path, config: &str, no_auth: bool) -> Gateway {
    Gateway::with(Options {
        config: format!("default_agent = \"auto\"\n{config}"),
        environment: vec![
            ("QUARTERDECK_NO_AUTH".into(), no_auth.to_string()),
            ("PATH".into(), path.to_str().expect("UTF-8").into()),
        ],
        ..Options::default()
    })
}

async fn info(gateway: &Gateway) -> proto::GetServerInfoResponse {
    let caller = Caller::admin(gateway).await;
    let info = caller
        .service()
        .get_server_info(proto::GetServerInfoRequest {})
        .await;
    info.expect("told").into_inner()
}

/// The default agent, and that a session gets it.
async fn default_of(gateway: &Gateway) -> String {
    let caller = Caller::admin(gateway).await;
    let name = info(gateway).await.default_agent;
    let key = format!("of-{name}-{}", gateway.pid());
    let create = proto::CreateSessionRequest {
        session_key: key,
        ..Default::default()
    };
    let made = caller.gateway().create_session(create).await;
    let session = made.expect("made").into_inner().session;
    assert_eq!(session.expect("a session").agent, name);
    name
}

fn again(gateway: &mut Gateway) {
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    gateway.restart();
}

#[tokio::test]
async fn what_is_installed_is_chosen_and_stays_while_it_can_be_used() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let mut gateway = start(path, "", false);
    assert_eq!(default_of(&gateway).await, "echo");
    install(path, "opencode");
    again(&mut gateway);
    assert_eq!(default_of(&gateway).await, "opencode");
    let agents = info(&gateway).await.agents;
    let opencode = agents.iter().find(|it| it.name == "opencode");
    assert_eq!(opencode.expect("it is there").driver, "acp");
    // pi would have been the first choice; what was chosen stays.
    install(path, "pi");
    again(&mut gateway);
    assert_eq!(default_of(&gateway).await, "opencode");
    std::fs::remove_file(path.join("opencode")).expect("it was there");
    again(&mut gateway);
    assert_eq!(default_of(&gateway).await, "pi");
    std::fs::remove_file(path.join("pi")).expect("it was there");
    again(&mut gateway);
    assert_eq!(default_of(&gateway).await, "echo");
}

#[tokio::test]
async fn no_agent_with_processes_is_chosen_without_isolation_or_credentials() {
    let directory = tempfile::tempdir().expect("a directory");
    for program in ["pi", "opencode"] {
        install(directory.path(), program);
    }
    let open = start(directory.path(), "", true);
    let client =
        quarterdeck::proto::admin_service_client::AdminServiceClient::connect(open.address.clone());
    let mut client = client.await.expect("it accepts");
    let info = client.get_server_info(proto::GetServerInfoRequest {}).await;
    assert_eq!(info.expect("told").into_inner().default_agent, "echo");
    let bare = start(directory.path(), "isolation = \"none\"\n", false);
    assert_eq!(default_of(&bare).await, "echo");
}
