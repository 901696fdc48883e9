//! What the stories share: sessions of some size, and a look at the store's file from outside.

use crate::support::{Client, await_turn};
use quarterdeck::proto::{self, admin_service_client::AdminServiceClient};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// A session with this many attachments of 8 MiB, each of other bytes, all of finished turns.
pub async fn with_attachments(client: &mut Client, key: &str, count: u64) {
    for number in 0..count {
        let mut data = vec![b'x'; 8 * 1024 * 1024];
        data[..8].copy_from_slice(&number.to_be_bytes());
        let request = proto::EnqueueRequest {
            session_key: key.into(),
            text: "look".into(),
            attachments: vec![proto::Attachment {
                name: "picture".into(),
                media_type: "image/png".into(),
                data: data.into(),
            }],
            ..Default::default()
        };
        let turn = client.enqueue(request).await.expect("accepted");
        let turn = turn.into_inner().turn.expect("a turn");
        await_turn(client, key, &turn.turn_id).await;
    }
}

/// A session with this many finished turns of a long prompt, which is answered in its own words.
pub async fn with_long_turns(client: &mut Client, key: &str, count: u64) {
    let text = "x".repeat(400_000);
    for _ in 0..count {
        let turn = crate::support::run(client, key, &text).await;
        assert_eq!(turn.state(), proto::TurnState::Completed);
    }
}

/// Asks the store's file for a number, beside the server.
pub fn count(data: &Path, query: &str) -> i64 {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection =
        Connection::open_with_flags(data.join("quarterdeck.db"), flags).expect("a file");
    connection
        .query_row(query, [], |row| row.get(0))
        .expect("a number")
}

/// What GetServerInfo tells of the store's troubles: their names.
pub async fn troubles(address: &str) -> Vec<String> {
    let mut client = AdminServiceClient::connect(address.to_owned())
        .await
        .expect("it answers");
    let info = client.get_server_info(proto::GetServerInfoRequest {}).await;
    let troubles = info.expect("it answers").into_inner().store_troubles;
    troubles.into_iter().map(|trouble| trouble.name).collect()
}
