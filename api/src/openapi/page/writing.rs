//! Text as HTML, and values as text.

use std::fmt::Write as _;

use serde_json::Value;

use super::Page;

impl Page<'_> {
    pub(super) fn table<const N: usize>(&mut self, columns: [&str; N]) {
        self.raw("<div class=\"fields\"><table><thead><tr>");
        for column in columns {
            let _ = write!(self.html, "<th scope=\"col\">{column}</th>");
        }
        self.raw("</tr></thead><tbody>");
    }

    /// Paragraphs, in which `…` is code.
    pub(super) fn prose(&mut self, words: &str) {
        for paragraph in words.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            self.raw("<p>");
            self.inline(paragraph);
            self.raw("</p>");
        }
    }

    pub(super) fn inline(&mut self, words: &str) {
        for (index, part) in words.split('`').enumerate() {
            let part = escaped(part);
            let _ = if index % 2 == 1 {
                write!(self.html, "<code>{part}</code>")
            } else {
                write!(self.html, "{part}")
            };
        }
    }

    pub(super) fn code(&mut self, words: &str) {
        let _ = write!(self.html, "<pre><code>{}</code></pre>", escaped(words));
    }

    pub(super) fn raw(&mut self, html: &str) {
        self.html.push_str(html);
    }
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text without its quotes, anything else as JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

pub(super) fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
