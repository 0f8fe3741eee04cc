use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::fake_server::{FakeServer, Trouble};

fn pod(name: &str) -> Value {
    json!({ "metadata": { "name": name } })
}

/// A watch of a server, a word for each of its news.
struct Watched {
    server: FakeServer,
    news: BoxStream<'static, News<Pod>>,
}

impl Watched {
    fn new(pods: &[&str]) -> Self {
        let server = FakeServer::new();
        for name in pods {
            server.create("pods", pod(name));
        }
        let api = Api::namespaced(server.client(), "caudal");
        Self { server, news: watch(api, None).boxed() }
    }

    /// The news up to one of these words.
    async fn upto(&mut self, last: &str) -> Vec<String> {
        let mut words = Vec::new();
        while words.last().is_none_or(|word| word != last) {
            let news = timeout(Duration::from_secs(120), self.news.next()).await;
            words.push(match news.unwrap_or_else(|_| panic!("{words:?}")).unwrap() {
                News::Is(pod) => pod.metadata.name.unwrap(),
                News::Gone { name, .. } => format!("-{name}"),
                News::Unreadable(name) => format!("?{name}"),
                News::Whole => "whole".to_owned(),
                News::Interrupted => "interrupted".to_owned(),
                News::Resumed => "resumed".to_owned(),
            });
        }
        words
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_told_and_then_each_change() {
    let mut watched = Watched::new(&["a", "b"]);
    assert_eq!(watched.upto("whole").await, ["a", "b", "whole"]);
    watched.server.create("pods", pod("c"));
    watched.server.vanish("pods", "a");
    assert_eq!(watched.upto("-a").await, ["c", "-a"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_nobody_watched_is_told_when_everything_is_listed_again() {
    let mut watched = Watched::new(&["a", "b"]);
    // The server has forgotten the version of the list.
    watched.server.trouble("WATCH pods", Trouble::Answer(410, "Expired"));
    assert_eq!(watched.upto("interrupted").await, ["a", "b", "whole", "interrupted"]);
    watched.server.vanish("pods", "a");
    assert_eq!(watched.upto("whole").await, ["b", "-a", "whole"]);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_told_once_and_so_is_its_end_also_when_nothing_has_changed() {
    let mut watched = Watched::new(&["a"]);
    for code in [500, 429, 503] {
        watched.server.trouble("WATCH pods", Trouble::Answer(code, "Trouble"));
    }
    assert_eq!(watched.upto("resumed").await, ["a", "whole", "interrupted", "resumed"]);
    watched.server.create("pods", pod("b"));
    assert_eq!(watched.upto("b").await, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_asked_again() {
    let mut watched = Watched::new(&["a"]);
    watched.server.trouble("GET pods", Trouble::Silence);
    watched.server.trouble("GET pods", Trouble::Answer(500, "Trouble"));
    watched.server.trouble("WATCH pods", Trouble::Silence);
    let expected = ["interrupted", "a", "whole", "interrupted", "resumed"];
    assert_eq!(watched.upto("resumed").await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_server_has_forgotten_is_noticed() {
    let mut watched = Watched::new(&["a"]);
    watched.server.trouble("WATCH pods", Trouble::Deaf);
    watched.upto("whole").await;
    let begun = Instant::now();
    assert_eq!(watched.upto("resumed").await, ["interrupted", "resumed"]);
    assert!(begun.elapsed() <= LONGEST_CONNECTION + Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_is_neither_gone_nor_in_the_way_of_the_rest() {
    let mut watched = Watched::new(&["a"]);
    watched.server.create("pods", json!({ "metadata": { "name": "b" }, "spec": 7 }));
    assert_eq!(watched.upto("whole").await, ["a", "?b", "whole"]);
    watched.server.change("pods", "a", |pod| pod["spec"] = json!(7));
    watched.server.create("pods", pod("c"));
    assert_eq!(watched.upto("c").await, ["?a", "c"]);
}
