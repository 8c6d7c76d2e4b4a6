//! What every verb needs to know: where the core lives, where its binaries are, how this program is called.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use node::config::FunctionKind;
use plan::names::Places;

use crate::controller::Options;
use crate::places::Surroundings;

/// See the module.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where the core lives.
    pub places: Places,
    /// Where the functions' binaries lie.
    pub binaries: PathBuf,
    /// The state directory, when the user chose one: to be handed on.
    pub chosen: Option<PathBuf>,
}

impl Context {
    /// Takes the options; what they leave open the environment decides.
    pub fn new(state_directory: Option<PathBuf>, binaries: Option<PathBuf>) -> Result<Context> {
        let places = Surroundings::read(state_directory.clone()).places()?;
        let chosen = state_directory.map(|_| places.state_directory.clone());
        let binaries = match binaries {
            Some(binaries) => {
                std::path::absolute(binaries).context("the binaries' directory is not a path")?
            }
            None => {
                let own = std::env::current_exe().context("this program does not know where it lies")?;
                let beside = own.parent().context("this program lies nowhere")?.to_owned();
                // A program that lies in a build folder has its functions in the static target's folder of the same build.
                let built = beside.join("../x86_64-unknown-linux-musl/nf");
                if has_binaries(&beside) {
                    beside
                } else {
                    let used_last = binaries_used_last(&places);
                    used_last
                        .or_else(|| built.canonicalize().ok().filter(|at| has_binaries(at)))
                        .unwrap_or(beside)
                }
            }
        };
        Ok(Context { places, binaries, chosen })
    }

    /// Keeps the binaries' directory for the next call, which may not name it.
    pub fn remember_binaries(&self) -> Result<()> {
        Ok(cloud::local::write_private(
            &binaries_file(&self.places),
            &format!("{}\n", self.binaries.display()),
        )?)
    }

    /// How to start a controller.
    pub fn options(&self, is_foreground: bool) -> Options {
        Options { places: self.places.clone(), binaries: self.binaries.clone(), is_foreground }
    }

    /// This program with the options that find the same core again, to be pasted by the user.
    pub fn command(&self) -> String {
        let typed = std::env::args().next().unwrap_or_default();
        let program = if typed.is_empty() { "evertone" } else { &typed };
        match &self.chosen {
            // The next call finds it by the variable only when that is where it was chosen.
            Some(chosen)
                if std::env::var_os("EVERTONE_STATE_DIRECTORY")
                    .is_none_or(|set| set != *chosen.as_os_str()) =>
            {
                format!("{program} --state-directory {}", chosen.display())
            }
            _ => program.to_owned(),
        }
    }
}

fn has_binaries(directory: &Path) -> bool {
    directory.join(FunctionKind::Hss.as_str()).is_file()
}

fn binaries_file(places: &Places) -> PathBuf {
    places.state_directory.join("binaries")
}

fn binaries_used_last(places: &Places) -> Option<PathBuf> {
    let text = std::fs::read_to_string(binaries_file(places)).ok()?;
    Some(PathBuf::from(text.trim())).filter(|directory| has_binaries(directory))
}
