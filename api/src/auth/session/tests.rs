use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

const GRACE: TimeDelta = TimeDelta::seconds(120);
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Token 5 was given for token 4 at second 0.
fn fifth() -> Standing {
    Standing {
        user: Uuid::nil(),
        newest: Serial(5),
        predecessor: Some(Serial(4)),
        received: false,
        exchanged_at: at(0),
        expires_at: at(7 * DAY),
        ends_at: at(20 * DAY),
        ended: false,
    }
}

#[test]
fn the_newest_token_is_good_as_long_as_the_session_is() {
    for now in [0, 1, HOUR, 6 * DAY, 7 * DAY - 1] {
        assert_eq!(fifth().judge(Some(Serial(5)), at(now), GRACE), Verdict::Next, "{now}");
    }
    assert_eq!(fifth().judge(Some(Serial(5)), at(7 * DAY), GRACE), Verdict::Over);
    let last_day = Standing { ends_at: at(DAY), ..fifth() };
    assert_eq!(last_day.judge(Some(Serial(5)), at(DAY), GRACE), Verdict::Over);
    let ended = Standing { ended: true, ..fifth() };
    assert_eq!(ended.judge(Some(Serial(5)), at(1), GRACE), Verdict::Over);
}

#[test]
fn a_retry_gets_the_same_answer_whether_or_not_the_first_one_arrived() {
    // A page gives an answer 15 s, and asks again after that.
    for (now, received) in [(0, false), (16, false), (45, false), (45, true), (120, true)] {
        let standing = Standing { received, ..fifth() };
        assert_eq!(standing.judge(Some(Serial(4)), at(now), GRACE), Verdict::Again, "{now}");
    }
}

#[test]
fn a_phone_that_slept_through_its_answer_goes_on() {
    for now in [121, HOUR, 6 * DAY] {
        assert_eq!(fifth().judge(Some(Serial(4)), at(now), GRACE), Verdict::Next, "{now}");
    }
}

#[test]
fn a_spent_token_whose_successor_was_used_ends_the_session() {
    let received = Standing { received: true, ..fifth() };
    assert_eq!(received.judge(Some(Serial(4)), at(121), GRACE), Verdict::Reused);
    for older in [Some(Serial(3)), Some(Serial(0)), None] {
        for now in [0, 1, 121, 6 * DAY] {
            assert_eq!(fifth().judge(older, at(now), GRACE), Verdict::Reused, "{older:?}");
        }
    }
}

#[test]
fn two_people_with_one_token_cannot_both_go_on() {
    // The thief uses token 5 and keeps quiet; the owner comes with it an hour later and gets a token that is not the thief's.
    let thief = Standing { newest: Serial(6), predecessor: Some(Serial(5)), exchanged_at: at(0), ..fifth() };
    assert_eq!(thief.judge(Some(Serial(5)), at(HOUR), GRACE), Verdict::Next);
    let owner =
        Standing { newest: Serial(7), predecessor: Some(Serial(5)), exchanged_at: at(HOUR), ..fifth() };
    assert_eq!(owner.judge(Some(Serial(6)), at(HOUR + 1), GRACE), Verdict::Reused);
    assert_eq!(owner.judge(Some(Serial(6)), at(2 * HOUR), GRACE), Verdict::Reused);
}

#[test]
fn a_token_from_before_a_restored_backup_is_no_theft() {
    assert_eq!(fifth().judge(Some(Serial(6)), at(1), GRACE), Verdict::Over);
}
