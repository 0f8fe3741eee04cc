//! What a worker needs for its ladder.

use std::collections::BTreeMap;

use caudal_kubernetes::live_stream::Rung;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Requests and limits of a worker that makes `ladder` of a 1080p30 source.
///
/// After docs/performance.md ("Cost", "Rungs"): packaging alone takes 2 % of a core, decoding and three rungs from 720p
/// down 0.6 of one. A 60 fps source takes twice as much, and a worker that takes a stream over decodes some seconds at
/// once, so the limit is three times the request.
pub(super) fn resources(ladder: &[Rung]) -> ResourceRequirements {
    let (cpu, pixels) = (millicores(ladder), all_pixels(ladder));
    let decoder = if ladder.is_empty() { 0 } else { DECODER_MIB };
    let memory =
        WORKER_MIB.saturating_add(decoder).saturating_add(pixels.saturating_mul(MIB_A_MEGAPIXEL) / 1_000_000);
    let amounts = |cpu: u64, memory: u64| {
        BTreeMap::from([
            ("cpu".to_owned(), Quantity(format!("{cpu}m"))),
            ("memory".to_owned(), Quantity(format!("{memory}Mi"))),
        ])
    };
    ResourceRequirements {
        requests: Some(amounts(cpu, memory)),
        limits: Some(amounts(
            cpu.saturating_mul(CPU_LIMIT_TIMES),
            memory.saturating_mul(MEMORY_LIMIT_TIMES).saturating_add(MEDIA_MIB),
        )),
        ..ResourceRequirements::default()
    }
}

/// What such a worker requests of a core, in thousandths.
pub(super) fn millicores(ladder: &[Rung]) -> u64 {
    let decoding = if ladder.is_empty() { 0 } else { DECODING_MILLICORES };
    let encoding = all_pixels(ladder).saturating_mul(MILLICORES_A_MEGAPIXEL) / 1_000_000;
    PACKAGING_MILLICORES.saturating_add(decoding).saturating_add(encoding)
}

/// Whether a worker for `ladder` needs more than one for `other`.
pub(super) fn needs_more_than(ladder: &[Rung], other: &[Rung]) -> bool {
    all_pixels(ladder) > all_pixels(other)
}

fn all_pixels(ladder: &[Rung]) -> u64 {
    ladder.iter().map(pixels).sum()
}

/// Of a picture of 16:9.
fn pixels(rung: &Rung) -> u64 {
    let height = u64::from(rung.height);
    height.saturating_mul(height).saturating_mul(16) / 9
}

const PACKAGING_MILLICORES: u64 = 50;
const DECODING_MILLICORES: u64 = 150;
const MILLICORES_A_MEGAPIXEL: u64 = 270;
const WORKER_MIB: u64 = 96;
/// Pictures that a 1080p decoder keeps.
const DECODER_MIB: u64 = 64;
const MIB_A_MEGAPIXEL: u64 = 48;
const CPU_LIMIT_TIMES: u64 = 3;
const MEMORY_LIMIT_TIMES: u64 = 2;
/// Segments that storage does not take, and parts of the live window, at a high bitrate.
const MEDIA_MIB: u64 = 256;
