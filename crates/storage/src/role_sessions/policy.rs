//! What a stream's worker may do in the bucket.

use caudal_livestream::StreamId;
use serde_json::json;

/// The session policy: what [`SegmentStore`](crate::SegmentStore) asks of S3 for a worker, on the worker's own stream.
///
/// * Under `live/{stream}/` it writes (also conditionally), reads and removes objects, and lists them.
/// * Under `thumbnails/{stream}/` it only writes.
///
/// A session can do what this *and* the role's own policy allow.
pub(super) fn session_policy(role_arn: &str, bucket: &str, stream: StreamId) -> String {
    let bucket = format!("arn:{}:s3:::{bucket}", partition(role_arn));
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                "Resource": format!("{bucket}/live/{stream}/*"),
            },
            {
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": format!("{bucket}/thumbnails/{stream}/*"),
            },
            {
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": bucket,
                "Condition": { "StringLike": { "s3:prefix": format!("live/{stream}/*") } },
            },
        ],
    })
    .to_string()
}

/// The second field of an ARN names one of Amazon's partitions, or else another server, which takes `aws` for its own.
pub(super) fn partition(role_arn: &str) -> &'static str {
    match role_arn.split(':').nth(1) {
        Some("aws-cn") => "aws-cn",
        Some("aws-us-gov") => "aws-us-gov",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use caudal_livestream::{Epoch, Msn};

    use super::*;
    use crate::{Key, StreamFile};

    const ROLE: &str = "arn:aws:iam::123456789012:role/caudal-worker";

    #[test]
    fn a_policy_names_the_partition_that_the_role_is_in() {
        for (role, bucket) in [
            (ROLE, "arn:aws:s3:::media"),
            ("arn:aws-cn:iam::123456789012:role/w", "arn:aws-cn:s3:::media"),
            ("arn:aws-us-gov:iam::123456789012:role/w", "arn:aws-us-gov:s3:::media"),
            ("arn:minio:iam:::role/none", "arn:aws:s3:::media"),
        ] {
            let policy = session_policy(role, "media", StreamId::generate());
            assert!(policy.contains(&format!("\"Resource\":\"{bucket}\"")), "{policy}");
        }
    }

    #[test]
    fn the_longest_policy_fits_what_an_sts_takes() {
        let policy = session_policy("arn:aws-us-gov:iam::1:role/w", &"b".repeat(63), StreamId::generate());
        assert!(policy.len() <= 2048, "{}", policy.len());
    }

    /// As IAM reads it, in small: any statement that names the action and whose pattern fits.
    fn allows(policy: &serde_json::Value, action: &str, resource: &str) -> bool {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => resource.starts_with(prefix),
            None => resource == pattern,
        };
        policy["Statement"].as_array().unwrap().iter().any(|statement| {
            let actions = &statement["Action"];
            let named = actions == action
                || actions.as_array().is_some_and(|all| all.iter().any(|named| named == action));
            named && fits(statement["Resource"].as_str().unwrap())
        })
    }

    #[test]
    fn a_worker_reaches_its_own_streams_objects_and_nothing_else() {
        let (own, other) = (StreamId::generate(), StreamId::generate());
        let policy: serde_json::Value = serde_json::from_str(&session_policy(ROLE, "media", own)).unwrap();
        let segment = |stream| {
            Key::Live(stream, StreamFile::Segment("720p".parse().unwrap(), Msn(7), Epoch(1))).to_string()
        };
        let rows = [
            (segment(own), "s3:PutObject", true),
            (segment(own), "s3:GetObject", true),
            (segment(own), "s3:DeleteObject", true),
            (segment(own), "s3:PutObjectAcl", false),
            (Key::Poster(own).to_string(), "s3:PutObject", true),
            (Key::Poster(own).to_string(), "s3:GetObject", false),
            (Key::Poster(own).to_string(), "s3:DeleteObject", false),
            (segment(other), "s3:PutObject", false),
            (segment(other), "s3:GetObject", false),
            (segment(other), "s3:DeleteObject", false),
            (Key::Poster(other).to_string(), "s3:PutObject", false),
            // No prefix of an id is another stream's.
            (format!("live/{own}-2/master.m3u8"), "s3:PutObject", false),
            ("anything".to_owned(), "s3:PutObject", false),
        ];
        for (key, action, allowed) in rows {
            assert_eq!(
                allows(&policy, action, &format!("arn:aws:s3:::media/{key}")),
                allowed,
                "{action} {key}"
            );
        }
        assert!(!allows(&policy, "s3:PutObject", &format!("arn:aws:s3:::other/{}", segment(own))));
        assert_eq!(
            policy["Statement"][2]["Condition"],
            json!({ "StringLike": { "s3:prefix": format!("live/{own}/*") } })
        );
    }
}
