//! What goes wrong with the next requests.

use std::collections::VecDeque;

use serde::Deserialize;

/// One way in which a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 500 from something in front of Stripe: nothing happened, and nothing is kept under the idempotency key.
    Error500,
    /// 500 from Stripe itself: the effect took place, and the same 500 is the answer to every repetition with the same key.
    Error500Kept,
    /// 429 with `Retry-After`, in seconds.
    RateLimited(u32),
    /// The connection ends, and nothing happened.
    ClosedBefore,
    /// The connection ends, and the effect took place.
    ClosedAfter,
    /// No answer comes, and nothing happened.
    SilentBefore,
    /// No answer comes, and the effect took place.
    SilentAfter,
    /// The effect takes place at once, and the answer comes so many milliseconds later. Until then its idempotency key is in use.
    Slow(u32),
}

#[derive(Debug, Default)]
pub(crate) struct Faults(VecDeque<Planned>);

#[derive(Debug)]
struct Planned {
    fault: Fault,
    /// Which requests it waits for, as the beginning of `POST /v1/refunds`.
    requests: String,
}

impl Faults {
    pub(crate) fn plan(&mut self, count: usize, fault: Fault, requests: &str) {
        self.0.extend((0..count).map(|_| Planned { fault, requests: requests.to_owned() }));
    }

    pub(crate) fn take(&mut self, method: &str, path: &str) -> Option<Fault> {
        let request = format!("{method} {path}");
        let place = self.0.iter().position(|planned| request.starts_with(&planned.requests))?;
        self.0.remove(place).map(|planned| planned.fault)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
