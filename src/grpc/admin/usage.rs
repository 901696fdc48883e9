//! GetUsage, and budgets.

use super::{Admin, keys::tenant_of};
use crate::{
    clock,
    domain::{
        access::{Identity, Scope},
        budget::{Bounds, BudgetName, BudgetScope, LIMIT_MAX, OnExceeded, Period, day_of},
        ids::{Principal, SessionKey, Time},
        limits::{MAP_KEY_MAX_BYTES, NAME_MAX_BYTES},
        refusal::Refusal,
        turn::Usage,
        usage::{GROUP_BY_MAX, GroupBy, Groups, Part, UsageFilter},
    },
    proto,
    store::{BudgetsPage, DeleteBudget, RequestKey, SetBudget},
    wire::{
        encode,
        parse::{self, Fields},
    },
};
use std::sync::Arc;

// === impl Admin ===

impl Admin {
    pub(super) async fn usage(
        &self,
        caller: &Identity,
        request: proto::GetUsageRequest,
    ) -> Result<proto::GetUsageResponse, Refusal> {
        let query = proto::GetUsageRequest {
            page_size: 0,
            page_token: String::new(),
            ..request.clone()
        };
        let query = format!("usage {:?}", parse::request_hash(&query));
        let proto::GetUsageRequest {
            filter,
            group_by,
            page_size,
            page_token,
            tenant,
        } = request;
        let mut fields = Fields::default();
        let tenant = tenant_of(&mut fields, caller, &tenant);
        let limit = fields.page_size(page_size);
        let list = self.pages.list(caller, &query);
        let after = list.position(&mut fields, &page_token);
        let by = groups(&mut fields, &group_by);
        let all = caller.require(Scope::TenantSessions).is_ok();
        let owner = (!all).then(|| caller.principal.subject.clone());
        let filter = usage_filter(&mut fields, filter.unwrap_or_default(), &tenant, owner);
        fields.check()?;
        if filter.tenant != caller.principal.tenant {
            // Nobody's own sessions are there.
            caller.require(Scope::TenantSessions)?;
        }
        let Groups(groups) = self.store.usage(filter, by).await?;
        let mut total = Usage::default();
        groups.values().for_each(|usage| total += *usage);
        let skip = after
            .and_then(|[skip]| usize::try_from(skip).ok())
            .unwrap_or(0);
        let more = groups.len() > skip.saturating_add(limit);
        let next = more.then(|| i64::try_from(skip + limit).unwrap_or(i64::MAX));
        let rows = groups.iter().skip(skip).take(limit);
        Ok(proto::GetUsageResponse {
            rows: rows
                .map(|(name, usage)| proto::UsageRow {
                    keys: name
                        .iter()
                        .zip(&group_by)
                        .map(|(part, by)| key_of(part, by, &tenant))
                        .collect(),
                    usage: Some(encode::usage(usage)),
                })
                .collect(),
            next_page_token: list.token(next.map(|next| [next])),
            total: Some(encode::usage(&total)),
        })
    }

    pub(super) async fn set_a_budget(
        &self,
        caller: Arc<Identity>,
        mut request: proto::SetBudgetRequest,
    ) -> Result<proto::SetBudgetResponse, Refusal> {
        let request_id = std::mem::take(&mut request.request_id);
        let hash = parse::request_hash(&request);
        let proto::SetBudgetRequest {
            scope,
            key,
            period,
            soft_micros,
            hard_micros,
            soft_tokens,
            hard_tokens,
            on_exceeded,
            request_id: _,
            tenant,
        } = request;
        let mut fields = Fields::default();
        fields.request_id(&request_id);
        let bounds = Bounds {
            soft_micros,
            hard_micros,
            soft_tokens,
            hard_tokens,
        };
        let named = [
            ("soft_micros", soft_micros),
            ("hard_micros", hard_micros),
            ("soft_tokens", soft_tokens),
            ("hard_tokens", hard_tokens),
        ];
        for (field, bound) in named {
            if bound.is_some_and(|bound| !(0..=LIMIT_MAX).contains(&bound)) {
                fields.wrong(field, format!("must be from 0 to {LIMIT_MAX}"));
            }
        }
        if bounds == Bounds::default() {
            fields.wrong("hard_micros", "one bound at least must be set");
        }
        let on_exceeded = match on_exceeded {
            0 => Some(OnExceeded::default()),
            number => OnExceeded::from_number(number.into()),
        };
        if on_exceeded.is_none() {
            fields.wrong("on_exceeded", "must be REJECT or PAUSE");
        }
        let name = budget_name(&mut fields, &caller, (scope, &key, period), &tenant);
        let (name, on_exceeded) = fields.finish(name.zip(on_exceeded))?;
        require_operator(&caller, &name)?;
        let command = SetBudget {
            request: request_key("SetBudget", request_id, hash),
            caller,
            name,
            bounds,
            on_exceeded,
            now: clock::now(),
        };
        let (budget, replayed) = self.store.set_budget(command).await?;
        Ok(proto::SetBudgetResponse {
            budget: Some(encode::budget(&budget)),
            replayed,
        })
    }

    pub(super) async fn budgets_of(
        &self,
        caller: &Identity,
        request: proto::ListBudgetsRequest,
    ) -> Result<proto::ListBudgetsResponse, Refusal> {
        let proto::ListBudgetsRequest {
            page_size,
            page_token,
            tenant,
        } = request;
        let mut fields = Fields::default();
        let tenant = tenant_of(&mut fields, caller, &tenant);
        let limit = fields.page_size(page_size);
        let list = self.pages.list(caller, &format!("budgets {tenant}"));
        let after = list.position(&mut fields, &page_token);
        fields.check()?;
        let after = after.map(|[after]| after);
        let BudgetsPage { mut budgets, next } =
            self.store.list_budgets(&tenant, after, limit).await?;
        let now = clock::now();
        Ok(proto::ListBudgetsResponse {
            budgets: budgets
                .iter_mut()
                .map(|budget| {
                    budget.at(now);
                    encode::budget(budget)
                })
                .collect(),
            next_page_token: list.token(next.map(|next| [next])),
        })
    }

    pub(super) async fn delete_a_budget(
        &self,
        caller: Arc<Identity>,
        mut request: proto::DeleteBudgetRequest,
    ) -> Result<proto::DeleteBudgetResponse, Refusal> {
        let request_id = std::mem::take(&mut request.request_id);
        let hash = parse::request_hash(&request);
        let proto::DeleteBudgetRequest {
            scope,
            key,
            period,
            request_id: _,
            tenant,
        } = request;
        let mut fields = Fields::default();
        fields.request_id(&request_id);
        let name = budget_name(&mut fields, &caller, (scope, &key, period), &tenant);
        let name = fields.finish(name)?;
        require_operator(&caller, &name)?;
        let command = DeleteBudget {
            request: request_key("DeleteBudget", request_id, hash),
            caller,
            name,
            now: clock::now(),
        };
        let (deleted, replayed) = self.store.delete_budget(command).await?;
        Ok(proto::DeleteBudgetResponse { deleted, replayed })
    }
}

fn request_key(method: &'static str, request_id: String, hash: [u8; 32]) -> Option<RequestKey> {
    (!request_id.is_empty()).then_some(RequestKey {
        request_id,
        method,
        hash,
    })
}

/// A tenant's own budget is for whoever runs the server: no credential of another tenant has this scope.
fn require_operator(caller: &Identity, name: &BudgetName) -> Result<(), Refusal> {
    match name.scope {
        BudgetScope::Tenant => caller.require(Scope::AdminConfig),
        BudgetScope::Session | BudgetScope::Principal | BudgetScope::Label => Ok(()),
    }
}

fn budget_name(
    fields: &mut Fields,
    caller: &Identity,
    (scope, key, period): (i32, &str, i32),
    tenant: &str,
) -> Option<BudgetName> {
    let tenant = tenant_of(fields, caller, tenant);
    let known = BudgetScope::from_number(scope.into());
    if known.is_none() {
        fields.wrong("scope", "must be SESSION, PRINCIPAL, TENANT or LABEL");
    }
    let key = known.and_then(|scope| {
        let key = scope.key(&tenant, key);
        key.map_err(|problem| fields.wrong("key", problem)).ok()
    });
    let period = Period::from_number(period.into());
    if period.is_none() {
        fields.wrong("period", "must be TOTAL, DAY or MONTH");
    }
    Some(BudgetName {
        scope: known?,
        key: key?,
        period: period?,
        tenant,
    })
}

fn groups(fields: &mut Fields, asked: &[proto::UsageGrouping]) -> Vec<GroupBy> {
    use proto::UsageBy as By;
    if asked.len() > GROUP_BY_MAX {
        fields.wrong("group_by", format!("must be at most {GROUP_BY_MAX}"));
    }
    let mut by = Vec::new();
    for (at, one) in asked.iter().enumerate().take(GROUP_BY_MAX) {
        let label = one.label_key.as_str();
        let label_field = format!("group_by[{at}].label_key");
        match one.by() {
            By::Label if label.is_empty() || label.len() > MAP_KEY_MAX_BYTES => {
                fields.wrong(label_field, "must be a label's key");
                continue;
            }
            By::Label | By::Unspecified => {}
            By::Session | By::Principal | By::Agent | By::Model | By::Day => {
                if !label.is_empty() {
                    fields.wrong(label_field, "is for LABEL alone");
                }
            }
        }
        by.push(match one.by() {
            By::Session => GroupBy::Session,
            By::Principal => GroupBy::Principal,
            By::Agent => GroupBy::Agent,
            By::Model => GroupBy::Model,
            By::Day => GroupBy::Day,
            By::Label => GroupBy::Label(label.to_owned()),
            By::Unspecified => {
                let problem = "must be SESSION, PRINCIPAL, AGENT, MODEL, LABEL or DAY";
                fields.wrong(format!("group_by[{at}].by"), problem);
                continue;
            }
        });
    }
    by
}

fn usage_filter(
    fields: &mut Fields,
    asked: proto::UsageFilter,
    tenant: &str,
    owner: Option<String>,
) -> UsageFilter {
    let proto::UsageFilter {
        session_key,
        principal,
        agent,
        model,
        labels,
        start_time,
        end_time,
    } = asked;
    if !session_key.is_empty() {
        fields.session_key("filter.session_key", &session_key);
    }
    fields.text("filter.agent", &agent, NAME_MAX_BYTES);
    fields.labels("filter.labels", &labels);
    let subject = match principal.split_once('/') {
        None if principal.is_empty() => String::new(),
        Some((named, subject)) if named == tenant => {
            let subject = SessionKey::parse(subject);
            subject.map_or_else(
                |problem| {
                    fields.wrong("filter.principal", problem);
                    String::new()
                },
                |subject| subject.as_str().to_owned(),
            )
        }
        Some(_) | None => {
            let problem = "must be a principal of the tenant, as tenant/subject";
            fields.wrong("filter.principal", problem);
            String::new()
        }
    };
    // A day that has begun counts.
    let first_day = fields.time("filter.start_time", start_time).map(day_of);
    let end_day = fields
        .time("filter.end_time", end_time)
        .map(|end| day_of(Time(end.0.saturating_sub(1))) + 1);
    UsageFilter {
        tenant: tenant.to_owned(),
        owner,
        session_key,
        subject,
        agent,
        model,
        labels,
        first_day,
        end_day,
    }
}

/// A part of a group's name, as callers are told.
fn key_of(part: &Part, by: &proto::UsageGrouping, tenant: &str) -> String {
    match (part, by.by()) {
        (Part::Word(subject), proto::UsageBy::Principal) => Principal {
            tenant: tenant.to_owned(),
            subject: subject.clone(),
        }
        .to_string(),
        (Part::Word(word), _) => word.clone(),
        (Part::Day(day), _) => {
            let midnight = encode::timestamp(crate::domain::budget::midnight(*day)).to_string();
            midnight.split('T').next().unwrap_or_default().to_owned()
        }
    }
}
