//! JSON answers with what differs from run to run taken out.

use serde_json::Value;

/// `value` with ids, tokens and times replaced by what they are.
pub(crate) fn tidy(mut value: Value) -> Value {
    replace(&mut value);
    value
}

fn replace(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(replace),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text)
                        if name.ends_with("At") && chrono::DateTime::parse_from_rfc3339(text).is_ok() =>
                    {
                        *text = "[time]".into();
                    }
                    Value::String(text)
                        if name.ends_with("Token") || name == "streamKey" || name == "requestId" =>
                    {
                        *text = format!("[{name}]");
                    }
                    _ => replace(field),
                }
            }
        }
        Value::String(text) => {
            let parts =
                text.split('/').map(|part| if uuid::Uuid::try_parse(part).is_ok() { "[id]" } else { part });
            *text = parts.collect::<Vec<_>>().join("/");
        }
        _ => {}
    }
}
