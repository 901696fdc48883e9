//! Lists, page after page: each page is asked for when its reader comes to it.

use super::Client;
use crate::proto;
use std::{pin::Pin, vec};
use tonic::Status;

/// All that a List call gives, from [`Client::all_sessions`] and its like. Asks for nothing before the first
/// [`Pages::next`]; `page_size` of the request is how much is asked for at once.
///
/// ```no_run
/// # async fn example(client: quarterdeck::client::Client) -> Result<(), tonic::Status> {
/// let mut turns = client.all_turns(quarterdeck::proto::ListTurnsRequest::default());
/// while let Some(turn) = turns.next().await {
///     println!("{}", turn?.turn_id);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Pages<Item> {
    call: Call<Item>,
    page: vec::IntoIter<Item>,
    /// Where the next page begins; `None` after the last one.
    token: Option<String>,
}

/// What a page holds, and where the next one begins.
type Page<Item> = (Vec<Item>, String);
type Answer<Item> = Pin<Box<dyn Future<Output = Result<Page<Item>, Status>> + Send>>;
type Call<Item> = Box<dyn Fn(String) -> Answer<Item> + Send>;

// === impl Pages ===

impl<Item> Pages<Item> {
    /// The next item; `None` after the last one, and after an error.
    pub async fn next(&mut self) -> Option<Result<Item, Status>> {
        loop {
            if let Some(item) = self.page.next() {
                return Some(Ok(item));
            }
            let token = self.token.take()?;
            match (self.call)(token).await {
                Ok((items, next)) => {
                    self.page = items.into_iter();
                    self.token = (!next.is_empty()).then_some(next);
                }
                Err(status) => return Some(Err(status)),
            }
        }
    }
}

/// Makes one iterator of each List call that is paged.
macro_rules! pages {
    ($($(#[$outer:meta])* $name:ident: $method:ident($Request:ident) -> $field:ident: $Item:ident;)*) => {
        impl Client {
            $(
                $(#[$outer])*
                pub fn $name(&self, request: proto::$Request) -> Pages<proto::$Item> {
                    let client = self.clone();
                    let token = request.page_token.clone();
                    let call: Call<proto::$Item> = Box::new(move |page_token| {
                        let client = client.clone();
                        let request = proto::$Request { page_token, ..request.clone() };
                        Box::pin(async move {
                            let answer = client.$method(request).await?;
                            Ok((answer.$field, answer.next_page_token))
                        })
                    });
                    Pages { call, page: Vec::new().into_iter(), token: Some(token) }
                }
            )*
        }
    };
}

pages! {
    /// All sessions that match, the newest created first.
    all_sessions: list_sessions(ListSessionsRequest) -> sessions: SessionSnapshot;
    /// All turns, newest first: of one session, or of all.
    all_turns: list_turns(ListTurnsRequest) -> turns: Turn;
    /// All messages of a session: the newest page first, oldest first inside a page.
    all_messages: list_messages(ListMessagesRequest) -> messages: Message;
    /// All questions, the oldest first.
    all_questions: list_questions(ListQuestionsRequest) -> questions: Question;
    /// All that is in a directory of those that a session works in.
    all_files: list_files(ListFilesRequest) -> entries: FileEntry;
    /// All artifacts of a session.
    all_artifacts: list_artifacts(ListArtifactsRequest) -> artifacts: Artifact;
    /// All memories of one scope.
    all_memories: list_memories(ListMemoriesRequest) -> memories: MemoryItem;
    /// All schedules, by name.
    all_schedules: list_schedules(ListSchedulesRequest) -> schedules: Schedule;
    /// All runs of a schedule, newest first.
    all_schedule_runs: list_schedule_runs(ListScheduleRunsRequest) -> runs: ScheduleRun;
    /// All one's own webhooks.
    all_webhooks: list_webhooks(ListWebhooksRequest) -> webhooks: Webhook;
    /// All API keys, newest first, without secrets.
    all_api_keys: list_api_keys(ListApiKeysRequest) -> api_keys: ApiKey;
    /// All budgets of a tenant, and what of them is used.
    all_budgets: list_budgets(ListBudgetsRequest) -> budgets: Budget;
    /// All open streams of the caller's tenant.
    all_channels: list_channels(ListChannelsRequest) -> channels: Channel;
    /// All rows of what was used.
    all_usage: get_usage(GetUsageRequest) -> rows: UsageRow;
}
