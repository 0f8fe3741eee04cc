//! An operation as its handler describes it, completed with what every operation like it has.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::headers;
use super::problems;

/// Completes what `utoipa` made of an annotation.
///
/// * `security(…)` names who may: `()` everybody, `"user"`, `"owner"`, `"moderator"`, `"admin"`; `()` beside `"user"` is everybody, who may say
///   who they are. It becomes the bearer token, and `x-caudal-auth`.
/// * An answer of 400 and more has codes for a description, with commas between them. Those that follow from who may and from
///   what is read are added.
pub(super) fn complete(noun: &str, operation: &mut Value) {
    let function = operation["operationId"].as_str().unwrap_or_default();
    operation["operationId"] = operation_id(noun, function).into();
    operation["tags"] = json!([noun]);
    let (summary, description) = words(operation);
    operation["summary"] = summary.into();
    if !description.is_empty() {
        operation["description"] = description.into();
    }
    let access = Access::of(&operation["security"]);
    if let Some(access) = access {
        operation["x-caudal-auth"] = access.word().into();
        operation["security"] = access.security();
    }
    let implied = implied_codes(operation, access);
    let has_pages = parameters(operation).any(|parameter| parameter["name"] == "cursor");
    let mut answers = Map::new();
    let mut refusals: BTreeMap<u16, Refusal> = BTreeMap::new();
    if let Some(responses) = operation["responses"].as_object() {
        for (status, response) in responses {
            match status.parse::<u16>() {
                Ok(number) if number >= 400 => {
                    let refusal = refusals.entry(number).or_default();
                    let codes = response["description"].as_str().unwrap_or_default();
                    refusal.codes.extend(codes.split(", ").map(str::to_owned));
                    refusal.headers.extend(header_names(response).map(str::to_owned));
                }
                _ => {
                    answers.insert(status.clone(), success(status, response, has_pages));
                }
            }
        }
    }
    for (status, code) in implied {
        let Refusal { codes, .. } = refusals.entry(status).or_default();
        if !codes.iter().any(|own| own == code) {
            codes.push(code.to_owned());
        }
    }
    for (status, Refusal { codes, headers }) in refusals {
        answers.insert(status.to_string(), problems::answer(status, &codes, &headers));
    }
    operation["responses"] = answers.into();
}

/// What an operation refuses with, of one status.
#[derive(Default)]
struct Refusal {
    codes: Vec<String>,
    /// Besides those of every refusal.
    headers: Vec<String>,
}

/// Who may ask for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Anonymous,
    /// Everybody; whoever says who they are sees more.
    AnonymousOrUser,
    User,
    /// Whose it is.
    Owner,
    /// Whose it is, and who keeps order there.
    Moderator,
    Admin,
}

impl Access {
    /// None of an annotation that does not say.
    fn of(security: &Value) -> Option<Self> {
        let names: Vec<&str> = security
            .as_array()?
            .iter()
            .map(|one| one.as_object().and_then(|one| one.keys().next()).map_or("", String::as_str))
            .collect();
        match names.as_slice() {
            [""] => Some(Self::Anonymous),
            ["", "user"] => Some(Self::AnonymousOrUser),
            ["user"] => Some(Self::User),
            ["owner"] => Some(Self::Owner),
            ["moderator"] => Some(Self::Moderator),
            ["admin"] => Some(Self::Admin),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Anonymous | Self::AnonymousOrUser => "anonymous",
            Self::User => "user",
            Self::Owner => "owner",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }

    fn security(self) -> Value {
        match self {
            Self::Anonymous => json!([]),
            Self::AnonymousOrUser => json!([{}, { "bearer": [] }]),
            Self::User | Self::Owner | Self::Moderator | Self::Admin => json!([{ "bearer": [] }]),
        }
    }

    fn codes(self) -> impl Iterator<Item = Code> {
        let who: &'static [&'static str] = match self {
            Self::Anonymous | Self::AnonymousOrUser => &[],
            Self::User | Self::Owner | Self::Moderator | Self::Admin => {
                &["unauthenticated", "token_invalid", "token_expired", "session_revoked"]
            }
        };
        let is_for_some = matches!(self, Self::Owner | Self::Moderator | Self::Admin);
        who.iter().map(|code| (401, *code)).chain(is_for_some.then_some((403, "forbidden")))
    }
}

/// With the status that it comes with.
type Code = (u16, &'static str);

/// What need not be said of each operation.
fn implied_codes(operation: &Value, access: Option<Access>) -> Vec<Code> {
    let mut codes = vec![(429, "rate_limited"), (500, "internal"), (503, "unavailable"), (503, "timed_out")];
    codes.extend(access.into_iter().flat_map(Access::codes));
    if parameters(operation).any(|parameter| parameter["in"] == "query") {
        codes.extend([(400, "malformed"), (422, "invalid")]);
    }
    if operation["requestBody"].is_object() {
        codes.extend([(400, "malformed"), (413, "too_large"), (415, "unsupported_media_type")]);
        // A picture has no fields.
        if operation["requestBody"]["content"]["application/json"].is_object() {
            codes.push((422, "invalid"));
        }
    }
    codes
}

fn parameters(operation: &Value) -> impl Iterator<Item = &Value> {
    operation["parameters"].as_array().into_iter().flatten()
}

fn success(status: &str, response: &Value, has_pages: bool) -> Value {
    let mut response = response.clone();
    if response["description"].as_str().is_none_or(str::is_empty) {
        response["description"] = phrase(status).into();
    }
    let link = has_pages.then_some("Link");
    response["headers"] =
        headers::references(header_names(&response).chain(link).chain(headers::ALWAYS)).into();
    response
}

fn header_names(response: &Value) -> impl Iterator<Item = &str> {
    response["headers"].as_object().into_iter().flat_map(Map::keys).map(String::as_str)
}

fn phrase(status: &str) -> &'static str {
    match status {
        "201" => "It was made.",
        "202" => "It is being done.",
        "204" => "It is done.",
        "304" => "It is as it was.",
        _ => "Here it is.",
    }
}

/// The first sentence of the handler's comment, and the rest.
fn words(operation: &Value) -> (String, String) {
    let text = |field: &str| operation[field].as_str().unwrap_or_default();
    // Lines end where they are full, paragraphs at an empty line.
    let summary = text("summary").replace('\n', " ");
    let (first, rest) = match summary.split_once(". ") {
        Some((first, rest)) => (first, rest),
        None => (summary.trim_end_matches('.'), ""),
    };
    let description = text("description").replace('\n', " ");
    (first.to_owned(), [rest, &description].join("\n\n").trim().to_owned())
}

/// `streamsShow` of `show`; `search` alone where both are one word.
fn operation_id(noun: &str, function: &str) -> String {
    if noun == function {
        return noun.to_owned();
    }
    let mut id = noun.to_owned();
    for word in function.split('_') {
        let mut letters = word.chars();
        id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(letters.as_str());
    }
    id
}
