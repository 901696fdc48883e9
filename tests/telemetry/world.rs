//! Words that these tests share.

pub(crate) use crate::support::{Client, Gateway, Options, SOON, enqueue, reason, run};
pub(crate) use quarterdeck::proto::{
    self, LogLevel, LogRecord, TailLogsRequest, admin_service_client::AdminServiceClient,
};
pub(crate) use tonic::{Code, Request, Status, Streaming, transport::Channel};

pub(crate) type Admin = AdminServiceClient<Channel>;

/// A trace of a caller.
pub(crate) const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const SPAN_ID: &str = "00f067aa0ba902b7";

pub(crate) fn config(text: &str) -> Options {
    Options {
        config: text.into(),
        ..Options::default()
    }
}

pub(crate) async fn admin(gateway: &Gateway) -> Admin {
    AdminServiceClient::connect(gateway.address.clone())
        .await
        .expect("the server accepts")
}

/// Everything that is kept and that matches.
pub(crate) fn kept() -> TailLogsRequest {
    TailLogsRequest {
        last: Some(10_000),
        no_follow: true,
        ..TailLogsRequest::default()
    }
}

pub(crate) fn audit() -> TailLogsRequest {
    TailLogsRequest {
        target: "audit".into(),
        ..kept()
    }
}

/// The records of a reading that ends by itself.
pub(crate) async fn read(admin: &mut Admin, request: TailLogsRequest) -> Vec<LogRecord> {
    let mut stream = admin.tail_logs(request).await.expect("taken").into_inner();
    let mut records = Vec::new();
    while let Some(record) = soon(stream.message()).await.expect("it ends well") {
        records.push(record);
    }
    records
}

/// The next record of a stream that follows.
pub(crate) async fn next(stream: &mut Streaming<LogRecord>) -> Result<LogRecord, Status> {
    soon(stream.message())
        .await
        .map(|record| record.expect("it follows"))
}

/// Waits for the first record that fits, from those that are kept on.
pub(crate) async fn record_with(admin: &mut Admin, fits: impl Fn(&LogRecord) -> bool) -> LogRecord {
    let request = TailLogsRequest {
        no_follow: false,
        ..kept()
    };
    let mut stream = admin.tail_logs(request).await.expect("taken").into_inner();
    loop {
        let record = next(&mut stream).await.expect("it follows");
        if fits(&record) {
            return record;
        }
    }
}

pub(crate) async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, wait)
        .await
        .expect("it comes soon")
}

pub(crate) fn field<'a>(record: &'a LogRecord, name: &str) -> &'a str {
    record.fields.get(name).map_or("", String::as_str)
}

/// A mutating call that costs little: the session does not exist.
pub(crate) async fn clear(client: &mut Client, key: &str) -> Status {
    let request = proto::ClearQueueRequest {
        session_key: key.into(),
        ..Default::default()
    };
    client.clear_queue(request).await.expect_err("no such one")
}
