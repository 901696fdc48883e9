//! `top`: the sessions as they change, on the whole terminal.
//!
//! [`board`] holds what is known and what is chosen, [`tail`] the newest lines of one session, [`draw`] puts them on the
//! screen. Nothing here writes to the terminal but [`Screen`], which gives it back as it was: at the end, at a failure, at a
//! signal, and by a hook at a panic. What others chose is escaped where it becomes a cell or a line.

mod board;
mod draw;
mod tail;

use super::{
    arguments::{Absence, TopArgs, interrupted},
    failure::{Failure, USAGE},
    output, sessions,
};
use board::Board;
use quarterdeck::{
    client::{Client, SessionsUpdate, Update},
    proto::{self, SessionFilter},
    telemetry::redact::escape,
};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    thread,
    time::Duration,
};
use tail::Tail;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
    time::{self, MissedTickBehavior},
};
use tonic::Status;

/// Keys that may wait.
const KEYS_MAX: usize = 64;
/// How long the keyboard's thread waits for a key before it looks whether this is over.
const LOOK: Duration = Duration::from_millis(100);
/// The screen is drawn this often at most.
const FRAME: Duration = Duration::from_millis(50);
/// Ages are told by the second.
const SECOND: Duration = Duration::from_secs(1);
/// Stops that may be under way.
const STOPS_MAX: usize = 16;
/// Lines by which a page of a session's lines goes on.
const PAGE_LINES: isize = 10;

pub(crate) async fn top(arguments: TopArgs) -> Result<ExitCode, Failure> {
    let TopArgs {
        agent,
        labels,
        prefix,
        client: client_arguments,
    } = arguments;
    let filter = SessionFilter {
        labels: labels.into_iter().collect(),
        agent,
        states: Vec::new(),
        key_prefix: prefix,
    };
    let client = client_arguments.client()?;
    if client_arguments.json {
        return sessions::watch_sessions(&client, filter, &client_arguments).await;
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() || output::is_dumb() {
        let why = "`top` draws on a terminal that can place text, which this one is not; `quarterdeck sessions --watch` prints lines";
        return Err(Failure::new(USAGE, why));
    }
    let updates = client.watch_list(filter);
    let mut top = Top {
        absence: Absence::new(client_arguments.spoken_patience()),
        address: client_arguments.addr,
        client,
        board: Board::default(),
        shown: Shown::Table,
        said: String::new(),
        stops: JoinSet::new(),
        colours: output::colours(),
    };
    let mut screen = Screen::open()?;
    top.run(&mut screen, updates).await
}

/// What is shown, and what goes on.
struct Top {
    address: String,
    /// How long the server has been away, and may be.
    absence: Absence,
    client: Client,
    board: Board,
    shown: Shown,
    /// What is said until the next key.
    said: String,
    /// Stops under way; each ends with what is said of it.
    stops: JoinSet<String>,
    colours: bool,
}

/// What has the screen.
enum Shown {
    Table,
    /// Whether the turn of a session is to be stopped.
    Question {
        session_key: String,
        turn_id: String,
    },
    Session(Box<Tail>),
}

/// Whether to go on after a key.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Leave,
    Interrupt,
}

// === impl Top ===

impl Top {
    async fn run(
        &mut self,
        screen: &mut Screen,
        mut updates: mpsc::Receiver<Result<SessionsUpdate, Status>>,
    ) -> Result<ExitCode, Failure> {
        let mut keys = read_keys()?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut frame = time::interval(FRAME);
        frame.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut second = time::interval(SECOND);
        let mut stale = true;
        loop {
            let next = tokio::select! {
                _ = frame.tick(), if stale => {
                    stale = false;
                    screen.0.draw(|frame| draw::draw(frame, self))?;
                    continue;
                }
                _ = second.tick() => Next::GoOn,
                update = updates.recv() => match update {
                    Some(Ok(update)) => {
                        self.absence.is(update == SessionsUpdate::Cut);
                        self.board.apply(update);
                        Next::GoOn
                    }
                    Some(Err(status)) => return Err(Failure::call(&self.address, &status)),
                    None => return Ok(ExitCode::SUCCESS),
                },
                line = next_line(&mut self.shown) => {
                    if let Shown::Session(tail) = &mut self.shown {
                        tail.apply(line);
                    }
                    Next::GoOn
                }
                Some(said) = self.stops.join_next() => {
                    self.said = said.unwrap_or_else(|error| error.to_string());
                    Next::GoOn
                }
                key = keys.recv() => match key {
                    Some(Ok(Event::Key(key))) if key.kind == KeyEventKind::Press => self.press(key),
                    Some(Ok(_)) => Next::GoOn,
                    Some(Err(error)) => return Err(error.into()),
                    None => Next::Leave,
                },
                away = self.absence.over() => return Err(Failure::away(&self.address, away)),
                _ = interrupt.recv() => Next::Interrupt,
                _ = terminate.recv() => Next::Interrupt,
                _ = hangup.recv() => Next::Interrupt,
            };
            match next {
                Next::GoOn => {}
                Next::Leave => return Ok(ExitCode::SUCCESS),
                Next::Interrupt => return Err(interrupted()),
            }
            stale = true;
        }
    }

    fn press(&mut self, key: KeyEvent) -> Next {
        self.said.clear();
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Next::Interrupt;
        }
        if key
            .modifiers
            .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
        {
            return Next::GoOn;
        }
        match &mut self.shown {
            Shown::Table => return self.press_in_table(key.code),
            Shown::Question {
                session_key,
                turn_id,
            } => {
                if key.code == KeyCode::Char('y') {
                    let (session_key, turn_id) = (session_key.clone(), turn_id.clone());
                    self.stop(session_key, turn_id);
                }
                self.shown = Shown::Table;
            }
            Shown::Session(tail) => match key.code {
                KeyCode::Up | KeyCode::Char('k') => tail.scroll(1),
                KeyCode::Down | KeyCode::Char('j') => tail.scroll(-1),
                KeyCode::PageUp => tail.scroll(PAGE_LINES),
                KeyCode::PageDown => tail.scroll(-PAGE_LINES),
                KeyCode::Esc | KeyCode::Enter | KeyCode::Left | KeyCode::Char('q') => {
                    self.shown = Shown::Table;
                }
                _ => {}
            },
        }
        Next::GoOn
    }

    fn press_in_table(&mut self, key: KeyCode) -> Next {
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Next::Leave,
            KeyCode::Up | KeyCode::Char('k') => self.board.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.board.step(1),
            KeyCode::Home => self.board.step(isize::MIN),
            KeyCode::End => self.board.step(isize::MAX),
            KeyCode::Enter | KeyCode::Right => {
                if let Some(session) = self.board.chosen() {
                    self.shown = Shown::Session(Box::new(Tail::open(&self.client, session)));
                }
            }
            KeyCode::Char('a') => self.ask(),
            _ => {}
        }
        Next::GoOn
    }

    /// Asks whether the chosen session's turn is to be stopped.
    fn ask(&mut self) {
        let Some(session) = self.board.chosen() else {
            return;
        };
        let session_key = session.session_key.clone();
        if session.active_turn_id.is_empty() {
            self.said = format!("no turn runs in {}", escape(&session_key));
            return;
        }
        self.shown = Shown::Question {
            session_key,
            turn_id: session.active_turn_id.clone(),
        };
    }

    fn stop(&mut self, session_key: String, turn_id: String) {
        if self.stops.len() >= STOPS_MAX {
            self.said = "wait until what is being stopped has stopped".to_owned();
            return;
        }
        self.said = format!("stopping {}", escape(&session_key));
        let (client, address) = (self.client.clone(), self.address.clone());
        self.stops.spawn(async move {
            let name = escape(&session_key).into_owned();
            let request = proto::AbortRequest {
                session_key,
                turn_id,
                mode: proto::AbortMode::Cancel.into(),
                ..proto::AbortRequest::default()
            };
            match client.abort(request).await {
                Ok(answer) if answer.aborted => format!("stopped {name}"),
                Ok(_) => format!("the turn of {name} had ended by itself"),
                Err(status) => {
                    let why = Failure::call(&address, &status).message;
                    format!("{name} is not stopped: {}", escape(&why))
                }
            }
        });
    }
}

/// The next of a session's updates; pends where none is shown, or its end was told.
async fn next_line(shown: &mut Shown) -> Option<Result<Update, Status>> {
    match shown {
        Shown::Session(tail) => tail.next().await,
        Shown::Table | Shown::Question { .. } => std::future::pending().await,
    }
}

/// Reads keys by a thread of its own, until nobody takes them.
fn read_keys() -> io::Result<mpsc::Receiver<io::Result<Event>>> {
    let (keys, receiver) = mpsc::channel(KEYS_MAX);
    let read = move || {
        while !keys.is_closed() {
            let key = match event::poll(LOOK) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let failed = key.is_err();
            if keys.blocking_send(key).is_err() || failed {
                return;
            }
        }
    };
    thread::Builder::new().name("keyboard".into()).spawn(read)?;
    Ok(receiver)
}

/// The whole terminal; dropping it gives it back as it was, and so does a panic.
struct Screen(DefaultTerminal);

// === impl Screen ===

impl Screen {
    fn open() -> io::Result<Self> {
        Ok(Self(ratatui::try_init()?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing better can be done about a terminal that is gone.
        let _ = ratatui::try_restore();
    }
}
