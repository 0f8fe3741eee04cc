//! Customers, their cards, and the billing portal that is theirs.

use serde_json::{Value, json};

use super::errors::{Answer, StripeError};
use super::payments::Card;
use super::routes::{Call, Route};
use super::shelf::{Metadata, Stored};
use super::state::{State, new_id};

#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) id: String,
    created: i64,
    pub(crate) email: Option<String>,
    name: Option<String>,
    description: Option<String>,
    metadata: Metadata,
    /// What the next payment without the customer's presence meets.
    pub(crate) card: Card,
    /// What the customer owes (positive) or is owed (negative) on the next invoice.
    pub(crate) balance: i64,
}

impl Stored for Customer {
    const KIND: &'static str = "customer";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, _: &State) -> Value {
        json!({
            "id": self.id,
            "object": "customer",
            "address": null,
            "balance": self.balance,
            "created": self.created,
            "currency": null,
            "default_source": null,
            "delinquent": false,
            "description": self.description,
            "email": self.email,
            "invoice_settings": { "default_payment_method": null },
            "livemode": false,
            "metadata": self.metadata,
            "name": self.name,
            "phone": null,
            "preferred_locales": [],
            "shipping": null,
            "tax_exempt": "none",
            "test_clock": null,
        })
    }
}

#[derive(Debug)]
pub(crate) struct PortalSession {
    id: String,
    created: i64,
    customer: String,
    pub(crate) return_url: Option<String>,
}

impl Stored for PortalSession {
    const KIND: &'static str = "billing_portal.session";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, state: &State) -> Value {
        json!({
            "id": self.id,
            "object": "billing_portal.session",
            "configuration": "bpc_fake",
            "created": self.created,
            "customer": self.customer,
            "flow": null,
            "livemode": false,
            "locale": null,
            "on_behalf_of": null,
            "return_url": self.return_url,
            "url": format!("{}/portal/{}", state.base, self.id),
        })
    }
}

impl State {
    pub(crate) fn add_customer(&mut self, email: Option<&str>, metadata: Metadata) -> String {
        let id = new_id("cus");
        self.customers.put(Customer {
            id: id.clone(),
            created: self.now(),
            email: email.map(str::to_owned),
            name: None,
            description: None,
            metadata,
            card: Card::Ok,
            balance: 0,
        });
        id
    }

    pub(crate) fn set_card(&mut self, customer: &str, card: Card) -> Answer<()> {
        if card == Card::Delayed {
            return Err(StripeError::invalid("Only the checkout takes a delayed payment."));
        }
        self.customers.find_mut(customer)?.card = card;
        Ok(())
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route { method: "POST", path: "/v1/customers", takes: FIELDS, act: create },
    Route { method: "POST", path: "/v1/customers/{id}", takes: FIELDS, act: update },
    Route {
        method: "GET",
        path: "/v1/customers/{id}",
        takes: &[],
        act: |state, call| Ok(state.customers.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/customers",
        takes: &["email", "limit"],
        act: |state, call| {
            let email = call.params.text("email");
            state.customers.page(state, call.params, "/v1/customers", |customer| {
                email.is_none_or(|email| customer.email.as_deref() == Some(email))
            })
        },
    },
    Route {
        method: "POST",
        path: "/v1/billing_portal/sessions",
        takes: &["customer", "return_url", "configuration", "locale"],
        act: open_portal,
    },
];

const FIELDS: &[&str] = &["email", "name", "description", "phone", "preferred_locales[]", "metadata[*]"];

fn create(state: &mut State, call: &Call<'_>) -> Answer {
    let metadata = call.params.metadata("metadata")?;
    let id = state.add_customer(call.params.text("email"), metadata);
    let customer = state.customers.get_mut(&id);
    customer.name = call.params.text("name").map(str::to_owned);
    customer.description = call.params.text("description").map(str::to_owned);
    state.emit("customer.created", &id);
    state.object(&id)
}

fn update(state: &mut State, call: &Call<'_>) -> Answer {
    let customer = state.customers.find_mut(call.id)?;
    for (name, field) in [
        ("email", &mut customer.email),
        ("name", &mut customer.name),
        ("description", &mut customer.description),
    ] {
        if call.params.has(name) {
            *field = call.params.text(name).map(str::to_owned);
        }
    }
    call.params.merge_metadata("metadata", &mut customer.metadata)?;
    state.emit("customer.updated", call.id);
    state.object(call.id)
}

fn open_portal(state: &mut State, call: &Call<'_>) -> Answer {
    let customer = call.params.required("customer")?;
    let customer = state.customers.find(customer).map_err(|error| error.named_by("customer"))?.id.clone();
    let session = PortalSession {
        id: new_id("bps"),
        created: state.now(),
        customer,
        return_url: call.params.text("return_url").map(str::to_owned),
    };
    let id = session.id.clone();
    state.portal_sessions.put(session);
    state.object(&id)
}
