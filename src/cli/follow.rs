//! `watch`, and what it shares with `send`: updates in, text or JSON out.

use super::{
    arguments::{Absence, WatchArgs, interrupted},
    failure::Failure,
    output,
    render::{Look, Renderer},
};
use quarterdeck::{
    client::{Cut, Resync, Start, Update},
    proto::{Cursor, SubscribeRequest, gateway_event::Kind},
};
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

/// Where updates go.
pub(crate) struct View {
    json: bool,
    pub(crate) renderer: Renderer,
    /// True while the stream is cut, so that it is said once.
    cut: bool,
}

pub(crate) async fn watch(arguments: WatchArgs) -> Result<ExitCode, Failure> {
    let WatchArgs {
        session,
        from_oldest,
        after,
        log_id,
        kinds,
        no_deltas,
        subagents,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    let start = match after {
        Some(after_seq) => Start::After(Cursor { log_id, after_seq }),
        None if from_oldest => Start::Oldest,
        None => Start::Now,
    };
    let request = SubscribeRequest {
        session_key: session,
        deltas: Some(!no_deltas),
        subagents,
        kinds,
        ..SubscribeRequest::default()
    };
    let mut updates = client.follow(request, start);
    let mut absence = Absence::new(client_arguments.spoken_patience());
    let mut view = View::new(client_arguments.json, true);
    loop {
        let update = tokio::select! {
            update = updates.recv() => update,
            away = absence.over() => return Err(Failure::away(&client_arguments.addr, away)),
            _ = tokio::signal::ctrl_c() => return Err(interrupted()),
        };
        match update {
            Some(Ok(update)) => {
                absence.is(matches!(update, Update::Cut(_)));
                view.show(&update)?;
            }
            Some(Err(status)) => return Err(Failure::call(&client_arguments.addr, &status)),
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

// === impl View ===

impl View {
    /// `whole`: show everything also where the output is no terminal.
    pub(crate) fn new(json: bool, whole: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            json,
            renderer: Renderer::new(Look::of_output(whole || terminal)),
            cut: false,
        }
    }

    /// For a part of a screen: text without colours, that steers nothing.
    pub(crate) fn plain() -> Self {
        Self {
            json: false,
            renderer: Renderer::new(Look {
                terminal: true,
                colours: false,
                whole: true,
            }),
            cut: false,
        }
    }

    pub(crate) fn show(&mut self, update: &Update) -> Result<(), Failure> {
        match update {
            Update::Event(event) if self.json => {
                self.cut = false;
                output::json("GatewayEvent", event.as_ref())
            }
            Update::Resynced(resync) if self.json => {
                self.cut = false;
                output::json("GetSessionStateResponse", &resync.state)
            }
            Update::Cut(cut) if self.json => {
                if !self.cut {
                    self.cut = true;
                    output::notice(&cut_text(cut));
                }
                Ok(())
            }
            Update::Event(_) | Update::Resynced(_) | Update::Cut(_) => {
                let text = self.text(update);
                if text.is_empty() {
                    return Ok(());
                }
                output::styled(&text)
            }
        }
    }

    /// The text of an update. What is said about the connection goes to standard error where the output is a file.
    pub(crate) fn text(&mut self, update: &Update) -> String {
        match update {
            Update::Event(event) => {
                let mut text = String::new();
                if self.cut {
                    self.cut = false;
                    text.push_str(&self.said("attached again"));
                }
                if matches!(event.kind, Some(Kind::Draining(_))) {
                    text.push_str(&self.said("the server is going to stop"));
                }
                text.push_str(&self.renderer.event(event));
                text
            }
            Update::Cut(_) if self.cut => String::new(),
            Update::Cut(cut) => {
                self.cut = true;
                self.said(&cut_text(cut))
            }
            Update::Resynced(resync) => {
                self.cut = false;
                let mut text = self.said(resync_text(resync));
                text.push_str(&self.renderer.state(&resync.state));
                text
            }
        }
    }

    fn said(&mut self, text: &str) -> String {
        if io::stdout().is_terminal() {
            return self.renderer.note(text);
        }
        output::notice(text);
        String::new()
    }
}

pub(super) fn cut_text(cut: &Cut) -> String {
    match cut {
        Cut::Draining => "the server is stopping; waiting for it to come back".into(),
        Cut::Lost(why) => format!("the connection was lost ({why}); trying again"),
    }
}

fn resync_text(resync: &Resync) -> &'static str {
    match resync.reason.as_str() {
        "LOG_CHANGED" => "the session's log began anew; this is what it holds",
        "CURSOR_AHEAD" => "the server's log is shorter than what was seen; this is what it holds",
        _ => "older events are no longer kept; this is what was missed",
    }
}
