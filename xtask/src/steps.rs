//! Commands run one after the other, each with its name, its time and its verdict. What fails does not hide what follows.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

/// A list of things to run.
pub struct Steps<'a> {
    root: &'a Path,
    verdicts: Vec<(String, f64, bool)>,
}

impl<'a> Steps<'a> {
    /// Nothing run yet; commands run in `root`.
    pub fn new(root: &'a Path) -> Self {
        Steps { root, verdicts: Vec::new() }
    }

    /// Runs one command, its words separated by spaces.
    pub fn run(&mut self, name: &str, command: &str) {
        self.run_with(name, command, &[]);
    }

    /// Runs one command with environment variables of its own.
    pub fn run_with(&mut self, name: &str, command: &str, environment: &[(&str, &str)]) {
        println!("\n=== {name}: {command}");
        let mut words = command.split_whitespace();
        let program = words.next().expect("a step names a program");
        let started = Instant::now();
        let status = Command::new(program)
            .args(words)
            // `make` sets it for `evertone up`; tests find the programs of their own build.
            .env_remove("EVERTONE_BINARIES")
            .envs(environment.iter().copied())
            .current_dir(self.root)
            .status();
        if let Err(error) = &status {
            println!("{program}: {error}");
        }
        self.verdicts.push((
            name.to_owned(),
            started.elapsed().as_secs_f64(),
            status.is_ok_and(|status| status.success()),
        ));
    }

    /// Prints the table; fails if one step failed.
    pub fn finish(self) -> Result<()> {
        println!();
        for (name, seconds, is_passed) in &self.verdicts {
            println!("{:<6} {seconds:>7.1} s  {name}", if *is_passed { "passed" } else { "FAILED" });
        }
        let failed = self.verdicts.iter().filter(|(.., is_passed)| !is_passed).count();
        println!("steps: {} passed, {failed} failed", self.verdicts.len() - failed);
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.verdicts.len());
        }
        Ok(())
    }
}
