//! `evertone subscriber import`: many subscribers from a file. Every row is judged before the first is written.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use hss::import::{self, Options};
use hss::provisioning::{PutResult, Record};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::context::Context;
use crate::cli::hss::{command, home_domain};

/// Import subscribers.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file; `-` reads standard input.
    file: PathBuf,
    /// Its format. [default: seen from the file]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// How many digits the MNC of an IMSI has, 2 or 3: for exports that know IMSIs only.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=3))]
    mnc_digits: Option<u8>,
    /// Leave out the rows that have a mistake, and import the others.
    #[arg(long)]
    skip_mistakes: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Csv,
    Yaml,
    Open5gs,
    Pyhss,
}

/// So many subscribers make one request, and one commit of the HSS: a second of a small disk.
const BATCH: usize = 1000;
/// So many mistakes are shown: whoever made more will see the pattern.
const MISTAKES_SHOWN_MAX: usize = 20;

/// Runs the verb.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let name = arguments.file.display().to_string();
    let text = match name.as_str() {
        "-" => std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?,
        _ => std::fs::read_to_string(&arguments.file).with_context(|| format!("cannot read {name}"))?,
    };
    let options = Options { home_domain: Some(home_domain(context)?), mnc_digits: arguments.mnc_digits };
    let format = match arguments.format {
        None => import::Format::guess(&text),
        Some(Format::Csv) => import::Format::Csv,
        Some(Format::Yaml) => import::Format::Yaml,
        Some(Format::Open5gs) => import::Format::Open5gs,
        Some(Format::Pyhss) => import::Format::PyHss,
    };
    let (mut good, mut mistakes) = (0_u64, 0_usize);
    for row in import::read(format, &text, &options) {
        match row {
            Ok(_) => good += 1,
            Err(mistake) => {
                mistakes += 1;
                if mistakes <= MISTAKES_SHOWN_MAX {
                    eprintln!("{name}: {mistake}");
                }
            }
        }
    }
    if mistakes > MISTAKES_SHOWN_MAX {
        eprintln!("{name}: and {} more", mistakes - MISTAKES_SHOWN_MAX);
    }
    if mistakes > 0 && !arguments.skip_mistakes {
        bail!(
            "nothing was imported: correct the {mistakes} mistakes, or leave these rows out with --skip-mistakes"
        );
    }
    let done = put(context, import::read(format, &text, &options).filter_map(Result::ok), good).await?;
    println!("{} subscribers were added, {} replaced, {mistakes} left out", done.added, done.replaced);
    Ok(ExitCode::SUCCESS)
}

async fn put(context: &Context, records: impl Iterator<Item = Record>, total: u64) -> Result<PutResult> {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} subscribers, {per_sec}, {eta} to go");
    bar.set_style(style.expect("the template is constant and valid"));
    let mut sum = PutResult::default();
    let mut records = records.peekable();
    while records.peek().is_some() {
        let batch: Vec<Record> = records.by_ref().take(BATCH).collect();
        let done: PutResult = command(context, "subscriber.put", &batch).await.with_context(|| {
            format!(
                "{} subscribers were imported before; the next {} were not",
                sum.added + sum.replaced,
                batch.len()
            )
        })?;
        sum.added += done.added;
        sum.replaced += done.replaced;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(sum)
}
