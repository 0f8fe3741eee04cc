//! When there are no storage credentials for a worker.

use super::*;

fn reason(scene: &Scene) -> Option<String> {
    scene.machine.status(None).reason
}

#[test]
fn a_stream_whose_worker_gets_no_credentials_says_so_until_one_has_its_assignment() {
    let words = "there are no storage credentials for its worker (AccessDenied)";
    let mut scene = Scene::opened();
    scene.say(Input::NoCredentials(Epoch(1), "AccessDenied".to_owned()));
    assert_eq!(reason(&scene).as_deref(), Some(words));
    scene.say(Input::WorkerClaimed(Epoch(1), address()));
    assert_eq!(reason(&scene).as_deref(), Some(words), "a claimed worker begins nothing without them");
    scene.take_assignment();
    assert_eq!(reason(&scene), None);
    scene.say(Input::NoCredentials(Epoch(1), "Throttling".to_owned()));
    assert_eq!(reason(&scene), None, "what was said too late");
}

#[test]
fn a_start_that_failed_for_want_of_credentials_ends_in_these_words_and_the_api_is_not_told_them() {
    let mut scene = Scene::opened();
    scene.say(Input::NoCredentials(Epoch(1), "AccessDenied".to_owned()));
    scene.after(60_000);
    let words =
        "no picture came within a minute: there are no storage credentials for its worker (AccessDenied)";
    assert_eq!((scene.phase(), reason(&scene).as_deref()), (Phase::Failed, Some(words)));
    let done = scene.done().unwrap();
    assert_eq!((done.reason, done.detail), (EndReason::StartTimeout, None));
}
