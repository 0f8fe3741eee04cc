//! Products and their monthly prices.

use serde_json::{Value, json};

use super::errors::{Answer, StripeError};
use super::routes::{Call, Route};
use super::shelf::{Metadata, Stored};
use super::state::{State, new_id};

#[derive(Debug)]
pub(crate) struct Product {
    id: String,
    created: i64,
    pub(crate) name: String,
    description: Option<String>,
    metadata: Metadata,
}

impl Stored for Product {
    const KIND: &'static str = "product";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, _: &State) -> Value {
        json!({
            "id": self.id,
            "object": "product",
            "active": true,
            "created": self.created,
            "default_price": null,
            "description": self.description,
            "images": [],
            "livemode": false,
            "metadata": self.metadata,
            "name": self.name,
            "tax_code": null,
            "type": "service",
            "updated": self.created,
            "url": null,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Price {
    pub(crate) id: String,
    created: i64,
    pub(crate) product: String,
    /// In the currency's minor unit, a month.
    pub(crate) amount: i64,
    /// ISO 4217, in lower case.
    pub(crate) currency: String,
    active: bool,
    nickname: Option<String>,
    lookup_key: Option<String>,
    tax_behavior: &'static str,
    metadata: Metadata,
}

impl Stored for Price {
    const KIND: &'static str = "price";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, _: &State) -> Value {
        json!({
            "id": self.id,
            "object": "price",
            "active": self.active,
            "billing_scheme": "per_unit",
            "created": self.created,
            "currency": self.currency,
            "livemode": false,
            "lookup_key": self.lookup_key,
            "metadata": self.metadata,
            "nickname": self.nickname,
            "product": self.product,
            "recurring": {
                "interval": "month",
                "interval_count": 1,
                "meter": null,
                "trial_period_days": null,
                "usage_type": "licensed",
            },
            "tax_behavior": self.tax_behavior,
            "tiers_mode": null,
            "transform_quantity": null,
            "type": "recurring",
            "unit_amount": self.amount,
            "unit_amount_decimal": self.amount.to_string(),
        })
    }
}

impl State {
    /// A price that something new can be sold for.
    pub(crate) fn sellable_price(&self, id: &str) -> Answer<&Price> {
        let price = self.prices.find(id).map_err(|error| error.named_by("price"))?;
        if price.active {
            Ok(price)
        } else {
            let message = "The price specified is inactive. This field only accepts active prices.";
            Err(StripeError::invalid(message).param("price"))
        }
    }

    pub(crate) fn add_product(
        &mut self,
        name: &str,
        description: Option<&str>,
        metadata: Metadata,
    ) -> String {
        let id = new_id("prod");
        self.products.put(Product {
            id: id.clone(),
            created: self.now(),
            name: name.to_owned(),
            description: description.map(str::to_owned),
            metadata,
        });
        self.emit("product.created", &id);
        id
    }

    pub(crate) fn add_price(&mut self, product: &str, amount: i64, currency: &str) -> String {
        let id = new_id("price");
        self.prices.put(Price {
            id: id.clone(),
            created: self.now(),
            product: product.to_owned(),
            amount,
            currency: currency.to_owned(),
            active: true,
            nickname: None,
            lookup_key: None,
            tax_behavior: "unspecified",
            metadata: Metadata::new(),
        });
        id
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/v1/products",
        takes: &["name", "description", "tax_code", "metadata[*]"],
        act: |state, call| {
            let (name, metadata) = (call.params.required("name")?, call.params.metadata("metadata")?);
            let id = state.add_product(name, call.params.text("description"), metadata);
            state.object(&id)
        },
    },
    Route {
        method: "GET",
        path: "/v1/products/{id}",
        takes: &[],
        act: |state, call| Ok(state.products.find(call.id)?.json(state)),
    },
    Route {
        method: "POST",
        path: "/v1/prices",
        takes: &[
            "product",
            "product_data[name]",
            "product_data[metadata][*]",
            "unit_amount",
            "currency",
            "recurring[interval]",
            "recurring[interval_count]",
            "tax_behavior",
            "nickname",
            "lookup_key",
            "metadata[*]",
        ],
        act: create,
    },
    Route {
        method: "POST",
        path: "/v1/prices/{id}",
        takes: &["active", "nickname", "lookup_key", "metadata[*]"],
        act: update,
    },
    Route {
        method: "GET",
        path: "/v1/prices/{id}",
        takes: &[],
        act: |state, call| Ok(state.prices.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/prices",
        takes: &["product", "active", "currency", "type", "lookup_keys[]", "limit"],
        act: list,
    },
];

fn create(state: &mut State, call: &Call<'_>) -> Answer {
    let params = call.params;
    let currency = params.required("currency")?;
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(StripeError::invalid(format!("Invalid currency: {currency}")).param("currency"));
    }
    let currency = currency.to_ascii_lowercase();
    let amount = params.int("unit_amount")?.ok_or_else(|| StripeError::missing_parameter("unit_amount"))?;
    if amount < 0 {
        return Err(StripeError::invalid("Invalid non-negative integer").param("unit_amount"));
    }
    if params.choice("recurring[interval]", &["month"])?.is_none()
        || params.int("recurring[interval_count]")?.is_some_and(|count| count != 1)
    {
        return Err(StripeError::invalid("This fake sells by the month.").param("recurring"));
    }
    let tax_behavior = params.choice("tax_behavior", &["inclusive", "exclusive", "unspecified"])?;
    let lookup_key = params.text("lookup_key");
    if lookup_key.is_some() && state.prices.iter().any(|price| price.lookup_key.as_deref() == lookup_key) {
        let message = "A price already uses that lookup key.";
        return Err(StripeError::invalid(message).param("lookup_key"));
    }
    let metadata = params.metadata("metadata")?;
    let product = match (params.text("product"), params.text("product_data[name]")) {
        (Some(product), None) => {
            state.products.find(product).map_err(|error| error.named_by("product"))?.id.clone()
        }
        (None, Some(name)) => {
            let metadata = params.metadata("product_data[metadata]")?;
            state.add_product(name, None, metadata)
        }
        _ => return Err(StripeError::missing_parameter("product")),
    };
    let id = state.add_price(&product, amount, &currency);
    let price = state.prices.get_mut(&id);
    price.nickname = params.text("nickname").map(str::to_owned);
    price.lookup_key = lookup_key.map(str::to_owned);
    price.tax_behavior = tax_behavior.unwrap_or("unspecified");
    price.metadata = metadata;
    state.emit("price.created", &id);
    state.object(&id)
}

fn update(state: &mut State, call: &Call<'_>) -> Answer {
    let price = state.prices.find_mut(call.id)?;
    if let Some(active) = call.params.flag("active")? {
        price.active = active;
    }
    for (name, field) in [("nickname", &mut price.nickname), ("lookup_key", &mut price.lookup_key)] {
        if call.params.has(name) {
            *field = call.params.text(name).map(str::to_owned);
        }
    }
    call.params.merge_metadata("metadata", &mut price.metadata)?;
    state.emit("price.updated", call.id);
    state.object(call.id)
}

fn list(state: &mut State, call: &Call<'_>) -> Answer {
    let params = call.params;
    let (product, currency, active) =
        (params.text("product"), params.text("currency"), params.flag("active")?);
    let keys = params.list("lookup_keys");
    let one_time = params.choice("type", &["recurring", "one_time"])? == Some("one_time");
    state.prices.page(state, params, "/v1/prices", |price| {
        !one_time
            && product.is_none_or(|product| price.product == product)
            && currency.is_none_or(|currency| price.currency == currency)
            && active.is_none_or(|active| price.active == active)
            && (keys.is_empty() || price.lookup_key.as_deref().is_some_and(|key| keys.contains(&key)))
    })
}
