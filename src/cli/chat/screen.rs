//! The terminal of a chat, shared by the conversation (which shows text) and the keyboard's thread (which edits lines).
//!
//! Three ways of standing: text streams; the prompt waits for a first key, and text may still be shown above it; a line is
//! being edited, and text is held until it is done. So streaming text and an edited line never share the screen. (The
//! line editor could print above its prompt, but then it stalls on input that comes in bursts.) A key is seen in each of
//! them, and the terminal marks what is pasted, so that a paste is one prompt whatever was going on.

use crate::cli::{failure::Failure, output};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Text that is held at most while a line is edited, in bytes.
const HELD_MAX_BYTES: usize = 256 * 1024;
/// Asks the terminal to mark what is pasted, and to do so no more.
const MARK_PASTES: &str = "\x1b[?2004h";
const MARK_NO_PASTES: &str = "\x1b[?2004l";

/// Goes to the line's beginning and clears it; a terminal that can't gets a line of its own.
fn clear_line() -> &'static str {
    if output::is_dumb() {
        "\r\n"
    } else {
        "\r\x1b[K"
    }
}

/// The shared terminal.
pub(super) struct Screen(Mutex<State>);

struct State {
    prompt: String,
    mode: Mode,
    /// The prompt stands on the cursor's line.
    prompt_shown: bool,
    /// The text so far ends a line.
    at_start: bool,
    held: String,
    /// The terminal as the shell gave it.
    before: Termios,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Text streams.
    Streaming,
    /// The prompt waits for a key.
    Waiting,
    /// A line is being edited.
    Editing,
}

// === impl Screen ===

impl Screen {
    pub(super) fn new(prompt: String) -> io::Result<Self> {
        let state = State {
            prompt,
            mode: Mode::Streaming,
            prompt_shown: false,
            at_start: true,
            held: String::new(),
            before: tcgetattr(io::stdin())?,
        };
        state.see_keys()?;
        Ok(Self(Mutex::new(state)))
    }

    /// Shows text where that disturbs nobody; `at_start`: it ends a line.
    pub(super) fn show(&self, text: &str, at_start: bool) -> Result<(), Failure> {
        let mut state = self.state();
        match state.mode {
            Mode::Streaming => state.write(text, at_start),
            Mode::Waiting => {
                state.hide_prompt()?;
                state.write(text, at_start)?;
                state.show_prompt()
            }
            Mode::Editing => {
                if state.held.len() + text.len() > HELD_MAX_BYTES {
                    state.held =
                        "[more came than is kept while you type; /history shows it]\n".into();
                }
                state.held.push_str(text);
                state.at_start = at_start;
                Ok(())
            }
        }
    }

    /// Nothing runs: the prompt waits for a key.
    pub(super) fn wait(&self) -> Result<(), Failure> {
        let mut state = self.state();
        if state.mode != Mode::Streaming {
            return Ok(());
        }
        state.mode = Mode::Waiting;
        state.show_prompt()
    }

    /// A turn runs: text streams.
    pub(super) fn stream(&self) -> Result<(), Failure> {
        let mut state = self.state();
        if state.mode != Mode::Waiting {
            return Ok(());
        }
        state.mode = Mode::Streaming;
        state.hide_prompt()
    }

    /// A key came: gives the prompt for editing the line.
    pub(super) fn begin_edit(&self) -> io::Result<String> {
        let mut state = self.state();
        let fresh = if state.prompt_shown {
            clear_line()
        } else if state.at_start {
            ""
        } else {
            "\r\n"
        };
        output::raw(fresh)?;
        state.prompt_shown = false;
        state.mode = Mode::Editing;
        state.shells_modes()?;
        Ok(state.prompt.clone())
    }

    /// The line is done, and what was held is shown.
    pub(super) fn end_edit(&self) -> io::Result<()> {
        let mut state = self.state();
        state.mode = Mode::Streaming;
        state.see_keys()?;
        let held = std::mem::take(&mut state.held);
        output::styled(&held).map_err(|failure| io::Error::other(failure.message))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done that matters more than the terminal's state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the terminal back as it was.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        // Nothing better can be done about a terminal that is gone.
        let _ = state.hide_prompt();
        if state.mode == Mode::Editing {
            let _ = output::raw("\r\n");
        }
        state.mode = Mode::Streaming;
        let _ = state.shells_modes();
    }
}

// === impl State ===

impl State {
    fn write(&mut self, text: &str, at_start: bool) -> Result<(), Failure> {
        if !text.is_empty() {
            self.at_start = at_start;
        }
        output::styled(text)
    }

    fn show_prompt(&mut self) -> Result<(), Failure> {
        if self.at_start && !self.prompt_shown {
            self.prompt_shown = true;
            output::styled(&self.prompt)?;
        }
        Ok(())
    }

    fn hide_prompt(&mut self) -> Result<(), Failure> {
        if self.prompt_shown {
            self.prompt_shown = false;
            output::raw(clear_line())?;
        }
        Ok(())
    }

    /// Keys come one by one and unseen, pastes between marks; Ctrl-C still is a signal. A terminal that understands no
    /// sequences edits its lines itself.
    fn see_keys(&self) -> io::Result<()> {
        if output::is_dumb() {
            return Ok(());
        }
        let mut modes = self.before.clone();
        modes.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        output::raw(MARK_PASTES)
    }

    fn shells_modes(&self) -> io::Result<()> {
        if !output::is_dumb() {
            output::raw(MARK_NO_PASTES)?;
        }
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &self.before)?)
    }
}
