//! What a line that begins with `/` does.

use super::{Chat, Done, Next, RESET};
use crate::cli::render::{Look, Renderer};
use crate::cli::{failure::Failure, output, send::steered, sessions::turn_line};
use quarterdeck::proto::{self, AdmissionMode};

const HELP: &str = "\
Lines go to the agent. Commands:
  /steer TEXT   give text to the running turn
  /abort        stop the running turn (as Ctrl-C does)
  /reset        begin a fresh conversation
  /queue        list the waiting turns; /queue clear takes them out
  /history [N]  show the last N messages (20)
  /help         this
  /quit         leave; turns go on (as Ctrl-D does)
  //TEXT        a prompt that begins with /
Alt-Enter makes a line in a prompt; a paste is one prompt, however many lines it has.
Ctrl-C stops the running turn, and a second one leaves.
";
/// Messages that `/history` shows where no number is given, and at most.
const HISTORY_DEFAULT: usize = 20;
const HISTORY_MAX: usize = 1000;

// === impl Chat ===

impl Chat {
    pub(super) async fn command(&mut self, command: &str) -> Result<Next, Failure> {
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = rest.trim();
        match name {
            "quit" | "exit" => return Ok(Next::Leave),
            "help" => self.say(HELP)?,
            "steer" if rest.is_empty() => self.note("/steer needs a text")?,
            "steer" => self.steer(rest).await?,
            "abort" => self.abort(),
            "reset" => self.reset(),
            "queue" => self.queue(rest == "clear").await?,
            "history" => {
                let limit = rest
                    .parse()
                    .unwrap_or(HISTORY_DEFAULT)
                    .clamp(1, HISTORY_MAX);
                self.history(limit).await?;
            }
            _ => self.note(&format!("there is no /{name}; /help lists what there is"))?,
        }
        Ok(Next::GoOn)
    }

    async fn steer(&mut self, text: &str) -> Result<(), Failure> {
        let request = proto::SteerRequest {
            session_key: self.session.clone(),
            text: text.to_owned(),
            ..proto::SteerRequest::default()
        };
        let response = match self.client.steer(request).await {
            Ok(response) => response,
            Err(status) => return self.failed(&status),
        };
        match response.mode() {
            AdmissionMode::Steered => {
                self.steers.insert(response.steer_id);
                Ok(())
            }
            AdmissionMode::Queued | AdmissionMode::Unspecified => {
                let text = steered(&response);
                if let Some(turn) = response.turn {
                    self.view.renderer.own_turn(&turn.turn_id);
                    self.unfinished.insert(turn.turn_id);
                }
                self.note(&text)
            }
        }
    }

    /// Runs beside the conversation, for it waits for the active turn's stop.
    fn reset(&mut self) {
        let request = proto::ResetRequest {
            session_key: self.session.clone(),
            ..proto::ResetRequest::default()
        };
        self.unfinished.insert(RESET.into());
        let (client, calls) = (self.client.clone(), self.calls.clone());
        tokio::spawn(async move {
            // The chat is over where nobody takes it.
            let _ = calls.send(Done::Reset(client.reset(request).await)).await;
        });
    }

    async fn queue(&mut self, clear: bool) -> Result<(), Failure> {
        let session_key = self.session.clone();
        let result = if clear {
            let request = proto::ClearQueueRequest {
                session_key,
                ..proto::ClearQueueRequest::default()
            };
            self.client
                .clear_queue(request)
                .await
                .map(|response| response.turns)
        } else {
            let request = proto::ListQueueRequest { session_key };
            self.client
                .list_queue(request)
                .await
                .map(|response| response.turns)
        };
        let turns = match result {
            Ok(turns) => turns,
            Err(status) => return self.failed(&status),
        };
        if turns.is_empty() {
            return self.note("no turn waits");
        }
        for turn in &turns {
            if self.arguments.json {
                output::json("Turn", turn)?;
            } else {
                let mut text = self.view.renderer.new_line();
                text.push_str(&turn_line(turn));
                text.push('\n');
                self.say(&text)?;
            }
        }
        Ok(())
    }

    async fn history(&mut self, limit: usize) -> Result<(), Failure> {
        let messages = match self.newest(limit).await {
            Ok(messages) => messages,
            Err(status) => return self.failed(&status),
        };
        let mut text = self.view.renderer.new_line();
        // A renderer of its own: these were shown before, and showing them again changes nothing.
        let mut renderer = Renderer::new(Look::of_output(true));
        for message in &messages {
            if self.arguments.json {
                output::json("Message", message)?;
            } else {
                text.push_str(&renderer.finished_message(message));
            }
        }
        self.say(&text)
    }
}
