//! A subscription that is not ours: another product on the same account, sold by somebody else's program.

use serde::Deserialize;
use serde_json::{Value, json};

use super::payments::Card;
use super::shelf::Metadata;
use super::state::State;

/// Which half of an account something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// What the test key sees.
    Test,
    /// What it does not see, though its events can come to the same endpoint.
    Live,
}

impl State {
    /// Makes one that is paid for, without any metadata, and answers it as it is.
    pub(crate) fn foreign_subscription(&mut self, mode: Mode) -> Value {
        let before = self.events.len();
        let lengths = [
            self.customers.len(),
            self.products.len(),
            self.prices.len(),
            self.subscriptions.len(),
            self.invoices.len(),
            self.invoice_payments.len(),
            self.intents.len(),
            self.charges.len(),
        ];
        let customer = self.add_customer(Some("somebody@example.org"), Metadata::new());
        self.emit("customer.created", &customer);
        let product = self.add_product("Somebody else's newsletter", None, Metadata::new());
        let price = self.add_price(&product, 700, "eur");
        self.emit("price.created", &price);
        let subscription = self.add_subscription(&customer, &price, Metadata::new());
        let intent = self.add_intent(&customer, 700, "eur");
        self.charge(&intent, Card::Ok);
        let invoice = self.first_invoice(&subscription, Some(&intent));
        self.emit("customer.subscription.created", &subscription);
        self.invoice_is_paid(&invoice);
        let mut made = self.object(&subscription).unwrap();
        if mode == Mode::Live {
            make_live(&mut made);
            for event in self.events.iter_mut().skip(before) {
                event.livemode = true;
                make_live(&mut event.object);
            }
            // The test key sees nothing of the other half but its events.
            let [customers, products, prices, subscriptions, invoices, payments, intents, charges] = lengths;
            self.customers.truncate(customers);
            self.products.truncate(products);
            self.prices.truncate(prices);
            self.subscriptions.truncate(subscriptions);
            self.invoices.truncate(invoices);
            self.invoice_payments.truncate(payments);
            self.intents.truncate(intents);
            self.charges.truncate(charges);
        }
        made
    }
}

fn make_live(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(livemode) = fields.get_mut("livemode") {
                *livemode = json!(true);
            }
            fields.values_mut().for_each(make_live);
        }
        Value::Array(values) => values.iter_mut().for_each(make_live),
        _ => {}
    }
}
