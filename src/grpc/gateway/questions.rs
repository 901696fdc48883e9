//! Questions: listed, read, answered.

use super::Call;
use crate::{
    domain::{
        question::{Answer, CONTENT_MAX_BYTES, QuestionState, TITLE_MAX_BYTES},
        refusal::Refusal,
    },
    proto,
    store::{AnswerQuestion, QuestionsFilter},
    wire::{encode, parse::Fields},
};

/// Longest `action_digest`, in bytes: SHA-256 as hex.
const DIGEST_MAX_BYTES: usize = 64;

// === impl Call ===

impl Call<'_> {
    pub(super) async fn list_questions(
        &self,
        request: proto::ListQuestionsRequest,
    ) -> Result<proto::ListQuestionsResponse, Refusal> {
        let mut fields = Fields::default();
        let key = (!request.session_key.is_empty())
            .then(|| fields.session_key("session_key", &request.session_key))
            .flatten();
        if key.is_some() && request.filter.is_some() {
            fields.wrong("filter", "can't stand beside a session_key");
        }
        let states = fields.question_states("states", &request.states);
        let sessions = fields.filter("filter", request.filter);
        let limit = fields.page_size(request.page_size);
        let query = format!(
            "questions {} {:?} {:?}",
            request.session_key, sessions, request.states
        );
        let list = self.pages.list(&self.identity, &query);
        let after = list.position(&mut fields, &request.page_token);
        fields.check()?;
        match &key {
            Some(key) => self.note_reader(key).await?,
            None => self.facts.reads_of_another(""),
        }
        let filter = QuestionsFilter {
            viewer: self.identity.clone(),
            key,
            sessions,
            states: if states.is_empty() {
                vec![QuestionState::Pending]
            } else {
                states
            },
        };
        let after = after.map(|[after]| after);
        let page = self.store.list_questions(filter, after, limit).await?;
        let questions = page.questions.iter();
        Ok(proto::ListQuestionsResponse {
            questions: questions.map(encode::question_in_list).collect(),
            next_page_token: list.token(page.next.map(|next| [next])),
        })
    }

    pub(super) async fn get_question(
        &self,
        request: proto::GetQuestionRequest,
    ) -> Result<proto::GetQuestionResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let question_id = fields.question_id("question_id", &request.question_id);
        let (key, question_id) = fields.finish(key.zip(question_id))?;
        self.note_reader(&key).await?;
        let question = self
            .store
            .question(&self.identity, &key, question_id)
            .await?;
        Ok(proto::GetQuestionResponse {
            question: Some(encode::question(&question)),
        })
    }

    /// Served while draining: an agent that waits is told before it ends.
    pub(super) async fn answer_question(
        &self,
        mut request: proto::AnswerQuestionRequest,
    ) -> Result<proto::AnswerQuestionResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let question_id = fields.question_id("question_id", &request.question_id);
        fields.request_id(&request.request_id);
        fields.text("action_digest", &request.action_digest, DIGEST_MAX_BYTES);
        if request.answer.is_none() {
            fields.wrong(
                "answer",
                "must be set; `declined` says that nobody wants to",
            );
        }
        let given = request.answer.clone().unwrap_or_default();
        if given.content_json.len() > CONTENT_MAX_BYTES {
            let problem = format!("must be at most {CONTENT_MAX_BYTES} bytes");
            fields.wrong("answer.content_json", problem);
        }
        fields.text("answer.comment", &given.comment, TITLE_MAX_BYTES);
        let (key, question_id) = fields.finish(key.zip(question_id))?;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(key.clone(), "AnswerQuestion", request_id, &request, None)
            .await?;
        let proto::Answer {
            option_id,
            content_json,
            is_error,
            declined,
            comment,
        } = given;
        let command = AnswerQuestion {
            caller,
            question_id,
            answer: Answer {
                option_id,
                content_json,
                is_error,
                declined,
                comment,
            },
            action_digest: request.action_digest,
        };
        let store = self.store.clone();
        let committed = self
            .carry_out(async move { store.answer_question(command).await })
            .await?;
        let question = self
            .store
            .question(&self.identity, &key, question_id)
            .await?;
        Ok(proto::AnswerQuestionResponse {
            question: Some(encode::question(&question)),
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }
}
