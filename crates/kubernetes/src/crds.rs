//! `crds/*.yaml`, and the same files in the chart, written from the types. `UPDATE_CRDS=1 cargo test -p caudal-kubernetes crds` writes them.

use std::fs;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::definitions;

const UPDATE: &str = "run UPDATE_CRDS=1 cargo test -p caudal-kubernetes crds";

/// Helm takes definitions from inside a chart only.
const FOLDERS: [&str; 2] = ["crds", "charts/caudal/crds"];

fn all() -> [(&'static str, CustomResourceDefinition); 2] {
    let [streams, pools] = definitions::all();
    [("livestreams", streams), ("workerpools", pools)]
}

fn yaml(crd: &CustomResourceDefinition) -> String {
    format!(
        "# Generated from crates/kubernetes: {UPDATE}\n{}",
        serde_saphyr::to_string(crd).expect("a definition is YAML")
    )
}

#[test]
fn the_definitions_in_the_repository_are_those_of_the_types() {
    let repository = Path::new("../..");
    for ((name, crd), folder) in all().iter().flat_map(|one| FOLDERS.map(|folder| (one, folder))) {
        let path = repository.join(folder).join(format!("{name}.yaml"));
        let new = yaml(crd);
        if std::env::var_os("UPDATE_CRDS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, new).unwrap();
            continue;
        }
        let old = fs::read_to_string(&path).unwrap_or_default();
        for (line, (old, new)) in old.lines().zip(new.lines()).enumerate() {
            assert_eq!(old, new, "{folder}/{name}.yaml, line {}: {UPDATE}", line + 1);
        }
        assert_eq!(old.lines().count(), new.lines().count(), "{folder}/{name}.yaml: {UPDATE}");
    }
}

#[test]
fn everything_that_can_be_set_or_read_is_explained() {
    for (name, crd) in all() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        let root = &schema["openAPIV3Schema"];
        for part in ["spec", "status"] {
            let mut unexplained = Vec::new();
            collect_unexplained(&root["properties"][part], part, &mut unexplained);
            assert!(unexplained.is_empty(), "{name}: {unexplained:?}");
        }
    }
}

#[test]
fn every_format_is_one_that_the_server_knows() {
    // It says a warning for each other one, to everybody who applies the definitions.
    let known = ["int32", "int64", "date-time"];
    for (name, crd) in all() {
        let json = serde_json::to_string(&crd).unwrap();
        let formats = json.split(r#""format":""#).skip(1).filter_map(|rest| rest.split('"').next());
        let unknown: Vec<_> = formats.filter(|format| !known.contains(format)).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
}

fn collect_unexplained(schema: &serde_json::Value, path: &str, unexplained: &mut Vec<String>) {
    // What Kubernetes itself defines is explained there.
    let foreign = ["tolerations", "topologySpreadConstraints", "resources", "conditions"];
    if schema["description"].as_str().is_none_or(str::is_empty) {
        unexplained.push(path.to_owned());
    }
    if foreign.iter().any(|foreign| path.ends_with(foreign)) {
        return;
    }
    for fields in [&schema["properties"], &schema["items"]["properties"]] {
        for (field, schema) in fields.as_object().into_iter().flatten() {
            collect_unexplained(schema, &format!("{path}.{field}"), unexplained);
        }
    }
}
