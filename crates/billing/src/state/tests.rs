use super::*;
use crate::ledger::owed;
use crate::money::Fee;
use crate::snapshot::{Dispute, DisputeOutcome};

fn day(day: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + day)
}

/// A month of a tier from a day on, paid for on that day.
fn month(id: &str, tier: Tier, from: i64) -> Payment {
    Payment {
        id: PaymentId(id.into()),
        tier,
        from: day(from),
        to: day(from + 30),
        paid_at: day(from),
        amount: Minor(500),
        refunded: Minor::ZERO,
        refunded_at: None,
        dispute: None,
    }
}

fn refunded(payment: Payment, on: i64) -> Payment {
    Payment { refunded: payment.amount, refunded_at: Some(day(on)), ..payment }
}

fn disputed(payment: Payment, on: i64, outcome: DisputeOutcome) -> Payment {
    Payment { dispute: Some(Dispute { since: day(on), outcome }), ..payment }
}

fn snapshot(phase: Phase, payments: impl Into<Vec<Payment>>) -> Snapshot {
    Snapshot { phase, payments: payments.into(), pending_tier: None }
}

const RULES: Rules = Rules { grace: TimeDelta::days(11) };

fn fresh(snapshot: &Snapshot, now: DateTime<Utc>) -> Folded {
    fold(None, snapshot, Claim::First, RULES, now)
}

/// Status, what it entitles to, and until which day it is paid for.
fn seen(folded: &Folded, now: DateTime<Utc>) -> (Status, Option<Tier>, i64) {
    let row = folded.row.as_ref().unwrap();
    (row.status, row.entitled(now), (row.expires_at - day(0)).num_days())
}

#[test]
fn nothing_is_had_until_something_is_paid() {
    for phase in [Phase::Live, Phase::PastDue, Phase::Ending(day(30))] {
        let folded = fresh(&snapshot(phase, []), day(0));
        assert_eq!(folded, Folded { row: None, surplus: vec![], orders: vec![] }, "{phase:?}");
    }
}

#[test]
fn a_month_that_is_paid_entitles_to_its_end_whether_or_not_it_is_renewed() {
    let paid = [month("a", Tier::Pro, 0)];
    for (phase, status) in [
        (Phase::Live, Status::Active),
        (Phase::Ending(day(30)), Status::Cancelled),
        // Paid, and cancelled at once.
        (Phase::Ended(day(0)), Status::Cancelled),
    ] {
        let folded = fresh(&snapshot(phase, paid.clone()), day(29));
        assert_eq!(seen(&folded, day(29)), (status, Some(Tier::Pro), 30), "{phase:?}");
        assert_eq!(folded.orders, [], "{phase:?}");
    }
    for phase in [Phase::Ending(day(30)), Phase::Ended(day(30))] {
        let folded = fresh(&snapshot(phase, paid.clone()), day(30));
        assert_eq!(seen(&folded, day(30)), (Status::Expired, None, 30), "{phase:?}");
    }
}

#[test]
fn a_renewal_that_is_late_has_its_grace_and_no_more() {
    let paid = [month("a", Tier::Basic, 0)];
    // Stripe calls it live for an hour, and past due after the first refusal.
    for phase in [Phase::Live, Phase::PastDue] {
        let folded = fresh(&snapshot(phase, paid.clone()), day(40));
        assert_eq!(seen(&folded, day(40)), (Status::Active, Some(Tier::Basic), 30));
        assert_eq!(folded.row.as_ref().unwrap().past_due, phase == Phase::PastDue);
        let folded = fresh(&snapshot(phase, paid.clone()), day(41));
        assert_eq!(seen(&folded, day(41)), (Status::Expired, None, 30));
        assert_eq!(folded.orders, [Order::Cancel], "or it would be charged yet");
    }
}

#[test]
fn cancelling_in_the_hour_before_a_renewal_is_charged_takes_nothing_away() {
    // The provider has begun the next period already, and is going to end with that.
    let now = day(30) + TimeDelta::minutes(20);
    let folded = fresh(&snapshot(Phase::Ending(day(60)), [month("a", Tier::Pro, 0)]), now);
    assert_eq!((seen(&folded, now), folded.orders), ((Status::Cancelled, Some(Tier::Pro), 30), vec![]));
    // And a renewal that came late is as good as another, although it is the last one.
    let late = Payment { paid_at: day(33), ..month("b", Tier::Pro, 30) };
    let folded = fresh(&snapshot(Phase::Ending(day(60)), [month("a", Tier::Pro, 0), late]), day(34));
    assert_eq!((seen(&folded, day(34)), folded.orders), ((Status::Cancelled, Some(Tier::Pro), 60), vec![]));
}

#[test]
fn a_retry_that_succeeds_after_the_grace_buys_nothing_and_goes_back() {
    let late = Payment { paid_at: day(42), ..month("b", Tier::Basic, 30) };
    let folded = fresh(&snapshot(Phase::Live, [month("a", Tier::Basic, 0), late.clone()]), day(43));
    assert_eq!(seen(&folded, day(43)), (Status::Expired, None, 30));
    let refund = Order::Refund(late.id.clone());
    assert_eq!(folded.orders, [Order::Cancel, refund]);
    // Once it went back there is nothing more to do.
    let after = snapshot(Phase::Ended(day(43)), [month("a", Tier::Basic, 0), refunded(late, 43)]);
    assert_eq!(fold(folded.row.as_ref(), &after, Claim::First, RULES, day(44)).orders, []);
}

#[test]
fn an_operator_who_shortens_the_grace_takes_nothing_away() {
    let late = Payment { paid_at: day(39), ..month("b", Tier::Basic, 30) };
    let all = snapshot(Phase::Live, [month("a", Tier::Basic, 0), late]);
    let before = fresh(&all, day(40)).row;
    let stricter = Rules { grace: TimeDelta::days(3) };
    let folded = fold(before.as_ref(), &all, Claim::First, stricter, day(45));
    assert_eq!(seen(&folded, day(45)), (Status::Active, Some(Tier::Basic), 60));
}

#[test]
fn the_highest_tier_that_is_paid_for_is_had() {
    // The upgrade was paid on day 10, for the rest of the month.
    let upgrade = Payment { from: day(10), to: day(30), paid_at: day(10), ..month("b", Tier::Premium, 10) };
    let both = [month("a", Tier::Basic, 0), upgrade.clone()];
    assert_eq!(seen(&fresh(&snapshot(Phase::Live, both.clone()), day(11)), day(11)).1, Some(Tier::Premium));
    // Its money back, the tier before it is left; and what is not wanted is not renewed.
    let folded = fresh(&snapshot(Phase::Live, [both[0].clone(), refunded(upgrade, 12)]), day(12));
    assert_eq!(seen(&folded, day(12)), (Status::Cancelled, Some(Tier::Basic), 30));
    assert_eq!(folded.orders, [Order::Cancel]);
}

#[test]
fn a_lower_tier_comes_with_the_renewal() {
    let pending =
        Snapshot { pending_tier: Some(Tier::Basic), ..snapshot(Phase::Live, [month("a", Tier::Pro, 0)]) };
    let row = fresh(&pending, day(29)).row.unwrap();
    assert_eq!((row.tier, row.pending_tier), (Tier::Pro, Some(Tier::Basic)));
    // Not paid yet: what was paid last holds.
    assert_eq!(fresh(&pending, day(31)).row.unwrap().entitled(day(31)), Some(Tier::Pro));
    let renewed = snapshot(Phase::Live, [month("a", Tier::Pro, 0), month("b", Tier::Basic, 30)]);
    assert_eq!(seen(&fresh(&renewed, day(31)), day(31)), (Status::Active, Some(Tier::Basic), 60));
}

#[test]
fn a_full_refund_ends_it_and_a_partial_one_does_not() {
    let part = Payment { refunded: Minor(499), ..month("a", Tier::Pro, 0) };
    let folded = fresh(&snapshot(Phase::Live, [part.clone()]), day(5));
    assert_eq!(seen(&folded, day(5)), (Status::Active, Some(Tier::Pro), 30));
    assert_eq!(owed(&part, Fee::NONE), Minor(1));
    let folded = fresh(&snapshot(Phase::Live, [refunded(part, 5)]), day(5));
    assert_eq!(seen(&folded, day(5)), (Status::Expired, None, 5));
    assert_eq!(folded.orders, [Order::Cancel]);
}

#[test]
fn a_refund_of_a_month_that_is_over_ends_nothing() {
    let first = refunded(month("a", Tier::Pro, 0), 61);
    let payments = [first.clone(), month("b", Tier::Pro, 30), month("c", Tier::Pro, 60)];
    let folded = fresh(&snapshot(Phase::Live, payments), day(62));
    assert_eq!((seen(&folded, day(62)), folded.orders), ((Status::Active, Some(Tier::Pro), 90), vec![]));
    // Not even in the hour between two months.
    let first = Payment { refunded_at: Some(day(60) + TimeDelta::minutes(20)), ..first };
    let now = day(60) + TimeDelta::minutes(30);
    let folded = fresh(&snapshot(Phase::Live, [first, month("b", Tier::Pro, 30)]), now);
    assert_eq!((seen(&folded, now), folded.orders), ((Status::Active, Some(Tier::Pro), 60), vec![]));
}

#[test]
fn a_dispute_suspends_and_is_won_or_lost() {
    let paid = month("a", Tier::Pro, 0);
    let fee = Fee::of_percent(20).unwrap();
    let open = disputed(paid.clone(), 5, DisputeOutcome::Open);
    let folded = fresh(&snapshot(Phase::Live, [open.clone()]), day(6));
    assert_eq!(seen(&folded, day(6)), (Status::Cancelled, None, 5));
    assert!(folded.row.as_ref().unwrap().disputed);
    assert_eq!((folded.orders, owed(&open, fee)), (vec![Order::Cancel], Minor::ZERO));

    let won = disputed(paid.clone(), 5, DisputeOutcome::Won);
    let folded = fold(
        folded.row.as_ref(),
        &snapshot(Phase::Ended(day(6)), [won.clone()]),
        Claim::First,
        RULES,
        day(20),
    );
    assert_eq!(seen(&folded, day(20)), (Status::Cancelled, Some(Tier::Pro), 30));
    assert_eq!((folded.orders, owed(&won, fee)), (vec![], Minor(400)));

    let lost = disputed(paid, 5, DisputeOutcome::Lost);
    let folded = fresh(&snapshot(Phase::Ended(day(6)), [lost.clone()]), day(20));
    assert_eq!(seen(&folded, day(20)), (Status::Expired, None, 5));
    assert_eq!((folded.orders, owed(&lost, fee)), (vec![], Minor::ZERO));
}

#[test]
fn what_is_renewed_behind_a_dispute_goes_back() {
    let open = disputed(month("a", Tier::Pro, 0), 25, DisputeOutcome::Open);
    let next = month("b", Tier::Pro, 30);
    let folded = fresh(&snapshot(Phase::Live, [open, next.clone()]), day(31));
    assert_eq!(seen(&folded, day(31)), (Status::Expired, None, 25));
    assert_eq!(folded.orders, [Order::Cancel, Order::Refund(next.id)]);
}

#[test]
fn of_two_that_were_paid_for_one_channel_the_second_goes_back() {
    let paid = month("a", Tier::Pro, 0);
    let second = snapshot(Phase::Live, [paid.clone()]);
    let folded = fold(None, &second, Claim::Surplus, RULES, day(0));
    assert_eq!(seen(&folded, day(0)), (Status::Expired, None, 0));
    let refund = Order::Refund(paid.id.clone());
    assert_eq!((folded.orders, folded.surplus), (vec![Order::Cancel, refund.clone()], vec![paid.id.clone()]));
    // Looked at again, and once it went back.
    let row = folded.row.unwrap();
    let again = fold(Some(&row), &second, Claim::Surplus, RULES, day(1));
    assert_eq!((again.row, again.orders), (Some(row.clone()), vec![Order::Cancel, refund]));
    let gone = snapshot(Phase::Ended(day(1)), [refunded(paid, 1)]);
    assert_eq!(fold(Some(&row), &gone, Claim::Surplus, RULES, day(2)).orders, []);
}

#[test]
fn a_surplus_that_its_bank_takes_back_is_not_given_back_as_well() {
    let paid = month("a", Tier::Pro, 0);
    for (outcome, goes_back) in
        [(DisputeOutcome::Open, false), (DisputeOutcome::Lost, false), (DisputeOutcome::Won, true)]
    {
        let all = snapshot(Phase::Ended(day(1)), [disputed(paid.clone(), 1, outcome)]);
        let orders = fold(None, &all, Claim::Surplus, RULES, day(2)).orders;
        assert_eq!(!orders.is_empty(), goes_back, "{outcome:?}");
    }
}

#[test]
fn what_is_over_stays_over() {
    let paid = [month("a", Tier::Pro, 0)];
    let over = fresh(&snapshot(Phase::Ended(day(30)), paid.clone()), day(31)).row.unwrap();
    assert_eq!(over.status, Status::Expired);
    let more = snapshot(Phase::Live, [paid[0].clone(), month("b", Tier::Premium, 30)]);
    let folded = fold(Some(&over), &more, Claim::First, RULES, day(32));
    assert_eq!(folded.row, Some(over));
    assert_eq!(folded.surplus, [PaymentId("b".into())]);
}

#[test]
fn a_voucher_that_paid_all_of_it_counts_and_owes_nothing() {
    let free = Payment { amount: Minor::ZERO, ..month("a", Tier::Pro, 0) };
    assert_eq!(owed(&free, Fee::NONE), Minor::ZERO);
    let folded = fresh(&snapshot(Phase::Live, [free]), day(1));
    assert_eq!(seen(&folded, day(1)), (Status::Active, Some(Tier::Pro), 30));
}

#[test]
fn a_clock_that_is_a_little_behind_the_provider_s_keeps_nobody_waiting() {
    let folded = fresh(&snapshot(Phase::Live, [month("a", Tier::Pro, 0)]), day(0) - TimeDelta::minutes(5));
    assert_eq!(seen(&folded, day(0)).1, Some(Tier::Pro));
}
