//! What the fuzzer runs, as a plain function, so that tests run it too. It asserts what must hold for any bytes.

use caudal_livestream::{RenditionName, StreamId};

use crate::request::{ByteRange, Directives, MediaFile, query_value};

/// A request's target and its `Range` header, on two lines. What is taken from a path names itself exactly and stays in
/// its folder; the same directives in another order mean the same; a range stays within what there is.
pub fn playlist_query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (target, range) = text.split_once('\n').unwrap_or((text, ""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    for name in path.split('/') {
        if let Ok(file) = name.parse::<MediaFile>() {
            assert_eq!(file.to_string(), name);
            assert!(!name.contains('\\') && !name.contains(".."));
        }
        if let Ok(rendition) = name.parse::<RenditionName>() {
            assert_eq!(rendition.to_string(), name);
            assert!(!name.is_empty() && !name.contains('.') && !name.contains('\\'));
        }
        if let Ok(stream) = name.parse::<StreamId>() {
            assert_eq!(stream.to_string().parse::<StreamId>().ok(), Some(stream));
        }
    }
    directives(query);
    if let Some(value) = query_value(query, "v") {
        assert!(!value.contains('&'));
    }
    for length in [0, 1, 1000, usize::MAX] {
        match ByteRange::parse(range, length) {
            ByteRange::Slice(from, to) => assert!(from < to && to <= length || length == 0 && from == to),
            ByteRange::Whole | ByteRange::Unsatisfiable => {}
        }
    }
}

fn directives(query: &str) {
    let parsed = Directives::parse(query);
    let mut names: Vec<_> = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).collect();
    names.sort_unstable();
    names.dedup();
    // Of a directive that is given twice the last one counts, so order matters then.
    if names.len() == query.split('&').count() {
        let mut reversed: Vec<_> = query.split('&').collect();
        reversed.reverse();
        // With two mistakes, which of them is named depends on the order.
        assert_eq!(Directives::parse(&reversed.join("&")).ok(), parsed.ok());
    }
    if let Ok(Directives { until: Some(position), .. }) = parsed {
        let part = position.part.map_or(String::new(), |part| format!("&_HLS_part={part}"));
        let again = Directives::parse(&format!("_HLS_msn={}{part}", position.msn.0));
        assert_eq!(again.ok().and_then(|directives| directives.until), Some(position));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::playlist_query;

    proptest! {
        #[test]
        fn likely_requests_are_read_or_refused(
            path in "(/?(live|\\.\\.|source|p[0-9]{1,3}-[0-9+]{1,3}\\.m4s|[0-9+]{1,20}-[0-9]{1,11}\\.m4s|init-[0-9a-fA-F]{0,4}\\.mp4)){0,4}",
            query in "(&?(_HLS_msn|_HLS_part|_HLS_skip|v|)=?(YES|v2|[0-9+-]{0,21})){0,4}",
            range in "(bytes=)?[0-9 ]{0,21}-?[0-9 ,]{0,21}",
        ) {
            playlist_query(format!("{path}?{query}\n{range}").as_bytes());
        }

        #[test]
        fn any_bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
            playlist_query(&data);
        }
    }
}
