//! What a line that begins with `/` does.

use super::{Chat, Done as Called, Next, RESET};
use crate::cli::render::{Look, Renderer};
use crate::cli::{
    choices, failure::Failure, output, questions, send::steered, sessions::turn_line,
};
use quarterdeck::proto::{
    self, AdmissionMode, Answer, PlanUpdated, Question, Turn,
    execute_command_response::Result as Done,
};
use tonic::Status;

const HELP: &str = "\
Lines go to the agent. Commands:
  /steer TEXT   give text to the running turn
  /abort        stop the running turn (as Ctrl-C does)
  /reset        begin a fresh conversation
  /answer TEXT  answer what the agent asks; while it asks, lines do so themselves
  /decline      answer that nobody wants to
  /questions    list what the agent waits for
  /model [NAME]  show the models, or choose one; - gives the choice back
  /thinking [LEVEL]  the same for the thinking level
  /queue        list the waiting turns; /queue clear takes them out, /queue remove 2 the second,
                /queue edit 2 TEXT changes it, /queue move 2 1 puts it first
  /plan         show what the agent means to do
  /history [N]  show the last N messages (20)
  /help         this
  /commands     list the session's other commands, which are run the same way
  /quit         leave; turns go on (as Ctrl-D does)
  //TEXT        a prompt that begins with /
Alt-Enter makes a line in a prompt; a paste is one prompt, however many lines it has.
Ctrl-C stops the running turn, and a second one leaves.
";
/// Messages that `/history` shows where no number is given, and at most.
const HISTORY_DEFAULT: usize = 20;
const HISTORY_MAX: usize = 1000;

/// A choice as it was typed: a dash gives it back.
fn given(word: &str) -> &str {
    if word == "-" { "" } else { word }
}

/// What is asked of the queue. Places count from 1 in what is typed, from 0 here.
#[derive(Clone, Copy)]
enum Edit<'a> {
    None,
    Remove(usize),
    Text(usize, &'a str),
    Move(usize, usize),
}

// === impl Edit ===

impl<'a> Edit<'a> {
    fn parse(words: &'a str) -> Option<Self> {
        let place = |word: &str| word.parse::<usize>().ok()?.checked_sub(1);
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        let rest = rest.trim();
        let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "" => Some(Self::None),
            "remove" if more.is_empty() => Some(Self::Remove(place(first)?)),
            "edit" if !more.trim().is_empty() => Some(Self::Text(place(first)?, more.trim())),
            "move" => Some(Self::Move(place(first)?, place(more.trim())?)),
            _ => None,
        }
    }

    fn place(self) -> usize {
        match self {
            Self::None => 0,
            Self::Remove(place) | Self::Text(place, _) | Self::Move(place, _) => place,
        }
    }
}

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
            "answer" | "decline" => match self.questions.first().cloned() {
                None => self.note("the agent asks nothing")?,
                Some(question) if name == "decline" => {
                    self.give(&question, questions::declined()).await?;
                }
                Some(question) => self.answer(&question, rest).await?,
            },
            "commands" => self.list_commands().await?,
            "questions" => self.list_questions()?,
            "reset" => self.reset(),
            "model" if rest.is_empty() => {
                match choices::list_models(&self.client, &self.session, None).await {
                    Ok(found) => self.say(&choices::models_text(&found))?,
                    Err(status) => self.failed(&status)?,
                }
            }
            "model" => {
                let set = choices::set_model(&self.client, &self.session, given(rest)).await;
                self.chose("model", set.map(|session| session.model))?;
            }
            "thinking" if rest.is_empty() => {
                match choices::list_models(&self.client, &self.session, None).await {
                    Ok(found) => self.say(&choices::levels_text(&found))?,
                    Err(status) => self.failed(&status)?,
                }
            }
            "thinking" => {
                let set = choices::set_level(&self.client, &self.session, given(rest)).await;
                self.chose("thinking level", set.map(|session| session.thinking_level))?;
            }
            "queue" => self.queue(rest).await?,
            "plan" => self.plan().await?,
            "history" => {
                let limit = rest
                    .parse()
                    .unwrap_or(HISTORY_DEFAULT)
                    .clamp(1, HISTORY_MAX);
                self.history(limit).await?;
            }
            _ => self.session_command(command).await?,
        }
        Ok(Next::GoOn)
    }

    fn chose(&mut self, what: &str, chosen: Result<String, Status>) -> Result<(), Failure> {
        match chosen {
            Ok(word) => self.note(&choices::chosen_text(what, &word)),
            Err(status) => self.failed(&status),
        }
    }

    async fn known_commands(&self) -> Result<proto::ListCommandsResponse, Status> {
        let session_key = self.session.clone();
        let request = proto::ListCommandsRequest { session_key };
        self.client.list_commands(request).await
    }

    async fn list_commands(&mut self) -> Result<(), Failure> {
        let listed = match self.known_commands().await {
            Ok(listed) => listed,
            Err(status) => return self.failed(&status),
        };
        for command in &listed.commands {
            let proto::Command {
                name,
                description,
                input_hint,
                source: _,
            } = command;
            self.note(&format!("/{name} {input_hint}  {description}"))?;
        }
        Ok(())
    }

    /// Runs a command of the session: the longest name that it has of those the line begins with.
    async fn session_command(&mut self, line: &str) -> Result<(), Failure> {
        let listed = match self.known_commands().await {
            Ok(listed) => listed,
            Err(status) => return self.failed(&status),
        };
        let fits = |name: &&str| {
            let rest = line.strip_prefix(*name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        };
        let names = listed.commands.iter().map(|it| it.name.as_str());
        let first = line.split_whitespace().next().unwrap_or_default();
        let name = match names.filter(fits).max_by_key(|name| name.len()) {
            Some(name) => name,
            // It may be one that the agent has not told yet.
            None if !listed.complete => first,
            None => return self.note(&format!("there is no /{first}; /help lists what there is")),
        };
        let request = proto::ExecuteCommandRequest {
            session_key: self.session.clone(),
            name: name.to_owned(),
            arguments: line.get(name.len()..).unwrap_or_default().trim().to_owned(),
            ..Default::default()
        };
        match self.client.execute_command(request).await {
            Ok(done) => match done.result {
                Some(Done::Turn(turn)) => {
                    self.view.renderer.own_turn(&turn.turn_id);
                    self.unfinished.insert(turn.turn_id);
                    Ok(())
                }
                Some(Done::ResultJson(result)) => self.note(&result),
                None => Ok(()),
            },
            Err(status) => self.failed(&status),
        }
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

    /// Answers a question in a person's words.
    pub(super) async fn answer(&mut self, question: &Question, words: &str) -> Result<(), Failure> {
        match questions::parse(question, words) {
            Ok(answer) => self.give(question, answer).await,
            Err(problem) => self.note(&format!("{problem}; /decline says no, //TEXT is a prompt")),
        }
    }

    async fn give(&mut self, question: &Question, answer: Answer) -> Result<(), Failure> {
        let request = proto::AnswerQuestionRequest {
            session_key: self.session.clone(),
            question_id: question.question_id.clone(),
            answer: Some(answer),
            action_digest: question.action_digest.clone(),
            request_id: String::new(),
        };
        match self.client.answer_question(request).await {
            // What was said is told by its event.
            Ok(_) => {
                let answered = &question.question_id;
                self.questions.retain(|it| it.question_id != *answered);
                Ok(())
            }
            Err(status) => self.failed(&status),
        }
    }

    fn list_questions(&mut self) -> Result<(), Failure> {
        if self.questions.is_empty() {
            return self.note("the agent asks nothing");
        }
        let lines: Vec<String> = self
            .questions
            .iter()
            .map(|question| {
                let how = questions::how(question);
                format!("{} ({how})", questions::asks(question))
            })
            .collect();
        for line in lines {
            self.note(&line)?;
        }
        Ok(())
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
            let _ = calls.send(Called::Reset(client.reset(request).await)).await;
        });
    }

    async fn queue(&mut self, words: &str) -> Result<(), Failure> {
        let session_key = self.session.clone();
        let turns = if words == "clear" {
            let request = proto::ClearQueueRequest {
                session_key,
                ..proto::ClearQueueRequest::default()
            };
            let cleared = self.client.clear_queue(request).await;
            cleared.map(|response| response.turns)
        } else {
            let waiting = self.waiting().await;
            match (waiting, Edit::parse(words)) {
                (Err(status), _) => Err(status),
                (Ok(turns), Some(Edit::None)) => Ok(turns),
                (Ok(turns), Some(edit)) => match turns.get(edit.place()) {
                    None => return self.note(&format!("{} wait", turns.len())),
                    Some(turn) => self.edit(turn.turn_id.clone(), edit).await,
                },
                (Ok(_), None) => {
                    return self.note(
                        "/queue lists; /queue clear, /queue remove N, /queue edit N TEXT, /queue move N PLACE",
                    );
                }
            }
        };
        let turns = match turns {
            Ok(turns) => turns,
            Err(status) => return self.failed(&status),
        };
        if turns.is_empty() {
            return self.note("no turn waits");
        }
        for (place, turn) in (1..).zip(&turns) {
            if self.arguments.json {
                output::json("Turn", turn)?;
            } else {
                let mut text = self.view.renderer.new_line();
                text.push_str(&format!("{place:>3} {}\n", turn_line(turn)));
                self.say(&text)?;
            }
        }
        Ok(())
    }

    async fn waiting(&self) -> Result<Vec<Turn>, Status> {
        let session_key = self.session.clone();
        let request = proto::ListQueueRequest { session_key };
        Ok(self.client.list_queue(request).await?.turns)
    }

    /// Changes a waiting turn; what waits then.
    async fn edit(&self, turn_id: String, edit: Edit<'_>) -> Result<Vec<Turn>, Status> {
        let session_key = self.session.clone();
        let (text, position) = match edit {
            Edit::None => (None, None),
            Edit::Remove(_) => {
                let request = proto::RemoveQueuedRequest {
                    session_key,
                    turn_id,
                    ..proto::RemoveQueuedRequest::default()
                };
                self.client.remove_queued(request).await?;
                return self.waiting().await;
            }
            Edit::Text(_, text) => (Some(text.to_owned()), None),
            Edit::Move(_, place) => (None, Some(i32::try_from(place).unwrap_or(i32::MAX))),
        };
        let request = proto::UpdateQueuedRequest {
            session_key,
            turn_id,
            text,
            position,
            ..proto::UpdateQueuedRequest::default()
        };
        self.client.update_queued(request).await?;
        self.waiting().await
    }

    async fn plan(&mut self) -> Result<(), Failure> {
        let request = proto::GetSessionStateRequest {
            session_key: self.session.clone(),
            page_size: 1,
            ..proto::GetSessionStateRequest::default()
        };
        let state = match self.client.get_session_state(request).await {
            Ok(state) => state,
            Err(status) => return self.failed(&status),
        };
        if state.plan.is_empty() {
            return self.note("the agent told no plan");
        }
        let plan = PlanUpdated {
            entries: state.plan,
        };
        let text = self.view.renderer.plan(&plan);
        self.say(&text)
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
