//! The platform's parts: what each is given of settings, secrets and the others, and each as a process of its own.
//!
//! * `api`, `edge`, `router`, `controller` – one part each; standalone mode puts them together in one process
//! * `operator` – the controller's part in a cluster
//! * `separate` – a part as a process: its listeners, and its way to the directory
//! * `process` – what each such process has beside its part, and its end
//! * `proven_keys` – when a controller's keys are noted in its data folder
//! * `directory_copy` – the directory as such a process has it
//! * `terminal` – what such a process says at its start
//! * `stream_events` – what the controller's terminal, or standalone mode's, says of each stream
//! * `traced` – where spans go
//! * `memory_limit` – what router and edge keep their media within
//! * `listeners`, `tasks`, `certificate` – what they share

pub mod api;
pub mod certificate;
pub mod controller;
pub mod directory_copy;
pub mod edge;
pub mod listeners;
pub mod memory_limit;
mod operator;
mod process;
mod proven_keys;
pub mod router;
pub mod separate;
pub mod stream_events;
pub mod tasks;
mod terminal;
pub mod traced;
