//! The page behind an answer link (`/answer/…`): GET shows the question, POST answers it.
//!
//! A plain form, without a script: it works on every phone. Whoever has the link may answer, once, this question, exactly as it
//! was asked; what it may do is what the owner of the webhook that told it may do now, and the call goes through the layers of
//! gRPC as that one. The link stands in no log, is told to no other site and kept by no cache.

use super::{call::Door, problem::Problem, turns::Caller, upload};
use crate::{
    clock,
    grpc::layers::ActsAs,
    proto::{
        Answer, AnswerQuestionRequest, AnswerQuestionResponse, GetQuestionRequest,
        GetQuestionResponse, Question, QuestionKind, QuestionState,
    },
    store::WebhookStore,
    webhooks_out::{AnswerLinks, Linked},
};
use axum::{
    Router,
    extract::{Path, Request},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use std::{fmt::Write as _, sync::Arc};

/// Longest form, in bytes.
const FORM_MAX_BYTES: usize = 4 * 1024;
/// What a form says for "nobody wants to answer".
const DECLINE: &str = "decline";
/// Arguments of a tool that are shown, in bytes.
const ARGS_SHOWN_MAX_BYTES: usize = 4 * 1024;
const STYLE: &str = "body{font:17px/1.5 system-ui,sans-serif;max-width:34em;margin:2em auto;padding:0 1em}\
                     pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#8881;padding:.6em}\
                     button{display:block;width:100%;font:inherit;padding:.7em;margin:.6em 0}";

/// What the pages need.
pub struct AnswerPages {
    /// Reads links; `None` where there are none.
    pub links: Option<AnswerLinks>,
    /// The webhooks that carry them.
    pub store: Arc<dyn WebhookStore>,
}

/// Every path of the room.
pub(super) fn routes(door: Arc<Door>, pages: AnswerPages) -> Router {
    let AnswerPages {
        links: Some(links),
        store,
    } = pages
    else {
        return Router::new();
    };
    let pages = Arc::new(Answers { links, store, door });
    let shown = pages.clone();
    let show = async move |Path(link): Path<String>, request: Request| {
        let (parts, _) = request.into_parts();
        let shown = shown.show(&link, parts).await;
        shown.unwrap_or_else(|page| page.into_response())
    };
    let answer = async move |Path(link): Path<String>, request: Request| {
        let answered = pages.answer(&link, request).await;
        answered.unwrap_or_else(|page| page.into_response())
    };
    Router::new().route("/answer/{link}", get(show).post(answer))
}

struct Answers {
    links: AnswerLinks,
    store: Arc<dyn WebhookStore>,
    door: Arc<Door>,
}

/// A page that says one thing.
struct Page {
    status: StatusCode,
    text: String,
}

// === impl Answers ===

impl Answers {
    async fn show(&self, link: &str, parts: Parts) -> Result<Response, Page> {
        let (caller, linked) = self.caller(link, parts).await?;
        let question = find(&caller, &linked).await?;
        Ok(page(StatusCode::OK, &form(&question)))
    }

    async fn answer(&self, link: &str, request: Request) -> Result<Response, Page> {
        let (parts, body) = request.into_parts();
        let (caller, linked) = self.caller(link, parts).await?;
        let read = upload::read(body, FORM_MAX_BYTES, &self.door.room).await;
        let (body, _share) =
            read.map_err(|_| Page::new(StatusCode::BAD_REQUEST, "The form can't be read."))?;
        let mut fields = form_urlencoded::parse(&body);
        let chosen = fields.find(|(name, _)| name == "option");
        let Some((_, option)) = chosen else {
            return Err(Page::new(StatusCode::BAD_REQUEST, "Nothing was chosen."));
        };
        // It may be another one since the page was shown.
        find(&caller, &linked).await?;
        let declined = option == DECLINE;
        let request = AnswerQuestionRequest {
            session_key: linked.session_key,
            question_id: linked.question_id.to_string(),
            answer: Some(Answer {
                option_id: if declined {
                    String::new()
                } else {
                    option
                        .strip_prefix("option:")
                        .unwrap_or_default()
                        .to_owned()
                },
                declined,
                comment: "by an answer link".to_owned(),
                ..Answer::default()
            }),
            action_digest: linked.action_digest,
            ..AnswerQuestionRequest::default()
        };
        let path = "/quarterdeck.v1.GatewayService/AnswerQuestion";
        let answered: Result<AnswerQuestionResponse, _> = caller.ask(path, &request).await;
        answered.map_err(|refused| Page::of(&Problem::of(&refused)))?;
        Err(Page::new(
            StatusCode::OK,
            "Answered. You can close this page.",
        ))
    }

    /// Who a link answers as, and what.
    async fn caller(&self, link: &str, mut parts: Parts) -> Result<(Caller, Linked), Page> {
        let unknown = || {
            let text = "This link is not valid, or not any more.";
            Page::new(StatusCode::NOT_FOUND, text)
        };
        let linked = self.links.read(link, clock::wall()).ok_or_else(unknown)?;
        let webhook = self.store.webhook_of_id(linked.webhook_id).await;
        let webhook = webhook.map_err(|refusal| Page::of(&Problem::of(&refusal.into())))?;
        let webhook = webhook.filter(|it| it.owner.valid).ok_or_else(unknown)?;
        // What the browser said in headers was for here alone.
        parts.headers = HeaderMap::new();
        let identity = Arc::new(webhook.owner.identity());
        parts.extensions.insert(ActsAs(identity));
        Ok((Caller::new(self.door.clone(), parts), linked))
    }
}

/// The question of a link, while it can be answered.
async fn find(caller: &Caller, linked: &Linked) -> Result<Question, Page> {
    let request = GetQuestionRequest {
        session_key: linked.session_key.clone(),
        question_id: linked.question_id.to_string(),
    };
    let path = "/quarterdeck.v1.GatewayService/GetQuestion";
    let found: Result<GetQuestionResponse, _> = caller.ask(path, &request).await;
    let found = found.map_err(|refused| Page::of(&Problem::of(&refused)))?;
    let question = found.question.unwrap_or_default();
    if question.action_digest != linked.action_digest {
        let text = "Another thing is asked now than what this link is for.";
        return Err(Page::new(StatusCode::CONFLICT, text));
    }
    match question.state() {
        QuestionState::Pending => Ok(question),
        QuestionState::Answered => {
            let text = "This question is answered already.";
            Err(Page::new(StatusCode::CONFLICT, text))
        }
        QuestionState::Expired | QuestionState::Canceled | QuestionState::Unspecified => {
            let text = "Nobody waits for an answer to this question any more.";
            Err(Page::new(StatusCode::CONFLICT, text))
        }
    }
}

/// What the page of a question shows.
fn form(question: &Question) -> String {
    let mut html = format!("<h1>{}</h1>", escaped(&question.title));
    let _ = write!(
        html,
        "<p>An agent in the session <b>{}</b> asks.</p>",
        escaped(&question.session_key)
    );
    if !question.tool_name.is_empty() {
        let _ = write!(html, "<p>Tool: <b>{}</b></p>", escaped(&question.tool_name));
    }
    if !question.args_json.is_empty() {
        let end = question.args_json.floor_char_boundary(ARGS_SHOWN_MAX_BYTES);
        let cut = if end < question.args_json.len() {
            " …"
        } else {
            ""
        };
        let _ = write!(
            html,
            "<pre>{}{cut}</pre>",
            escaped(&question.args_json[..end])
        );
    }
    if !question.url.is_empty() {
        let _ = write!(html, "<p>Open: <code>{}</code></p>", escaped(&question.url));
    }
    html.push_str("<form method=\"post\">");
    for option in &question.options {
        let label = match option.label.as_str() {
            "" => &option.option_id,
            label => label,
        };
        let _ = write!(
            html,
            "<button name=\"option\" value=\"option:{}\">{}</button>",
            escaped(&option.option_id),
            escaped(label)
        );
    }
    if question.kind() == QuestionKind::Form {
        html.push_str(
            "<p>It asks for values: give them in the console or by the command line.</p>",
        );
    }
    let _ = write!(
        html,
        "<button name=\"option\" value=\"{DECLINE}\">Decline</button></form>"
    );
    html
}

fn page(status: StatusCode, content: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Quarterdeck</title>\
         <style>{STYLE}</style>{content}</html>"
    );
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // Not `no-referrer`: then browsers say of the form that its origin is nobody.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (
            http::HeaderName::from_static("x-robots-tag"),
            "noindex, nofollow",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    (status, headers, html).into_response()
}

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

// === impl Page ===

impl Page {
    fn new(status: StatusCode, text: &str) -> Self {
        Self {
            status,
            text: text.to_owned(),
        }
    }

    fn of(problem: &Problem) -> Self {
        let text = match problem.reason() {
            "ALREADY_ANSWERED" => "This question is answered already.".to_owned(),
            "SESSION_NOT_FOUND" | "SESSION_DELETED" | "QUESTION_NOT_FOUND" => {
                "This question is not there any more.".to_owned()
            }
            _ => problem.line(),
        };
        Self {
            status: problem.http_status(),
            text,
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        page(self.status, &format!("<p>{}</p>", escaped(&self.text)))
    }
}
