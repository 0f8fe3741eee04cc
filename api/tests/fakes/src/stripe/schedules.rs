//! Subscription schedules: prices that begin later.

use serde_json::{Value, json};

use super::clock::{DAY, months_after};
use super::errors::{Answer, StripeError};
use super::form::Params;
use super::price_changes::{Incomplete, Proration};
use super::routes::{Call, Route};
use super::shelf::{Metadata, Stored};
use super::state::{State, new_id};

#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) id: String,
    created: i64,
    subscription: String,
    customer: String,
    status: &'static str,
    end_behavior: &'static str,
    phases: Vec<Phase>,
    /// The phase that runs now.
    current: usize,
    metadata: Metadata,
    released_at: Option<i64>,
    canceled_at: Option<i64>,
}

#[derive(Clone, Debug)]
struct Phase {
    price: String,
    start: i64,
    end: i64,
    proration: Proration,
}

impl Schedule {
    /// When the present phase ends; `None` where the schedule is over.
    pub(crate) fn phase_end(&self) -> Option<i64> {
        (self.status == "active").then(|| self.phases[self.current].end)
    }
}

impl Stored for Schedule {
    const KIND: &'static str = "subscription_schedule";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, _: &State) -> Value {
        let phases = self.phases.iter().map(|phase| {
            json!({
                "items": [{ "price": phase.price, "quantity": 1, "metadata": {} }],
                "start_date": phase.start,
                "end_date": phase.end,
                "metadata": {},
                "proration_behavior": phase.proration.name(),
            })
        });
        let phases: Vec<Value> = phases.collect();
        let active = self.status == "active";
        let current = active.then(|| {
            let phase = &self.phases[self.current];
            json!({ "start_date": phase.start, "end_date": phase.end })
        });
        json!({
            "id": self.id,
            "object": "subscription_schedule",
            "canceled_at": self.canceled_at,
            "completed_at": null,
            "created": self.created,
            "current_phase": current,
            "customer": self.customer,
            "end_behavior": self.end_behavior,
            "livemode": false,
            "metadata": self.metadata,
            "phases": phases,
            "released_at": self.released_at,
            "released_subscription": self.released_at.map(|_| &self.subscription),
            "status": self.status,
            "subscription": self.released_at.is_none().then_some(&self.subscription),
            "test_clock": null,
        })
    }
}

impl State {
    /// The present phase is over: the next one's price begins, or the schedule lets its subscription go.
    pub(crate) fn next_phase(&mut self, id: &str) {
        let schedule = self.schedules.get_mut(id);
        let subscription = schedule.subscription.clone();
        if let Some(phase) = schedule.phases.get(schedule.current + 1).cloned() {
            schedule.current += 1;
            self.emit("subscription_schedule.updated", id);
            if phase.price != self.subscriptions.get(&subscription).price {
                // Only `error_if_incomplete` is ever refused.
                self.change_price(&subscription, &phase.price, phase.proration, Incomplete::Allowed).unwrap();
            }
        } else if schedule.end_behavior == "cancel" {
            self.end_subscription(&subscription, super::subscriptions::Ending::Requested);
        } else {
            self.release_schedule(id);
        }
    }

    fn release_schedule(&mut self, id: &str) {
        let now = self.now();
        let schedule = self.schedules.get_mut(id);
        schedule.status = "released";
        schedule.released_at = Some(now);
        let subscription = schedule.subscription.clone();
        self.subscriptions.get_mut(&subscription).schedule = None;
        self.emit("subscription_schedule.released", id);
        self.emit("customer.subscription.updated", &subscription);
    }

    /// Its subscription ended.
    pub(crate) fn cancel_schedule(&mut self, id: &str) {
        let now = self.now();
        let schedule = self.schedules.get_mut(id);
        schedule.status = "canceled";
        schedule.canceled_at = Some(now);
        self.emit("subscription_schedule.canceled", id);
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route { method: "POST", path: "/v1/subscription_schedules", takes: &["from_subscription"], act: create },
    Route {
        method: "POST",
        path: "/v1/subscription_schedules/{id}",
        takes: &[
            "end_behavior",
            "metadata[*]",
            "phases[][items][][price]",
            "phases[][items][][quantity]",
            "phases[][start_date]",
            "phases[][end_date]",
            // `phases[][iterations]` went with Clover.
            "phases[][duration][interval]",
            "phases[][duration][interval_count]",
            "phases[][proration_behavior]",
            "proration_behavior",
        ],
        act: update,
    },
    Route {
        method: "POST",
        path: "/v1/subscription_schedules/{id}/release",
        takes: &["preserve_cancel_date"],
        act: release,
    },
    Route {
        method: "GET",
        path: "/v1/subscription_schedules/{id}",
        takes: &[],
        act: |state, call| Ok(state.schedules.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/subscription_schedules",
        takes: &["customer", "limit"],
        act: |state, call| {
            let customer = call.params.text("customer");
            state.schedules.page(state, call.params, "/v1/subscription_schedules", |schedule| {
                customer.is_none_or(|customer| schedule.customer == customer)
            })
        },
    },
];

fn create(state: &mut State, call: &Call<'_>) -> Answer {
    let from = call.params.required("from_subscription")?;
    let subscription = state.subscriptions.find(from).map_err(|error| error.named_by("from_subscription"))?;
    if !subscription.is_alive() {
        return Err(
            StripeError::invalid("You cannot migrate a canceled subscription.").param("from_subscription")
        );
    }
    if let Some(schedule) = &subscription.schedule {
        let message = format!(
            "You cannot migrate a subscription that is already attached to a schedule: `{schedule}`."
        );
        return Err(StripeError::invalid(message).param("from_subscription"));
    }
    let (start, end) = subscription.period();
    let schedule = Schedule {
        id: new_id("sub_sched"),
        created: state.now(),
        subscription: from.to_owned(),
        customer: subscription.customer.clone(),
        status: "active",
        end_behavior: if subscription.cancel_at.is_some() { "cancel" } else { "release" },
        phases: vec![Phase { price: subscription.price.clone(), start, end, proration: Proration::Later }],
        current: 0,
        metadata: Metadata::new(),
        released_at: None,
        canceled_at: None,
    };
    let id = schedule.id.clone();
    state.schedules.put(schedule);
    state.subscriptions.get_mut(from).schedule = Some(id.clone());
    state.emit("subscription_schedule.created", &id);
    state.emit("customer.subscription.updated", from);
    state.object(&id)
}

fn update(state: &mut State, call: &Call<'_>) -> Answer {
    let (id, params) = (call.id, call.params);
    let schedule = active(state, id)?;
    let end_behavior = params.choice("end_behavior", &["release", "cancel"])?;
    params.choice("proration_behavior", Proration::NAMES)?;
    let mut metadata = schedule.metadata.clone();
    params.merge_metadata("metadata", &mut metadata)?;
    let phases = params.has("phases").then(|| phases(state, schedule, params)).transpose()?;

    let schedule = state.schedules.get_mut(id);
    schedule.metadata = metadata;
    schedule.end_behavior = end_behavior.unwrap_or(schedule.end_behavior);
    if let Some((phases, current)) = phases {
        schedule.phases = phases;
        schedule.current = current;
    }
    state.emit("subscription_schedule.updated", id);
    state.object(id)
}

/// The phases that a request gives, and which of them runs now.
fn phases(state: &State, schedule: &Schedule, params: &Params) -> Answer<(Vec<Phase>, usize)> {
    let running = &schedule.phases[schedule.current];
    let mut phases: Vec<Phase> = Vec::new();
    for index in 0..params.count("phases") {
        let name = |field: &str| format!("phases[{index}]{field}");
        if params.count(&name("[items]")) != 1 {
            let message = "This fake's phases have one item.";
            return Err(StripeError::invalid(message).param(&name("[items]")));
        }
        let price = params.required(&name("[items][0][price]"))?;
        if price != running.price {
            state.sellable_price(price)?;
        }
        let before = phases.last().map(|phase| phase.end);
        let start = match (params.int(&name("[start_date]"))?, before) {
            (Some(start), before) if before.is_none_or(|before| before == start) => start,
            (None, Some(before)) => before,
            (None, None) => return Err(StripeError::missing_parameter(&name("[start_date]"))),
            (Some(_), _) => {
                let message = "Each phase begins where the phase before it ends.";
                return Err(StripeError::invalid(message).param(&name("[start_date]")));
            }
        };
        let end = match (params.int(&name("[end_date]"))?, after(params, &name("[duration]"), start)?) {
            (Some(end), None) | (None, Some(end)) => end,
            // What a last phase without an end lasts is not documented for every case: here, a month.
            (None, None) if index + 1 == params.count("phases") => months_after(start, 1),
            _ => return Err(StripeError::missing_parameter(&name("[end_date]"))),
        };
        if end <= start {
            let message = "A phase ends after its start.";
            return Err(StripeError::invalid(message).param(&name("[end_date]")));
        }
        let proration = params.choice(&name("[proration_behavior]"), Proration::NAMES)?;
        phases.push(Phase { price: price.to_owned(), start, end, proration: Proration::of(proration) });
    }
    let now = state.now();
    let current = phases.iter().position(|phase| phase.start <= now && now < phase.end);
    match current {
        Some(current) if phases[current].start != running.start => {
            let message = "You can not modify the start date of the current phase.";
            Err(StripeError::invalid(message).param("phases"))
        }
        Some(current) if phases[current].price != running.price => {
            let message = "This fake does not change the price of the current phase.";
            Err(StripeError::invalid(message).param("phases"))
        }
        Some(current) => Ok((phases, current)),
        None => {
            let message = "The phases must include the current phase.";
            Err(StripeError::invalid(message).param("phases"))
        }
    }
}

/// When a duration that begins at `start` ends.
fn after(params: &Params, name: &str, start: i64) -> Answer<Option<i64>> {
    let interval = format!("{name}[interval]");
    let Some(interval) = params.choice(&interval, &["day", "week", "month", "year"])? else {
        return Ok(None);
    };
    let count = params.int(&format!("{name}[interval_count]"))?.unwrap_or(1);
    let few = u32::try_from(count).ok().filter(|count| (1..=60).contains(count));
    let few = few.ok_or_else(|| StripeError::invalid("Invalid interval_count").param(name))?;
    Ok(Some(match interval {
        "day" => start + count * DAY,
        "week" => start + count * 7 * DAY,
        "month" => months_after(start, few),
        _ => months_after(start, 12 * few),
    }))
}

fn release(state: &mut State, call: &Call<'_>) -> Answer {
    active(state, call.id)?;
    state.release_schedule(call.id);
    state.object(call.id)
}

fn active<'a>(state: &'a State, id: &str) -> Answer<&'a Schedule> {
    let schedule = state.schedules.find(id)?;
    if schedule.status == "active" {
        return Ok(schedule);
    }
    let message = format!(
        "You cannot change a subscription schedule that is currently in the `{}` status.",
        schedule.status
    );
    Err(StripeError::invalid(message))
}
