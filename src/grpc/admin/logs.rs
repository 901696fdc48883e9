//! TailLogs: the newest log records, and each new one.
//!
//! Who sees what: a record that names a `tenant`, or a `principal` of one, is for that tenant alone. A record that names
//! neither is about the server, and is for the tenant `default`, whose operator runs it. Others see no paths.

use super::Admin;
use crate::{
    domain::{
        access::Identity,
        ids::{LogId, OPERATOR_TENANT, Principal},
        limits::NAME_MAX_BYTES,
        refusal::{LogRange, Refusal},
    },
    grpc::status::status,
    proto,
    telemetry::{
        audit,
        logs::{Batch, CursorError, Kind, Numbered, Reader, View},
        record::Record,
        redact::without_paths,
    },
    wire::{encode, parse::Fields},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Level;
use uuid::Uuid;

/// Records that wait for a reader's connection; more wait in the ring, or go by.
const QUEUE_MAX_RECORDS: usize = 64;
/// `last` where the caller names none.
const LAST_DEFAULT: i32 = 100;
/// Largest `last`.
const LAST_MAX: i32 = 10_000;
/// Longest `principal` to look for, in bytes: tenant, subject, and the slash.
const PRINCIPAL_MAX_BYTES: usize = 2 * NAME_MAX_BYTES + 1;

/// Which records a caller wants and may see.
struct Filter {
    tenant: String,
    /// Least grave level.
    level: Level,
    target: String,
    session_key: String,
    principal: String,
}

/// Where a reader begins.
enum Start {
    Newest(usize),
    After { boot_id: Uuid, number: i64 },
}

pub(super) fn tail(
    admin: &Admin,
    identity: &Identity,
    request: proto::TailLogsRequest,
) -> Result<ReceiverStream<Result<proto::LogRecord, Status>>, Refusal> {
    let follow = !request.no_follow;
    let (filter, start) = parse(identity, request)?;
    let permit = admin.feed.stream_permit()?;
    let logs = admin.logs.clone();
    let view = filter.view();
    let (before, mut reader) = match start {
        Start::Newest(last) => logs.newest(&view, last, |record| filter.shows(record)),
        Start::After { boot_id, number } => {
            (Vec::new(), reader_after(admin, &view, boot_id, number)?)
        }
    };
    let boot_id = logs.boot_id();
    let ending = admin.ending.clone();
    let (sender, receiver) = mpsc::channel(QUEUE_MAX_RECORDS);
    tokio::spawn(async move {
        let _permit = permit;
        let mut dropped = 0;
        let work = async {
            for one in &before {
                send(&sender, boot_id, &filter, one, 0).await?;
            }
            loop {
                let batch = if follow {
                    reader.next().await
                } else {
                    reader.ready()
                };
                let nothing = batch.records.is_empty();
                show(&sender, boot_id, &filter, batch, &mut dropped).await?;
                if nothing && !follow {
                    return Ok(());
                }
            }
        };
        let ended: Result<(), Gone> = tokio::select! {
            ended = work => ended,
            () = ending.cancelled() => {
                // Nobody listens any more where this fails.
                let _ = sender.send(Err(status(&Refusal::Draining { last_seq: None }))).await;
                Ok(())
            }
            () = sender.closed() => Err(Gone),
        };
        let (Ok(()) | Err(Gone)) = ended;
    });
    Ok(ReceiverStream::new(receiver))
}

/// The reader left.
struct Gone;

async fn show(
    sender: &mpsc::Sender<Result<proto::LogRecord, Status>>,
    boot_id: Uuid,
    filter: &Filter,
    batch: Batch,
    dropped: &mut u64,
) -> Result<(), Gone> {
    *dropped += batch.dropped;
    for one in batch.records.iter().filter(|one| filter.shows(&one.record)) {
        send(sender, boot_id, filter, one, std::mem::take(dropped)).await?;
    }
    Ok(())
}

async fn send(
    sender: &mpsc::Sender<Result<proto::LogRecord, Status>>,
    boot_id: Uuid,
    filter: &Filter,
    one: &Numbered,
    dropped: u64,
) -> Result<(), Gone> {
    let mut record = encode(boot_id, one, dropped);
    if filter.tenant != OPERATOR_TENANT {
        leave_paths_out(&mut record);
    }
    sender.send(Ok(record)).await.map_err(|_| Gone)
}

fn parse(identity: &Identity, request: proto::TailLogsRequest) -> Result<(Filter, Start), Refusal> {
    let proto::TailLogsRequest {
        cursor,
        last,
        level,
        target,
        session_key,
        principal,
        no_follow: _,
    } = request;
    let mut fields = Fields::default();
    fields.text("target", &target, NAME_MAX_BYTES);
    fields.text("session_key", &session_key, NAME_MAX_BYTES);
    fields.text("principal", &principal, PRINCIPAL_MAX_BYTES);
    let level = match proto::LogLevel::try_from(level) {
        Ok(proto::LogLevel::Unspecified | proto::LogLevel::Info) => Level::INFO,
        Ok(proto::LogLevel::Trace) => Level::TRACE,
        Ok(proto::LogLevel::Debug) => Level::DEBUG,
        Ok(proto::LogLevel::Warn) => Level::WARN,
        Ok(proto::LogLevel::Error) => Level::ERROR,
        Err(_) => {
            fields.wrong("level", "is no level");
            Level::INFO
        }
    };
    let last = last.unwrap_or(LAST_DEFAULT);
    if !(0..=LAST_MAX).contains(&last) {
        fields.wrong("last", format!("must be from 0 to {LAST_MAX}"));
    }
    let start = match cursor {
        None => Start::Newest(usize::try_from(last).unwrap_or(0)),
        Some(proto::LogCursor {
            boot_id,
            after_number,
        }) => {
            if after_number < 0 {
                fields.wrong("cursor.after_number", "must not be negative");
            }
            match Uuid::parse_str(&boot_id) {
                Ok(boot_id) => Start::After {
                    boot_id,
                    number: after_number,
                },
                Err(_) => {
                    fields.wrong("cursor.boot_id", "is no UUID; take that of a record");
                    Start::Newest(0)
                }
            }
        }
    };
    fields.check()?;
    let filter = Filter {
        tenant: identity.principal.tenant.clone(),
        level,
        target,
        session_key,
        principal,
    };
    Ok((filter, start))
}

fn reader_after(admin: &Admin, view: &View, boot_id: Uuid, number: i64) -> Result<Reader, Refusal> {
    let own = admin.logs.boot_id();
    let range = |first, newest| LogRange {
        log_id: LogId(own),
        first_seq: first,
        head_seq: newest,
    };
    if boot_id != own {
        let (first, newest) = admin.logs.range(view);
        return Err(Refusal::LogChanged(range(first, newest)));
    }
    admin.logs.after(view, number).map_err(|error| match error {
        CursorError::Expired { first, newest } => Refusal::CursorExpired(range(first, newest)),
        CursorError::Ahead { first, newest } => Refusal::CursorAhead(range(first, newest)),
    })
}

fn encode(boot_id: Uuid, one: &Numbered, dropped: u64) -> proto::LogRecord {
    let Numbered { number, record } = one;
    let Record {
        time,
        level,
        target,
        message,
        fields,
    } = record.as_ref();
    proto::LogRecord {
        boot_id: boot_id.to_string(),
        number: *number,
        time: Some(encode::timestamp(*time)),
        level: level_number(*level).into(),
        target: target.to_string(),
        message: message.clone(),
        fields: fields
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect(),
        dropped: i64::try_from(dropped).unwrap_or(i64::MAX),
    }
}

/// Paths of this machine are the operator's to know.
fn leave_paths_out(record: &mut proto::LogRecord) {
    record.message = without_paths(&record.message).into_owned();
    for value in record.fields.values_mut() {
        *value = without_paths(value).into_owned();
    }
}

fn level_number(level: Level) -> proto::LogLevel {
    match level {
        Level::TRACE => proto::LogLevel::Trace,
        Level::DEBUG => proto::LogLevel::Debug,
        Level::INFO => proto::LogLevel::Info,
        Level::WARN => proto::LogLevel::Warn,
        Level::ERROR => proto::LogLevel::Error,
    }
}

// === impl Filter ===

impl Filter {
    /// The rings that hold all that it shows.
    fn view(&self) -> View {
        let kind = if self.target == audit::TARGET {
            Kind::Audit
        } else {
            Kind::All
        };
        View {
            kind,
            tenant: self.tenant.clone(),
        }
    }

    fn shows(&self, record: &Record) -> bool {
        let is = |name, wanted: &str| wanted.is_empty() || record.field(name) == Some(wanted);
        record.level <= self.level
            && record.target.starts_with(&self.target)
            && is("session_key", &self.session_key)
            && is("principal", &self.principal)
            && self.may_see(record)
    }

    fn may_see(&self, record: &Record) -> bool {
        let of_principal = record.field("principal").map(|principal| {
            let (tenant, _) = principal.split_once('/').unwrap_or((principal, ""));
            tenant
        });
        let mut named = record
            .field("tenant")
            .into_iter()
            .chain(of_principal)
            .peekable();
        if named.peek().is_none() {
            return self.tenant == Principal::local().tenant;
        }
        named.all(|tenant| tenant == self.tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Time;

    #[test]
    fn a_tenant_sees_its_own_records_and_only_the_operators_those_of_the_server() {
        let record = |fields: &[(&'static str, &str)]| Record {
            time: Time(0),
            level: Level::INFO,
            target: "quarterdeck".into(),
            message: String::new(),
            fields: fields
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).to_owned()))
                .collect(),
        };
        let sees = |tenant: &str, record: &Record| {
            let filter = Filter {
                tenant: tenant.into(),
                level: Level::INFO,
                target: String::new(),
                session_key: String::new(),
                principal: String::new(),
            };
            filter.shows(record)
        };
        let (server, by_tenant, by_principal, mixed) = (
            record(&[]),
            record(&[("tenant", "acme")]),
            record(&[("principal", "acme/bot")]),
            record(&[("tenant", "acme"), ("principal", "default/local")]),
        );
        for (tenant, shown) in [
            ("default", [true, false, false, false]),
            ("acme", [false, true, true, false]),
            ("acm", [false; 4]),
        ] {
            let sees =
                [&server, &by_tenant, &by_principal, &mixed].map(|record| sees(tenant, record));
            assert_eq!(sees, shown, "{tenant}");
        }
    }
}
