//! Carries commands out: each is decided on the newest version that is known and written for that version alone, until it is done
//! or its time is over.

use std::sync::Arc;
use std::time::Duration;

use caudal_kubernetes::calls::{Failure, call};
use caudal_kubernetes::{LiveStream as Resource, names};
use caudal_livestream::StreamId;
use kube::api::{Patch, PatchParams, PostParams};
use tokio::time::{Instant, sleep, timeout_at};

use super::Shared;
use super::wanted::{Fresh, Step, Write};
use crate::Unavailable;

impl Shared {
    /// Does what `decide` wants of the stream's resource until that is nothing any more, for at most [`COMMAND_DEADLINE`].
    pub(super) async fn carry_out<T, E: From<Unavailable>>(
        &self,
        stream: StreamId,
        fresh: Fresh,
        decide: impl Fn(Option<&Resource>) -> Result<Step<T>, E>,
    ) -> Result<T, E> {
        let deadline = Instant::now() + COMMAND_DEADLINE;
        let mut failed = "it does not answer".to_owned();
        let done = timeout_at(deadline, self.until_done(stream, fresh, decide, &mut failed)).await;
        done.unwrap_or_else(|_| Err(unavailable(&failed).into()))
    }

    async fn until_done<T, E: From<Unavailable>>(
        &self,
        stream: StreamId,
        fresh: Fresh,
        decide: impl Fn(Option<&Resource>) -> Result<Step<T>, E>,
        failed: &mut String,
    ) -> Result<T, E> {
        let name = names::live_stream(stream);
        let mut known = self.replica().known(stream);
        let mut ask = known.is_none() && fresh == Fresh::WhereUnknown;
        loop {
            if ask {
                known = match call(self.api.get(&name)).await {
                    Ok(resource) => Some(self.took(resource)),
                    Err(Failure::NotFound) => {
                        self.gone(stream);
                        None
                    }
                    Err(failure) => {
                        *failed = failure.to_string();
                        sleep(REPEAT_PAUSE).await;
                        continue;
                    }
                };
            }
            let write = match decide(known.as_deref())? {
                Step::Done(done) => return Ok(done),
                Step::Write(write) => write,
            };
            ask = true;
            match self.write(&name, &write).await {
                Ok(resource) => {
                    known = Some(self.took(resource));
                    ask = false;
                }
                // Somebody was quicker: what there is now says what is left to be done.
                Err(Failure::Conflict | Failure::AlreadyExists) => {
                    "others write to it again and again".clone_into(failed);
                    sleep(CONFLICT_PAUSE).await;
                }
                Err(Failure::NotFound) => {
                    self.gone(stream);
                    known = None;
                    ask = false;
                    if let Write::Create(_) = write {
                        return Err(unavailable("there is no namespace or no kind for it").into());
                    }
                }
                Err(failure @ (Failure::Refused(_) | Failure::Quota(_))) => {
                    return Err(unavailable(&failure.to_string()).into());
                }
                // It may have been done all the same.
                Err(failure @ (Failure::Forbidden(_) | Failure::Unavailable(_))) => {
                    *failed = failure.to_string();
                    sleep(REPEAT_PAUSE).await;
                }
            }
        }
    }

    async fn write(&self, name: &str, write: &Write) -> Result<Resource, Failure> {
        let manager = self.reader.manager();
        let merged = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let applied = PatchParams::apply(manager).force();
        match write {
            Write::Create(resource) => {
                let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
                call(self.api.create(&params, resource)).await
            }
            Write::Apply(fields) => call(self.api.patch(name, &applied, &Patch::Apply(fields))).await,
            Write::ApplyStatus(fields) => {
                call(self.api.patch_status(name, &applied, &Patch::Apply(fields))).await
            }
            Write::Merge(patch) => call(self.api.patch(name, &merged, &Patch::Merge(patch))).await,
        }
    }

    fn took(&self, resource: Resource) -> Arc<Resource> {
        let stream = resource.spec.stream;
        let answered = Arc::new(resource.clone());
        self.adopt(resource);
        // The watch may have been quicker.
        self.replica().known(stream).unwrap_or(answered)
    }

    fn gone(&self, stream: StreamId) {
        let mut replica = self.replica();
        replica.remove(stream);
        self.show(&replica);
    }
}

pub(super) fn unavailable(reason: &str) -> Unavailable {
    Unavailable(reason.to_owned())
}

/// Shorter than an encoder's patience (10 s), and longer than an API server needs to restart behind its load balancer.
const COMMAND_DEADLINE: Duration = Duration::from_secs(6);
const REPEAT_PAUSE: Duration = Duration::from_millis(200);
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);
