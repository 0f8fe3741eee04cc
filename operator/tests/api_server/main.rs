//! Against a real API server, which `scripts/with-kubernetes.sh cargo test -p caudal-operator` starts. Nothing runs pods there;
//! the tests say what a kubelet would.

mod definitions;
mod records;
mod server;
mod workers;
