//! The one way to read and write YAML in the control plane; the rest never names a YAML crate.
//!
//! Reading is strict and the error is made for the person who wrote the file: file, line, field path, reason. Never
//! touches a file itself.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::ims_core::IMSCore;

/// YAML could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write yaml: {0}")]
pub struct EmitError(String);

/// Writes `value` as YAML that `kubectl` reads back unchanged.
///
/// # Errors
/// When `value`'s own `Serialize` refuses.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, EmitError> {
    serde_saphyr::to_string(value).map_err(|error| EmitError(error.to_string()))
}

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file as the user named it.
    pub file: String,
    /// Its line, from 1; 0 when nobody knows.
    pub line: u64,
    /// The field, such as `spec.pcscf.port`; empty for the document as a whole.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file)?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        match self.path.as_str() {
            "" => write!(formatter, ": {}", self.reason),
            path => write!(formatter, ": {path}: {}", self.reason),
        }
    }
}

impl std::error::Error for Mistake {}

/// A resource as read, with what is needed to point at its lines.
#[derive(Clone, Debug)]
pub struct Read {
    /// The resource.
    pub object: IMSCore,
    file: String,
    places: Place,
}

impl Read {
    /// A mistake in the field at `path` that only became visible after reading.
    pub fn mistake(&self, path: &str, reason: impl Into<String>) -> Mistake {
        Mistake {
            file: self.file.clone(),
            line: self.places.line(path),
            path: path.into(),
            reason: reason.into(),
        }
    }
}

/// Reads one `IMSCore` from `text`; `file` is its name for people.
///
/// # Errors
/// A YAML error, another kind or version, an unknown or missing field, a value of the wrong type.
pub fn read_ims_core(file: &str, text: &str) -> Result<Read, Mistake> {
    let places: Place = typed(file, text)?;
    let mistake = |path: &str, reason: String| Mistake {
        file: file.into(),
        line: places.line(path),
        path: path.into(),
        reason,
    };
    // What is missing is missed in the field above it, not where the reader noticed.
    let document: Document = typed(file, text).map_err(|found: Mistake| match found.reason.as_str() {
        reason if reason.starts_with("missing field") => Mistake { line: places.line(&found.path), ..found },
        _ => found,
    })?;
    if document.kind != "IMSCore" {
        return Err(mistake("kind", format!("expected IMSCore, found `{}`", document.kind)));
    }
    if document.api_version != "ims.evertone.dev/v1alpha1" {
        let reason = format!("expected ims.evertone.dev/v1alpha1, found `{}`", document.api_version);
        return Err(mistake("apiVersion", reason));
    }
    if !is_resource_name(&document.metadata.name) {
        let reason = "must be lower-case letters, digits, `-` and `.`, begin and end with a letter or digit, at most 253 \
                      characters (RFC 1123)";
        return Err(mistake("metadata.name", reason.into()));
    }
    let mut object = IMSCore::new(&document.metadata.name, document.spec);
    object.metadata.namespace = document.metadata.namespace;
    object.metadata.labels = document.metadata.labels;
    object.metadata.annotations = document.metadata.annotations;
    Ok(Read { object, file: file.into(), places })
}

/// What Kubernetes takes as the name of a resource.
fn is_resource_name(name: &str) -> bool {
    let is_end =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    let is_part =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    bytes.len() <= 253 && bytes.iter().all(is_part) && is_end(bytes.first()) && is_end(bytes.last())
}

/// The document as a user writes it: stricter than [`IMSCore`], whose metadata would swallow a misspelt field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: crate::ims_core::IMSCoreSpec,
    /// What `status -o yaml` printed may be applied again.
    #[serde(default, rename = "status")]
    _status: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    /// What `status -o yaml` printed may be applied again; the controller counts generations itself.
    #[serde(default, rename = "generation")]
    _generation: Option<i64>,
}

/// Reads any type with a field path in its error.
///
/// # Errors
/// See [`read_ims_core`].
pub fn typed<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Mistake> {
    let mut path = String::new();
    serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            path = error.path().to_string();
            error.into_inner()
        })
    })
    .map_err(|error| {
        let error = error.without_snippet();
        let line = error.location().map_or(0, |location| location.line());
        // The crate appends the position to its sentence; ours stands in front.
        let reason = error.to_string();
        let reason = reason.lines().next().unwrap_or_default();
        let reason = reason.split(" at line ").next().unwrap_or(reason).trim_start_matches("error: ");
        let is_of_the_whole = reason.starts_with("budget breached");
        let path = if is_of_the_whole { "" } else { path.trim_end_matches(".?") };
        Mistake {
            file: file.into(),
            line,
            path: if matches!(path, "." | "?") { String::new() } else { path.into() },
            reason: in_plain_words(reason),
        }
    })
}

/// The YAML library speaks to programmers.
fn in_plain_words(reason: &str) -> String {
    let wanted =
        [("sequence start", "a list (`- …` lines, or `[…]`)"), ("mapping start", "fields with a colon")];
    if let Some((_, wanted)) = wanted.iter().find(|(theirs, _)| reason == format!("expected {theirs}")) {
        return format!("expected {wanted}");
    }
    let plain = match reason {
        "invalid i32" => "a whole number is needed",
        _ if reason.starts_with("cannot deserialize null") => "is empty: give it a value, or remove the line",
        _ if reason.starts_with("multiple YAML documents") => {
            "there is more than one document in the file (`---`): give one"
        }
        _ if reason.starts_with("budget breached") => "the file is larger or deeper than any resource",
        _ => reason.split(", set DuplicateKeyPolicy").next().unwrap_or(reason),
    };
    plain.to_owned()
}

/// Where each field of a document stands.
#[derive(Clone, Debug, Default)]
struct Place {
    line: u64,
    children: BTreeMap<String, Place>,
}

impl Place {
    /// The line of `path`, or of its nearest ancestor that exists: a missing field is missed where it belongs.
    fn line(&self, path: &str) -> u64 {
        let mut place = self;
        let steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']'));
        for step in steps {
            match place.children.get(step) {
                Some(child) => place = child,
                None => break,
            }
        }
        place.line
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlaceVisitor)
    }
}

struct PlaceVisitor;

macro_rules! scalar {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Place, E> {
            Ok(Place::default())
        })*
    };
}

impl<'de> Visitor<'de> for PlaceVisitor {
    type Value = Place;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML document")
    }

    scalar!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64);
    scalar!(visit_str: &str, visit_bytes: &[u8]);

    fn visit_unit<E>(self) -> Result<Place, E> {
        Ok(Place::default())
    }

    fn visit_none<E>(self) -> Result<Place, E> {
        Ok(Place::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Place, D::Error> {
        deserializer.deserialize_any(PlaceVisitor)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Place, A::Error> {
        let mut children = BTreeMap::new();
        while let Some(key) = map.next_key::<serde_saphyr::Spanned<String>>()? {
            let mut place: Place = map.next_value()?;
            place.line = key.referenced.line();
            children.insert(key.value, place);
        }
        Ok(Place { line: 1, children })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Place, A::Error> {
        let mut children = BTreeMap::new();
        while let Some(item) = sequence.next_element::<serde_saphyr::Spanned<Place>>()? {
            let mut place = item.value;
            place.line = item.referenced.line();
            children.insert(children.len().to_string(), place);
        }
        Ok(Place { line: 1, children })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: ims.evertone.dev/v1alpha1\nkind: IMSCore\nmetadata:\n  name: home\n";

    fn check(spec: &str, expected: &str) {
        let text = format!("{HEAD}{spec}");
        let mistake = read_ims_core("core.yaml", &text).expect_err("the file is wrong").to_string();
        assert!(mistake.starts_with(expected), "expected {expected:?}, found {mistake:?}");
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line_and_path() {
        check("spec:\n  homeDomain: a.b\n  pcscf:\n    adresses: []\n", "core.yaml:8: spec.pcscf");
        check("spec:\n  homeDomain: a.b\n  colour: red\n", "core.yaml:7: spec");
        check("spec:\n  homeDomain: a.b\nspecs: {}\n", "core.yaml:7: ");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_line_and_path() {
        check(
            "spec:\n  homeDomain: a.b\n  icscf:\n    port: many\n",
            "core.yaml:8: spec.icscf.port: a whole number",
        );
        check("spec:\n  homeDomain: a.b\n  logLevel: loud\n", "core.yaml:7: spec.logLevel: ");
    }

    #[test]
    fn mistakes_are_told_in_words_for_whoever_wrote_the_file() {
        check("spec:\n  homeDomain:\n", "core.yaml:6: spec.homeDomain: is empty");
        check(
            "spec:\n  homeDomain: a.b\n  pcscf:\n    addresses: here\n",
            "core.yaml:8: spec.pcscf.addresses: expected a list",
        );
        check(
            "spec:\n  homeDomain: a.b\n  homeDomain: c.d\n",
            "core.yaml:7: duplicate mapping key: homeDomain",
        );
        let text = format!("{HEAD}spec:\n  homeDomain: a.b\n---\n{HEAD}");
        let mistake = read_ims_core("core.yaml", &text).expect_err("two documents").to_string();
        assert!(mistake.ends_with("give one"), "{mistake}");
        let library = ["Option", "Policy", "from_str", "sequence start", "budget"];
        assert!(!library.iter().any(|word| mistake.contains(word)), "{mistake}");
    }

    #[test]
    fn what_is_missing_is_missed_in_the_field_above_it() {
        check("spec:\n  pcscf:\n    port: 5060\n  registration: {}\n", "core.yaml:5: spec: missing field");
        let text = "apiVersion: ims.evertone.dev/v1alpha1\nkind: IMSCore\nmetadata:\n  labels: {}\nspec:\n  homeDomain: a.b\n";
        let mistake = read_ims_core("core.yaml", text).expect_err("no name").to_string();
        assert!(mistake.starts_with("core.yaml:3: metadata: missing field"), "{mistake}");
    }

    #[test]
    fn a_name_that_kubernetes_would_refuse_is_refused() {
        let text = "apiVersion: ims.evertone.dev/v1alpha1\nkind: IMSCore\nmetadata:\n  name: My Core!\nspec:\n  homeDomain: a.b\n";
        let mistake = read_ims_core("core.yaml", text).expect_err("no such name").to_string();
        assert!(mistake.starts_with("core.yaml:4: metadata.name: must be"), "{mistake}");
    }

    #[test]
    fn a_missing_field_is_named() {
        let text = format!("{HEAD}spec: {{}}\n");
        let mistake = read_ims_core("core.yaml", &text).expect_err("homeDomain is missing").to_string();
        assert!(mistake.contains("spec") && mistake.contains("homeDomain"), "{mistake}");
    }

    #[test]
    fn broken_yaml_is_named_with_its_line() {
        check("spec: [\n", "core.yaml:");
        check("spec:\n  access:\n    a: b\n   hss: {}\n", "core.yaml:8: while parsing");
    }

    #[test]
    fn another_kind_is_refused() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  homeDomain: a.b\n";
        let mistake = read_ims_core("core.yaml", text).expect_err("a pod is no core").to_string();
        assert_eq!(mistake, "core.yaml:2: kind: expected IMSCore, found `Pod`");
    }

    #[test]
    fn a_mistake_found_later_has_the_line_of_its_field() {
        let text = format!(
            "{HEAD}spec:\n  homeDomain: a.b\n  pcscf:\n    addresses:\n      - 127.0.0.1\n      - here\n"
        );
        let read = read_ims_core("core.yaml", &text).expect("it reads");
        assert_eq!(read.mistake("spec.pcscf.addresses[1]", "no address").line, 10);
        assert_eq!(read.mistake("spec.pcscf.port", "no port").line, 7);
    }
}
