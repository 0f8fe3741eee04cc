//! How what other roles say stands in a resource: its values, and the schemas of what has none of its own.

use caudal_livestream::UnixMillis;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::core::Duration;
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer};
use serde_json::Value;

/// The instant as it stands in a resource. One that no calendar has is put at the nearest that it has.
pub(super) fn micro_time(millis: UnixMillis) -> MicroTime {
    let nearest = if millis.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
    MicroTime(Timestamp::from_millisecond(millis.0).unwrap_or(nearest))
}

pub(super) fn unix_millis(time: &MicroTime) -> UnixMillis {
    UnixMillis(time.0.as_millisecond())
}

pub(super) fn duration(millis: u32) -> Duration {
    std::time::Duration::from_millis(u64::from(millis)).into()
}

/// Whole milliseconds; a negative one counts as none.
pub(super) fn duration_ms(duration: Duration) -> u32 {
    if duration.is_negative() {
        return 0;
    }
    u32::try_from(std::time::Duration::from(duration).as_millis()).unwrap_or(u32::MAX)
}

/// A value, or none where it cannot be read.
pub(super) fn readable<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(T::deserialize(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// Schemas of types that know nothing of Kubernetes.
pub(crate) mod schemas {
    use schemars::{Schema, SchemaGenerator, json_schema};

    pub(crate) fn uuid(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 36,
            "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        })
    }

    /// Of the types that count up from 0 in 32 bits. Kubernetes' own `int32` is signed.
    pub(crate) fn count(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX })
    }

    /// A rendition that ffmpeg makes: `source` and `audio` are always there, as they come.
    pub(crate) fn rendition(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": "^[a-z0-9][a-z0-9-]*$",
            "not": { "enum": ["source", "audio"] },
        })
    }

    pub(crate) fn access(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["public", "premium"] })
    }

    pub(crate) fn latency_mode(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["low", "standard"] })
    }

    pub(crate) fn desired_state(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["Live", "Ended"] })
    }

    pub(crate) fn phase(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "enum": ["Pending", "Starting", "Live", "Reconnecting", "Ending", "Ended", "Failed", "Unknown"],
        })
    }

    /// No list of words: a newer release may know more reasons, and a resource must not become invalid by that.
    pub(crate) fn end_reason(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 64, "pattern": "^[a-z_]+$" })
    }

    pub(crate) fn address(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 64,
            "pattern": r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$",
        })
    }

    /// The list of conditions is a map by type: whoever applies one leaves the others alone.
    pub(crate) fn conditions(generator: &mut SchemaGenerator) -> Schema {
        let mut schema =
            generator.subschema_for::<Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>>();
        schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
        schema.insert("x-kubernetes-list-map-keys".to_owned(), serde_json::json!(["type"]));
        schema.insert("maxItems".to_owned(), 16.into());
        schema
    }
}
