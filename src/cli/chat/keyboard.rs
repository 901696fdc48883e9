//! Lines from standard input, read by a thread of their own.
//!
//! At a terminal the thread shows a prompt while nothing runs (rustyline), and reads plain lines while a turn streams,
//! so that streaming text and the prompt never share a line. From a pipe it reads line by line. In both cases it hands
//! over one line and waits for the word to go on, so that nobody reads ahead of what was decided about a line.

use quarterdeck::domain::limits;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{OptionalActions, Termios, tcgetattr, tcsetattr},
};
use rustyline::{DefaultEditor, ExternalPrinter, error::ReadlineError};
use std::{
    env, fs,
    io::{self, BufRead, Read},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};
use tokio::sync::mpsc;

/// How often the thread looks whether the turn has ended, in nanoseconds.
const LOOK_NANOSECONDS: i64 = 50_000_000;
/// Pieces of text that may wait to be shown above the prompt.
const ABOVE_MAX: usize = 64;
/// Lines of typing that are remembered.
const HISTORY_MAX: usize = 1000;

/// What came from the keyboard or the pipe.
#[derive(Debug)]
pub(super) enum Input {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D, or the pipe's end.
    End,
    /// Reading failed.
    Failed(io::Error),
}

/// The receiving end.
pub(super) struct Keyboard {
    inputs: mpsc::Receiver<Input>,
    go_on: SyncSender<()>,
    shared: Arc<Shared>,
    /// Text for above the prompt; unset where there is no prompt.
    above: Option<SyncSender<String>>,
    /// The terminal as it was, put back when the chat ends under an open prompt.
    before: Option<Termios>,
}

#[derive(Default)]
struct Shared {
    /// A turn streams: no prompt.
    busy: AtomicBool,
    /// The prompt stands on the terminal.
    prompting: AtomicBool,
}

/// The thread's side.
struct Reader {
    inputs: mpsc::Sender<Input>,
    go_on: Receiver<()>,
    shared: Arc<Shared>,
}

// === impl Keyboard ===

impl Keyboard {
    /// Starts the thread; with a prompt where one is given.
    pub(super) fn start(prompt: Option<String>, busy: bool) -> io::Result<Self> {
        let (input_sender, inputs) = mpsc::channel(1);
        let (go_on, go_on_receiver) = sync_channel(1);
        let shared = Arc::new(Shared::default());
        shared.busy.store(busy, Ordering::SeqCst);
        let reader = Reader {
            inputs: input_sender,
            go_on: go_on_receiver,
            shared: Arc::clone(&shared),
        };
        let mut keyboard = Self {
            inputs,
            go_on,
            shared,
            above: None,
            before: None,
        };
        match prompt {
            Some(prompt) => {
                keyboard.before = Some(tcgetattr(io::stdin())?);
                let mut editor = new_editor().map_err(io::Error::other)?;
                let mut printer = editor.create_external_printer().map_err(io::Error::other)?;
                let (above, texts) = sync_channel::<String>(ABOVE_MAX);
                keyboard.above = Some(above);
                spawn("above-prompt", move || {
                    while let Ok(text) = texts.recv() {
                        if printer.print(text).is_err() {
                            return;
                        }
                    }
                })?;
                spawn("keyboard", move || reader.prompt(editor, &prompt))?;
            }
            None => spawn("standard-input", move || reader.pipe())?,
        }
        Ok(keyboard)
    }

    /// The next input. `None` never comes while the thread lives.
    pub(super) async fn next(&mut self) -> Option<Input> {
        self.inputs.recv().await
    }

    /// The last input is dealt with.
    pub(super) fn go_on(&self) {
        // Full or closed: the thread has its word, or is gone.
        let _ = self.go_on.try_send(());
    }

    /// Says whether a turn streams.
    pub(super) fn set_busy(&self, busy: bool) {
        self.shared.busy.store(busy, Ordering::SeqCst);
    }

    /// Shows whole lines above the prompt; gives the text back where no prompt stands or it is overwhelmed.
    pub(super) fn show_above(&self, text: String) -> Result<(), String> {
        let Some(above) = &self.above else {
            return Err(text);
        };
        above.try_send(text).map_err(|error| match error {
            TrySendError::Full(text) | TrySendError::Disconnected(text) => text,
        })
    }

    /// True while the prompt stands on the terminal.
    pub(super) fn prompting(&self) -> bool {
        self.shared.prompting.load(Ordering::SeqCst)
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Nothing better can be done about a terminal that is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

// === impl Reader ===

impl Reader {
    fn pipe(self) {
        while self.hand_over(read_line()) {}
    }

    fn prompt(self, mut editor: DefaultEditor, prompt: &str) {
        let history = history_file();
        if let Some(history) = &history {
            // The first chat has none yet.
            let _ = editor.load_history(history);
        }
        loop {
            let input = if self.shared.busy.load(Ordering::SeqCst) {
                match plain_line_waits() {
                    Ok(false) => continue,
                    Ok(true) => read_line(),
                    Err(error) => Input::Failed(error),
                }
            } else {
                self.shared.prompting.store(true, Ordering::SeqCst);
                let line = editor.readline(prompt);
                self.shared.prompting.store(false, Ordering::SeqCst);
                match line {
                    Ok(line) => Input::Line(line),
                    Err(ReadlineError::Interrupted) => Input::Interrupted,
                    Err(ReadlineError::Eof) => Input::End,
                    Err(ReadlineError::Io(error)) => Input::Failed(error),
                    Err(error) => Input::Failed(io::Error::other(error)),
                }
            };
            if let Input::Line(line) = &input
                && !line.trim().is_empty()
            {
                // Without a history the chat goes on all the same.
                let _ = editor.add_history_entry(line.as_str());
                if let Some(history) = &history {
                    let _ = editor.save_history(history);
                }
            }
            if !self.hand_over(input) {
                return;
            }
        }
    }

    /// False where nothing more is to be read.
    fn hand_over(&self, input: Input) -> bool {
        let last = matches!(input, Input::End | Input::Failed(_));
        self.inputs.blocking_send(input).is_ok() && !last && self.go_on.recv().is_ok()
    }
}

/// Waits a moment for a line that was typed while a turn streams.
fn plain_line_waits() -> io::Result<bool> {
    let stdin = io::stdin();
    let mut descriptors = [PollFd::new(&stdin, PollFlags::IN)];
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: LOOK_NANOSECONDS,
    };
    match poll(&mut descriptors, Some(&moment)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn read_line() -> Input {
    // Room for the longest prompt and its line's end; one that is longer is refused, not cut.
    let bound = limits::TEXT_MAX_BYTES as u64 + 2;
    let mut line = String::new();
    match io::stdin().lock().take(bound).read_line(&mut line) {
        Ok(0) => Input::End,
        Ok(read) if read as u64 == bound && !line.ends_with('\n') => {
            let most = limits::TEXT_MAX_BYTES >> 10;
            Input::Failed(io::Error::other(format!(
                "a line is longer than {most} KiB"
            )))
        }
        Ok(_) => {
            let text = line.strip_suffix('\n').unwrap_or(&line);
            Input::Line(text.strip_suffix('\r').unwrap_or(text).to_owned())
        }
        Err(error) => Input::Failed(error),
    }
}

fn new_editor() -> rustyline::Result<DefaultEditor> {
    let config = rustyline::Config::builder()
        .max_history_size(HISTORY_MAX)?
        .build();
    DefaultEditor::with_config(config)
}

/// Where typing is remembered; only its owner can read it.
fn history_file() -> Option<PathBuf> {
    let state = match env::var_os("XDG_STATE_HOME").map(PathBuf::from) {
        Some(state) if state.is_absolute() => state,
        Some(_) | None => PathBuf::from(env::var_os("HOME")?).join(".local/state"),
    };
    let directory = state.join("quarterdeck");
    fs::create_dir_all(&directory).ok()?;
    Some(directory.join("chat-history"))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(work)?;
    Ok(())
}
