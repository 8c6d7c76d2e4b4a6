//! `make test`: everything that CI runs, the cheap and telling things first.

use std::path::Path;

use anyhow::Result;

use crate::steps::Steps;

/// Seeds of mixed traffic, and as many again in which functions die.
const SEEDS: u64 = 10_000;
const SEEDS_WITH_KILLS: u64 = 2_000;
/// Seeds in which all functions are pairs; each holds some twelve failures and takes two seconds.
const SEEDS_WITH_PAIRS: u64 = 80;
/// Failures of each case of the fault runner's catalogue.
const TRIALS: u64 = 2;

/// Runs all.
pub fn run(root: &Path) -> Result<()> {
    let mut steps = Steps::new(root);
    lint_steps(&mut steps);
    steps.run(
        "unit and crate tests",
        "cargo test --quiet --no-fail-fast --workspace --exclude interop --exclude e2e",
    );
    simulation_steps(&mut steps);
    steps.run("fuzzing, a minute for each target", "fuzz/run 60");
    steps.run(
        "static functions",
        "cargo build --quiet --profile nf --target x86_64-unknown-linux-musl -p host --bins",
    );
    steps.run("evertone command", "cargo build --quiet --release -p controller");
    // Both start cores of their own, and what they time must not compete with itself.
    steps.run("the operator's view", "cargo test --quiet --no-fail-fast -p e2e -- --test-threads=1");
    steps.run("real failures that nobody notices", &format!("cargo run --quiet -p lab -- --trials {TRIALS}"));
    steps.run("real phones and peers", "cargo test --quiet --no-fail-fast -p interop -- --test-threads=1");
    steps.finish()
}

/// `make lint`.
pub fn lint(root: &Path) -> Result<()> {
    let mut steps = Steps::new(root);
    lint_steps(&mut steps);
    steps.finish()
}

fn lint_steps(steps: &mut Steps<'_>) {
    steps.run("format", "cargo fmt --all --check");
    steps.run("lints", "cargo clippy --quiet --workspace --all-targets -- -D warnings");
    steps.run("licences", "cargo run --quiet -p xtask -- licences");
}

fn simulation_steps(steps: &mut Steps<'_>) {
    steps.run("simulated traffic", &format!("cargo run --quiet -p sim -- --seeds 0..{SEEDS}"));
    steps.run(
        "simulated traffic with functions that die",
        &format!("cargo run --quiet -p sim -- --seeds 0..{SEEDS_WITH_KILLS} --kills"),
    );
    steps.run(
        "simulated traffic through pairs that fail",
        &format!("cargo run --quiet -p sim -- --seeds 0..{SEEDS_WITH_PAIRS} --pairs"),
    );
}
