//! Stripe's form encoding: `items[0][price]=…` names a place in a tree.

use serde_json::{Map, Value};

use super::errors::{Answer, StripeError};

/// The parameters of a request: objects whose leaves are strings. A list is an object with the keys "0", "1" and so on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    tree: Map<String, Value>,
}

/// `a=1&b=2` as it is, undecoded brackets and all.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

impl Params {
    pub(crate) fn parse(pairs: &[(String, String)]) -> Answer<Self> {
        if pairs.len() > MAX_PAIRS {
            return Err(StripeError::invalid("Too many parameters."));
        }
        let mut tree = Map::new();
        for (name, value) in pairs {
            put(&mut tree, name, &segments(name)?, value)?;
        }
        Ok(Self { tree })
    }

    /// Refuses what the endpoint does not know, at every depth: unlike stripe-mock, Stripe does so too.
    ///
    /// In a pattern `[]` stands for a position in a list, and `[*]` for any one name.
    pub(crate) fn allow(&self, patterns: &[&str]) -> Answer<()> {
        let mut leaves = Vec::new();
        flatten(&self.tree, &mut Vec::new(), &mut leaves);
        for (path, value) in leaves {
            let known = patterns.iter().any(|pattern| {
                let pattern = segments(pattern).unwrap_or_default();
                matches(&pattern, &path)
                    // `metadata=` without a key unsets all of them.
                    || (value.is_empty() && pattern.last() == Some(&"*") && pattern[..pattern.len() - 1] == path)
            });
            if !known {
                return Err(StripeError::unknown_parameter(&bracketed(&path)));
            }
        }
        Ok(())
    }

    /// What is at a name such as `items[0][price]`. An empty value unsets something in Stripe's API, and is `None` here.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Answer<&str> {
        self.text(name).ok_or_else(|| StripeError::missing_parameter(name))
    }

    pub(crate) fn int(&self, name: &str) -> Answer<Option<i64>> {
        let parsed = self.text(name).map(|text| {
            text.parse().map_err(|_| {
                let message = format!("Invalid integer: {text}");
                StripeError::invalid(message).code("parameter_invalid_integer").param(name)
            })
        });
        parsed.transpose()
    }

    pub(crate) fn flag(&self, name: &str) -> Answer<Option<bool>> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(StripeError::invalid(format!("Invalid boolean: {other}")).param(name)),
        }
    }

    pub(crate) fn choice(&self, name: &str, choices: &[&'static str]) -> Answer<Option<&'static str>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let chosen = choices.iter().find(|choice| **choice == text);
        chosen.map(|choice| Some(*choice)).ok_or_else(|| {
            let message = format!("Invalid {name}: must be one of {}", choices.join(", "));
            StripeError::invalid(message).param(name)
        })
    }

    /// How many entries a list has.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.at(name).and_then(Value::as_object).map_or(0, Map::len)
    }

    /// The values of a list.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        (0..self.count(name)).filter_map(|index| self.text(&format!("{name}[{index}]"))).collect()
    }

    /// Merges metadata into what was there: an empty value deletes its key, and an empty `metadata` all of them.
    pub(crate) fn merge_metadata(&self, name: &str, into: &mut Map<String, Value>) -> Answer<()> {
        if self.raw(name) == Some("") {
            into.clear();
        }
        let Some(given) = self.at(name).and_then(Value::as_object) else { return Ok(()) };
        for (key, value) in given {
            let value = value.as_str().unwrap_or_default();
            if key.len() > 40 || value.len() > 500 {
                let message = "Metadata keys have up to 40 characters, and values up to 500.";
                return Err(StripeError::invalid(message).param(&format!("{name}[{key}]")));
            }
            if value.is_empty() {
                into.remove(key);
            } else {
                into.insert(key.clone(), value.into());
            }
        }
        if into.len() > 50 {
            return Err(StripeError::invalid("Metadata can have up to 50 keys.").param(name));
        }
        Ok(())
    }

    pub(crate) fn metadata(&self, name: &str) -> Answer<Map<String, Value>> {
        let mut metadata = Map::new();
        self.merge_metadata(name, &mut metadata)?;
        Ok(metadata)
    }

    fn raw(&self, name: &str) -> Option<&str> {
        self.at(name).and_then(Value::as_str)
    }

    /// Whether anything was said about it, be it an empty value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.at(name).is_some()
    }

    /// The names at the top, `items` of `items[0][price]`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tree.keys().map(String::as_str)
    }

    fn at(&self, name: &str) -> Option<&Value> {
        let segments = segments(name).ok()?;
        let (first, rest) = segments.split_first()?;
        rest.iter().try_fold(self.tree.get(*first)?, |value, segment| value.get(*segment))
    }
}

/// `a[b][]` as `a`, `b` and nothing.
fn segments(name: &str) -> Answer<Vec<&str>> {
    let broken = || StripeError::invalid(format!("Invalid parameter name: {name}"));
    let Some((first, rest)) = name.split_once('[') else { return Ok(vec![name]) };
    let rest = rest.strip_suffix(']').ok_or_else(broken)?;
    let segments: Vec<_> = std::iter::once(first).chain(rest.split("][")).collect();
    let odd = segments.iter().any(|segment| segment.contains(['[', ']']));
    if odd || first.is_empty() || segments.len() > MAX_DEPTH { Err(broken()) } else { Ok(segments) }
}

fn put(tree: &mut Map<String, Value>, name: &str, segments: &[&str], value: &str) -> Answer<()> {
    let broken = || StripeError::invalid(format!("Invalid parameter: {name}")).param(name);
    let (first, rest) = segments.split_first().ok_or_else(broken)?;
    let key = if first.is_empty() { tree.len().to_string() } else { (*first).to_owned() };
    if tree.len() >= MAX_ENTRIES && !tree.contains_key(&key) {
        return Err(broken());
    }
    if rest.is_empty() {
        if tree.get(&key).is_some_and(Value::is_object) {
            return Err(broken());
        }
        tree.insert(key, value.into());
        return Ok(());
    }
    let child = tree.entry(key).or_insert_with(|| Value::Object(Map::new()));
    put(child.as_object_mut().ok_or_else(broken)?, name, rest, value)
}

fn flatten<'a>(
    tree: &'a Map<String, Value>,
    path: &mut Vec<&'a str>,
    leaves: &mut Vec<(Vec<&'a str>, &'a str)>,
) {
    for (key, value) in tree {
        path.push(key);
        match value {
            Value::Object(inner) => flatten(inner, path, leaves),
            leaf => leaves.push((path.clone(), leaf.as_str().unwrap_or_default())),
        }
        path.pop();
    }
}

fn matches(pattern: &[&str], path: &[&str]) -> bool {
    let same = |(pattern, segment): (&&str, &&str)| match *pattern {
        "*" => true,
        "" => segment.bytes().all(|byte| byte.is_ascii_digit()),
        name => name == *segment,
    };
    pattern.len() == path.len() && pattern.iter().zip(path).all(same)
}

fn bracketed(path: &[&str]) -> String {
    let rest: Vec<_> = path.iter().skip(1).map(|segment| format!("[{segment}]")).collect();
    format!("{}{}", path.first().unwrap_or(&""), rest.concat())
}

/// More than any request of ours; Stripe's own bounds are not published.
const MAX_PAIRS: usize = 500;
const MAX_ENTRIES: usize = 100;
const MAX_DEPTH: usize = 8;
