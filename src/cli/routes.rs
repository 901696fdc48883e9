//! `routes`: which agent and model are used where nobody chose.

use super::{
    arguments::{ResolveRouteArgs, RoutesArgs, RoutesVerb, SetRoutesArgs},
    failure::{DATA, Failure, USAGE},
    output::{self, table},
};
use quarterdeck::{domain::offers::join_model, proto};
use std::{
    io::{self, Read as _},
    process::ExitCode,
};

/// Longest JSON of routes that is read, in bytes.
const INPUT_MAX_BYTES: u64 = 4 * 1024 * 1024;

pub(crate) async fn routes(arguments: RoutesArgs) -> Result<ExitCode, Failure> {
    let RoutesArgs {
        command,
        tenant,
        client: arguments,
    } = arguments;
    match command {
        Some(RoutesVerb::Set(arguments)) => return set(arguments).await,
        Some(RoutesVerb::Resolve(arguments)) => return resolve(arguments).await,
        None => {}
    }
    let client = arguments.client()?;
    let found = client
        .list_routes(proto::ListRoutesRequest { tenant })
        .await;
    let found = found.map_err(|status| Failure::call(&arguments.addr, &status))?;
    if arguments.json {
        output::json("ListRoutesResponse", &found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = found.routes.into_iter().map(|route| {
        let when = conditions(route.when.unwrap_or_default());
        let target = route.r#use.unwrap_or_default();
        let model = join_model(&target.provider, &target.model_id);
        [route.name, when, target.agent, model, target.thinking_level]
    });
    let names = ["ROUTE", "WHEN", "AGENT", "MODEL", "THINKING"];
    output::list(
        names,
        rows.collect(),
        "there are no routes: `routes set` sets some",
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn set(arguments: SetRoutesArgs) -> Result<ExitCode, Failure> {
    let SetRoutesArgs {
        file,
        tenant,
        client: arguments,
    } = arguments;
    let mut text = String::new();
    match &file {
        Some(path) => {
            let opened = std::fs::File::open(path);
            let read = opened.and_then(|it| it.take(INPUT_MAX_BYTES).read_to_string(&mut text));
            let problem = |error| format!("can't read {}: {error}", path.display());
            read.map_err(|error| Failure::new(USAGE, problem(error)))?;
        }
        None => {
            io::stdin()
                .lock()
                .take(INPUT_MAX_BYTES)
                .read_to_string(&mut text)?;
        }
    }
    let listed: proto::ListRoutesResponse = output::from_json("ListRoutesResponse", &text)
        .map_err(|problem| Failure::new(DATA, format!("these are no routes: {problem}")))?;
    let request = proto::SetRoutesRequest {
        routes: listed.routes,
        etag: listed.etag,
        request_id: String::new(),
        tenant,
    };
    let count = request.routes.len();
    let set = arguments.client()?.set_routes(request).await;
    let set = set.map_err(|status| Failure::call(&arguments.addr, &status))?;
    if arguments.json {
        output::json("SetRoutesResponse", &set)?;
    } else {
        output::line(&format!("{count} routes are set, as {}", set.etag))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn resolve(arguments: ResolveRouteArgs) -> Result<ExitCode, Failure> {
    let ResolveRouteArgs {
        text,
        agent,
        labels,
        attachment_types,
        principal,
        source,
        tenant,
        client: arguments,
    } = arguments;
    let request = proto::ResolveRouteRequest {
        text,
        attachment_types,
        labels: labels.into_iter().collect(),
        principal,
        source,
        agent,
        tenant,
    };
    let found = arguments.client()?.resolve_route(request).await;
    let found = found.map_err(|status| Failure::call(&arguments.addr, &status))?;
    if arguments.json {
        output::json("ResolveRouteResponse", &found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let routing = found.routing.unwrap_or_default();
    let rows = [
        ("agent", found.agent),
        ("model", join_model(&found.provider, &found.model_id)),
        ("thinking level", found.thinking_level),
        ("route", routing.rule_name),
        ("why", routing.reason),
    ];
    let told = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let told: Vec<_> = told.map(|(name, value)| [name.to_owned(), value]).collect();
    output::write(&table(&told))?;
    Ok(ExitCode::SUCCESS)
}

/// What a route asks of a turn, in a few words.
fn conditions(when: proto::RouteCondition) -> String {
    let proto::RouteCondition {
        text_matches,
        min_text_bytes,
        has_attachment_type,
        labels,
        principals,
        sources,
    } = when;
    let mut all = Vec::new();
    if !text_matches.is_empty() {
        all.push(format!("text matches {text_matches}"));
    }
    if min_text_bytes > 0 {
        all.push(format!("text has {min_text_bytes} bytes"));
    }
    if !has_attachment_type.is_empty() {
        all.push(format!("with {has_attachment_type}"));
    }
    all.extend(labels.iter().map(|(key, value)| format!("{key}={value}")));
    if !principals.is_empty() {
        all.push(format!("from {}", principals.join(" or ")));
    }
    if !sources.is_empty() {
        all.push(format!("by {}", sources.join(" or ")));
    }
    if all.is_empty() {
        "always".to_owned()
    } else {
        all.join(", ")
    }
}
