//! Memory beside the prompt, as the `echo` agent shows it.

use crate::support::{self, Gateway, Options};
use quarterdeck::proto::{
    self, MemoryKind, RememberRequest, memory_service_client::MemoryServiceClient,
};
use tonic::transport::Channel;

async fn remember(gateway: &Gateway, request: RememberRequest) {
    let address = gateway.address.clone();
    let mut memory: MemoryServiceClient<Channel> =
        MemoryServiceClient::connect(address).await.unwrap();
    memory.remember(request).await.unwrap();
}

fn about(session_key: &str, kind: MemoryKind, key: &str, content: &str) -> RememberRequest {
    RememberRequest {
        session_key: session_key.into(),
        kind: kind.into(),
        key: key.into(),
        content: content.into(),
        ..Default::default()
    }
}

async fn said(gateway: &Gateway, session_key: &str, text: &str) -> proto::Turn {
    let mut client = gateway.client().await;
    support::run(&mut client, session_key, text).await
}

/// Core memories and matches for the prompt reach the agent, marked, without changing what the user said; secrets and
/// other sessions' memories don't. The primary session reaches the tenant's, another one its own.
#[tokio::test]
async fn an_agent_is_given_what_its_session_may_know() {
    let gateway = Gateway::start();
    said(&gateway, "boat", "hello").await;
    said(&gateway, "other", "hello").await;
    let own = |kind, key: &str, content: &str| about("boat", kind, key, content);
    remember(
        &gateway,
        own(MemoryKind::Profile, "name", "the captain is Zoë"),
    )
    .await;
    remember(
        &gateway,
        own(MemoryKind::Fact, "", "the anchor weighs forty kilos"),
    )
    .await;
    remember(
        &gateway,
        own(MemoryKind::Fact, "", "a blue kettle whistles"),
    )
    .await;
    remember(
        &gateway,
        own(MemoryKind::Secret, "anchor pin", "anchor 1234"),
    )
    .await;
    let tenants = about("", MemoryKind::Profile, "", "the tenant likes anchors");
    remember(&gateway, tenants).await;

    let turn = said(&gateway, "boat", "!memory how heavy is the \"anchor\"?").await;
    let given = turn.response_text;
    assert!(
        given.starts_with("<memory>\n") && given.ends_with("</memory>"),
        "{given}"
    );
    assert!(
        given.contains("- [profile] name: the captain is Zoë\n"),
        "{given}"
    );
    assert!(
        given.contains("- [fact] the anchor weighs forty kilos\n"),
        "{given}"
    );
    for absent in ["kettle", "1234", "tenant likes"] {
        assert!(!given.contains(absent), "{given}");
    }
    let mut client = gateway.client().await;
    let request = proto::ListMessagesRequest {
        session_key: "boat".into(),
        ..Default::default()
    };
    let messages = client.list_messages(request).await.unwrap().into_inner();
    let stored = format!("{:?}", messages.messages);
    assert!(stored.contains("!memory how heavy is the"), "{stored}");
    assert_eq!(
        stored.matches("<memory>").count(),
        1,
        "the agent's reply alone has it: {stored}"
    );

    assert_eq!(
        said(&gateway, "other", "!memory anchor")
            .await
            .response_text,
        ""
    );
    let primary = said(&gateway, "main", "!memory hello").await.response_text;
    assert!(primary.contains("the tenant likes anchors"), "{primary}");
    assert!(!primary.contains("Zoë"), "{primary}");
}

/// An operator bounds what is given, and turns it off.
#[tokio::test]
async fn what_is_given_is_the_operators_to_bound() {
    let gateway = Gateway::with(Options {
        config: "memory_core_max_tokens = 0\nmemory_matches_max = 1\n".into(),
        ..Options::default()
    });
    for content in ["core one", "core two"] {
        remember(&gateway, about("", MemoryKind::Profile, "", content)).await;
    }
    let given = said(&gateway, "main", "!memory core").await.response_text;
    assert_eq!(given.matches("- [profile] core").count(), 1, "{given}");
    assert!(!given.contains("What is known"), "{given}");
    assert_eq!(
        said(&gateway, "main", "!memory nothing")
            .await
            .response_text,
        ""
    );
}

/// An embedding model that hangs costs a turn the configured wait, and no more than the matches by meaning.
#[tokio::test]
async fn slow_memory_never_fails_a_turn() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let gateway = Gateway::with(Options {
        config: format!(
            "embeddings_url = \"http://{address}/v1/embeddings\"\nembeddings_model = \"silent\"\n"
        ),
        ..Options::default()
    });
    remember(
        &gateway,
        about("", MemoryKind::Fact, "", "the anchor is heavy"),
    )
    .await;
    let turn = said(&gateway, "main", "!memory anchor").await;
    assert_eq!(turn.state(), proto::TurnState::Completed);
    let given = turn.response_text;
    assert!(given.contains("- [fact] the anchor is heavy\n"), "{given}");
}
