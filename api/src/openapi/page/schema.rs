//! Schemas in words: a type in a few, an object as a table.

use std::fmt::Write as _;

use serde_json::Value;

use super::super::example;
use super::writing::{escaped, fields, list, plain, text};
use super::{OPTIONAL, Page};

impl<'a> Page<'a> {
    /// The fields of an object's schema.
    pub(super) fn schema_fields(&mut self, schema: &'a Value) {
        let schema = self.resolved(schema);
        self.prose(text(&schema["description"]));
        let parts = list(&schema["allOf"]).iter().chain([schema]);
        self.table(["Field", "Type", "What"]);
        for part in parts {
            let required = list(&part["required"]);
            for (name, field) in fields(&part["properties"]) {
                let optional = if required.iter().any(|known| known == name) { "" } else { OPTIONAL };
                let _ = write!(self.html, "<tr><td><code>{}</code>{optional}</td><td>", escaped(name));
                self.kind(field);
                self.raw("</td><td>");
                // Beside a reference that may be null, it stands in the reference.
                let words = [field, example::not_null(field)].map(|field| text(&field["description"]));
                self.inline(words.into_iter().find(|words| !words.is_empty()).unwrap_or_default());
                self.raw("</td></tr>");
            }
        }
        self.raw("</tbody></table></div>");
    }

    /// The type in a few words: `text, 1 to 140`, `Stream or null`, `list of Stream`.
    pub(super) fn kind(&mut self, schema: &Value) {
        let nullable = list(&schema["type"]).iter().chain(list(&schema["oneOf"])).any(is_null);
        let schema = example::not_null(schema);
        if let Some(name) = example::referred(schema) {
            let _ = write!(self.html, "<a href=\"#type-{0}\">{0}</a>", escaped(name));
        } else if schema["items"].is_object() {
            self.raw("list of ");
            self.kind(&schema["items"]);
            self.bounds("", &schema["minItems"], &schema["maxItems"]);
        } else if !schema["enum"].is_null() {
            let words: Vec<_> = list(&schema["enum"])
                .iter()
                .map(|word| format!("<code>{}</code>", escaped(text(word))))
                .collect();
            self.raw(&words.join(", "));
        } else {
            let kinds = std::iter::once(&schema["type"]).chain(list(&schema["type"]));
            let kind = kinds.filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("anything");
            let format = text(&schema["format"]);
            let word = match (kind, format) {
                ("string", "uuid") => "UUID",
                ("string", "date-time") => "time",
                ("string", "email") => "email address",
                ("string", "uri") => "URL",
                ("string", _) => "text",
                ("boolean", _) => "yes or no",
                (kind, _) => kind,
            };
            self.raw(word);
            self.bounds(
                if kind == "string" { " characters" } else { "" },
                &schema["minLength"],
                &schema["maxLength"],
            );
            self.bounds("", &schema["minimum"], &schema["maximum"]);
            if let Some(pattern) = schema["pattern"].as_str() {
                let _ = write!(self.html, ", <code>{}</code>", escaped(pattern));
            }
            if !schema["default"].is_null() {
                let _ = write!(self.html, ", {} by default", escaped(&plain(&schema["default"])));
            }
        }
        if nullable {
            self.raw(" or null");
        }
    }

    fn bounds(&mut self, unit: &str, least: &Value, most: &Value) {
        let _ = match (least.is_null(), most.is_null()) {
            (true, true) => Ok(()),
            (false, true) => write!(self.html, ", {least}{unit} at least"),
            (true, false) => write!(self.html, ", {most}{unit} at most"),
            (false, false) => write!(self.html, ", {least} to {most}{unit}"),
        };
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        example::resolved(schema, self.schemas)
    }
}

fn is_null(kind: &Value) -> bool {
    kind == "null" || kind["type"] == "null"
}
