//! Lines from standard input, read by a thread of their own.
//!
//! At a terminal the thread edits lines with rustyline once a key came, whether the prompt waits or a turn streams. What
//! came with that key is read here first (`typed`), so that a paste of many lines is one prompt: the editor drops what it
//! read beyond a line's end. From a pipe it reads line by line. In both cases it hands over one line and waits for the word to go on, so that
//! nobody reads ahead of what was decided about a line.

use super::{
    screen::Screen,
    typed::{self, Typed},
};
use crate::cli::output;
use quarterdeck::domain::limits;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustyline::{
    Cmd, DefaultEditor, EventHandler, KeyEvent, Modifiers,
    error::ReadlineError,
    history::{History as _, SearchDirection},
};
use std::{
    env, fs,
    io::{self, BufRead, Read},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};
use tokio::sync::mpsc;

/// How long the thread waits for a key before it looks whether the chat is over, in nanoseconds.
const LOOK_NANOSECONDS: i64 = 100_000_000;
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
}

/// The thread's side.
struct Reader {
    inputs: mpsc::Sender<Input>,
    go_on: Receiver<()>,
}

// === impl Keyboard ===

impl Keyboard {
    /// Starts the thread; it edits lines where there is a screen.
    pub(super) fn start(screen: Option<Arc<Screen>>) -> io::Result<Self> {
        let (input_sender, inputs) = mpsc::channel(1);
        let (go_on, go_on_receiver) = sync_channel(1);
        let reader = Reader {
            inputs: input_sender,
            go_on: go_on_receiver,
        };
        match screen {
            Some(screen) => {
                let editor = new_editor().map_err(io::Error::other)?;
                spawn("keyboard", move || reader.edit(editor, &screen))?;
            }
            None => spawn("standard-input", move || reader.pipe())?,
        }
        Ok(Self { inputs, go_on })
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
}

// === impl Reader ===

impl Reader {
    fn pipe(self) {
        while self.hand_over(read_line()) {}
    }

    fn edit(self, mut editor: DefaultEditor, screen: &Screen) {
        let history = history_file();
        if let Some(history) = &history {
            // The first chat has none yet.
            let _ = editor.load_history(history);
        }
        while !self.inputs.is_closed() {
            let input = match key_waits() {
                Ok(false) => continue,
                Ok(true) => edit_line(&mut editor, screen),
                Err(error) => Err(error),
            };
            let input = input.unwrap_or_else(Input::Failed);
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

/// Reads a line with the editor, after what was typed or pasted already.
fn edit_line(editor: &mut DefaultEditor, screen: &Screen) -> io::Result<Input> {
    if output::is_dumb() {
        let _prompt = screen.begin_edit()?;
        let line = read_line();
        screen.end_edit()?;
        return Ok(line);
    }
    let begun = match typed::read()? {
        Typed::End => return Ok(Input::End),
        Typed::Nothing => String::new(),
        Typed::Back => newest(editor),
        Typed::Text(text) => text,
        Typed::Line(line) => {
            let prompt = screen.begin_edit()?;
            output::styled(&format!("{prompt}{}\n", output::escaped(&line)))
                .map_err(|failure| io::Error::other(failure.message))?;
            screen.end_edit()?;
            return Ok(Input::Line(line));
        }
    };
    let prompt = screen.begin_edit()?;
    let line = editor.readline_with_initial(&prompt, (&begun, ""));
    screen.end_edit()?;
    match line {
        Ok(line) => Ok(Input::Line(line)),
        Err(ReadlineError::Interrupted) => Ok(Input::Interrupted),
        Err(ReadlineError::Eof) => Ok(Input::End),
        Err(ReadlineError::Io(error)) => Err(error),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Waits a moment for a key, or for a whole line while text streams.
fn key_waits() -> io::Result<bool> {
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
    let mut editor = DefaultEditor::with_config(config)?;
    for enter in ['\r', '\n'] {
        let newline = EventHandler::Simple(Cmd::Newline);
        editor.bind_sequence(KeyEvent::new(enter, Modifiers::ALT), newline);
    }
    Ok(editor)
}

/// The line that was typed last.
fn newest(editor: &DefaultEditor) -> String {
    let history = editor.history();
    let newest = history.len().checked_sub(1);
    newest
        .and_then(|at| history.get(at, SearchDirection::Reverse).ok().flatten())
        .map_or_else(String::new, |found| found.entry.into_owned())
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
