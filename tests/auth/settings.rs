//! Settings that must not take a control away.

use crate::{
    support::{Gateway, Options, SOON, reason},
    world::{Caller, command, printed},
};
use quarterdeck::proto;
use std::fs;

async fn set(caller: &Caller, value: &str) -> Result<(), tonic::Status> {
    let request = proto::UpdateConfigRequest {
        values: [("log".to_owned(), value.to_owned())].into(),
        ..Default::default()
    };
    caller.service().update_config(request).await.map(drop)
}

/// Directives could silence audit records, or fill the log with what others send; a level can't, not even the least
/// talkative one.
#[tokio::test]
async fn the_log_takes_a_level_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let gateway = Gateway::with(Options {
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        log: Some(log.clone()),
        ..Options::default()
    });
    let admin = Caller::admin(&gateway).await;
    for wrong in [
        "off",
        "info,audit=off",
        "audit=off",
        "h2=trace,info",
        "INFO ",
        "trace[{x}]",
    ] {
        let refused = set(&admin, wrong).await.expect_err(wrong);
        assert_eq!(reason(&refused), "INVALID_FIELD", "{wrong}");
        let said = format!("{refused:?}");
        assert!(said.contains("error, warn, info, debug, trace"), "{said}");
    }
    let checked = command(&gateway, &["check-config", "--log", "info,audit=off"]);
    assert_eq!(checked.status.code(), Some(78));
    let (_, error) = printed(&checked);
    assert!(error.contains("error, warn, info, debug, trace"), "{error}");

    set(&admin, "error").await.unwrap();
    let mut said = String::new();
    let noticed = tokio::time::timeout(SOON, async {
        // The level is changed beside the call that asks for it.
        for at in 0.. {
            let create = proto::CreateSessionRequest {
                session_key: format!("audited-{at}"),
                ..Default::default()
            };
            admin.gateway().create_session(create).await.unwrap();
            said = fs::read_to_string(&log).unwrap();
            if at > 20 && said.contains(&format!("audited-{at}")) {
                return;
            }
        }
    });
    noticed
        .await
        .expect("an audit record is logged at every level");
}
