//! Against a real API server, whose `KUBECONFIG` is `/tmp/caudal-kube.*/…`: one that was started for these tests and is thrown away
//! after them. Nothing runs pods there; the tests say what a kubelet would.

mod definitions;
mod records;
mod server;
mod workers;
