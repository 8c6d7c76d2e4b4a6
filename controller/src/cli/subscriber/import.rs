//! `evertone subscriber import`: many subscribers from a file. Every row is judged before the first is written: by itself,
//! against the other rows, and against who is in the HSS already. The file is read twice, so that no row is kept.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use hss::import::{self, Claims, ImportError, Options, Row};
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
    let judged = judge(context, &name, import::rows(format, &text, &options)).await?;
    let mistakes = judged.left_out.len();
    if judged.is_cut_off {
        bail!("nothing was imported: what follows this mistake cannot be read, correct it first");
    }
    if mistakes > 0 && !arguments.skip_mistakes {
        bail!(
            "nothing was imported: correct the {mistakes} mistakes, or leave these rows out with --skip-mistakes"
        );
    }
    let records = import::read(format, &text, &options).enumerate();
    let records = records.filter(|(position, _)| !judged.left_out.contains(position));
    let done = put(context, records.filter_map(|(_, record)| record.ok()), judged.good).await?;
    println!("{} subscribers were added, {} replaced, {mistakes} left out", done.added, done.replaced);
    Ok(ExitCode::SUCCESS)
}

/// What there is to say about a file as a whole.
#[derive(Default)]
struct Judged {
    good: u64,
    /// The positions of the rows that have a mistake.
    left_out: BTreeSet<usize>,
    /// Is the rest of the file lost with a mistake, its header for instance? Then leaving out a row does not help.
    is_cut_off: bool,
}

/// Judges all rows and prints their mistakes, in the order of the file.
async fn judge(
    context: &Context,
    name: &str,
    rows: impl Iterator<Item = Result<Row, ImportError>>,
) -> Result<Judged> {
    let mut judged = Judged::default();
    let mut claims = Claims::default();
    let mut rows = rows.enumerate().peekable();
    while rows.peek().is_some() {
        let batch: Vec<_> = rows.by_ref().take(BATCH).collect();
        let good = batch.iter().filter_map(|(_, row)| row.as_ref().ok());
        let asked: Vec<&String> = good.flat_map(|row| &row.public_identities).collect();
        let owners: Vec<Option<String>> = match asked.is_empty() {
            true => Vec::new(),
            false => command(context, "subscriber.owners", &asked).await?,
        };
        let mut owners = owners.as_slice();
        for (position, row) in batch {
            let verdict = row.and_then(|row| {
                let (own, others) = owners.split_at_checked(row.public_identities.len()).unwrap_or_default();
                owners = others;
                // A row that is left out for its owner must not keep its identities from another row.
                row.check_owners(own).and_then(|()| claims.take(&row))
            });
            let Err(mistake) = verdict else {
                judged.good += 1;
                continue;
            };
            judged.left_out.insert(position);
            judged.is_cut_off |= mistake.is_of_file;
            // What loses the rest is the last one, and said however many there were.
            if judged.left_out.len() <= MISTAKES_SHOWN_MAX || mistake.is_of_file {
                eprintln!("{name}: {mistake}");
            }
        }
    }
    let shown = MISTAKES_SHOWN_MAX + usize::from(judged.is_cut_off);
    if judged.left_out.len() > shown {
        eprintln!("{name}: and {} more", judged.left_out.len() - shown);
    }
    Ok(judged)
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
