//! The OpenAPI document of the admin API. Operations and schemas come from the handlers; what all operations share is added
//! here: parameters of the path, the Idempotency-Key, errors, the security scheme.

use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

/// What every variable part of a path means.
const PATH_PARAMETERS: [(&str, &str); 8] = [
    ("tenant", "Id or name of the tenant."),
    ("credential", "Id of the token."),
    ("issuer", "Id of the trusted issuer."),
    ("client", "The client_id."),
    ("admin", "Id of the admin token."),
    ("urn", "URN of the schema, in any case."),
    ("team", "The uuid of the team, or its slug in any case."),
    ("user", "Id of the user."),
];

/// Errors that many operations have, by status.
const ERRORS: [(&str, &str); 10] = [
    ("400", "The request does not fit."),
    ("401", "The token is missing, or no good."),
    ("403", "The token is not for the admin API."),
    ("404", "There is no such thing."),
    (
        "409",
        "The request with this Idempotency-Key is under way, or it is not known what became of it: the header Retry-After says when to try again.",
    ),
    ("413", "The body is too large."),
    ("415", "The body is not of the right Content-Type."),
    ("422", "The Idempotency-Key was used for another request."),
    ("429", "Too many requests: the header Retry-After says when to try again."),
    ("503", "A service is away: try again shortly."),
];

/// Where the document is served, within the admin API. Anybody may read it: it tells what this program can do, which is public, and nothing of
/// what is stored.
pub(super) const PATH: &str = "/openapi.json";

/// An error (RFC 9457).
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what `error::Problem` writes, for the document")]
struct Problem {
    /// The name of the status.
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What kind of error it is, for programs: e.g. `NotFound`, `InvalidValue`, `Uniqueness`.
    kind: String,
    /// What is wrong, where, and what would be right.
    detail: String,
    /// The attribute concerned.
    #[schema(required = false)]
    attribute: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rollcall admin API",
        description = "Tenants, their settings, credentials, schemas, teams and users; OAuth clients; the audit. \
                       A POST with the header Idempotency-Key can be repeated without harm.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/admin/v1")),
    components(schemas(Problem)),
    tags(
        (name = "Tenants", description = "Organizations, and whether and how they are provisioned."),
        (name = "Credentials", description = "Tokens that provision a tenant."),
        (name = "Trusted issuers", description = "Issuers whose own JWTs provision a tenant."),
        (name = "Extension schemas", description = "Attributes of users beyond those of RFC 7643."),
        (name = "Teams and roles", description = "What users have besides groups."),
        (name = "Users", description = "Users who are managed here, and users who were deleted."),
        (name = "OAuth clients", description = "Internal services that ask questions, and provisioning clients."),
        (name = "Audit", description = "Who changed what, and what happened."),
        (name = "Platform", description = "Admin tokens and signing keys."),
    ),
)]
struct Base;

/// What the operations are added to.
pub(super) fn base() -> Document {
    Base::openapi()
}

/// The document with what all operations share, ready to be served.
pub(super) fn complete(document: &Document) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["security"] = json!([{"adminToken": []}]);
    document["components"]["securitySchemes"] = json!({
        "adminToken": {
            "type": "http",
            "scheme": "bearer",
            "description": "The admin token: the first start of `rollcall standalone` writes one, POST /admins makes more.",
        },
    });
    document["components"]["responses"]["Problem"] = problem("An error (RFC 9457).");
    for (status, description) in ERRORS {
        document["components"]["responses"][format!("Problem{status}")] = problem(description);
    }
    for (path, operations) in members(&mut document["paths"]) {
        for (method, operation) in members(operations) {
            share(path, method, operation);
        }
    }
    document
}

fn share(path: &str, method: &str, operation: &mut Value) {
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    for (at, name) in names.enumerate() {
        let meaning =
            PATH_PARAMETERS.iter().find(|(known, _)| *known == name).map_or("", |(_, meaning)| meaning);
        let parameter = json!({
            "name": name, "in": "path", "required": true, "description": meaning, "schema": {"type": "string"},
        });
        parameters.insert(at, parameter);
    }
    let mut errors = vec!["401", "403", "429", "503"];
    if path.contains('{') {
        errors.push("404");
    }
    if operation.get("requestBody").is_some() || operation.get("parameters").is_some() {
        errors.push("400");
    }
    if operation.get("requestBody").is_some() {
        errors.extend(["413", "415"]);
    }
    if method == "post" {
        errors.extend(["409", "422"]);
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Whoever repeats the request with the same key within 24 hours gets the first answer again, with \
                            the header `Idempotency-Replayed: true`.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }));
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    for (status, response) in members(&mut operation["responses"]) {
        if status.starts_with(['4', '5']) {
            let own = response["description"].as_str().unwrap_or_default();
            let shared = ERRORS.iter().find(|(known, _)| known == status && errors.contains(known));
            let description =
                shared.map_or_else(|| own.to_owned(), |(_, shared)| format!("{own} Or: {shared}"));
            *response = problem(&description);
        }
    }
    for status in errors {
        if operation["responses"].get(status).is_none() {
            operation["responses"][status] =
                json!({"$ref": format!("#/components/responses/Problem{status}")});
        }
    }
    operation["responses"]["default"] = json!({"$ref": "#/components/responses/Problem"});
}

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    })
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flat_map(Map::iter_mut)
}
