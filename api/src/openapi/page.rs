//! The document as one page of HTML, for people: no script, nothing from elsewhere, `<details>` for what is long.

mod schema;
mod writing;

use std::fmt::Write as _;

use serde_json::{Map, Value};

use self::writing::{escaped, fields, list, plain, text};
use super::example;

/// The page. `url` is the api's own, for examples that can be pasted.
pub(super) fn render(document: &Value, url: &str) -> String {
    let none = Map::new();
    let schemas = document["components"]["schemas"].as_object().unwrap_or(&none);
    let mut page = Page { html: String::new(), document, schemas, url };
    page.head();
    page.index();
    page.raw("<main id=\"top\">");
    page.introduction();
    for tag in list(&document["tags"]) {
        page.noun(tag);
    }
    page.types();
    page.raw("</main></div></body></html>\n");
    page.html
}

struct Page<'a> {
    html: String,
    document: &'a Value,
    schemas: &'a Map<String, Value>,
    url: &'a str,
}

impl<'a> Page<'a> {
    fn head(&mut self) {
        self.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
        self.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
        self.raw("<title>Caudal: the REST api</title><style>");
        self.raw(STYLES);
        self.raw(
            "</style></head><body><a class=\"skip\" href=\"#top\">Skip the index</a><div class=\"frame\">",
        );
    }

    fn index(&mut self) {
        self.raw("<nav aria-label=\"Operations\">");
        for tag in list(&self.document["tags"]) {
            let name = text(&tag["name"]);
            let _ = write!(self.html, "<h2><a href=\"#{0}\">{0}</a></h2><ul>", escaped(name));
            for (.., operation) in self.operations(name) {
                let id = escaped(text(&operation["operationId"]));
                let _ = write!(self.html, "<li><a href=\"#{id}\">{id}</a></li>");
            }
            self.raw("</ul>");
        }
        self.raw("<h2><a href=\"#types\">types</a></h2></nav>");
    }

    fn introduction(&mut self) {
        let info = &self.document["info"];
        let _ = write!(
            self.html,
            "<h1>The REST api of {}</h1><p class=\"soft\">Version {}. For programs: <a href=\"/api/openapi.json\">openapi.json</a>.</p>",
            escaped(text(&info["title"])),
            escaped(text(&info["version"]))
        );
        self.prose(text(&info["description"]));
        let scheme = &self.document["components"]["securitySchemes"]["bearer"]["description"];
        self.raw("<p>Whoever is logged in sends <code>Authorization: Bearer TOKEN</code>. ");
        self.inline(text(scheme));
        self.raw("</p>");
    }

    fn noun(&mut self, tag: &Value) {
        let name = text(&tag["name"]);
        let _ = write!(self.html, "<h2 id=\"{0}\">{0}</h2>", escaped(name));
        self.prose(text(&tag["description"]));
        for (path, method, operation) in self.operations(name) {
            self.operation(path, method, operation);
        }
    }

    /// The operations of a noun: by path, and what reads before what changes.
    fn operations(&self, noun: &str) -> Vec<(&'a str, &'a str, &'a Value)> {
        let mut all = Vec::new();
        for (path, methods) in fields(&self.document["paths"]) {
            for method in METHODS {
                let operation = &methods[method];
                if operation["tags"][0] == noun {
                    all.push((path.as_str(), method, operation));
                }
            }
        }
        all
    }

    fn operation(&mut self, path: &str, method: &str, operation: &'a Value) {
        let _ = write!(
            self.html,
            "<details><summary><span class=\"method {method}\">{}</span><span class=\"path\">{}</span><span class=\"says\">",
            method.to_uppercase(),
            escaped(path)
        );
        self.inline(text(&operation["summary"]));
        // A browser opens what a link leads into, and not what it leads to.
        let _ =
            write!(self.html, "</span></summary><div id=\"{}\">", escaped(text(&operation["operationId"])));
        self.prose(text(&operation["description"]));
        let optional = list(&operation["security"]).len() > 1;
        let who = match text(&operation["x-caudal-auth"]) {
            "anonymous" if optional => "Everybody. Whoever is logged in is told more.",
            "anonymous" => "Everybody.",
            "user" => "Whoever is logged in.",
            "owner" => "Only whoever it belongs to.",
            "moderator" => "The streamer, moderators of the channel, and admins.",
            "admin" => "Admins.",
            other => other,
        };
        let _ = write!(self.html, "<p><strong>Who may:</strong> {}</p>", escaped(who));
        self.parameters(list(&operation["parameters"]));
        let body = &operation["requestBody"]["content"]["application/json"];
        if body.is_object() {
            let optional = operation["requestBody"]["required"] != true;
            self.raw(if optional { "<h3>Body, which may be absent</h3>" } else { "<h3>Body</h3>" });
            self.schema_fields(&body["schema"]);
        }
        self.raw("<h3>Example</h3>");
        let command = self.curl(path, method, operation);
        self.code(&command);
        self.answers(&operation["responses"]);
        self.raw("</div></details>");
    }

    fn parameters(&mut self, parameters: &[Value]) {
        if parameters.is_empty() {
            return;
        }
        self.raw("<h3>Parameters</h3>");
        self.table(["Name", "In", "Type", "What"]);
        for parameter in parameters {
            let _ = write!(
                self.html,
                "<tr><td><code>{}</code>{}</td><td>{}</td><td>",
                escaped(text(&parameter["name"])),
                if parameter["required"] == true { "" } else { OPTIONAL },
                escaped(text(&parameter["in"]))
            );
            self.kind(&parameter["schema"]);
            self.raw("</td><td>");
            self.inline(text(&parameter["description"]));
            self.raw("</td></tr>");
        }
        self.raw("</tbody></table></div>");
    }

    fn answers(&mut self, responses: &'a Value) {
        self.raw("<h3>Answers</h3>");
        self.table(["Status", "What", "Body and headers"]);
        let document = self.document;
        for (status, response) in fields(responses) {
            let response = text(&response["$ref"])
                .strip_prefix("#/components/responses/")
                .map_or(response, |name| &document["components"]["responses"][name]);
            let _ = write!(self.html, "<tr><td>{}</td><td>", escaped(status));
            self.prose(text(&response["description"]));
            self.raw("</td><td>");
            for (kind, content) in fields(&response["content"]) {
                if kind.contains("problem") {
                    self.raw("<a href=\"#type-Problem\">Problem</a>");
                } else if kind == "application/json" {
                    self.kind(&content["schema"]);
                } else {
                    let _ = write!(self.html, "<code>{}</code>", escaped(kind));
                }
            }
            for (name, _) in fields(&response["headers"]) {
                if !super::headers::ALWAYS.contains(&name.as_str()) {
                    let _ = write!(self.html, " <code>{}</code>", escaped(name));
                }
            }
            self.raw("</td></tr>");
        }
        self.raw("</tbody></table></div>");
    }

    fn types(&mut self) {
        self.raw("<h2 id=\"types\">types</h2>");
        for (name, schema) in fields(&self.document["components"]["schemas"]) {
            let _ = write!(
                self.html,
                "<details><summary><span class=\"path\">{0}</span></summary><div id=\"type-{0}\">",
                escaped(name)
            );
            if schema["properties"].is_object() || schema["allOf"].is_array() {
                self.schema_fields(schema);
                let shown = example::of(schema, self.schemas);
                self.code(&serde_json::to_string_pretty(&shown).unwrap_or_default());
            } else {
                self.prose(text(&schema["description"]));
                self.raw("<p>");
                self.kind(schema);
                self.raw("</p>");
            }
            self.raw("</div></details>");
        }
    }

    fn curl(&self, path: &str, method: &str, operation: &Value) -> String {
        let mut address = path.to_owned();
        let mut query = Vec::new();
        for parameter in list(&operation["parameters"]) {
            let name = text(&parameter["name"]);
            let given = [&parameter["example"], &parameter["schema"]["example"]];
            let given = given.into_iter().find(|given| !given.is_null()).map(plain);
            let value = given.unwrap_or_else(|| plain(&example::of(&parameter["schema"], self.schemas)));
            match text(&parameter["in"]) {
                "path" => address = address.replace(&format!("{{{name}}}"), &value),
                "query" if parameter["required"] == true => query.push(format!("{name}={value}")),
                _ => {}
            }
        }
        if !query.is_empty() {
            let _ = write!(address, "?{}", query.join("&"));
        }
        let mut command = String::from("curl ");
        if method != "get" {
            let _ = write!(command, "-X {} ", method.to_uppercase());
        }
        let _ = write!(command, "'{}{address}'", self.url);
        if text(&operation["x-caudal-auth"]) != "anonymous" {
            command.push_str(" \\\n  -H \"Authorization: Bearer $TOKEN\"");
        }
        let body = &operation["requestBody"]["content"]["application/json"]["example"];
        if !body.is_null() {
            let body = body.to_string().replace('\'', "'\\''");
            let _ = write!(command, " \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'");
        }
        command
    }
}

/// In the page itself, by its digest in the policy: a file would be one more address.
pub(super) const STYLES: &str = include_str!("page/styles.css");

const OPTIONAL: &str = " <span class=\"soft\">optional</span>";

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
