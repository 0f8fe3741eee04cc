//! Refusals, as Stripe words them.

use serde_json::{Value, json};

/// What a handler answers.
pub(crate) type Answer<T = Value> = Result<T, StripeError>;

#[derive(Clone, Debug)]
pub(crate) struct StripeError {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    pub(crate) decline_code: Option<&'static str>,
    /// The payment that was declined or waits for its customer.
    pub(crate) payment_intent: Option<Box<Value>>,
}

impl StripeError {
    /// 400 `invalid_request_error`.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: "invalid_request_error",
            code: None,
            message: message.into(),
            param: None,
            decline_code: None,
            payment_intent: None,
        }
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self { status: 401, ..Self::invalid(message) }
    }

    pub(crate) fn unknown_parameter(name: &str) -> Self {
        Self::invalid(format!("Received unknown parameter: {name}")).code("parameter_unknown").param(name)
    }

    pub(crate) fn missing_parameter(name: &str) -> Self {
        Self::invalid(format!("Missing required param: {name}.")).code("parameter_missing").param(name)
    }

    /// 404: there is no such object, or it belongs to the other mode.
    pub(crate) fn no_such(kind: &str, id: &str) -> Self {
        let message = format!("No such {kind}: '{id}'");
        Self { status: 404, ..Self::invalid(message).code("resource_missing").param("id") }
    }

    pub(crate) fn no_such_path(method: &str, path: &str) -> Self {
        let message = format!("Unrecognized request URL ({method}: {path}).");
        Self { status: 404, ..Self::invalid(message) }
    }

    /// 402 `card_error`.
    pub(crate) fn card(
        code: &'static str,
        decline_code: Option<&'static str>,
        message: &str,
        intent: Value,
    ) -> Self {
        Self {
            status: 402,
            kind: "card_error",
            decline_code,
            payment_intent: Some(Box::new(intent)),
            ..Self::invalid(message).code(code)
        }
    }

    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(crate) fn param(self, name: &str) -> Self {
        Self { param: Some(name.to_owned()), ..self }
    }

    /// 400 instead of 404: what is missing was named by a parameter, and not by the path.
    pub(crate) fn named_by(self, parameter: &str) -> Self {
        Self { status: 400, ..self.param(parameter) }
    }

    pub(crate) fn json(&self) -> Value {
        let mut error = json!({ "type": self.kind, "message": self.message });
        let fields =
            [("code", self.code), ("param", self.param.as_deref()), ("decline_code", self.decline_code)];
        for (name, value) in fields {
            if let Some(value) = value {
                error[name] = json!(value);
            }
        }
        if let Some(intent) = &self.payment_intent {
            error["payment_intent"] = Value::clone(intent);
        }
        json!({ "error": error })
    }

    /// Whether the request was refused before Stripe did anything: such answers are not kept under an idempotency key.
    pub(crate) fn is_validation(&self) -> bool {
        self.code.is_some_and(|code| code.starts_with("parameter_") || code == "resource_missing")
    }
}
