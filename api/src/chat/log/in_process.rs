//! Positions and events in this process, where there is one replica. A message counts once PostgreSQL has it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_livestream::StreamId;
use futures::future::{BoxFuture, FutureExt as _, ready};
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::writer::{self, Pending};
use super::{KEPT, REMEMBERED, RecentEvents, RoomLog, highest_epoch};
use crate::bus::Bus;
use crate::chat::ChatError;
use crate::chat::draft::{Draft, Event, Kind};
use crate::chat::policy::{SaidLately, Talker};
use crate::chat::position::Position;
use crate::limits::gcra::FullAt;

/// All rooms of the process.
pub(crate) struct InProcessLog {
    rooms: Rooms,
    pending: mpsc::Sender<Pending>,
    /// Where rooms' epochs are known that began before this process, or before the room was swept away.
    database: PgPool,
    /// For `now`: a clock that is never set back.
    began: Instant,
}

/// What the log and its writer share. Held for single operations only, never across an await.
#[derive(Clone, Default)]
pub(super) struct Rooms(Arc<Mutex<HashMap<StreamId, RoomState>>>);

/// What is remembered of a room.
pub(super) struct RoomState {
    pub(super) last: Position,
    events: VecDeque<(Event, Instant)>,
    talkers: HashMap<Uuid, Talker>,
    pace: FullAt,
    said: SaidLately,
    /// What senders called their last messages, so that a second try is known.
    tries: VecDeque<(Uuid, String, Event)>,
    /// The same of messages that are being written.
    trying: HashSet<(Uuid, String)>,
    touched: Instant,
}

impl InProcessLog {
    /// With its writer, which somebody must run: after `stop` it takes nothing more, and ends when all is written.
    pub(crate) fn new(
        database: PgPool,
        bus: Arc<dyn Bus>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (pending, queue) = mpsc::channel(WAITING);
        let rooms = Rooms::default();
        let log = Self { rooms: rooms.clone(), pending, database: database.clone(), began: Instant::now() };
        (log, writer::write(queue, rooms, database, bus, stop))
    }

    fn now(&self) -> Duration {
        // Never near zero, which is where a fresh bucket begins.
        self.began.elapsed() + Duration::from_secs(3_600)
    }

    /// Where a room's order has not begun, it does so now.
    async fn begin(&self, stream: StreamId) -> Result<(), ChatError> {
        if self.rooms.lock().contains_key(&stream) {
            return Ok(());
        }
        let above = highest_epoch(&self.database, stream).await?;
        self.rooms.begin(stream, above)
    }

    async fn accept(&self, message: &Draft) -> Result<Event, ChatError> {
        self.begin(message.stream).await?;
        let mut hasher = DefaultHasher::new();
        message.text.as_str().hash(&mut hasher);
        let words = hasher.finish();
        let known = self.rooms.with(message.stream, |room| {
            if let Some(event) = room.tried(message) {
                return Ok(Some(event));
            }
            if message.try_name().is_some_and(|name| room.trying.contains(&name)) {
                // What becomes of the first try, the next one hears.
                return Err(ChatError::Unavailable);
            }
            let (now, wanted) = (self.now(), message.admitted.pace);
            let RoomState { talkers, pace, said, .. } = room;
            said.allows(wanted.unique, now)?;
            if talkers.len() >= MOST_TALKERS && !talkers.contains_key(&message.author.id) {
                return Err(ChatError::RoomBusy(Duration::from_secs(1)));
            }
            let talker = talkers.entry(message.author.id).or_default();
            talker.may_say(words, pace, wanted, now)?;
            said.add(wanted.unique, now);
            room.trying.extend(message.try_name());
            Ok(None)
        })?;
        if let Some(event) = known {
            return Ok(event);
        }
        let (pending, answer) = Pending::message(message.clone());
        if self.pending.try_send(pending).is_err() {
            self.rooms.with(message.stream, |room| {
                room.failed(message);
                Ok(())
            })?;
            return Err(ChatError::Unavailable);
        }
        answer.await.map_err(|_| ChatError::Unavailable)?
    }

    async fn write(
        &self,
        (pending, answer): (Pending, oneshot::Receiver<Result<Event, ChatError>>),
    ) -> Result<Event, ChatError> {
        self.pending.try_send(pending).map_err(|_| ChatError::Unavailable)?;
        answer.await.map_err(|_| ChatError::Unavailable)?
    }
}

impl RoomLog for InProcessLog {
    fn say<'a>(&'a self, message: &'a Draft) -> BoxFuture<'a, Result<Event, ChatError>> {
        self.accept(message).boxed()
    }

    fn tell(&self, stream: StreamId, kind: Kind, fields: String) -> BoxFuture<'_, Result<Event, ChatError>> {
        async move {
            self.begin(stream).await?;
            self.write(Pending::other(stream, kind, fields)).await
        }
        .boxed()
    }

    /// Nobody can know of more than this process does.
    fn open(
        &self,
        stream: StreamId,
        _known: Option<Position>,
    ) -> BoxFuture<'_, Result<RecentEvents, ChatError>> {
        async move {
            self.begin(stream).await?;
            self.rooms.with(stream, |room| Ok(room.recent()))
        }
        .boxed()
    }

    fn recent(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<Event>, ChatError>> {
        let events = self.rooms.lock().get(&stream).map(|room| room.recent().events);
        ready(Ok(events.unwrap_or_default())).boxed()
    }

    fn sweep(&self) {
        let now = self.now();
        self.rooms.lock().retain(|_, room| {
            room.said.forget_old(now);
            room.talkers.retain(|_, talker| !talker.is_forgettable(now));
            while room.events.front().is_some_and(|(_, at)| at.elapsed() >= REMEMBERED) {
                room.events.pop_front();
            }
            room.touched.elapsed() < IDLE
        });
    }
}

impl Rooms {
    /// Begins a room, in an epoch later than `above`, if nobody was faster.
    fn begin(&self, stream: StreamId, above: i64) -> Result<(), ChatError> {
        let mut rooms = self.lock();
        if rooms.len() >= MOST_ROOMS && !rooms.contains_key(&stream) {
            return Err(ChatError::Full);
        }
        rooms.entry(stream).or_insert_with(|| RoomState::new(above)).touched = Instant::now();
        Ok(())
    }

    /// Does something with a room that has begun.
    pub(super) fn with<T>(
        &self,
        stream: StreamId,
        look: impl FnOnce(&mut RoomState) -> Result<T, ChatError>,
    ) -> Result<T, ChatError> {
        let mut rooms = self.lock();
        // Swept away just now: whoever tries again begins it.
        let room = rooms.get_mut(&stream).ok_or(ChatError::Unavailable)?;
        room.touched = Instant::now();
        look(room)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, RoomState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoomState {
    fn new(above: i64) -> Self {
        Self {
            last: Position::beginning(new_epoch(above)),
            events: VecDeque::new(),
            talkers: HashMap::new(),
            pace: FullAt::default(),
            said: SaidLately::default(),
            tries: VecDeque::new(),
            trying: HashSet::new(),
            touched: Instant::now(),
        }
    }

    fn recent(&self) -> RecentEvents {
        let fresh = self.events.iter().filter(|(_, at)| at.elapsed() < REMEMBERED);
        RecentEvents::new(self.last, fresh.map(|(event, _)| event.clone()).collect())
    }

    fn tried(&self, message: &Draft) -> Option<Event> {
        let name = message.client_id.as_ref()?;
        let same =
            |(author, tried, _): &&(Uuid, String, Event)| *author == message.author.id && tried == name;
        self.tries.iter().find(same).map(|(_, _, event)| event.clone())
    }

    /// Takes up what has its position and is kept.
    pub(super) fn happened(&mut self, event: &Event, message: Option<&Draft>) {
        self.last = event.position;
        self.events.push_back((event.clone(), Instant::now()));
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
        if let Some((author, name)) = message.and_then(Draft::try_name) {
            self.trying.remove(&(author, name.clone()));
            self.tries.push_back((author, name, event.clone()));
            if self.tries.len() > KEPT {
                self.tries.pop_front();
            }
        }
    }

    /// Takes back what was not kept, so that the same can be tried again at once.
    pub(super) fn failed(&mut self, message: &Draft) {
        if let Some(name) = message.try_name() {
            self.trying.remove(&name);
        }
        self.said.forget(message.admitted.pace.unique);
        if let Some(talker) = self.talkers.get_mut(&message.author.id) {
            talker.forget_words();
        }
    }

    /// Begins anew, where it is not known which positions were given out: none is given out twice.
    pub(super) fn begin_anew(&mut self) {
        self.last = Position::beginning(new_epoch(self.last.epoch));
        self.events.clear();
    }
}

/// Now, and later than the epoch before it.
fn new_epoch(before: i64) -> i64 {
    chrono::Utc::now().timestamp_millis().max(before.saturating_add(1))
}

/// Messages that wait to be written: two seconds of what PostgreSQL takes at its slowest.
const WAITING: usize = 1_000;
/// A platform has 5,000 streams at most, and some have just ended.
const MOST_ROOMS: usize = 20_000;
/// In one room, within two minutes; at 50 messages a second there are 6,000.
const MOST_TALKERS: usize = 8_000;
/// What nobody looked at for so long begins a new epoch when somebody does.
const IDLE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use caudal_livestream::StreamId;

    use super::*;
    use crate::account::Streamer;
    use crate::chat::moderation::Admitted;
    use crate::chat::policy::Pace;
    use crate::chat::text::ChatText;

    #[tokio::test]
    async fn a_look_leaves_nothing_behind() {
        let database = PgPool::connect_lazy("postgres://nobody.invalid/none").unwrap();
        let bus = Arc::new(crate::bus::InProcessBus::default());
        let (log, _writer) = InProcessLog::new(database, bus, CancellationToken::new());
        let stream = StreamId(Uuid::nil());
        assert_eq!(log.recent(stream).await, Ok(Vec::new()));
        assert!(log.rooms.lock().is_empty());
        assert_eq!(log.rooms.with(stream, |_| Ok(())), Err(ChatError::Unavailable));
        log.rooms.begin(stream, 0).unwrap();
        let opened = log.open(stream, None).await.unwrap();
        assert_eq!(log.open(stream, None).await.unwrap().last, opened.last, "the order has begun");
    }

    #[test]
    fn an_epoch_is_later_than_all_before_it_whatever_the_clock_says() {
        let ahead = chrono::Utc::now().timestamp_millis() + 40 * 86_400_000;
        let mut room = RoomState::new(ahead);
        assert_eq!(room.last, Position::beginning(ahead + 1));
        room.begin_anew();
        assert_eq!(room.last, Position::beginning(ahead + 2));
    }

    #[test]
    fn a_try_is_remembered_as_under_way_only_until_it_is_settled() {
        let message = Draft {
            id: Uuid::now_v7(),
            stream: StreamId(Uuid::nil()),
            author: Streamer { id: Uuid::nil(), username: "ana".into(), display_name: None, avatar: None },
            admitted: Admitted { pace: Pace::USUAL, badges: Vec::new() },
            text: ChatText::new("hola").unwrap(),
            reply_to: None,
            client_id: Some("1".into()),
        };
        let mut room = RoomState::new(0);
        room.trying.extend(message.try_name());
        let event = Event::new(Kind::NewMessage, room.last.next(), &message.fields());
        room.happened(&event, Some(&message));
        assert!(room.trying.is_empty());
        assert_eq!(room.tried(&message), Some(event));
        room.trying.extend(message.try_name());
        room.failed(&message);
        assert!(room.trying.is_empty());
    }
}
