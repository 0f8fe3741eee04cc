//! Frames on their way from the session to the supervisor.

use tokio::sync::mpsc;

use super::EncodeFrame;

/// The session's end, which never waits. A frame for which there is no room is lost, with all that need it: the queue is
/// full only when the session itself does not take what is encoded, and the pace shows it.
#[derive(Debug)]
pub(super) struct FrameQueue {
    frames: mpsc::Sender<EncodeFrame>,
    /// A codec header that is still to go. The packager gives each one only once.
    header: Option<EncodeFrame>,
    /// A picture is missing: until the next keyframe, none can be decoded.
    in_hole: bool,
}

impl FrameQueue {
    pub(super) fn new(length: usize) -> (Self, mpsc::Receiver<EncodeFrame>) {
        let (frames, queued) = mpsc::channel(length);
        (Self { frames, header: None, in_hole: false }, queued)
    }

    pub(super) fn push(&mut self, frame: EncodeFrame) {
        if frame.sequence_header.is_some() {
            self.header = Some(frame);
            return;
        }
        if self.in_hole && !frame.keyframe {
            return;
        }
        let taken = self.send_header() && self.frames.try_send(frame).is_ok();
        if !taken && !self.in_hole {
            tracing::debug!("the encoder's queue is full: frames are lost until the next keyframe");
        }
        self.in_hole = !taken;
    }

    fn send_header(&mut self) -> bool {
        let Some(header) = self.header.clone() else { return true };
        let taken = self.frames.try_send(header).is_ok();
        if taken {
            self.header = None;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::fixtures::hd;

    fn frame(timestamp_ms: i64, keyframe: bool) -> EncodeFrame {
        EncodeFrame { timestamp_ms, body: Bytes::new(), keyframe, sequence_header: None }
    }

    fn header(timestamp_ms: i64) -> EncodeFrame {
        EncodeFrame { sequence_header: Some(hd()), ..frame(timestamp_ms, true) }
    }

    #[test]
    fn a_full_queue_loses_pictures_up_to_a_keyframe_and_no_header() {
        let (mut queue, mut queued) = FrameQueue::new(2);
        queue.push(header(0));
        queue.push(frame(0, true));
        queue.push(frame(40, false));
        queue.push(header(80));
        queue.push(frame(80, true));
        let take = |queued: &mut mpsc::Receiver<EncodeFrame>| {
            std::iter::from_fn(|| queued.try_recv().ok()).map(|frame| frame.timestamp_ms).collect::<Vec<_>>()
        };
        assert_eq!(take(&mut queued), [0, 0]);
        queue.push(frame(120, false));
        queue.push(frame(160, true));
        assert_eq!(
            take(&mut queued),
            [80, 160],
            "the header, and the first picture that can be decoded with it"
        );
        queue.push(frame(200, false));
        assert_eq!(take(&mut queued), [200]);
    }
}
