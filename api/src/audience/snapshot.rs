//! How many watch, written down now and then.

use caudal_livestream::StreamId;

use crate::app::Streams;
use crate::metrics::Metrics;

/// In the rows of live streams, by which lists are sorted, and in the gauges.
pub(crate) async fn count_viewers(streams: &Streams, metrics: &Metrics) -> Result<(), sqlx::Error> {
    let live = sqlx::query!("select id, viewer_count from streams where is_live")
        .fetch_all(&streams.database)
        .await?;
    streams.audience.presence().look_at(live.iter().map(|stream| StreamId(stream.id)).collect());
    let mut counts = Vec::with_capacity(live.len());
    let changed = live.into_iter().filter_map(|stream| {
        let viewers = streams.audience.viewers(StreamId(stream.id));
        counts.push(viewers);
        let viewers = i32::try_from(viewers).unwrap_or(i32::MAX);
        (viewers != stream.viewer_count).then_some((stream.id, viewers))
    });
    let (ids, new): (Vec<_>, Vec<_>) = changed.unzip();
    metrics.watched(&counts);
    if ids.is_empty() {
        return Ok(());
    }
    // Locked in the order of their ids: two replicas that count at once must not wait for each other.
    sqlx::query!(
        r#"with counted as (
               select s.id, new.viewers from streams s
               join unnest($1::uuid[], $2::int[]) as new (id, viewers) on new.id = s.id
               where s.is_live order by s.id for no key update of s
           )
           update streams s
           set viewer_count = counted.viewers, peak_viewers = greatest(s.peak_viewers, counted.viewers)
           from counted where s.id = counted.id and s.is_live"#,
        &ids,
        &new
    )
    .execute(&streams.database)
    .await?;
    Ok(())
}
