//! docs/api.md, which is written by hand.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::running::{Running, send};

#[tokio::test]
async fn the_documentation_lists_every_route() {
    let api = Running::start().await;
    let mut answered = BTreeSet::new();
    for path in caudal_api::rest_paths() {
        let address = path
            .replace("{id}", &uuid::Uuid::nil().to_string())
            .replace("{slug}", "music")
            .replace("{user}", &uuid::Uuid::nil().to_string())
            .replace("{term}", &uuid::Uuid::nil().to_string())
            .replace("{message}", &uuid::Uuid::nil().to_string());
        // A method that no route has.
        let answer = send(api.request(Method::TRACE, &address)).await;
        let allowed = answer.header("allow").to_owned();
        // HEAD comes with GET.
        let methods = allowed.split(',').filter(|method| *method != "HEAD");
        answered.extend(methods.map(|method| format!("`{method}` | `{path}`")));
    }
    let text = std::fs::read_to_string("../docs/api.md").unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<_> =
        rows.map(|row| format!("`{}", row.split(" | ").take(2).collect::<Vec<_>>().join(" | "))).collect();
    assert_eq!(listed, answered);
}
