use caudal_livestream::timeline::Timeline;
use dash_mpd_core::{MPD, Period, parse};

use super::*;
use crate::playlist::sample::{Broadcast, Step};

fn parsed(timeline: &Timeline, reach: Reach) -> MPD {
    let text = dash(timeline, reach);
    parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// (number, media time, duration) of each segment that a player would ask a Period for.
fn segments(period: &Period, set: usize) -> Vec<(u64, u64, u64)> {
    let template = period.adaptations[set].representations[0].SegmentTemplate.as_ref().unwrap();
    let mut number = template.startNumber.unwrap();
    let mut time = 0;
    let mut all = Vec::new();
    for s in &template.SegmentTimeline.as_ref().unwrap().segments {
        time = s.t.unwrap_or(time);
        for _ in 0..=s.r.unwrap_or(0) {
            all.push((number, time, s.d));
            number += 1;
            time += s.d;
        }
    }
    all
}

#[test]
fn finished_segments_are_named_and_open_ones_are_not() {
    let mpd = parsed(&Broadcast::new(&["source", "480p", "audio"]).with(3, 4).timeline, Reach::Finished);
    assert_eq!(mpd.mpdtype.as_deref(), Some("dynamic"));
    assert_eq!(mpd.periods.len(), 1);
    let period = &mpd.periods[0];
    assert_eq!(period.adaptations.len(), 2);
    assert_eq!(period.adaptations[0].representations.len(), 2);
    assert_eq!(
        segments(period, 0),
        [(7, 10_000_000, 2_000_000), (8, 12_000_000, 2_000_000), (9, 14_000_000, 2_000_000)]
    );
    let template = period.adaptations[1].representations[0].SegmentTemplate.as_ref().unwrap();
    assert_eq!(template.media.as_deref(), Some("audio/$Number$-1.m4s"));
    assert_eq!(template.initialization.as_deref(), Some("audio/init-abc0.mp4"));
}

#[test]
fn the_first_period_stays_where_it_was_while_its_segments_leave() {
    let mut broadcast = Broadcast::new(&["source"]).with(3, 0);
    let before = parsed(&broadcast.timeline, Reach::Finished);
    broadcast = broadcast.with(20, 0);
    let after = parsed(&broadcast.timeline, Reach::Finished);
    assert_eq!(before.periods[0].id, after.periods[0].id);
    assert_eq!(before.periods[0].start, after.periods[0].start);
    assert!(segments(&after.periods[0], 0)[0].0 > 7);
}

#[test]
fn a_new_worker_is_a_continuous_period_and_a_discontinuity_is_not() {
    let mut broadcast = Broadcast::new(&["source", "audio"]).with(3, 0);
    broadcast.step(Step::NextEpoch);
    broadcast = broadcast.with(2, 0);
    broadcast.step(Step::Discontinuity);
    let mpd = parsed(&broadcast.with(2, 0).timeline, Reach::Finished);
    let ids: Vec<_> = mpd.periods.iter().map(|p| p.id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["p0-1", "p0-2", "p1-2"]);
    let continuity = |period: &Period| {
        period.adaptations[0].supplemental_property.first().and_then(|property| property.value.clone())
    };
    assert_eq!(mpd.periods.iter().map(continuity).collect::<Vec<_>>(), [None, Some("p0-1".to_owned()), None]);
    assert_eq!(segments(&mpd.periods[1], 0)[0], (10, 16_000_000, 2_000_000));
    assert_eq!(
        mpd.periods.iter().map(|p| p.adaptations[0].id.clone()).collect::<Vec<_>>(),
        vec![Some("1".to_owned()); 3]
    );
}

#[test]
fn periods_from_before_video_joined_stay() {
    let radio = Broadcast::new(&["audio"]).with(5, 0);
    let before = parsed(&radio.timeline, Reach::Finished);
    let mut broadcast = radio.joined_by("source");
    broadcast.step(Step::Discontinuity);
    broadcast = broadcast.with(2, 3);
    let mpd = parsed(&broadcast.timeline, Reach::Finished);
    let ids: Vec<_> = mpd.periods.iter().map(|p| p.id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["p0-1", "p1-1"]);
    assert_eq!(mpd.periods[0].start, before.periods[0].start);
    assert_eq!(segments(&mpd.periods[0], 0), segments(&before.periods[0], 0));
    let sets =
        |period: &Period| period.adaptations.iter().map(|set| set.id.clone().unwrap()).collect::<Vec<_>>();
    assert_eq!(mpd.periods.iter().map(sets).collect::<Vec<_>>(), [vec!["2"], vec!["1", "2"]]);
    assert_eq!(mpd.timeShiftBufferDepth, Some(std::time::Duration::from_secs(14)));
}

#[test]
fn a_period_that_its_first_rendition_has_only_begun_is_not_named_by_another() {
    let mut broadcast = Broadcast::new(&["source", "audio"]).with(3, 0);
    broadcast.step(Step::Discontinuity);
    broadcast = broadcast.with(1, 0);
    // Of the new run, only the sound is in storage.
    for segment in broadcast.timeline.tracks.iter_mut().flat_map(|track| &mut track.segments) {
        segment.phase = SegmentPhase::Stored;
    }
    broadcast.timeline.tracks[0].segments.back_mut().unwrap().phase = SegmentPhase::Finished;
    let mpd = parsed(&broadcast.timeline, Reach::Stored);
    let ids: Vec<_> = mpd.periods.iter().map(|p| p.id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["p0-1"]);
}

/// Leaves a rendition at its segment of that index, which it is still writing.
fn hold_back(broadcast: &mut Broadcast, name: &str, index: usize) {
    let track = broadcast.timeline.tracks.iter_mut().find(|track| track.name.as_str() == name).unwrap();
    track.segments.truncate(index + 1);
    track.segments[index].phase = SegmentPhase::Open;
}

#[test]
fn a_stream_begins_with_all_its_renditions_or_a_second_and_a_half_later() {
    let begun = |late: &str, parts| {
        let mut broadcast = Broadcast::new(&["source", "480p", "audio"]).with(1, parts);
        hold_back(&mut broadcast, late, 0);
        assert_eq!(
            has_period(&broadcast.timeline, Reach::Finished),
            !parsed(&broadcast.timeline, Reach::Finished).periods.is_empty()
        );
        has_period(&broadcast.timeline, Reach::Finished)
    };
    for late in ["480p", "audio"] {
        assert!(!begun(late, 0), "{late}");
        assert!(!begun(late, 7), "{late}");
        assert!(begun(late, 8), "{late}");
    }
    let mut ended = Broadcast::new(&["source", "audio"]).with(1, 0);
    hold_back(&mut ended, "audio", 0);
    ended.timeline.ended = true;
    assert!(has_period(&ended.timeline, Reach::Finished));
}

#[test]
fn a_later_period_waits_for_sound_but_not_for_every_rung() {
    for (late, ids) in [("audio", &["p0-1"][..]), ("480p", &["p0-1", "p1-1"])] {
        let mut broadcast = Broadcast::new(&["source", "480p", "audio"]).with(3, 0);
        broadcast.step(Step::Discontinuity);
        broadcast = broadcast.with(1, 0);
        hold_back(&mut broadcast, late, 3);
        let mpd = parsed(&broadcast.timeline, Reach::Finished);
        assert_eq!(mpd.periods.iter().map(|p| p.id.as_deref().unwrap()).collect::<Vec<_>>(), ids, "{late}");
    }
}

#[test]
fn presentation_time_of_a_frame_is_the_same_before_and_after_older_periods_left() {
    let mut broadcast = Broadcast::new(&["source"]).with(3, 0);
    broadcast.step(Step::NextEpoch);
    broadcast = broadcast.with(8, 0);
    let mapping = |timeline: &Timeline, id: &str| {
        let mpd = parsed(timeline, Reach::Finished);
        let period = mpd.periods.iter().find(|p| p.id.as_deref() == Some(id)).unwrap();
        let template = period.adaptations[0].representations[0].SegmentTemplate.as_ref().unwrap();
        i128::from(u64::try_from(period.start.unwrap().as_micros()).unwrap())
            - i128::from(template.presentationTimeOffset.unwrap())
    };
    let before = mapping(&broadcast.timeline, "p0-2");
    broadcast = broadcast.with(12, 0);
    assert_eq!(parsed(&broadcast.timeline, Reach::Finished).periods.len(), 1);
    assert_eq!(mapping(&broadcast.timeline, "p0-2"), before);
}

#[test]
fn the_stored_manifest_waits_for_storage() {
    let mut broadcast = Broadcast::new(&["source", "audio"]).with(3, 0);
    broadcast.step(Step::Store);
    let mpd = parsed(&broadcast.timeline, Reach::Stored);
    assert_eq!(segments(&mpd.periods[0], 0).len(), 1);
}

#[test]
fn the_last_manifest_has_a_length_and_no_update() {
    let mut broadcast = Broadcast::new(&["source", "audio"]).with(3, 0);
    assert!(parsed(&broadcast.timeline, Reach::Finished).minimumUpdatePeriod.is_some());
    broadcast.step(Step::End);
    let mpd = parsed(&broadcast.timeline, Reach::Finished);
    assert_eq!(mpd.minimumUpdatePeriod, None);
    assert_eq!(mpd.periods[0].duration.map(|d| d.as_secs()), Some(16));
}

#[test]
fn frame_rates_are_written_as_broadcasting_does() {
    for (milli, text) in [
        (25_000, "25"),
        (29_970, "30000/1001"),
        (59_940, "60000/1001"),
        (23_976, "24000/1001"),
        (12_500, "12500/1000"),
    ] {
        assert_eq!(FrameRate(milli).to_string(), text);
    }
}

#[test]
fn captions_and_ranges_of_pictures_are_described() {
    let mut broadcast = Broadcast::new(&["source", "480p", "audio"]).with(2, 0);
    assert!(!dash(&broadcast.timeline, Reach::Finished).contains("Accessibility"));
    broadcast.timeline.captions = ["CC1", "CC3", "SERVICE1"].map(|name| name.parse().unwrap()).into();
    if let TrackMedia::Video { range, .. } = &mut broadcast.timeline.tracks[0].media {
        *range = VideoRange::Hlg;
    }
    let mpd = parsed(&broadcast.timeline, Reach::Finished);
    let [video, audio] = &mpd.periods[0].adaptations[..] else { panic!("two sets") };
    let described: Vec<_> =
        video.Accessibility.iter().map(|of| (of.schemeIdUri.as_str(), of.value.as_deref())).collect();
    assert_eq!(
        described,
        [
            ("urn:scte:dash:cc:cea-608:2015", Some("CC1=und;CC3=und")),
            ("urn:scte:dash:cc:cea-708:2015", Some("1=lang:und")),
        ]
    );
    assert!(audio.Accessibility.is_empty());
    let ranges: Vec<_> = video
        .representations
        .iter()
        .map(|of| of.supplemental_property.first().and_then(|property| property.value.as_deref()))
        .collect();
    assert_eq!(ranges, [Some("18"), None]);
}
