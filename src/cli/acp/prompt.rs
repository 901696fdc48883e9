//! What a prompt of an editor holds: text, with links and files in it.

use super::editor::Fault;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use quarterdeck::proto::Attachment;
use serde_json::Value as Json;
use std::fmt::Write as _;

/// A prompt.
#[derive(Debug, PartialEq)]
pub(super) struct Prompt {
    pub(super) text: String,
    pub(super) attachments: Vec<Attachment>,
}

/// Reads the blocks of a prompt. Nothing is fetched: a link stays a link, for the agent to follow.
///
/// # Errors
/// A block is of a kind that was not offered, or can't be read.
pub(super) fn parse(blocks: &Json) -> Result<Prompt, Fault> {
    let wrong = |problem: &str| Fault::new(Fault::PARAMETERS, format!("prompt {problem}"));
    let blocks = blocks.as_array().ok_or_else(|| wrong("must be a list"))?;
    let mut prompt = Prompt {
        text: String::new(),
        attachments: Vec::new(),
    };
    // What the editor gives along stands behind what the person says.
    let mut context = String::new();
    for block in blocks {
        let text = |name: &str| block[name].as_str().unwrap_or_default();
        match block["type"].as_str() {
            Some("text") => prompt.text.push_str(text("text")),
            Some("resource_link") => {
                let _ = write!(prompt.text, "[@{}]({})", text("name"), text("uri"));
            }
            Some("image") => prompt.attach(text("uri"), text("mimeType"), text("data"))?,
            Some("resource") => {
                let resource = &block["resource"];
                let uri = resource["uri"].as_str().unwrap_or_default();
                let kind = resource["mimeType"].as_str();
                match (resource["text"].as_str(), resource["blob"].as_str()) {
                    (Some(text), _) => {
                        let _ = write!(
                            context,
                            "\n\n<context ref=\"{}\">\n{text}\n</context>",
                            uri.replace('"', "%22")
                        );
                    }
                    (None, Some(blob)) => {
                        prompt.attach(uri, kind.unwrap_or("application/octet-stream"), blob)?;
                    }
                    (None, None) => return Err(wrong("resource has neither text nor blob")),
                }
            }
            Some(_) | None => {
                return Err(wrong("must be text, resource_link, resource or image"));
            }
        }
    }
    prompt.text.push_str(&context);
    Ok(prompt)
}

// === impl Prompt ===

impl Prompt {
    fn attach(&mut self, uri: &str, media_type: &str, data: &str) -> Result<(), Fault> {
        let data = BASE64_STANDARD
            .decode(data)
            .map_err(|_| Fault::new(Fault::PARAMETERS, "prompt holds data that is no base64"))?;
        self.attachments.push(Attachment {
            name: uri.rsplit('/').next().unwrap_or_default().to_owned(),
            media_type: media_type.to_owned(),
            data: data.into(),
        });
        Ok(())
    }

    /// The name and the arguments, where it is a command of those.
    pub(super) fn command(&self, known: &[String]) -> Option<(String, String)> {
        let line = self.text.strip_prefix('/')?;
        let (name, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let is_known = self.attachments.is_empty() && known.iter().any(|it| it == name);
        is_known.then(|| (name.to_owned(), arguments.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn links_stand_in_the_text_files_beside_it_and_context_behind_it() {
        let blocks = json!([
            { "type": "text", "text": "look at " },
            { "type": "resource_link", "name": "a.rs", "uri": "file:///p/a.rs" },
            { "type": "resource", "resource": { "uri": "file:///p/b.rs", "text": "fn b() {}" } },
            { "type": "text", "text": " please" },
            { "type": "image", "mimeType": "image/png", "data": "aGk=" },
            { "type": "resource", "resource": { "uri": "file:///p/c.bin", "blob": "aGk=" } },
        ]);
        let prompt = parse(&blocks).unwrap();
        assert_eq!(
            prompt.text,
            "look at [@a.rs](file:///p/a.rs) please\n\n\
             <context ref=\"file:///p/b.rs\">\nfn b() {}\n</context>"
        );
        let kinds = prompt
            .attachments
            .iter()
            .map(|it| (it.name.as_str(), it.media_type.as_str()));
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [("", "image/png"), ("c.bin", "application/octet-stream")]
        );
        for wrong in [
            json!("text"),
            json!([{ "type": "audio", "data": "" }]),
            json!([{ "type": "image", "mimeType": "image/png", "data": "?" }]),
            json!([{ "type": "resource", "resource": { "uri": "x" } }]),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_command_is_one_that_is_known() {
        let known = ["upper".to_owned()];
        let command = |text: &str| {
            let blocks = json!([{ "type": "text", "text": text }]);
            parse(&blocks).unwrap().command(&known)
        };
        let upper = Some(("upper".to_owned(), "a b".to_owned()));
        assert_eq!(command("/upper a b"), upper);
        assert_eq!(command("/upper").map(|(_, it)| it), Some(String::new()));
        for other in ["upper a", "/lower a", "/", "say /upper"] {
            assert_eq!(command(other), None, "{other}");
        }
    }
}
