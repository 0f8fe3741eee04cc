//! The tables of `docs/configuration.md` and all of `.env.example`, made from the definitions and compared with what is
//! there. `UPDATE_REFERENCE=1 cargo test -p caudal reference` writes them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};

use super::role::{Role, owners};
use super::{default_in_words, required_in_words};
use crate::secrets::SECRET_NAMES;

/// standalone, api, ingest-router, hls-edge, controller and operator.
const ROLES: usize = 6;
const HEADINGS: [&str; 7] = [
    super::ADDRESSES,
    super::FILES,
    super::STREAMS,
    super::BILLING,
    super::WORKERS,
    super::LOGS,
    super::TRACES,
];

/// Of all roles, under one heading, in the order of `--help`.
fn settings<'a>(command: &'a Command, heading: &str) -> Vec<&'a Arg> {
    let role = command.find_subcommand("standalone").unwrap();
    role.get_arguments().filter(|arg| arg.get_help_heading() == Some(heading)).collect()
}

fn name(arg: &Arg) -> &str {
    arg.get_env().unwrap().to_str().unwrap()
}

fn fixed_default(arg: &Arg) -> Option<String> {
    let [value] = arg.get_default_values() else { return None };
    Some(value.to_str().unwrap().to_owned())
}

/// The defaults of roles that have another one, as in ", of the controller `3002`".
fn of_other_roles(name: &str) -> String {
    let roles = owners(name).iter().filter_map(|role| Some((role, role.default_of(name)?)));
    roles.fold(String::new(), |text, (role, value)| format!("{text}, {role} `{value}`"))
}

/// A default in words, and the roles that have none in its place.
fn default_of_roles(name: &str) -> Option<String> {
    let words = default_in_words(name, Role::Standalone)?;
    let without: Vec<&Role> =
        owners(name).iter().filter(|role| default_in_words(name, **role).is_none()).collect();
    let each =
        without.iter().map(|role| format!("; {role}: {}", required_in_words(name, **role).unwrap_or("none")));
    Some(format!("{words}{}", each.collect::<String>()))
}

/// What the setting is for, without the default that `--help` adds.
fn meaning(arg: &Arg) -> String {
    let help = arg.get_help().unwrap().to_string();
    help.split(" [default: ").next().unwrap().trim_end_matches('.').to_owned()
}

/// The roles that have the setting, as a column has room for them.
fn roles(name: &str) -> String {
    let owners = owners(name);
    if owners.len() == ROLES {
        "all".to_owned()
    } else {
        owners.iter().map(|role| role.name()).collect::<Vec<_>>().join(", ")
    }
}

fn table(command: &Command, heading: &str) -> String {
    let mut table = "| name | default | roles | |\n|---|---|---|---|\n".to_owned();
    for arg in settings(command, heading) {
        let default = match (fixed_default(arg), default_of_roles(name(arg))) {
            (Some(value), _) => format!("`{value}`{}", of_other_roles(name(arg))),
            (None, Some(words)) => words,
            (None, None) => String::new(),
        };
        writeln!(table, "| `{}` | {default} | {} | {} |", name(arg), roles(name(arg)), meaning(arg)).unwrap();
    }
    table
}

fn documentation(command: &Command, old: &str) -> String {
    HEADINGS.iter().fold(old.to_owned(), |text, heading| {
        let section =
            text.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
        let start = section + text[section..].find("\n| name |").expect("a table") + 1;
        let end = start + text[start..].find("\n\n").map_or(text.len() - start, |end| end + 1);
        format!("{}{}{}", &text[..start], table(command, heading), &text[end..])
    })
}

fn example(command: &Command) -> String {
    let mut text = "# Settings of Caudal, with their defaults. Copy to .env and uncomment what you change; `make run` reads it.\n\
                    # docs/configuration.md says more.\n"
        .to_owned();
    for heading in HEADINGS {
        let mut own = settings(command, heading);
        own.retain(|arg| Role::Standalone.has(name(arg)));
        if own.is_empty() {
            continue;
        }
        writeln!(text, "\n# {heading}").unwrap();
        for arg in own {
            let words = default_in_words(name(arg), Role::Standalone)
                .map(|words| format!(" Default: {words}."))
                .unwrap_or_default();
            writeln!(text, "\n# {}.{words}", meaning(arg)).unwrap();
            writeln!(text, "#{}={}", name(arg), fixed_default(arg).unwrap_or_default()).unwrap();
        }
    }
    text.push_str(
        "\n# Secrets. Each can be given by a file instead: NAME_FILE=/path/to/it. Without them standalone mode makes its own keys once,\n\
         # keeps a PostgreSQL of its own and needs no Redis. As in DATABASE_URL=postgresql://user:password@localhost:5432/caudal\n\
         # and REDIS_URL=redis://localhost:6379\n\n",
    );
    for name in SECRET_NAMES {
        writeln!(text, "#{name}=").unwrap();
    }
    text
}

fn in_repository(path: &str) -> PathBuf {
    Path::new("..").join(path)
}

fn compare(path: &str, make: impl Fn(&str) -> String) {
    let old = fs::read_to_string(in_repository(path)).unwrap();
    let new = make(&old);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(in_repository(path), new).unwrap();
        return;
    }
    for (line, (old, new)) in old.lines().zip(new.lines()).enumerate() {
        assert_eq!(
            old,
            new,
            "{path}, line {}: run UPDATE_REFERENCE=1 cargo test -p caudal reference",
            line + 1
        );
    }
    assert_eq!(
        old.lines().count(),
        new.lines().count(),
        "{path}: run UPDATE_REFERENCE=1 cargo test -p caudal reference"
    );
}

#[test]
fn the_documentation_has_the_names_defaults_and_words_of_the_reference() {
    let command = crate::command();
    compare("docs/configuration.md", |old| documentation(&command, old));
    let documentation = fs::read_to_string(in_repository("docs/configuration.md")).unwrap();
    for name in SECRET_NAMES {
        assert!(documentation.contains(&format!("`{name}`")), "docs/configuration.md does not name {name}");
    }
}

#[test]
fn the_example_of_the_environment_is_the_reference() {
    compare(".env.example", |_| example(&crate::command()));
}

#[test]
fn every_setting_of_the_platform_stands_under_a_heading() {
    let command = crate::command();
    let role = command.find_subcommand("standalone").unwrap();
    let all = role.get_arguments().filter(|arg| arg.get_env().is_some()).count();
    assert_eq!(HEADINGS.iter().map(|heading| settings(&command, heading).len()).sum::<usize>(), all);
}
