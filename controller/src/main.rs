//! The `evertone` binary: custom resources in, running network functions out.
//!
//! ```text
//!   cli ──API socket──▶ rest ─▶ watch ─▶ reconcile: observe ─▶ validate ─▶ plan ─▶ apply ─▶ report
//!                                             ▲                                      │
//!                                 cloud events, health ◀────── functions ◀───────────┘
//! ```

#![forbid(unsafe_code)]

mod addresses;
mod apply;
mod archive;
mod capture;
mod cli;
mod controller;
mod health;
mod history;
mod http;
mod ladder;
mod observe;
mod places;
mod protection;
mod reconcile;
mod report;
mod rest;
mod roll;
mod secrets;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
