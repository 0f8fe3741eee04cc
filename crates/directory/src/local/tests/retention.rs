//! What is left of ended streams, in the directory's folder and in storage, after a month of them.

use std::collections::BTreeSet;

use caudal_livestream::InstallationId;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{FilledState, Ownership, StoredState};
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{Msn, WorkerId};
use caudal_storage::{Key, StreamFile};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::moto::{Moto, bucket};
use super::*;

#[tokio::test]
async fn an_ended_stream_leaves_nothing_in_storage_or_in_the_folder_of_streams() {
    let stage = Stage::new().await;
    let (ended, recorded) = (stage.ended(false).await, stage.ended(true).await);
    advance(MINUTE * 9).await;
    assert_eq!(stage.stored().await, [ended, recorded].into(), "viewers may look once more");
    stage.until_left(&[recorded]).await;
    stage.directory.close().await;
}

#[tokio::test]
async fn a_storage_that_is_away_delays_the_removal_and_does_not_cancel_it() {
    let stage = Stage::new().await;
    let ended = stage.ended(false).await;
    stage.break_folder();
    advance(MINUTE * 30).await;
    // Held until the media is gone, over any number of restarts.
    assert_eq!(stage.records(), [ended].into());
    let other = stage.open().await;
    assert!(stage.directory.get(other).is_some(), "the directory goes on");
    stage.directory.end(other, EndReason::EndedByOwner).await.unwrap();
    stage.mend_folder();
    stage.until_left(&[]).await;
    stage.directory.close().await;
}

#[tokio::test]
async fn media_is_removed_while_the_api_cannot_take_the_end_down() {
    let stage = Stage::new().await;
    stage.api.answer(StatusCode::SERVICE_UNAVAILABLE);
    let ended = stage.ended(false).await;
    // The disk stays full until then, so the api never could.
    passing(MINUTE, "storage is empty", async || stage.stored().await.is_empty()).await;
    assert!(stage.directory.get(ended).is_some(), "it is still to be reported");
    stage.api.answer(StatusCode::NO_CONTENT);
    stage.until_left(&[]).await;
    stage.directory.close().await;
}

#[tokio::test]
async fn what_there_is_no_record_of_is_removed_only_if_it_is_provably_ours_and_no_recording() {
    let mut stage = Stage::new().await;
    let ours = InstallationId::of(&fake_workers::signing_key().verifying_key());
    let others = InstallationId::of(&SigningKey::from_bytes(&[1; 32]).verifying_key());
    let [lost, recording, foreign, old, live] = [(); 5].map(|()| StreamId::generate());
    let owned = |installation, record| Some(Ownership { installation, record });
    stage.write(lost, owned(ours, false)).await;
    stage.write(recording, owned(ours, true)).await;
    stage.write(foreign, owned(others, false)).await;
    stage.write(old, None).await;
    stage.write(live, owned(ours, false)).await;
    // A stream of ours that a copy of this installation keeps writing.
    let key = Key::Live(live, StreamFile::State(Epoch(1)));
    stage.restart().await;
    stage.workers.scarce(true);
    let known = stage.open().await;
    stage.write(known, owned(ours, false)).await;
    let gone = async || {
        let state = stage.media.get(&key).await.unwrap().unwrap();
        stage.media.put(&key, state).await.unwrap();
        !stage.stored().await.contains(&lost)
    };
    passing(Duration::from_secs(20), "the lost one is gone", gone).await;
    assert_eq!(stage.stored().await, [recording, foreign, old, live, known].into());
    stage.directory.close().await;
}

#[tokio::test]
async fn what_there_is_no_record_of_and_has_not_ended_goes_only_when_nothing_was_written_for_a_day() {
    let mut stage = Stage::new().await;
    let ours = InstallationId::of(&fake_workers::signing_key().verifying_key());
    let owner = Some(Ownership { installation: ours, record: false });
    let [ended, claimed, open] = [(); 3].map(|()| StreamId::generate());
    stage.write(ended, owner).await;
    stage.write_state(&state(claimed, owner, None)).await;
    stage.write_state(&state(open, owner, Some(false))).await;
    for stream in [claimed, open] {
        let state = stage.folder.path().join(format!("media/live/{stream}/state-1.json"));
        let now = stage.wall.clock()();
        std::fs::File::options().write(true).open(state).unwrap().set_modified(now).unwrap();
    }
    stage.restart().await;
    let ended_is_gone = async || !stage.stored().await.contains(&ended);
    passing(Duration::from_secs(20), "the ended one is gone", ended_is_gone).await;
    // Another controller's, for all that anybody knows here.
    let begun = tokio::time::Instant::now();
    passing(MINUTE * 20, "they are gone", async || stage.stored().await.is_empty()).await;
    assert!(begun.elapsed() > MINUTE * 60 * 23, "{:?}", begun.elapsed());
    stage.directory.close().await;
}

#[tokio::test]
async fn media_of_a_stream_whose_record_cannot_be_read_stay_until_the_operator_removes_what_was_put_aside() {
    let mut stage = Stage::new().await;
    let ours = InstallationId::of(&fake_workers::signing_key().verifying_key());
    let [broken, lost] = [(); 2].map(|()| StreamId::generate());
    for stream in [broken, lost] {
        stage.write(stream, Some(Ownership { installation: ours, record: false })).await;
    }
    let streams = stage.folder.path().join("streams");
    std::fs::write(streams.join(format!("{broken}.json")), "{").unwrap();
    stage.restart().await;
    let lost_is_gone = async || !stage.stored().await.contains(&lost);
    passing(Duration::from_secs(20), "what there is no record of is gone", lost_is_gone).await;
    assert_eq!(stage.stored().await, [broken].into());
    // Over further starts and sweeps too.
    stage.restart().await;
    advance(MINUTE * 70).await;
    advance(MINUTE * 2).await;
    assert_eq!(stage.stored().await, [broken].into());
    std::fs::remove_file(streams.join(format!("{broken}.broken"))).unwrap();
    passing(MINUTE, "it is gone", async || stage.stored().await.is_empty()).await;
    stage.directory.close().await;
}

#[tokio::test]
async fn nor_do_they_go_with_a_stream_that_went_on_behind_what_was_put_aside() {
    let mut stage = Stage::new().await;
    stage.workers.scarce(true);
    let streams = stage.folder.path().join("streams");
    let spec = spec();
    let stream = spec.stream;
    let ours = InstallationId::of(&fake_workers::signing_key().verifying_key());
    stage.write(stream, Some(Ownership { installation: ours, record: false })).await;
    std::fs::write(streams.join(format!("{stream}.json")), "{").unwrap();
    stage.restart().await;
    stage.workers.scarce(true);
    // Its publisher is still there.
    stage.directory.open(spec).await.unwrap();
    stage.directory.end(stream, EndReason::EndedByOwner).await.unwrap();
    passing(MINUTE, "its record is gone", async || stage.records().is_empty()).await;
    assert_eq!(stage.stored().await, [stream].into());
    std::fs::remove_file(streams.join(format!("{stream}.broken"))).unwrap();
    passing(MINUTE, "its media is gone", async || stage.stored().await.is_empty()).await;
    stage.directory.close().await;
}

#[tokio::test]
async fn a_state_that_cannot_be_read_does_not_keep_other_streams_without_a_record_from_being_removed() {
    let mut stage = Stage::new().await;
    let ours = InstallationId::of(&fake_workers::signing_key().verifying_key());
    let mut streams = [(); 3].map(|()| StreamId::generate());
    streams.sort_unstable_by_key(|stream| stream.0);
    let [unreadable, lost, also_lost] = streams;
    for stream in streams {
        stage.write(stream, Some(Ownership { installation: ours, record: false })).await;
    }
    // Longer than any state, and looked at first: streams are looked at in the order of their ids.
    let state = stage.folder.path().join(format!("media/live/{unreadable}/state-1.json"));
    std::fs::File::options().write(true).open(state).unwrap().set_len(1 << 32).unwrap();
    stage.restart().await;
    let gone = async || {
        let stored = stage.stored().await;
        !stored.contains(&lost) && !stored.contains(&also_lost)
    };
    passing(Duration::from_secs(20), "the readable ones are gone", gone).await;
    assert_eq!(stage.stored().await, [unreadable].into());
    stage.directory.close().await;
}

#[tokio::test]
async fn a_month_of_broadcasts_leaves_only_recordings_in_a_folder() {
    let stage = Stage::new().await;
    a_month(stage, 1, Stage::break_folder, Stage::mend_folder).await;
}

#[tokio::test]
async fn a_month_of_broadcasts_leaves_only_recordings_in_a_bucket() {
    let server = Moto::start();
    server.store("month");
    let line = Line::to(server.address.clone()).await;
    let stage = Stage::over(bucket(&format!("http://{}", line.address), "month")).await;
    // Fewer of them than in the folder: the server of tests takes tens of milliseconds for each request.
    a_month(stage, 12, |_| line.cut(true), |_| line.cut(false)).await;
}

/// A broadcast every so many hours; in between the platform is killed, loses records, and finds its storage away.
async fn a_month(
    mut stage: Stage,
    hours: u32,
    break_storage: impl Fn(&Stage),
    mend_storage: impl Fn(&Stage),
) {
    let mut kept = Vec::new();
    for number in 0..24 * 30 / hours {
        let record = number % 96 == 1;
        let stream = stage.ended(record).await;
        if record {
            kept.push(stream);
        }
        match (number % 12, number % 120) {
            (3, _) => stage.restart().await,
            (_, 5) => break_storage(&stage),
            (_, 6) => {
                // The platform is killed and started again while its storage is away.
                stage.restart().await;
                mend_storage(&stage);
            }
            (9, _) => {
                stage.directory.close().await;
                std::fs::remove_file(stage.folder.path().join(format!("streams/{stream}.json"))).unwrap();
                stage.restart().await;
            }
            _ => {}
        }
        advance(MINUTE * 60 * hours).await;
    }
    stage.until_left(&kept).await;
    assert_eq!(stage.records(), [].into());
    stage.directory.close().await;
}

impl Stage {
    /// A broadcast that had media and is over, and the api knows.
    async fn ended(&self, record: bool) -> StreamId {
        self.workers.scarce(true);
        let spec = Spec { record, ..spec() };
        let stream = spec.stream;
        self.directory.open(spec).await.unwrap();
        let controller = fake_workers::signing_key().verifying_key();
        let owner = Ownership { installation: InstallationId::of(&controller), record };
        self.write(stream, Some(owner)).await;
        self.directory.end(stream, EndReason::EndedByOwner).await.unwrap();
        while self.api.next().await != format!("done {stream} published=false ended_by_owner") {}
        stream
    }

    /// What a worker would have stored of a broadcast that is over, as far as the storage lets it.
    async fn write(&self, stream: StreamId, owner: Option<Ownership>) {
        self.write_state(&state(stream, owner, Some(true))).await;
    }

    async fn write_state(&self, state: &StoredState) {
        if self.media.claim(state).await.is_err() {
            return;
        }
        let stream = state.stream;
        let segment = Key::Live(stream, StreamFile::Segment("source".parse().unwrap(), Msn(7), Epoch(1)));
        for key in [segment, Key::Poster(stream)] {
            let _ = self.media.put(&key, bytes::Bytes::from_static(b"media")).await;
        }
    }

    async fn stored(&self) -> BTreeSet<StreamId> {
        self.media.streams().await.unwrap().into_iter().collect()
    }

    /// The streams that the directory's folder has a record of.
    fn records(&self) -> BTreeSet<StreamId> {
        let files = std::fs::read_dir(self.folder.path().join("streams")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect()
    }

    /// Lets time pass until storage holds exactly `kept`, and no record but theirs is left.
    async fn until_left(&self, kept: &[StreamId]) {
        let kept: BTreeSet<_> = kept.iter().copied().collect();
        let left = async || self.stored().await == kept && self.records().is_subset(&kept);
        passing(MINUTE, &format!("only {kept:?} are left"), left).await;
    }

    fn break_folder(&self) {
        let live = self.folder.path().join("media/live");
        std::fs::rename(&live, self.folder.path().join("away")).unwrap();
        std::fs::write(&live, "in the way").unwrap();
    }

    fn mend_folder(&self) {
        let live = self.folder.path().join("media/live");
        std::fs::remove_file(&live).unwrap();
        std::fs::rename(self.folder.path().join("away"), live).unwrap();
    }
}

/// A first worker's state; a claim alone where nothing is said of the broadcast's end.
fn state(stream: StreamId, owner: Option<Ownership>, ended: Option<bool>) -> StoredState {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let worker = WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere };
    let filled = ended.map(|ended| FilledState {
        timeline: Timeline { ended, ..fake_workers::timeline(stream, Epoch(1)) },
        clock: None,
        closed: false,
    });
    StoredState { stream, epoch: Epoch(1), worker, owner, filled }
}

/// A connection to a server that can be cut.
struct Line {
    address: String,
    cut: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Line {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cut, is_cut) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut from, _) = listener.accept().await.unwrap();
                let (mut is_cut, server) = (is_cut.clone(), server.clone());
                connections.spawn(async move {
                    let carry = async {
                        let mut to = TcpStream::connect(server).await.unwrap();
                        let _ = copy_bidirectional(&mut from, &mut to).await;
                    };
                    tokio::select! {
                        _ = is_cut.wait_for(|cut| *cut) => {}
                        () = carry => {}
                    }
                });
            }
        });
        Self { address, cut, _task: task }
    }

    fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

/// Lets time pass at once. It is stopped only for that: what is under way on the network needs real time.
async fn advance(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

/// Lets time pass, `step` by step, until it is `so`. In between, what that set off on disk and network gets real time:
/// an operation that every step overtakes would run into its deadline for ever. A slow machine gets more and more of it.
async fn passing(step: Duration, what: &str, so: impl AsyncFn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE * 18;
    let mut steps = 0;
    while !so().await {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        advance(step).await;
        tokio::time::sleep(Duration::from_millis(50) * (1 + steps / 30)).await;
        steps += 1;
    }
}

const MINUTE: Duration = Duration::from_mins(1);
