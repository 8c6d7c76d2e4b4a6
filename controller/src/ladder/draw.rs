//! The picture: one lane for each party, one line for each message, time on the left, words on the right.

use jiff::Timestamp;
use node::config::FunctionKind;

use super::{Arrow, Party, Story, explain, outcome};

/// From lane to lane: the shaft between holds `200 INVITE`.
const LANE: usize = 14;
/// So many devices have a lane of their own; the others share one.
const DEVICES_MAX: usize = 8;
const OTHERS: &str = "others";
/// What a device wrote is cut after so many characters; a Call-ID may be longer, since it is what to ask for next.
pub(super) const TEXT_MAX: usize = 80;
const CALL_ID_MAX: usize = 200;
/// A pause of this length is drawn as an empty line.
const PAUSE_MICROS: u64 = 400_000;

pub(super) fn draw(story: &Story) -> String {
    let Some(first) = story.arrows.first() else { return String::new() };
    let lanes = lanes(story);
    let mut text = format!("{}\n", title(story));
    text.push_str(&format!("{:>11}  {}\n", "", heads(&lanes)));
    let mut before = first.micros;
    let mut explainer = explain::Explainer::default();
    for arrow in &story.arrows {
        if arrow.micros.saturating_sub(before) >= PAUSE_MICROS {
            text.push_str(&format!("{:>11}  {}\n", "...", String::from_iter(rails(lanes.len())).trim_end()));
        }
        before = arrow.micros;
        let time = outcome::milliseconds(story, arrow);
        text.push_str(&format!("{time:>11}  {}  {}\n", line(arrow, &lanes), explainer.explain(arrow)));
    }
    text.push_str(&format!("\n{}\n", outcome::sentence(story)));
    text
}

fn title(story: &Story) -> String {
    let first = &story.arrows[0];
    let time = i64::try_from(first.micros).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let time = time.map(|time| {
        let zoned = time.to_zoned(jiff::tz::TimeZone::system());
        zoned.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
    });
    let [from, to] = [&first.told.from, &first.told.to].map(|text| shown(address(text), TEXT_MAX));
    let what = match first.method() {
        "REGISTER" if first.is_deregistration() => format!("de-registration of {to}"),
        "REGISTER" => format!("registration of {to}"),
        "INVITE" => format!("call from {from} to {to}"),
        "MESSAGE" => format!("message from {from} to {to}"),
        "SUBSCRIBE" => format!("subscription of {from} to {to}"),
        command if first.is_diameter() => {
            let (public, private) = (&first.told.public_identity, &first.told.private_identity);
            format!("{command} about {}", shown(if public.is_empty() { private } else { public }, TEXT_MAX))
        }
        other => format!("{} from {from} to {to}", shown(other, TEXT_MAX)),
    };
    let call = match story.call_id.as_str() {
        "" => String::new(),
        call_id => format!(", Call-ID {}", shown(call_id, CALL_ID_MAX)),
    };
    format!("{} {what}{call}\n", time.unwrap_or_default())
}

/// Foreign text for a terminal: without the characters that would move its cursor, and not too long.
pub(super) fn shown(text: &str, max: usize) -> String {
    let mut characters = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut shown: String = characters.by_ref().take(max).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// The URI of a From or To, without display name and parameters.
pub fn address(value: &str) -> &str {
    let inner =
        value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(value, |(inner, _)| inner);
    inner.split(';').next().unwrap_or(inner).trim()
}

/// Devices on the left in the order of their appearance, then the functions from the outside in.
fn lanes(story: &Story) -> Vec<Party> {
    let mut lanes: Vec<Party> = Vec::new();
    for party in story.arrows.iter().flat_map(|arrow| [&arrow.from, &arrow.to]) {
        if matches!(party, Party::Device(_)) && !lanes.contains(party) {
            lanes.push(party.clone());
        }
    }
    if lanes.len() > DEVICES_MAX {
        lanes.truncate(DEVICES_MAX);
        lanes.push(Party::Device(OTHERS.into()));
    }
    let appears = |kind: &FunctionKind| {
        let party = Party::Function(*kind);
        story.arrows.iter().any(|arrow| arrow.from == party || arrow.to == party)
    };
    lanes.extend(
        FunctionKind::ALL.iter().rev().filter(|kind| appears(kind)).map(|kind| Party::Function(*kind)),
    );
    lanes
}

fn heads(lanes: &[Party]) -> String {
    let mut devices = 0;
    let count = lanes.iter().filter(|lane| matches!(lane, Party::Device(_))).count();
    let names: Vec<String> = lanes
        .iter()
        .map(|lane| match lane {
            Party::Device(_) if count == 1 => "device".to_owned(),
            Party::Device(name) if name == OTHERS => name.clone(),
            Party::Device(_) => {
                devices += 1;
                format!("device {devices}")
            }
            Party::Function(kind) => name(*kind).to_owned(),
        })
        .collect();
    let mut text =
        names.iter().map(|name| format!("{name:<LANE$}")).collect::<String>().trim_end().to_owned();
    let addresses: Vec<String> = lanes
        .iter()
        .zip(&names)
        .filter_map(|(lane, name)| match lane {
            Party::Device(address) if address != OTHERS => {
                Some(format!("{name} is {}", shown(address, TEXT_MAX)))
            }
            _ => None,
        })
        .collect();
    if !addresses.is_empty() {
        text.push_str(&format!("     ({})", addresses.join(", ")));
    }
    text
}

pub(super) fn name(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::Pcscf => "P-CSCF",
        FunctionKind::Icscf => "I-CSCF",
        FunctionKind::Scscf => "S-CSCF",
        FunctionKind::Hss => "HSS",
    }
}

/// The lanes without an arrow.
fn rails(lanes: usize) -> Vec<char> {
    let mut line = vec![' '; lanes.saturating_sub(1) * LANE + 1];
    (0..lanes).for_each(|lane| line[lane * LANE] = '│');
    line
}

fn line(arrow: &Arrow, lanes: &[Party]) -> String {
    let position = |party: &Party| lanes.iter().position(|lane| lane == party).unwrap_or(DEVICES_MAX) * LANE;
    let (from, to) = (position(&arrow.from), position(&arrow.to));
    let (left, right) = (from.min(to), from.max(to));
    let mut line = rails(lanes.len());
    // Dotted: repeated, or never received.
    let shaft = if arrow.is_repetition || arrow.is_lost() { '·' } else { '─' };
    if left == right {
        // To itself: a loop that ends where it began.
        let label: Vec<char> = format!("↺ {}", label(arrow, LANE - 4)).chars().take(LANE - 2).collect();
        line.resize(line.len().max(left + 1 + label.len()), ' ');
        line[left + 1..left + 1 + label.len()].copy_from_slice(&label);
        return line.into_iter().collect();
    }
    line[left + 1..right].fill(shaft);
    match (arrow.is_lost(), from < to) {
        (true, true) => line[right - 1] = '✗',
        (true, false) => line[left + 1] = '✗',
        (false, true) => line[right - 1] = '▶',
        (false, false) => line[left + 1] = '◀',
    }
    let room = right - left - 3;
    let label: Vec<char> = format!(" {} ", label(arrow, room.saturating_sub(2))).chars().take(room).collect();
    let start = left + 1 + (right - left - 1 - label.len()) / 2;
    line[start..start + label.len()].copy_from_slice(&label);
    line.into_iter().collect()
}

/// What stands on the arrow, in at most `room` characters.
fn label(arrow: &Arrow, room: usize) -> String {
    if arrow.is_diameter() {
        let mut words = arrow.told.summary.split_whitespace();
        let command = words.next().unwrap_or_default();
        // A result code has room on the arrow; what a SAR is about stands in the words.
        let code = words.next().filter(|result| result.starts_with(|c: char| c.is_ascii_digit()));
        return code.map_or(command.to_owned(), |code| format!("{command} {code}"));
    }
    match arrow.status() {
        None => shown(arrow.method(), room),
        Some(status) => {
            let long = format!("{status} {}", shown(arrow.method(), room));
            if long.chars().count() <= room { long } else { status.to_string() }
        }
    }
}
