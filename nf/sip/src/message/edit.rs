//! The edits of a [`Draft`]: fields and single values added, replaced, removed.
//!
//! A value that is put in can never become a second field: a line end in it that does not fold turns into spaces.

use bytes::Bytes;

use super::Name;
use super::draft::{Body, Content, Draft, Field, value_in};
use super::list::{self, List};
use super::view::text;

impl Draft {
    /// Adds a field above all fields of the same name (below the Vias when it is the first of its name).
    pub fn push_front(&mut self, name: Name, value: impl Into<String>) {
        let at = self.position(name).unwrap_or_else(|| self.position_behind(Name::Via).unwrap_or(0));
        self.fields.insert(at, new(name, value));
    }

    /// Adds a field below all fields of the same name (at the end when it is the first of its name).
    pub fn push_back(&mut self, name: Name, value: impl Into<String>) {
        let at = self.position_behind(name).unwrap_or(self.fields.len());
        self.fields.insert(at, new(name, value));
    }

    /// Adds a field whose name has no constant, at the end. A name that has one is treated like
    /// [`push_back`](Draft::push_back).
    pub fn push_back_text(&mut self, name: &str, value: impl Into<String>) {
        match Name::from_text(name) {
            Name::Other if list::is_token(name) => {
                let content = Content::Named(Box::new((name.into(), one_field(value.into()))));
                self.fields.push(Field { name: Name::Other, content });
            }
            Name::Other => debug_assert!(false, "{name:?} is no name of a header field"),
            known => self.push_back(known, value),
        }
    }

    /// Removes all fields of that name.
    pub fn remove(&mut self, name: Name) {
        self.fields.retain(|field| field.name != name);
    }

    /// Removes all fields of a name that has no constant (case-insensitive).
    pub fn remove_text(&mut self, name: &str) {
        match Name::from_text(name) {
            Name::Other => {
                let base = &self.base;
                self.fields.retain(|field| !is_named(base, field, name));
            }
            known => self.remove(known),
        }
    }

    /// Removes all fields of that name and puts one in the place of the first (at the end when there was none).
    pub fn replace(&mut self, name: Name, value: impl Into<String>) {
        let at = self.position(name).unwrap_or(self.fields.len());
        self.remove(name);
        self.fields.insert(at, new(name, value));
    }

    /// Removes the first value of that name; the other values of the same line stay. Was there one?
    pub fn remove_first_value(&mut self, name: Name) -> bool {
        let Some((at, rest)) = self.first_value(name) else { return false };
        if rest.is_empty() {
            self.fields.remove(at);
        } else {
            self.fields[at] = new(name, rest);
        }
        true
    }

    /// Puts `value` in the place of the first value of that name; the other values of the same line stay.
    /// When there is none, it is added like [`push_back`](Draft::push_back).
    pub fn replace_first_value(&mut self, name: Name, value: &str) {
        match self.first_value(name) {
            None => self.push_back(name, value),
            Some((at, rest)) if rest.is_empty() => self.fields[at] = new(name, value),
            Some((at, rest)) => self.fields[at] = new(name, format!("{value}, {rest}")),
        }
    }

    /// Where the first value of `name` is, and what stands behind it in its line.
    fn first_value(&self, name: Name) -> Option<(usize, String)> {
        let fields = self.fields.iter().enumerate().filter(|(_, field)| field.name == name);
        for (at, field) in fields {
            let line = self.value(field);
            if !name.is_list() && !line.is_empty() {
                return Some((at, String::new()));
            }
            let mut values = List::new(line);
            if values.by_ref().any(|value| !value.is_empty()) {
                return Some((at, values.rest().to_owned()));
            }
        }
        None
    }

    /// Keeps only the values for which `keep` says so; a line left without values goes. Lines that keep all values stay byte for byte.
    pub fn retain_values(&mut self, name: Name, mut keep: impl FnMut(&str) -> bool) {
        let base = &self.base;
        self.fields.retain_mut(|field| {
            if field.name != name {
                return true;
            }
            let mut left_out = false;
            let kept_values = list::values(value_in(base, field), name.is_list()).filter(|value| {
                let stays = keep(value);
                left_out |= !stays;
                stays
            });
            let kept_values = kept_values.collect::<Vec<_>>().join(", ");
            if left_out && !kept_values.is_empty() {
                *field = new(name, kept_values);
                return true;
            }
            !left_out
        });
    }

    /// Replaces the body and its Content-Type; an empty `content_type` removes that field.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Bytes>) {
        let body = body.into();
        if content_type.is_empty() {
            self.remove(Name::ContentType);
        } else {
            self.replace(Name::ContentType, content_type);
        }
        self.replace(Name::ContentLength, body.len().to_string());
        self.body = Body::New(body);
    }

    fn position(&self, name: Name) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    fn position_behind(&self, name: Name) -> Option<usize> {
        self.fields.iter().rposition(|field| field.name == name).map(|at| at + 1)
    }
}

fn new(name: Name, value: impl Into<String>) -> Field {
    debug_assert!(name != Name::Other, "a field whose name has no constant is added with push_back_text");
    Field { name, content: Content::New(one_field(value.into())) }
}

fn is_named(base: &Bytes, field: &Field, name: &str) -> bool {
    match &field.content {
        Content::Kept { whole, .. } => {
            // The name ends at the colon or at a blank before it.
            let line = text(base, *whole);
            let written = line.split([':', ' ', '\t']).next().unwrap_or("");
            written.eq_ignore_ascii_case(name)
        }
        Content::New(_) => false,
        Content::Named(named) => named.0.eq_ignore_ascii_case(name),
    }
}

/// `value` with every line end that does not fold turned into spaces, so that it stays one field.
fn one_field(value: String) -> String {
    if memchr::memchr2(b'\r', b'\n', value.as_bytes()).is_none() {
        return value;
    }
    let mut out = String::with_capacity(value.len());
    for (at, character) in value.char_indices() {
        let rest = &value.as_bytes()[at..];
        let folds = match character {
            '\r' => matches!(rest, [_, b'\n', b' ' | b'\t', ..]),
            '\n' => value[..at].ends_with('\r') && matches!(rest, [_, b' ' | b'\t', ..]),
            _ => true,
        };
        out.push(if folds { character } else { ' ' });
    }
    out
}
