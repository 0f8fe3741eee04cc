//! The person's side: the checkout, the bank's page, the page of an invoice.
//!
//! Every button is a form of its own, so that the pages work without scripts and a test finds it by its id.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Path, Query, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use super::errors::Answer;
use super::payments::{Card, Outcome};
use super::server::Shared;
use super::state::State;

type Door = Extract<Arc<Shared>>;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/pay/{session}", get(checkout).post(pay))
        .route("/3ds/{intent}", get(bank).post(answer_bank))
        .route("/invoice/{id}", get(invoice).post(pay_invoice))
        .route("/invoice/{id}/pdf", get(pdf))
        .route("/receipt/{charge}", get(receipt))
        .route("/portal/{id}", get(portal))
}

#[derive(Deserialize)]
struct Chosen {
    card: Card,
}

#[derive(Deserialize)]
struct Seen {
    authenticated: bool,
}

#[derive(Deserialize)]
struct Notice {
    #[serde(default)]
    declined: bool,
}

async fn checkout(door: Door, Path(id): Path<String>, Query(notice): Query<Notice>) -> Response {
    let page = door.with(|state| {
        let session = state.sessions.find(&id)?;
        let price = state.prices.get(&session.price);
        let product = escaped(&state.products.get(&price.product).name);
        let amount = money(price.amount, &price.currency);
        let head = format!("<h1 id=product>{product}</h1><p id=amount>{amount} a month</p>");
        if session.status != "open" {
            return Ok(format!("{head}<p id={0}>This session is {0}.</p>", session.status));
        }
        let notice = if notice.declined { DECLINED } else { "" };
        let back = session.cancel_url.as_deref().unwrap_or_default();
        let back = format!("<a id=cancel href=\"{}\">Back</a>", escaped(back));
        Ok([&head, notice, CARDS, DELAYED, &back].concat())
    });
    shown("Pay", page)
}

async fn pay(door: Door, Path(id): Path<String>, Form(chosen): Form<Chosen>) -> Response {
    let target = door.with(|state| {
        Ok(match state.pay_session(&id, chosen.card)? {
            Outcome::Paid | Outcome::Processing(_) => state.sessions.get(&id).after_payment(),
            Outcome::Declined => format!("/pay/{id}?declined=true"),
            Outcome::RequiresAction(intent) => format!("/3ds/{intent}"),
        })
    });
    gone_to(target)
}

async fn bank(door: Door, Path(id): Path<String>) -> Response {
    let page = door.with(|state| {
        let intent = state.intents.find(&id)?;
        let amount = money(intent.amount, &intent.currency);
        if intent.status != "requires_action" {
            return Ok(format!("<p id=over>This payment is {}.</p>", intent.status));
        }
        let buttons = [("authenticate", true, "Yes, it is me"), ("fail", false, "No")]
            .map(|(id, answer, text)| button(id, "authenticated", &answer.to_string(), text));
        Ok(format!("<h1>Your bank asks</h1><p>Do you pay {amount}?</p>{}", buttons.concat()))
    });
    shown("Your bank", page)
}

async fn answer_bank(door: Door, Path(id): Path<String>, Form(seen): Form<Seen>) -> Response {
    let target = door.with(|state| {
        let outcome = state.answer_3ds(&id, seen.authenticated)?;
        let intent = state.intents.get(&id);
        let query = if outcome == Outcome::Paid { "" } else { "?declined=true" };
        Ok(match (&intent.session, &intent.invoice) {
            (Some(session), _) if outcome == Outcome::Paid => state.sessions.get(session).after_payment(),
            (Some(session), _) => format!("/pay/{session}{query}"),
            (None, Some(invoice)) => format!("/invoice/{invoice}{query}"),
            (None, None) => "/".to_owned(),
        })
    });
    gone_to(target)
}

async fn invoice(door: Door, Path(id): Path<String>, Query(notice): Query<Notice>) -> Response {
    let page = door.with(|state| {
        let invoice = state.invoices.find(&id)?;
        let amount = money(invoice.amount_due(), &invoice.currency);
        let head = format!("<h1>Invoice</h1><p id=amount>{amount}</p>");
        if invoice.status != "open" {
            return Ok(format!("{head}<p id={0}>This invoice is {0}.</p>", invoice.status));
        }
        let notice = if notice.declined { DECLINED } else { "" };
        Ok([&head, notice, CARDS].concat())
    });
    shown("Invoice", page)
}

async fn pay_invoice(door: Door, Path(id): Path<String>, Form(chosen): Form<Chosen>) -> Response {
    let target = door.with(|state| {
        Ok(match state.pay_invoice(&id, Some(chosen.card))? {
            Outcome::Paid | Outcome::Processing(_) => format!("/invoice/{id}"),
            Outcome::Declined => format!("/invoice/{id}?declined=true"),
            Outcome::RequiresAction(intent) => format!("/3ds/{intent}"),
        })
    });
    gone_to(target)
}

async fn pdf(door: Door, Path(id): Path<String>) -> Response {
    match door.with(|state: &mut State| state.invoices.find(&id).map(|_| ())) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/pdf")], "%PDF-1.4\n%%EOF\n").into_response(),
        Err(error) => shown("Invoice", Err(error)),
    }
}

async fn receipt(door: Door, Path(id): Path<String>) -> Response {
    let page = door.with(|state| {
        let charge = state.charges.find(&id)?;
        let (paid, refunded) = (charge.amount, charge.amount_refunded);
        let (paid, refunded) = (money(paid, &charge.currency), money(refunded, &charge.currency));
        Ok(format!("<h1>Receipt</h1><p id=amount>{paid}</p><p id=refunded>{refunded} given back</p>"))
    });
    shown("Receipt", page)
}

async fn portal(door: Door, Path(id): Path<String>) -> Response {
    let page = door.with(|state| {
        let session = state.portal_sessions.find(&id)?;
        let url = escaped(session.return_url.as_deref().unwrap_or("/"));
        Ok(format!("<h1>Your plans</h1><a id=return href=\"{url}\">Back</a>"))
    });
    shown("Your plans", page)
}

fn shown(title: &str, body: Answer<String>) -> Response {
    match body {
        Ok(body) => Html(format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><main>{body}</main></html>"
        ))
        .into_response(),
        Err(error) => (StatusCode::from_u16(error.status).unwrap(), Html(escaped(&error.message))).into_response(),
    }
}

fn gone_to(target: Answer<String>) -> Response {
    match target {
        Ok(target) => Redirect::to(&target).into_response(),
        Err(error) => shown("Not possible", Err(error)),
    }
}

fn button(id: &str, name: &str, value: &str, text: &str) -> String {
    format!("<form method=post><button id={id} name={name} value={value}>{text}</button></form>")
}

fn money(amount: i64, currency: &str) -> String {
    format!("{}.{:02} {}", amount / 100, amount % 100, currency.to_uppercase())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

const DECLINED: &str = "<p id=declined role=alert>Your card was declined.</p>";

const CARDS: &str = "<form method=post>\
    <button id=pay-ok name=card value=ok>Pay</button>\
    <button id=pay-declined name=card value=declined>Pay with an empty card</button>\
    <button id=pay-3ds name=card value=requires_3ds>Pay with a card that asks its bank</button>\
    </form>";

const DELAYED: &str = "<form method=post>\
    <button id=pay-later name=card value=delayed>Pay by debit, which takes days</button>\
    </form>";
