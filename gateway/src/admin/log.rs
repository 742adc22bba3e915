//! The provisioning log of a tenant: what its client asked, and what came of it.

use axum::Json as JsonBody;
use axum::extract::{FromRequestParts, Query, State};
use http::request::Parts;
use platform::ids::{GroupId, UserId};
use proto::common::v1::{AttributeChange, Context, Dialect, Page, Warning};
use proto::identity::v1::ListUsersRequest;
use proto::journal::v1::{Exchange, ListExchangesRequest, Outcome};
use proto::membership::v1::{ListGroupsRequest, list_groups_response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, text_if_any, time};
use super::request::{self, Named};
use super::settings::ShownDialect;
use crate::App;
use crate::error::{Error, Problem, Result};
use crate::headers::RequestId;
use crate::tenant::Administrator;
use ::scim::ErrorKind;

/// Living resources that one name leads to, besides the name itself: the journal takes five in all.
const LIVING: i64 = 4;

/// Which exchanges are wanted; what is left out does not matter.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Search {
    /// About this user, who was created, changed, read or deleted, or came to or left a group: an id, a userName in any case,
    /// or an externalId. Also of one who is gone.
    #[param(required = false)]
    user: String,
    /// And about this group: an id, a displayName in any case, or an externalId. Also of one that is gone.
    #[param(required = false)]
    group: String,
    /// With one of these outcomes, separated by commas: `changed`, `unchanged`, `warning`, `refused`, `failed`.
    #[param(required = false, example = "refused,failed")]
    outcome: String,
    /// Not before.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before.
    #[param(format = DateTime)]
    until: Option<String>,
    /// Of this request: the header `Rollcall-Request-Id` of its answer.
    #[param(required = false)]
    request_id: String,
    /// Leave out what changed nothing and went well, such as reads.
    notable: bool,
    /// At most this many. 0: 100. Fewer when they are large.
    #[param(minimum = 0, maximum = 1000, default = 100)]
    page_size: i32,
    /// `next_page_token` of the page before; left out for the first.
    #[param(required = false)]
    page_token: String,
}

impl FromRequestParts<App> for Search {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let search = Query::<Self>::try_from_uri(&parts.uri);
        let Query(search) = search.map_err(|error| {
            // axum's own text does not say what of it went wrong.
            let cause =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Error::new(ErrorKind::InvalidValue, format!("the query does not fit: {cause}"))
        })?;
        if search.page_size < 0 {
            let detail = "page_size must be an integer from 1 to 1000";
            return Err(Error::new(ErrorKind::InvalidValue, detail).into());
        }
        Ok(search)
    }
}

/// A page of exchanges, latest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Exchanges {
    exchanges: Vec<ShownExchange>,
    /// The ids of those whom `user` stands for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    user_ids: Vec<String>,
    /// The ids of those which `group` stands for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_ids: Vec<String>,
    /// For the next page; left out on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// One request of a tenant's client and its answer. An operation of a bulk request is an exchange of its own.
#[derive(Serialize, ToSchema)]
#[schema(as = Exchange)]
pub(crate) struct ShownExchange {
    #[schema(format = "uuid")]
    id: String,
    /// When the request arrived.
    #[schema(format = DateTime)]
    at: String,
    /// Correlates with the answer's header `Rollcall-Request-Id`, logs and traces.
    request_id: String,
    actor: Actor,
    /// For example `user.patch`, `group.list`, `bulk`.
    action: String,
    method: String,
    /// Path and query behind the Tenant URL.
    target: String,
    /// HTTP status; 499 when the client hung up before it was answered.
    status: i32,
    outcome: ShownOutcome,
    /// Why not: `scimType` or kind of error.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// And in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// How the request was read.
    dialect: ShownDialect,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Resource>,
    /// What was skipped rather than refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<ShownWarning>,
    /// What became different.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
    /// Ids of those who became members of the group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members_added: Vec<String>,
    /// Ids of those who ceased to be members of the group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members_removed: Vec<String>,
    /// More came or went than are listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    members_truncated: bool,
    latency_us: i64,
    /// When it will be deleted.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Who asked.
#[derive(Serialize, ToSchema)]
pub(crate) struct Actor {
    /// Id of the token, OAuth client or trusted issuer.
    id: String,
    /// What people call it.
    label: String,
}

/// Which resource it was about, as far as that is known.
#[derive(Serialize, ToSchema)]
pub(crate) struct Resource {
    /// `User` or `Group`.
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// userName or displayName.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    /// After a write.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
}

/// What was skipped.
#[derive(Serialize, ToSchema)]
#[schema(as = Warning)]
pub(crate) struct ShownWarning {
    attribute: String,
    detail: String,
}

/// What became different in one attribute. Values that the schema hides read `(redacted)`; long ones are cut.
#[derive(Serialize, ToSchema)]
#[schema(as = AttributeChange)]
pub(crate) struct Change {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

/// What came of a request.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Outcome)]
pub(crate) enum ShownOutcome {
    /// Done, and something became different.
    Changed,
    /// Done, nothing became different: a read, or a write that said what was so already.
    Unchanged,
    /// Done, but part of it was skipped with a warning.
    Warning,
    /// Refused: the request's fault.
    Refused,
    /// Failed: our fault, or the client hung up.
    Failed,
}

/// Searches the provisioning log of a tenant, latest first, a page at a time.
///
/// Why did this person lose access? `?user=anna@example.com&notable=true`.
#[utoipa::path(
    get, path = "/tenants/{tenant}/log", operation_id = "searchLog", tag = "Audit",
    params(Search),
    responses((status = 200, description = "A page of exchanges.", body = Exchanges)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Named(id_or_name): Named<String>,
    search: Search,
) -> Answer<JsonBody<Exchanges>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let context = Context {
        tenant_id: tenant_id.clone(),
        // References are compared to the letter of the RFC, whatever the tenant's client speaks.
        dialect: Dialect::Rfc.into(),
        request_id: request_id.0.0.clone(),
    };
    let question = ListExchangesRequest {
        users: users(&app, &administrator, &context, &search.user).await,
        groups: groups(&app, &administrator, &context, &search.group).await,
        outcomes: outcomes(&search.outcome)?,
        from_us: request::micros_if_any("from", search.from.as_deref())?,
        until_us: request::micros_if_any("until", search.until.as_deref())?,
        tenant_id,
        request_id: search.request_id,
        only_notable: search.notable,
        page_size: search.page_size,
        page_token: search.page_token,
    };
    let answer = app.clients.log.clone().list_exchanges(administrator.call(question)?).await?.into_inner();
    Ok(JsonBody(Exchanges {
        exchanges: answer.exchanges.into_iter().map(ShownExchange::of).collect(),
        user_ids: answer.user_ids,
        group_ids: answer.group_ids,
        next_page_token: text_if_any(answer.next_page_token),
    }))
}

/// The outcomes of these names.
fn outcomes(names: &str) -> Result<Vec<i32>> {
    let mut outcomes = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let outcome = match name {
            "changed" => Outcome::Changed,
            "unchanged" => Outcome::Unchanged,
            "warning" => Outcome::Warning,
            "refused" => Outcome::Refused,
            "failed" => Outcome::Failed,
            _ => {
                let detail = "outcome must be changed, unchanged, warning, refused or failed, or several of them with commas between";
                return Err(platform::Error::invalid_value(detail).with_attribute("outcome").into());
            }
        };
        outcomes.push(outcome.into());
    }
    Ok(outcomes)
}

/// A user as it was named, and who is called that now: the log may know them from groups only, by id.
async fn users(app: &App, administrator: &Administrator, context: &Context, user: &str) -> Vec<String> {
    if user.is_empty() {
        return Vec::new();
    }
    let mut named = vec![user.to_owned()];
    if user.parse::<UserId>().is_ok() {
        return named;
    }
    let living = async {
        let request = administrator.call(ListUsersRequest {
            context: Some(context.clone()),
            filter: called("userName", user),
            page: Some(first_few()),
            ..ListUsersRequest::default()
        })?;
        Ok(app.clients.users.clone().list_users(request).await?.into_inner().resources)
    };
    let living: Result<Vec<proto::common::v1::Resource>> = living.await;
    match living {
        Ok(living) => named.extend(living.into_iter().map(|user| user.id)),
        Err(error) => unresolved(&error),
    }
    named
}

/// A group as it was named, and which are called that now.
async fn groups(app: &App, administrator: &Administrator, context: &Context, group: &str) -> Vec<String> {
    if group.is_empty() {
        return Vec::new();
    }
    let mut named = vec![group.to_owned()];
    if group.parse::<GroupId>().is_ok() {
        return named;
    }
    let living = async {
        let request = administrator.call(ListGroupsRequest {
            context: Some(context.clone()),
            filter: called("displayName", group),
            page: Some(first_few()),
            ..ListGroupsRequest::default()
        })?;
        let mut answer = app.clients.groups.clone().list_groups(request).await?.into_inner();
        let mut ids = Vec::new();
        while let Some(piece) = answer.message().await? {
            if let Some(list_groups_response::Part::Group(group)) = piece.part {
                ids.push(group.id);
            }
        }
        Ok(ids)
    };
    let living: Result<Vec<String>> = living.await;
    match living {
        Ok(living) => named.extend(living),
        Err(error) => unresolved(&error),
    }
    named
}

/// Whoever has this name or external id.
fn called(attribute: &str, name: &str) -> String {
    let name = Value::from(name);
    format!("{attribute} eq {name} or externalId eq {name}")
}

fn first_few() -> Page {
    Page { start_index: 1, count: Some(LIVING), cursor: None }
}

/// The log still answers by what it knows itself.
fn unresolved(error: &Error) {
    tracing::warn!(
        error.kind = error.kind().name(),
        "searching the provisioning log without asking who has the name now: {}",
        error.detail()
    );
}

impl ShownExchange {
    fn of(exchange: Exchange) -> Self {
        let (outcome, dialect) = (exchange.outcome(), exchange.dialect());
        let Exchange {
            id,
            tenant_id: _,
            at_us,
            request_id,
            actor_id,
            actor_label,
            action,
            method,
            target,
            status,
            outcome: _,
            error,
            detail,
            dialect: _,
            resource_type,
            resource_id,
            resource_name,
            version,
            warnings,
            changes,
            members_added,
            members_removed,
            members_truncated,
            latency_us,
            expires_at_us,
            resource_external_id,
        } = exchange;
        let resource = text_if_any(resource_type).map(|r#type| Resource {
            r#type,
            id: text_if_any(resource_id),
            name: text_if_any(resource_name),
            external_id: text_if_any(resource_external_id),
            version: Some(version).filter(|version| *version != 0),
        });
        Self {
            id,
            at: time(at_us),
            request_id,
            actor: Actor { id: actor_id, label: actor_label },
            action,
            method,
            target,
            status,
            outcome: match outcome {
                Outcome::Changed => ShownOutcome::Changed,
                Outcome::Warning => ShownOutcome::Warning,
                Outcome::Refused => ShownOutcome::Refused,
                Outcome::Failed => ShownOutcome::Failed,
                Outcome::Unchanged | Outcome::Unspecified => ShownOutcome::Unchanged,
            },
            error: text_if_any(error),
            detail: text_if_any(detail),
            dialect: dialect.into(),
            resource,
            warnings: warnings
                .into_iter()
                .map(|Warning { attribute, detail }| ShownWarning { attribute, detail })
                .collect(),
            changes: changes
                .into_iter()
                .map(|AttributeChange { path, before, after }| Change {
                    path,
                    before: value(before),
                    after: value(after),
                })
                .collect(),
            members_added,
            members_removed,
            members_truncated,
            latency_us,
            expires_at: time(expires_at_us),
        }
    }
}

/// A value as JSON; what was cut, or is none, as text.
fn value(text: String) -> Option<Value> {
    let text = text_if_any(text)?;
    Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
