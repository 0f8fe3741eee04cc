//! Who gave each value, and what is said of those that cannot be used.
//!
//! clap defines the settings and checks single values, but its own complaints name a flag whoever gave the value, and end
//! at the first fault. So values are collected here, checked one by one, and only then read together.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use clap::builder::{Resettable, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::file;
use super::role::{Role, owners_in_words};
use super::unknown::unknown;
use crate::secrets::SECRET_NAMES;

/// Every fault that was found, in the order of the settings.
#[derive(Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => f.write_str(only),
            several => {
                write!(f, "{} settings cannot be used:", several.len())?;
                several.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
        }
    }
}

impl std::error::Error for Faults {}

/// Why there are no settings.
#[derive(Debug)]
pub enum Refused {
    /// The command line itself: an unknown flag, no role, or a wish for help.
    CommandLine(Box<clap::Error>),
    /// Some values cannot be used.
    Values {
        /// Each of them.
        faults: Faults,
        /// The settings without them, if these make sense by themselves.
        rest: Option<Box<(ArgMatches, Given)>>,
    },
}

impl From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Self {
        Self::CommandLine(Box::new(error))
    }
}

/// Who gave the settings that are no defaults.
#[derive(Clone, Debug, Default)]
pub struct Given {
    by: BTreeMap<String, Origin>,
    /// Those of them that have a value of their own no more, because what was given cannot be used.
    unusable: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Flag(String),
    Variable,
    Line { file: PathBuf, number: usize },
}

impl Given {
    /// Of a command whose settings clap reads by itself.
    pub fn by_clap(command: &Command, matches: &ArgMatches) -> Self {
        let Some((name, matches)) = matches.subcommand() else { return Self::default() };
        let given = settings(command, name).into_iter().filter_map(|setting| {
            match matches.value_source(&setting.id)? {
                ValueSource::CommandLine => Some((setting.name, Origin::Flag(setting.flag))),
                ValueSource::EnvVariable => Some((setting.name, Origin::Variable)),
                _ => None,
            }
        });
        Self { by: given.collect(), ..Self::default() }
    }

    /// Whether somebody gave the setting of this name.
    pub fn has(&self, name: &str) -> bool {
        self.by.contains_key(name)
    }

    /// Whether it was given by a flag of this command line.
    pub fn by_flag(&self, name: &str) -> bool {
        matches!(self.by.get(name), Some(Origin::Flag(_)))
    }

    /// Whether what somebody gave for it cannot be used: its value is the default, which nobody chose.
    pub fn is_unusable(&self, name: &str) -> bool {
        self.unusable.contains(name)
    }

    /// The setting as whoever gave it wrote its name; the variable for one that nobody gave.
    pub fn name(&self, name: &str) -> String {
        match self.by.get(name) {
            Some(Origin::Flag(flag)) => format!("--{flag}"),
            Some(Origin::Line { file, number }) => format!("{name} ({}, line {number})", file.display()),
            Some(Origin::Variable) | None => name.to_owned(),
        }
    }
}

/// Reads flags, environment and file for the role that `arguments` name. An empty variable, and an empty value in the
/// file, is as good as none.
///
/// # Errors
/// [`Refused`], with every value that cannot be used.
pub fn read(
    command: &Command,
    arguments: &[OsString],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<(ArgMatches, Given), Refused> {
    let matches = match unchecked(command.clone()).try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Err(help(command, arguments).unwrap_or(error).into());
        }
        Err(error) => return Err(error.into()),
    };
    let Some((role, flags)) = matches.subcommand() else {
        return Err(Refused::Values {
            faults: Faults(vec!["there is no role to start".to_owned()]),
            rest: None,
        });
    };
    let mut collected = Collected::of(command, role);
    collected.flags_and_variables(flags, variable);
    collected.file();
    collected.matches(command)
}

/// What the settings file of a running platform gives to the setting `name`; none when it does not name it, or leaves it
/// empty. Every line is looked at as that platform does, but for the values of other settings.
///
/// # Errors
/// When the file cannot be read, or has a line that would have stopped that platform's start.
pub fn in_file(
    command: &Command,
    file: &Path,
    given: &Given,
    name: &str,
) -> Result<Option<OsString>, Faults> {
    let mut collected = Collected::of(command, Role::Standalone.name());
    collected.given = given.clone();
    // Whose it is, standalone mode's or a controller's, is not known.
    for setting in &mut collected.settings {
        setting.own = true;
    }
    collected.values.insert(CONFIG.to_owned(), file.into());
    collected.file();
    if !collected.faults.is_empty() {
        return Err(Faults(collected.faults));
    }
    let setting = collected.settings.iter().find(|setting| setting.name == name);
    Ok(setting.and_then(|setting| collected.values.remove(&setting.id)))
}

/// Values by the settings' ids, and what is wrong with them.
struct Collected {
    role: String,
    settings: Vec<Setting>,
    values: BTreeMap<String, OsString>,
    given: Given,
    faults: Vec<String>,
}

/// A setting as clap has it.
struct Setting {
    id: String,
    flag: String,
    /// The variable's.
    name: String,
    /// Whether it is the role's own.
    own: bool,
}

impl Setting {
    /// What is said when somebody gives it to a role that does not have it.
    fn of_others(&self, role: &str) -> String {
        format!(
            "is a setting of {}, not of {role}; `caudal {role} --help` lists those",
            owners_in_words(&self.name)
        )
    }
}

impl Collected {
    fn of(command: &Command, role: &str) -> Self {
        let settings = settings(command, role);
        Self {
            role: role.to_owned(),
            settings,
            values: BTreeMap::new(),
            given: Given::default(),
            faults: Vec::new(),
        }
    }

    fn flags_and_variables(&mut self, flags: &ArgMatches, variable: impl Fn(&str) -> Option<OsString>) {
        for setting in &self.settings {
            let by_flag = flags.value_source(&setting.id) == Some(ValueSource::CommandLine);
            let flag = flags
                .get_many::<OsString>(&setting.id)
                .filter(|_| by_flag)
                // A list may be given in several flags.
                .map(|values| values.cloned().collect::<Vec<_>>().join(OsStr::new(",")));
            if !setting.own {
                // Roles may share an environment, where each finds its own.
                if flag.is_some() {
                    self.faults.push(format!("--{} {}", setting.flag, setting.of_others(&self.role)));
                }
                continue;
            }
            let (value, origin) = match flag {
                Some(value) => (value, Origin::Flag(setting.flag.clone())),
                None => match variable(&setting.name).map(trimmed).filter(|value| !value.is_empty()) {
                    Some(value) => (value, Origin::Variable),
                    None => continue,
                },
            };
            self.values.insert(setting.id.clone(), value);
            self.given.by.insert(setting.name.clone(), origin);
        }
    }

    fn file(&mut self) {
        let Some(path) = self.values.get(CONFIG).map(PathBuf::from) else { return };
        let lines = match file::load(&path) {
            Ok(lines) => lines,
            Err(reason) => {
                let fault =
                    format!("{} is {}: {reason}", self.given.name("CAUDAL_CONFIG"), shown(path.as_os_str()));
                self.faults.push(fault);
                return;
            }
        };
        let mut seen = BTreeSet::new();
        for line in lines {
            if let Err(reason) = line.and_then(|line| self.line(&path, line, &mut seen)) {
                self.faults.push(format!("{}, {reason}", path.display()));
            }
        }
    }

    fn line(&mut self, path: &Path, line: file::Line, seen: &mut BTreeSet<String>) -> Result<(), String> {
        let file::Line { number, name, value } = line;
        let plain = name.strip_suffix("_FILE").unwrap_or(&name);
        if SECRET_NAMES.contains(&plain) {
            return Err(format!(
                "line {number}: {plain} is a secret; set it by the variable {plain} or {plain}_FILE"
            ));
        }
        let Some(setting) = self.settings.iter().find(|setting| setting.name == name && setting.id != CONFIG)
        else {
            let known = self.settings.iter().map(|setting| setting.name.as_str());
            return Err(format!("line {number}: {}", unknown(&name, known, &self.role)));
        };
        if !setting.own {
            return Err(format!("line {number}: {name} {}", setting.of_others(&self.role)));
        }
        if !seen.insert(name.clone()) {
            return Err(format!("line {number}: {name} is there a second time"));
        }
        if !value.is_empty() && !self.values.contains_key(&setting.id) {
            self.values.insert(setting.id.clone(), value.into());
            self.given.by.insert(name, Origin::Line { file: path.to_owned(), number });
        }
        Ok(())
    }

    /// Checks each value alone, so that every fault is found and each is its own setting's, and then reads all of them.
    fn matches(mut self, command: &Command) -> Result<(ArgMatches, Given), Refused> {
        let alone = without_environment(command.clone());
        let as_flag = |setting: &Setting, value: &OsStr| {
            let mut flag = OsString::from(format!("--{}=", setting.flag));
            flag.push(value);
            flag
        };
        let start = [OsString::from("caudal"), OsString::from(&self.role)];
        let mut all = start.to_vec();
        for setting in &self.settings {
            let Some(value) = self.values.get(&setting.id) else { continue };
            let flag = as_flag(setting, value);
            let checked = alone.clone().mut_subcommands(|role| role.mut_args(|arg| arg.required(false)));
            match checked.try_get_matches_from(start.iter().cloned().chain([flag.clone()])) {
                Ok(_) => all.push(flag),
                Err(error) => {
                    let name = self.given.name(&setting.name);
                    self.given.unusable.insert(setting.name.clone());
                    self.faults.push(format!("{name} is {}: {}", shown(value), reason(&error)));
                }
            }
        }
        let usable = alone.try_get_matches_from(all);
        if !self.faults.is_empty() {
            let rest = usable.ok().map(|usable| Box::new((usable, self.given)));
            return Err(Refused::Values { faults: Faults(self.faults), rest });
        }
        Ok((usable?, self.given))
    }
}

fn settings(command: &Command, role: &str) -> Vec<Setting> {
    let arguments = command.find_subcommand(role).into_iter().flat_map(Command::get_arguments);
    let role = Role::named(role);
    arguments
        .filter_map(|arg| {
            let name = arg.get_env()?.to_str()?.to_owned();
            Some(Setting {
                id: arg.get_id().to_string(),
                flag: arg.get_long()?.to_owned(),
                own: role.is_none_or(|role| role.has(&name)),
                name,
            })
        })
        .collect()
}

/// The same flags, with anything for values: finds out which flags there are and nothing else.
fn unchecked(command: Command) -> Command {
    without_environment(command).mut_subcommands(|role| {
        role.mut_args(|arg| {
            if arg.get_long().is_none() {
                return arg;
            }
            arg.required(false)
                .default_value(Resettable::Reset)
                .value_delimiter(Resettable::Reset)
                .value_parser(ValueParser::os_string())
        })
    })
}

fn without_environment(command: Command) -> Command {
    command.mut_subcommands(|role| role.mut_args(|arg| arg.env(Resettable::Reset)))
}

/// The help that was asked for, from the whole definitions: those without environment would not show variables.
fn help(command: &Command, arguments: &[OsString]) -> Option<clap::Error> {
    let wanted = arguments.iter().enumerate().filter(|(at, argument)| {
        *at == 0
            || ["help", "-h", "--help"].iter().any(|help| argument == help)
            || argument.to_str().is_some_and(|role| command.find_subcommand(role).is_some())
    });
    command.clone().try_get_matches_from(wanted.map(|(_, argument)| argument)).err()
}

/// Spaces and line ends around a value are nobody's intention; files written on Windows leave them.
fn trimmed(value: OsString) -> OsString {
    match value.into_string() {
        Ok(text) => text.trim().into(),
        Err(bytes) => bytes,
    }
}

/// A value as a complaint shows it: in quotes, not too long, and without a password that a URL may hold.
pub fn shown(value: &OsStr) -> String {
    let text = value.to_string_lossy();
    let hidden = match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            format!("{}***{}", text.get(..scheme + 3).unwrap_or_default(), text.get(at..).unwrap_or_default())
        }
        _ => text.into_owned(),
    };
    let short: String = hidden.chars().take(LONGEST_SHOWN).collect();
    let cut = if short.len() < hidden.len() { "…" } else { "" };
    format!("{short:?}{cut}")
}

/// What clap says of one value, without the flag's name.
fn reason(error: &clap::Error) -> String {
    if let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue)
        && !valid.is_empty()
    {
        return format!("expected one of {}", valid.join(", "));
    }
    match (error.source(), error.kind()) {
        (Some(source), _) => source.to_string(),
        (None, ErrorKind::InvalidUtf8) => "expected UTF-8 text".to_owned(),
        (None, _) => "expected a value".to_owned(),
    }
}

/// What is said to `role` of each name in the environment that looks like ours and is no role's: probably misspelt.
pub fn unknown_variables(command: &Command, role: Role) -> Vec<String> {
    let known: BTreeSet<String> = command
        .get_subcommands()
        .flat_map(|role| settings(command, role.get_name()))
        .map(|setting| setting.name)
        .chain(SECRET_NAMES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}_FILE")]))
        .collect();
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("CAUDAL_") && !known.contains(name))
        .map(|name| unknown(&name, known.iter().map(String::as_str), role.name()))
        .collect()
}

/// The id of the setting that names a settings file.
const CONFIG: &str = "config";
/// Enough to recognize a value by.
const LONGEST_SHOWN: usize = 100;

#[cfg(test)]
mod tests;
