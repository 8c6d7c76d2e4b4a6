//! One number that the project promises, and the table of them.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// A figure as it is written to `target/figures`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// Its name.
    pub id: String,
    /// What was measured.
    pub value: f64,
    /// In which unit.
    pub unit: String,
    /// What is wanted: `<= number`, or `report`.
    pub goal: String,
    /// Which way is good: `lower` or `higher`.
    pub better: String,
    /// How to measure it again.
    pub command: String,
}

impl Figure {
    /// A figure whose goal is an upper bound.
    pub fn at_most(id: &str, value: f64, unit: &str, bound: f64, command: &str) -> Figure {
        Figure { goal: format!("<= {bound}"), ..Figure::report(id, value, unit, "lower", command) }
    }

    /// A figure without a goal.
    pub fn report(id: &str, value: f64, unit: &str, better: &str, command: &str) -> Figure {
        Figure {
            id: id.to_owned(),
            value: (value * 1000.0).round() / 1000.0,
            unit: unit.to_owned(),
            goal: "report".to_owned(),
            better: better.to_owned(),
            command: command.to_owned(),
        }
    }

    /// `met`, `missed`, or nothing when there is no goal.
    fn verdict(&self) -> &'static str {
        let bound = self.goal.strip_prefix("<= ").and_then(|bound| bound.parse::<f64>().ok());
        match bound {
            None => "",
            Some(bound) if self.value <= bound => "met",
            Some(_) => "missed",
        }
    }
}

/// Prints a table.
pub fn print(figures: &[Figure]) {
    println!("\n{:<40}{:>12} {:<16}{:<10}{:<8}command", "figure", "value", "unit", "goal", "");
    for figure in figures {
        let Figure { id, value, unit, goal, command, .. } = figure;
        println!("{id:<40}{value:>12} {unit:<16}{goal:<10}{:<8}{command}", figure.verdict());
    }
}

/// Writes figures into a file of the folder. What the file holds of other figures stays.
pub fn write(directory: &Path, name: &str, figures: &[Figure]) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let path = directory.join(name);
    let mut all: Vec<Figure> =
        std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    all.retain(|old| figures.iter().all(|new| new.id != old.id));
    all.extend(figures.iter().cloned());
    all.sort_by(|left, right| left.id.cmp(&right.id));
    let text = serde_json::to_string_pretty(&all).context("figures are texts and finite numbers")?;
    std::fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_on_its_bound_meets_it_and_one_above_does_not() {
        let verdict = |value| Figure::at_most("x", value, "ms", 0.8, "").verdict();
        assert_eq!((verdict(0.8), verdict(0.801)), ("met", "missed"));
        assert_eq!(Figure::report("x", 1.0, "1/s", "higher", "").verdict(), "");
    }

    #[test]
    fn writing_one_figure_keeps_the_others_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let figure = |id, value| Figure::report(id, value, "ms", "lower", "bench");
        write(directory.path(), "core.json", &[figure("b", 1.0), figure("a", 2.0)]).unwrap();
        write(directory.path(), "core.json", &[figure("b", 3.0)]).unwrap();
        let text = std::fs::read(directory.path().join("core.json")).unwrap();
        let all: Vec<Figure> = serde_json::from_slice(&text).unwrap();
        let found: Vec<_> = all.iter().map(|figure| (figure.id.as_str(), figure.value)).collect();
        assert_eq!(found, [("a", 2.0), ("b", 3.0)]);
    }
}
