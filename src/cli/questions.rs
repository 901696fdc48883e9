//! `questions`: what agents wait for, and the answers to it.

use super::{
    arguments::{AnswerArgs, QuestionsArgs, QuestionsVerb},
    failure::{DATA, Failure},
    output,
};
use quarterdeck::proto::{
    self, Answer, OptionEffect, Question, QuestionKind, QuestionOption, QuestionState,
};
use std::process::ExitCode;

/// Rows that one call asks for.
const PAGE: usize = 500;

pub(crate) async fn questions(arguments: QuestionsArgs) -> Result<ExitCode, Failure> {
    let QuestionsArgs {
        command,
        session,
        all,
        limit,
        client: client_arguments,
    } = arguments;
    if let Some(QuestionsVerb::Answer(arguments)) = command {
        return answer(arguments).await;
    }
    let client = client_arguments.client()?;
    let states = if all {
        vec![
            QuestionState::Pending.into(),
            QuestionState::Answered.into(),
            QuestionState::Expired.into(),
            QuestionState::Canceled.into(),
        ]
    } else {
        vec![QuestionState::Pending.into()]
    };
    let mut found: Vec<Question> = Vec::new();
    let mut page_token = String::new();
    while found.len() < limit {
        let left = (limit - found.len()).min(PAGE);
        let request = proto::ListQuestionsRequest {
            session_key: session.clone().unwrap_or_default(),
            filter: None,
            states: states.clone(),
            page_size: i32::try_from(left).expect("a page is small"),
            page_token,
        };
        let page = client.list_questions(request).await;
        let page = page.map_err(|status| Failure::call(&client_arguments.addr, &status))?;
        found.extend(page.questions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if client_arguments.json {
        for question in &found {
            output::json("Question", question)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows = found.iter().map(|question| {
        [
            question.question_id.clone(),
            question.session_key.clone(),
            state_of(question),
            asks(question),
            how(question),
        ]
    });
    let names = ["QUESTION", "SESSION", "STATE", "ASKS", "ANSWERS"];
    let empty = if all {
        "no questions"
    } else {
        "no question waits"
    };
    output::list(names, rows.collect(), empty)?;
    Ok(ExitCode::SUCCESS)
}

async fn answer(arguments: AnswerArgs) -> Result<ExitCode, Failure> {
    let AnswerArgs {
        session,
        question,
        answer,
        decline,
        error,
        comment,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    let failed = |status| Failure::call(&client_arguments.addr, &status);
    let request = proto::GetQuestionRequest {
        session_key: session.clone(),
        question_id: question.clone(),
    };
    // Read first: what the words mean depends on what is asked, and its digest goes with the answer.
    let asked = client.get_question(request).await.map_err(failed)?;
    let asked = asked.question.unwrap_or_default();
    let mut given = if decline {
        declined()
    } else {
        parse(&asked, &answer.join(" ")).map_err(|problem| Failure::new(DATA, problem))?
    };
    given.is_error = error;
    given.comment = comment;
    let request = proto::AnswerQuestionRequest {
        session_key: session,
        question_id: question,
        answer: Some(given),
        action_digest: asked.action_digest,
        request_id: String::new(),
    };
    let answered = client.answer_question(request).await.map_err(failed)?;
    let answered = answered.question.unwrap_or_default();
    if client_arguments.json {
        output::json("Question", &answered)?;
    } else {
        output::line(&format!("{} {}", answered.title, said(&answered)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An answer that says that nobody wants to.
pub(crate) fn declined() -> Answer {
    Answer {
        declined: true,
        ..Answer::default()
    }
}

/// What a person's words answer. `y` and `n` stand for the option that allows or denies once; a form takes
/// `NAME=VALUE` pairs, or JSON.
///
/// # Errors
/// How the question can be answered.
pub(crate) fn parse(question: &Question, words: &str) -> Result<Answer, String> {
    let words = words.trim();
    let option = |option: &QuestionOption| Answer {
        option_id: option.option_id.clone(),
        ..Answer::default()
    };
    let content = |content_json: String| Answer {
        content_json,
        ..Answer::default()
    };
    let wrong = || Err(format!("this question takes: {}", how(question)));
    match question.kind() {
        QuestionKind::Permission | QuestionKind::Link => {
            let effect = match words.to_ascii_lowercase().as_str() {
                "y" | "yes" => Some(OptionEffect::AllowOnce),
                "n" | "no" => Some(OptionEffect::DenyOnce),
                _ => None,
            };
            let named = question.options.iter().find(|it| it.option_id == words);
            let meant = effect.and_then(|effect| {
                let mut options = question.options.iter();
                options.find(|option| option.effect() == effect)
            });
            match named.or(meant) {
                Some(chosen) => Ok(option(chosen)),
                None => wrong(),
            }
        }
        QuestionKind::Form | QuestionKind::Budget if words.starts_with('{') => {
            Ok(content(words.to_owned()))
        }
        QuestionKind::Form | QuestionKind::Budget => match form_of(&question.schema_json, words) {
            Some(form) => Ok(content(form)),
            None => wrong(),
        },
        QuestionKind::ToolCall => {
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(words).is_ok();
            let text = || serde_json::Value::String(words.to_owned()).to_string();
            Ok(content(if is_json { words.to_owned() } else { text() }))
        }
        QuestionKind::Unspecified => {
            Err("this program knows no such question: it can only be declined".to_owned())
        }
    }
}

/// `NAME=VALUE` pairs as JSON, each value of the type that the form's schema says.
fn form_of(schema_json: &str, words: &str) -> Option<String> {
    let schema: serde_json::Value = serde_json::from_str(schema_json).ok()?;
    let properties = schema.get("properties")?.as_object()?;
    let mut form = serde_json::Map::new();
    let mut name = None;
    for word in words.split_whitespace() {
        let pair = word.split_once('=');
        match pair.filter(|(name, _)| properties.contains_key(*name)) {
            Some((new, value)) => {
                form.insert(new.to_owned(), value.into());
                name = Some(new.to_owned());
            }
            // More words of the value before.
            None => {
                let value = form.get_mut(name.as_ref()?)?;
                *value = format!("{} {word}", value.as_str()?).into();
            }
        }
    }
    for (name, value) in &mut form {
        let text = value.as_str()?;
        let kind = properties.get(name)?.get("type").and_then(|it| it.as_str());
        let typed = match kind {
            Some("number" | "integer" | "boolean") => serde_json::from_str(text).ok(),
            Some("array") => Some(text.split(',').map(str::trim).collect()),
            Some(_) | None => None,
        };
        if let Some(typed) = typed {
            *value = typed;
        }
    }
    (!form.is_empty()).then(|| serde_json::Value::Object(form).to_string())
}

/// What is asked, in one line.
pub(crate) fn asks(question: &Question) -> String {
    let detail = match question.kind() {
        QuestionKind::Link => &question.url,
        QuestionKind::Permission | QuestionKind::ToolCall => &question.args_json,
        QuestionKind::Form | QuestionKind::Budget | QuestionKind::Unspecified => {
            return question.title.clone();
        }
    };
    format!("{} {detail}", question.title)
}

/// How it can be answered, in one line.
pub(crate) fn how(question: &Question) -> String {
    match question.kind() {
        QuestionKind::Permission | QuestionKind::Link => {
            let options: Vec<&str> = question
                .options
                .iter()
                .map(|option| option.option_id.as_str())
                .collect();
            options.join(", ")
        }
        QuestionKind::Form | QuestionKind::Budget => {
            let schema: serde_json::Value =
                serde_json::from_str(&question.schema_json).unwrap_or_default();
            let names = schema.get("properties").and_then(|it| it.as_object());
            let names = names.map(|it| it.keys().map(|name| format!("{name}=VALUE")));
            names.map_or_else(String::new, |names| names.collect::<Vec<_>>().join(" "))
        }
        QuestionKind::ToolCall => "JSON, or text".to_owned(),
        QuestionKind::Unspecified => String::new(),
    }
}

/// What became of a question, in a few words.
pub(crate) fn said(question: &Question) -> String {
    let Some(answer) = &question.answer else {
        return state_of(question);
    };
    if answer.declined {
        "declined".to_owned()
    } else if answer.option_id.is_empty() {
        answer.content_json.clone()
    } else {
        answer.option_id.clone()
    }
}

fn state_of(question: &Question) -> String {
    output::word(question.state().as_str_name(), "QUESTION_STATE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission() -> Question {
        let option = |id: &str, effect: OptionEffect| QuestionOption {
            option_id: id.into(),
            label: id.into(),
            effect: effect.into(),
        };
        Question {
            kind: QuestionKind::Permission.into(),
            options: vec![
                option("always", OptionEffect::AllowAlways),
                option("once", OptionEffect::AllowOnce),
                option("reject", OptionEffect::DenyOnce),
            ],
            ..Question::default()
        }
    }

    #[test]
    fn yes_and_no_are_the_options_that_hold_once() {
        let chosen = |words: &str| parse(&permission(), words).map(|it| it.option_id);
        assert_eq!(chosen("y"), Ok("once".into()));
        assert_eq!(chosen("No"), Ok("reject".into()));
        assert_eq!(chosen("always"), Ok("always".into()));
        let problem = chosen("maybe").expect_err("not offered");
        assert!(problem.contains("always, once, reject"), "{problem}");
    }

    #[test]
    fn a_form_takes_pairs_of_its_types_or_json() {
        let form = Question {
            kind: QuestionKind::Form.into(),
            schema_json: r#"{"properties":{"name":{"type":"string"},"age":{"type":"integer"},
                "days":{"type":"array","items":{"enum":["mon","tue"]}}}}"#
                .into(),
            ..Question::default()
        };
        let content = |words: &str| parse(&form, words).map(|it| it.content_json);
        assert_eq!(
            content("name=Ada of London age=36 days=mon,tue"),
            Ok(r#"{"age":36,"days":["mon","tue"],"name":"Ada of London"}"#.into())
        );
        assert_eq!(content(r#"{"name":"Ada"}"#), Ok(r#"{"name":"Ada"}"#.into()));
        assert!(
            content("hello")
                .expect_err("no pair")
                .contains("name=VALUE")
        );
    }

    #[test]
    fn a_tools_result_that_is_no_json_is_a_text() {
        let call = Question {
            kind: QuestionKind::ToolCall.into(),
            ..Question::default()
        };
        let content = |words: &str| parse(&call, words).map(|it| it.content_json);
        assert_eq!(content("[1]"), Ok("[1]".into()));
        assert_eq!(content("42 fish"), Ok("\"42 fish\"".into()));
    }
}
