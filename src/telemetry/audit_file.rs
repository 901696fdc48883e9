//! The audit file: records appended to a chain (see [`chain`]) by a thread of its own.
//!
//! Promises: a record is written within milliseconds after its call's outcome is known, and synced to the disk with those
//! that came meanwhile (one `fdatasync` for each batch), so that a crash of the process loses what waits in memory and a
//! loss of power what was not synced. A disk that is full or slow holds no call up: records wait, at most
//! [`QUEUE_MAX_RECORDS`]; beyond, they are lost for the file, and the next record tells how many. The newest place of the
//! chain stands in `FILE.head`.
//!
//! A file that was moved away is followed by a new one in its place, which goes on with the chain: so it is rotated.

use super::{
    audit,
    chain::{self, Head},
    record::{Record, Sink},
    stderr::{Fields, timestamp},
};
use crate::clock;
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Records that wait for the thread.
pub const QUEUE_MAX_RECORDS: usize = 8192;
/// Records that are written and synced at once.
const BATCH_MAX_RECORDS: usize = 1024;
/// Bytes at the end of a file in which its last line must begin; a record is far smaller.
const TAIL_MAX_BYTES: u64 = 512 * 1024;
/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of the process waits for the thread.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// Takes records for the file.
#[derive(Clone)]
pub struct AuditFile {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
#[error("audit_file {}: {problem}", path.display())]
pub struct AuditFileError {
    path: PathBuf,
    problem: String,
}

enum Message {
    Record(Record),
    /// Answered when all before it is written.
    Flush(SyncSender<()>),
}

/// The thread's side.
struct Writer {
    path: PathBuf,
    file: File,
    head: Head,
    /// Bytes of whole lines.
    length: u64,
    /// A write failed, and may have left a part of itself behind them.
    torn: bool,
    lost: Arc<AtomicU64>,
}

/// The file beside an audit file that tells the newest place of its chain.
pub fn head_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".head");
    name.into()
}

/// The place that stands beside an audit file; `None` where there is none.
///
/// # Errors
/// It is there and can't be read.
pub fn read_head(path: &Path) -> io::Result<Option<Head>> {
    let path = head_path(path);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is damaged", path.display()),
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

// === impl AuditFile ===

impl AuditFile {
    /// Opens the file, or makes it, and starts the thread.
    ///
    /// # Errors
    /// The file can't be opened, another process writes it, or its end can't be read.
    pub fn open(path: &Path) -> Result<Self, AuditFileError> {
        let failed = |error: io::Error| AuditFileError {
            path: path.to_owned(),
            problem: error.to_string(),
        };
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer::open(path, lost.clone()).map_err(failed)?;
        let (sender, receiver) = sync_channel(QUEUE_MAX_RECORDS);
        thread::Builder::new()
            .name("audit-file".into())
            .spawn(move || writer.run(&receiver))
            .map_err(failed)?;
        Ok(Self { sender, lost })
    }

    /// Waits until everything is written, a few seconds at most; false where it is not.
    pub fn finish(&self) -> bool {
        let (done, wait) = sync_channel(1);
        let flush = self.sender.try_send(Message::Flush(done));
        flush.is_ok() && wait.recv_timeout(FINISH_MAX).is_ok()
    }
}

impl Sink for AuditFile {
    fn take(&self, record: Record) {
        // Who calls is not held up by a disk.
        if self.sender.try_send(Message::Record(record)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// === impl Writer ===

impl Writer {
    fn open(path: &Path, lost: Arc<AtomicU64>) -> io::Result<Self> {
        let mut file = open_private(path)?;
        let (length, last) = last_line(&mut file)?;
        let total = file.metadata()?.len();
        if length < total {
            tracing::warn!(
                file = %path.display(),
                "the audit file ended in the middle of a record, which a crash cut; that part was taken out"
            );
            file.set_len(length)?;
        }
        let kept = match last {
            Some(line) => Some(chain::place(&line).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "its last line is no audit record; move the file away, or name another",
                )
            })?),
            None => None,
        };
        let told = read_head(path)?;
        let head = match (kept, told) {
            (Some(kept), Some(told)) if told.number > kept.number => {
                tracing::error!(
                    file = %path.display(),
                    from = kept.number + 1,
                    through = told.number,
                    "records are missing at the end of the audit file"
                );
                told
            }
            (Some(kept), _) => kept,
            (None, Some(told)) => told,
            (None, None) => Head::beginning(),
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            head,
            length,
            torn: false,
            lost,
        })
    }

    fn run(mut self, messages: &Receiver<Message>) {
        let version = env!("CARGO_PKG_VERSION");
        let opened = own_record(format!("quarterdeck {version} opened the file"), Vec::new());
        self.write(&[opened]);
        // Ends when the last sender is gone.
        while let Ok(message) = messages.recv() {
            let mut records = Vec::new();
            let mut flushes = Vec::new();
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Record(record) => records.push(record),
                    Message::Flush(done) => flushes.push(done),
                }
                next = (records.len() < BATCH_MAX_RECORDS)
                    .then(|| messages.try_recv().ok())
                    .flatten();
            }
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                records.push(own_record(
                    format!(
                        "{lost} records before this one were lost: the disk was too slow, or full"
                    ),
                    vec![("count".into(), lost.to_string())],
                ));
            }
            self.write(&records);
            for done in flushes {
                // Who asked may be gone.
                let _ = done.send(());
            }
        }
    }

    /// Writes records, however often it takes.
    fn write(&mut self, records: &[Record]) {
        let mut told: Option<Instant> = None;
        while let Err(error) = self.try_write(records) {
            if told.is_none_or(|told| told.elapsed() >= audit::WINDOW) {
                told = Some(Instant::now());
                tracing::error!(
                    file = %self.path.display(),
                    %error,
                    "audit records can't be written; they wait in memory"
                );
            }
            pause();
        }
    }

    fn try_write(&mut self, records: &[Record]) -> io::Result<()> {
        self.follow_path()?;
        let mut head = self.head.clone();
        let mut lines = String::new();
        for record in records {
            let (line, next) = chain::seal(&head, &content(record));
            lines.push_str(&line);
            lines.push('\n');
            head = next;
        }
        let written = self
            .file
            .write_all(lines.as_bytes())
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.torn = true;
            return Err(error);
        }
        self.length += lines.len() as u64;
        self.head = head;
        // Behind the file for a moment, which is no fault; after a failure, until the next batch.
        if let Err(error) = self.write_head() {
            tracing::warn!(file = %self.path.display(), %error, "can't write the audit file's head");
        }
        Ok(())
    }

    /// Begins a new file where the present one was moved away.
    fn follow_path(&mut self) -> io::Result<()> {
        let own = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(there) if there.ino() == own.ino() && there.dev() == own.dev() => {
                if self.torn {
                    self.file.set_len(self.length)?;
                    self.torn = false;
                } else {
                    // Longer by somebody else's hand: that is not hidden, `audit verify` finds it.
                    self.length = own.len();
                }
                Ok(())
            }
            Ok(_) => self.begin_anew(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.begin_anew(),
            Err(error) => Err(error),
        }
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        self.file = open_private(&self.path)?;
        self.length = self.file.metadata()?.len();
        self.torn = false;
        Ok(())
    }

    fn write_head(&self) -> io::Result<()> {
        let path = head_path(&self.path);
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(".unfinished");
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&serde_json::to_vec(&self.head)?)?;
        fs::rename(unfinished, path)
    }
}

/// Opens a file for appending that its owner alone can read, and that no other process writes.
fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another process writes it")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Bytes of the whole lines of a file, and the last one of them.
fn last_line(file: &mut File) -> io::Result<(u64, Option<String>)> {
    let total = file.metadata()?.len();
    let begin = total.saturating_sub(TAIL_MAX_BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    file.take(TAIL_MAX_BYTES).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        return if begin == 0 {
            Ok((0, None))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it does not end in lines",
            ))
        };
    };
    let lines = &tail[..end];
    let first = lines.iter().rposition(|byte| *byte == b'\n');
    let line = &lines[first.map_or(0, |at| at + 1)..];
    let length = begin + end as u64 + 1;
    Ok((length, Some(String::from_utf8_lossy(line).into_owned())))
}

/// Fields of a line: of the record, without the chain.
fn content(record: &Record) -> String {
    let Record {
        time,
        level: _,
        target: _,
        message,
        fields,
    } = record;
    format!(
        "\"time\":{},\"message\":{},\"fields\":{}",
        json(&timestamp(*time)),
        json(message),
        json(&Fields(fields)),
    )
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("texts are always JSON")
}

fn own_record(message: String, fields: Vec<(std::borrow::Cow<'static, str>, String)>) -> Record {
    Record {
        time: clock::now(),
        level: tracing::Level::INFO,
        target: audit::TARGET.into(),
        message,
        fields,
    }
}

/// Waits a moment, as nothing is ever sent.
fn pause() {
    let (_never, wait) = sync_channel::<()>(0);
    let (Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) =
        wait.recv_timeout(RETRY);
}

/// Appends one record to a file while no server runs.
///
/// # Errors
/// As [`AuditFile::open`], or it could not be written in time.
pub fn append(path: &Path, message: &str) -> Result<(), AuditFileError> {
    let file = AuditFile::open(path)?;
    file.take(own_record(message.to_owned(), Vec::new()));
    if file.finish() {
        Ok(())
    } else {
        Err(AuditFileError {
            path: path.to_owned(),
            problem: "the record could not be written".into(),
        })
    }
}
