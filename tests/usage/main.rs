//! What was used, and what may be: reports of usage as they are counted, summed and shown, and budgets that are kept.

mod budgets;
mod callers;
#[path = "../llm_support/mod.rs"]
mod llm_support;
mod sums;
#[path = "../support/mod.rs"]
mod support;
#[path = "../auth/world.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod world;

use quarterdeck::proto::{
    self, GatewayEvent, UsageRecorded, admin_service_client::AdminServiceClient,
    gateway_event::Kind,
};
use support::{Gateway, Options};
use tonic::transport::Channel;

type Admin = AdminServiceClient<Channel>;

/// Prices that the tests know by heart: dollars for a million tokens, so millionths for one.
const PRICES: &str = "[prices.\"local/fake-1\"]\ninput = 1\noutput = 2\ncache_read = 0.5\n\
                      [prices.\"echo/plain\"]\ninput = 1\noutput = 2\n";

fn start(config: &str) -> Gateway {
    Gateway::with(Options {
        config: format!("{config}{PRICES}"),
        ..Options::default()
    })
}

async fn admin(gateway: &Gateway) -> Admin {
    let connected = AdminServiceClient::connect(gateway.address.clone()).await;
    connected.expect("the server accepts")
}

/// All reports of a log.
fn reports(events: &[GatewayEvent]) -> Vec<UsageRecorded> {
    let reports = events.iter().filter_map(|event| match &event.kind {
        Some(Kind::UsageRecorded(report)) => Some(report.clone()),
        _ => None,
    });
    reports.collect()
}

fn add(sum: &mut proto::Usage, more: &proto::Usage) {
    sum.input_tokens += more.input_tokens;
    sum.output_tokens += more.output_tokens;
    sum.cache_read_tokens += more.cache_read_tokens;
    sum.cache_write_tokens += more.cache_write_tokens;
    sum.cost_micros += more.cost_micros;
    sum.model_calls += more.model_calls;
    sum.unpriced_calls += more.unpriced_calls;
    sum.reasoning_tokens += more.reasoning_tokens;
}

/// The rows of all pages, by their keys, and the total.
async fn grouped(
    admin: &mut Admin,
    filter: proto::UsageFilter,
    by: &[proto::UsageBy],
) -> (Vec<proto::UsageRow>, proto::Usage) {
    let mut rows = Vec::new();
    let mut request = proto::GetUsageRequest {
        filter: Some(filter),
        group_by: by
            .iter()
            .map(|by| proto::UsageGrouping {
                by: (*by).into(),
                label_key: match by {
                    proto::UsageBy::Label => "team".to_owned(),
                    _ => String::new(),
                },
            })
            .collect(),
        page_size: 3,
        ..Default::default()
    };
    loop {
        let page = admin.get_usage(request.clone()).await;
        let page = page.expect("it answers").into_inner();
        rows.extend(page.rows);
        if page.next_page_token.is_empty() {
            return (rows, page.total.expect("a total"));
        }
        request.page_token = page.next_page_token;
    }
}
