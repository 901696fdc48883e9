//! Questions of agents, answered by a program: what an answer looks like, and a handler that gives it while a turn is
//! followed.

use super::{Client, Error, Reason, Update, follow::UPDATES_MAX};
use crate::proto::{
    self, Answer, OptionEffect, Question, QuestionKind, QuestionOption, gateway_event::Kind,
};
use std::collections::HashSet;
use tokio::sync::mpsc;
use tonic::Status;

/// Answers to questions, for [`Chat::on_question`](super::Chat::on_question) and [`Client::answer_question`].
pub mod answers {
    use super::{Answer, OptionEffect, Question, QuestionKind, QuestionOption};

    /// Lets the tool of a permission run this once; of a link it says that its visit is done. `None` where the question
    /// offers no such option.
    pub fn allow(question: &Question) -> Option<Answer> {
        let link = question.kind() == QuestionKind::Link;
        chosen(question, |option| {
            option.effect() == OptionEffect::AllowOnce || (link && option.option_id == "done")
        })
    }

    /// Denies the tool of a permission this once. Declines where the question offers no such option.
    pub fn deny(question: &Question) -> Answer {
        let denies = |option: &QuestionOption| option.effect() == OptionEffect::DenyOnce;
        chosen(question, denies).unwrap_or_else(decline)
    }

    /// Nobody wants to answer: the agent goes on without.
    pub fn decline() -> Answer {
        Answer {
            declined: true,
            ..Answer::default()
        }
    }

    /// The values of a form, or the result of a tool that the caller runs: JSON text, at most 256 KiB.
    pub fn content(json: impl Into<String>) -> Answer {
        Answer {
            content_json: json.into(),
            ..Answer::default()
        }
    }

    /// The tool that the caller runs failed; the JSON text, at most 256 KiB, says how.
    pub fn tool_failed(json: impl Into<String>) -> Answer {
        Answer {
            is_error: true,
            ..content(json)
        }
    }

    fn chosen(question: &Question, fits: impl Fn(&QuestionOption) -> bool) -> Option<Answer> {
        let option = question.options.iter().find(|option| fits(option))?;
        Some(Answer {
            option_id: option.option_id.clone(),
            ..Answer::default()
        })
    }
}

// === impl Client ===

impl Client {
    /// Hands on what a turn or a session tells, from [`Client::run`] or [`Client::follow`], and calls `on_question` once
    /// with each question in it that waits for somebody. What it gives is sent with the question's `action_digest`; `None`
    /// leaves the question to somebody else. That another one was faster is no error. The question and what follows it are
    /// handed on when `on_question` is done.
    pub fn answering<F, A>(
        &self,
        mut updates: mpsc::Receiver<Result<Update, Status>>,
        mut on_question: F,
    ) -> mpsc::Receiver<Result<Update, Status>>
    where
        F: FnMut(Question) -> A + Send + 'static,
        A: Future<Output = Option<Answer>> + Send,
    {
        let (answered, receiver) = mpsc::channel(UPDATES_MAX);
        let client = self.clone();
        tokio::spawn(async move {
            // Questions that are pending, of which the handler knows; the server keeps few of a turn.
            let mut asked = HashSet::new();
            while let Some(update) = updates.recv().await {
                let kind = match &update {
                    Ok(Update::Event(event)) => event.kind.as_ref(),
                    Ok(Update::Cut(_) | Update::Resynced(_)) | Err(_) => None,
                };
                if let Some(Kind::QuestionResolved(resolved)) = kind {
                    asked.remove(&resolved.question_id);
                }
                let question = waiting(kind).filter(|it| asked.insert(it.question_id.clone()));
                if let Some(question) = question.cloned() {
                    let answer = tokio::select! {
                        answer = client.put(question, &mut on_question) => answer,
                        () = answered.closed() => return,
                    };
                    if let Err(status) = answer {
                        // A reader that is gone needs no error.
                        let _ = answered.send(Err(status)).await;
                        return;
                    }
                }
                if answered.send(update).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    async fn put<F, A>(&self, question: Question, on_question: &mut F) -> Result<(), Status>
    where
        F: FnMut(Question) -> A,
        A: Future<Output = Option<Answer>>,
    {
        let (session_key, question_id) =
            (question.session_key.clone(), question.question_id.clone());
        // The digest is that of the question as the handler saw it.
        let action_digest = question.action_digest.clone();
        let question = if question.args_full_size > 0 {
            let whole = proto::GetQuestionRequest {
                session_key: session_key.clone(),
                question_id: question_id.clone(),
            };
            self.get_question(whole).await?.question.unwrap_or(question)
        } else {
            question
        };
        let Some(answer) = on_question(question).await else {
            return Ok(());
        };
        let request = proto::AnswerQuestionRequest {
            session_key,
            question_id,
            answer: Some(answer),
            action_digest,
            request_id: String::new(),
        };
        match self.answer_question(request).await {
            Ok(_) => Ok(()),
            Err(status) if is_answered(&status) => Ok(()),
            Err(status) => Err(status),
        }
    }
}

/// The question of an event that waits for somebody; none where policy decides it in the same moment.
fn waiting(kind: Option<&Kind>) -> Option<&Question> {
    let (Kind::QuestionAsked(proto::QuestionAsked { question })
    | Kind::QuestionPending(proto::QuestionPending { question })) = kind?
    else {
        return None;
    };
    question.as_ref().filter(|it| it.policy_rule.is_empty())
}

fn is_answered(status: &Status) -> bool {
    Error::from(status.clone()).reason() == Some(&Reason::AlreadyAnswered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(option_id: &str, effect: OptionEffect) -> QuestionOption {
        QuestionOption {
            option_id: option_id.into(),
            effect: effect.into(),
            ..QuestionOption::default()
        }
    }

    #[test]
    fn allow_and_deny_choose_what_holds_once() {
        let permission = Question {
            kind: QuestionKind::Permission.into(),
            options: vec![
                option("always", OptionEffect::AllowAlways),
                option("once", OptionEffect::AllowOnce),
                option("never", OptionEffect::DenyAlways),
                option("no", OptionEffect::DenyOnce),
            ],
            ..Question::default()
        };
        assert_eq!(
            answers::allow(&permission).expect("offered").option_id,
            "once"
        );
        assert_eq!(answers::deny(&permission).option_id, "no");
    }

    #[test]
    fn what_is_not_offered_is_not_chosen() {
        let only_always = Question {
            kind: QuestionKind::Permission.into(),
            options: vec![option("always", OptionEffect::AllowAlways)],
            ..Question::default()
        };
        assert_eq!(answers::allow(&only_always), None);
        assert_eq!(answers::deny(&only_always), answers::decline());
        let link = Question {
            kind: QuestionKind::Link.into(),
            options: vec![option("done", OptionEffect::Unspecified)],
            ..Question::default()
        };
        assert_eq!(answers::allow(&link).expect("offered").option_id, "done");
    }
}
