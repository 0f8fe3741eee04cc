//! The dialogue before and around `publish`, answered as OBS, ffmpeg, GStreamer and hardware encoders expect.

use rml_amf0::Amf0Value;

use super::{Event, Live, LossReason, Phase, ServerSession};
use crate::amf;
use crate::limits::{CHUNK_SIZE, MAX_COMMANDS, MAX_STREAMS};
use crate::message::Message;
use crate::refusal::Refusal;
use crate::replies::{self, HAND_OVER};
use crate::session_error::SessionError;
use crate::stream_request::ConnectRequest;

impl ServerSession {
    pub(super) fn handle_command(&mut self, message: &Message) -> Option<Event> {
        if matches!(self.phase, Phase::Dialogue { .. }) {
            self.commands += 1;
            if self.commands > MAX_COMMANDS {
                return self.fail(SessionError::TooManyCommands);
            }
        }
        // AMF3 commands carry AMF0 behind a format byte.
        let bytes = message.payload.as_ref();
        let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
        let decoded = amf::decode(bytes);
        if let Some(error) = decoded.error.filter(|error| error.is_hostile()) {
            return self.fail(error.into());
        }
        let mut values = decoded.values.iter();
        let Some(Amf0Value::Utf8String(name)) = values.next() else { return None };
        let transaction = values.next().and_then(amf::number).unwrap_or(0.0);
        let object = values.next().unwrap_or(&Amf0Value::Null);
        let arguments = values.as_slice();
        match name.as_str() {
            "connect" => self.connect(transaction, object),
            "releaseStream" | "_checkbw" => self.send_command(replies::done(transaction), 0),
            "FCPublish" => {
                self.fc_publish = true;
                self.send_command(replies::done(transaction), 0);
            }
            "getStreamLength" => self.send_command(replies::number_result(transaction, 0.0), 0),
            "createStream" => self.create_stream(transaction),
            "publish" => return self.publish(message.stream_id, arguments),
            "play" | "play2" => return self.refuse_player(message.stream_id),
            "FCUnpublish" | "closeStream" => return self.unpublish(transaction),
            HAND_OVER => return self.hand_over(),
            "deleteStream" => {
                let id = arguments.first().and_then(amf::number);
                if !self.is_another_stream(id) {
                    return self.unpublish(transaction);
                }
            }
            _ => {}
        }
        None
    }

    fn connect(&mut self, transaction: f64, object: &Amf0Value) {
        if self.connect.is_some() {
            return;
        }
        let request = ConnectRequest::read(object);
        for message in replies::opening(CHUNK_SIZE) {
            self.send_control(message);
        }
        self.writer.set_chunk_size(CHUNK_SIZE);
        self.send_command(replies::connected(transaction, &request.enhanced), 0);
        self.connect = Some(request);
    }

    fn create_stream(&mut self, transaction: f64) {
        let reply = if self.streams < MAX_STREAMS {
            self.streams += 1;
            replies::number_result(transaction, f64::from(self.streams))
        } else {
            replies::failed(
                transaction,
                "This connection has asked for too many streams. Connect again for another one.",
            )
        };
        self.send_command(reply, 0);
    }

    fn publish(&mut self, stream_id: u32, arguments: &[Amf0Value]) -> Option<Event> {
        if let Phase::Live(live) = &mut self.phase {
            if live.stream_id != stream_id {
                live.exclusive = true;
                let told = "This connection has a stream already. Connect again for another one.";
                let refusal = replies::refused(Refusal::BadName, told);
                self.send_command(refusal, stream_id);
            }
            return None;
        }
        let text = |index: usize| arguments.get(index).and_then(amf::text);
        let requested = match (&self.connect, text(0)) {
            (Some(connect), Some(name)) => connect.publish(name, text(1).unwrap_or_default()),
            _ => return self.fail(SessionError::UnexpectedCommand("publish")),
        };
        self.phase = Phase::Pending { stream_id };
        let Some(requested) = requested else {
            let told = "The stream key is missing. Copy it from the page Go live into your encoder's stream key field.";
            self.reject_publish(Refusal::BadName, told);
            return Some(Event::Failed(SessionError::UnexpectedCommand("publish")));
        };
        Some(Event::PublishRequested(Box::new(requested)))
    }

    fn refuse_player(&mut self, stream_id: u32) -> Option<Event> {
        if matches!(self.phase, Phase::Live(_)) {
            return None;
        }
        let error = SessionError::NotAPublisher;
        self.send_command(replies::play_refused(&error.told()), stream_id);
        self.fail(error)
    }

    fn unpublish(&mut self, transaction: f64) -> Option<Event> {
        let Phase::Live(Live { stream_id, .. }) = self.phase else {
            // OBS clears away what an earlier session may have left.
            self.send_command(replies::done(transaction), 0);
            return None;
        };
        self.send_command(replies::unpublished(), stream_id);
        Some(self.lose(true, LossReason::Unpublished))
    }

    fn hand_over(&mut self) -> Option<Event> {
        let Phase::Live(_) = self.phase else { return None };
        Some(self.lose(false, LossReason::HandedOver))
    }

    /// Whether `id` is a stream that was given out and is not the one that is published.
    fn is_another_stream(&self, id: Option<f64>) -> bool {
        let Phase::Live(live) = &self.phase else { return false };
        id.is_some_and(|id| {
            (1..=self.streams).any(|given| given != live.stream_id && (f64::from(given) - id).abs() < 0.5)
        })
    }
}
