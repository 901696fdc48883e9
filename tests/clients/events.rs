//! What holds for every subscription, whatever its scenario: durable events are dense, in order, each once, all of one
//! log.

use serde_json::Value;
use std::collections::BTreeMap;

/// How far the readers have come.
#[derive(Default)]
pub struct Readers(BTreeMap<String, Reader>);

#[derive(Default)]
struct Reader {
    /// By session: log and last durable event; the log is empty where it is not known yet.
    positions: BTreeMap<String, (String, i64)>,
}

// === impl Readers ===

impl Readers {
    /// A subscription begins; with a position where the scenario gave one.
    pub fn begin(&mut self, request: &Value) {
        let mut reader = Reader::default();
        let key = request["session_key"].as_str().unwrap_or_default();
        if let Some(after) = request["after_seq"].as_i64() {
            let log_id = request["log_id"].as_str().unwrap_or_default();
            reader.positions.insert(key.into(), (log_id.into(), after));
        }
        self.0.insert(name(request), reader);
    }

    /// Takes what a `next` gave.
    pub fn read(&mut self, request: &Value, events: &[Value]) -> Result<(), String> {
        let reader = self.0.entry(name(request)).or_default();
        events.iter().try_for_each(|event| reader.read(event))
    }
}

// === impl Reader ===

impl Reader {
    fn read(&mut self, event: &Value) -> Result<(), String> {
        let seq = event["seq"].as_i64().ok_or("an event has no seq")?;
        event["kind"].as_str().ok_or("an event has no kind")?;
        if seq == 0 {
            return Ok(());
        }
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let (key, log_id) = (text("session_key"), text("log_id"));
        if let Some((known, last)) = self.positions.get(&key) {
            if !known.is_empty() && *known != log_id {
                return Err(format!("{key}: event {seq} is of another log"));
            }
            if seq != last + 1 {
                return Err(format!(
                    "{key}: durable event {seq} ({}) came after {last}",
                    event["kind"]
                ));
            }
        }
        self.positions.insert(key, (log_id, seq));
        Ok(())
    }
}

/// Events of a `run`: those of other turns may be missing, but none comes twice or out of order.
pub fn check_run(events: &[Value]) -> Result<(), String> {
    let durable = events.iter().filter_map(|event| event["seq"].as_i64());
    let mut last = 0;
    for seq in durable.filter(|seq| *seq > 0) {
        if seq <= last {
            return Err(format!("durable event {seq} came after {last}"));
        }
        last = seq;
    }
    Ok(())
}

fn name(request: &Value) -> String {
    request["subscription"].as_str().unwrap_or_default().into()
}
